/* Bounds of a GeoPackage blob: from its header, else by walking the WKB with a small stack. */
#include <math.h>

#include "fs_geometry.h"
#include "wkb.h"

#define NESTING_MAX 16

struct bounds {
    double min[2], max[2];
};

static int include_vertices(struct bounds *bounds, const struct fs_wkb_head *head,
                            const uint8_t *vertices, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t axis = 0; axis < 2; axis++) {
            double value = fs_wkb_ordinate(head, vertices, i, axis);
            if (!isfinite(value)) return FS_ERR_NOT_FINITE;
            if (value < bounds->min[axis]) bounds->min[axis] = value;
            if (value > bounds->max[axis]) bounds->max[axis] = value;
        }
    return FS_OK;
}

static int include_point(struct bounds *bounds, struct fs_wkb *wkb,
                         const struct fs_wkb_head *head) {
    const uint8_t *vertex;
    int status = fs_wkb_vertex(wkb, head, &vertex);
    if (status != FS_OK) return status;
    if (isnan(fs_wkb_ordinate(head, vertex, 0, 0)) && isnan(fs_wkb_ordinate(head, vertex, 0, 1)))
        return FS_OK;
    return include_vertices(bounds, head, vertex, 1);
}

static int include_run(struct bounds *bounds, struct fs_wkb *wkb, const struct fs_wkb_head *head) {
    const uint8_t *vertices;
    size_t count;
    int status = fs_wkb_vertices(wkb, head, &vertices, &count);
    return status == FS_OK ? include_vertices(bounds, head, vertices, count) : status;
}

static int include_polygon(struct bounds *bounds, struct fs_wkb *wkb,
                           const struct fs_wkb_head *head) {
    size_t rings;
    int status = fs_wkb_count(wkb, head->little, 4, &rings);
    for (size_t i = 0; i < rings && status == FS_OK; i++) status = include_run(bounds, wkb, head);
    return status;
}

/* Members still to come, per open collection; a Multi* is a collection here. */
static int walk(struct fs_wkb *wkb, struct bounds *bounds) {
    size_t pending[NESTING_MAX] = {1};
    size_t depth = 1;
    while (depth > 0) {
        if (pending[depth - 1] == 0) {
            depth--;
            continue;
        }
        pending[depth - 1]--;
        struct fs_wkb_head head;
        int status = fs_wkb_head(wkb, &head);
        if (status != FS_OK) return status;
        if (head.type == FS_WKB_POINT)
            status = include_point(bounds, wkb, &head);
        else if (head.type == FS_WKB_LINESTRING)
            status = include_run(bounds, wkb, &head);
        else if (head.type == FS_WKB_POLYGON)
            status = include_polygon(bounds, wkb, &head);
        else if (depth == NESTING_MAX)
            status = FS_ERR_DEPTH;
        else
            status = fs_wkb_count(wkb, head.little, 9, &pending[depth++]);
        if (status != FS_OK) return status;
    }
    return wkb->at == wkb->size ? FS_OK : FS_ERR_TRAILING;
}

int fs_geometry_envelope(const uint8_t *blob, size_t blob_size, double bounds[4],
                         struct fs_result *result) {
    struct fs_wkb wkb = {blob, blob_size, 0};
    struct fs_gpkg_header header;
    struct bounds found = {{INFINITY, INFINITY}, {-INFINITY, -INFINITY}};
    *result = (struct fs_result){0, 0};
    int status = fs_gpkg_header(&wkb, &header);
    if (status == FS_OK && header.empty) return FS_EMPTY;
    if (status == FS_OK && header.has_bounds) {
        memcpy(bounds, header.bounds, sizeof header.bounds);
        return FS_OK;
    }
    if (status == FS_OK) status = walk(&wkb, &found);
    result->offset = wkb.at;
    if (status != FS_OK) return status;
    if (found.min[0] > found.max[0]) return FS_EMPTY;
    for (size_t axis = 0; axis < 2; axis++) {
        bounds[axis * 2] = found.min[axis];
        bounds[axis * 2 + 1] = found.max[axis];
    }
    return FS_OK;
}
