/* GeoPackage binary -> Esri JSON geometry, one pass over the WKB. */
#include <math.h>

#include "bytes.h"
#include "fs_geometry.h"
#include "number.h"
#include "wkb.h"

struct writer {
    struct fs_wkb wkb;
    struct fs_out out;
    struct fs_wkb_head head; /* of the whole geometry: its parts must have the same dimensions */
    bool listed;             /* something was written into the list that is open */
};

static void put_text(struct fs_out *out, const char *text) { fs_out_bytes(out, text, strlen(text)); }

static void put_comma(struct writer *writer) {
    if (writer->listed) fs_out_byte(&writer->out, ',');
    writer->listed = true;
}

/* Numbers go straight into the buffer while there is room for the longest. */
static void put_number(struct fs_out *out, double value) {
    char text[FS_NUMBER_TEXT_MAX];
    if (fs_out_fits(out, FS_NUMBER_TEXT_MAX))
        out->size += fs_number_print(value, (char *)out->data + out->size);
    else
        fs_out_bytes(out, text, fs_number_print(value, text));
}

static bool is_finite_vertex(const struct fs_wkb_head *head, const uint8_t *vertices, size_t index) {
    size_t count = head->dims - head->has_m;
    for (size_t axis = 0; axis < count; axis++)
        if (!isfinite(fs_wkb_ordinate(head, vertices, index, axis))) return false;
    return !head->has_m || !isinf(fs_wkb_ordinate(head, vertices, index, count));
}

static bool is_empty_point(const struct fs_wkb_head *head, const uint8_t *vertex) {
    return isnan(fs_wkb_ordinate(head, vertex, 0, 0)) && isnan(fs_wkb_ordinate(head, vertex, 0, 1));
}

/* An M may be NaN: it travels as null. */
static void put_ordinate(struct fs_out *out, double value) {
    if (isnan(value))
        put_text(out, "null");
    else
        put_number(out, value);
}

static int put_vertex(struct writer *writer, const struct fs_wkb_head *head,
                      const uint8_t *vertices, size_t index) {
    if (!is_finite_vertex(head, vertices, index)) {
        writer->wkb.at = (size_t)(vertices - writer->wkb.data) + index * head->dims * 8;
        return FS_ERR_NOT_FINITE;
    }
    put_comma(writer);
    for (size_t axis = 0; axis < head->dims; axis++) {
        fs_out_byte(&writer->out, axis == 0 ? '[' : ',');
        put_ordinate(&writer->out, fs_wkb_ordinate(head, vertices, index, axis));
    }
    fs_out_byte(&writer->out, ']');
    return FS_OK;
}

static bool is_closed(const struct fs_wkb_head *head, const uint8_t *vertices, size_t count) {
    for (size_t axis = 0; axis < 2; axis++)
        if (fs_wkb_ordinate(head, vertices, 0, axis) !=
            fs_wkb_ordinate(head, vertices, count - 1, axis))
            return false;
    return true;
}

/* Twice the signed area, by differences from the first vertex. */
static double ring_area(const struct fs_wkb_head *head, const uint8_t *vertices, size_t count) {
    double x0 = fs_wkb_ordinate(head, vertices, 0, 0), y0 = fs_wkb_ordinate(head, vertices, 0, 1);
    double sum = 0, ax = 0, ay = 0;
    for (size_t i = 1; i < count; i++) {
        double bx = fs_wkb_ordinate(head, vertices, i, 0) - x0;
        double by = fs_wkb_ordinate(head, vertices, i, 1) - y0;
        sum += ax * by - bx * ay;
        ax = bx;
        ay = by;
    }
    return sum;
}

enum part { PART_LINE, PART_EXTERIOR, PART_HOLE };

static int put_part(struct writer *writer, const struct fs_wkb_head *head, enum part part) {
    const uint8_t *vertices;
    size_t count;
    int status = fs_wkb_vertices(&writer->wkb, head, &vertices, &count);
    if (status != FS_OK || count == 0) return status;
    bool reversed = false;
    if (part != PART_LINE) {
        double area = ring_area(head, vertices, count);
        reversed = part == PART_EXTERIOR ? area > 0 : area < 0;
    }
    put_comma(writer);
    fs_out_byte(&writer->out, '[');
    writer->listed = false;
    for (size_t i = 0; i < count && status == FS_OK; i++)
        status = put_vertex(writer, head, vertices, reversed ? count - 1 - i : i);
    if (status == FS_OK && part != PART_LINE && (count == 1 || !is_closed(head, vertices, count)))
        status = put_vertex(writer, head, vertices, reversed ? count - 1 : 0);
    fs_out_byte(&writer->out, ']');
    writer->listed = true;
    return status;
}

static int put_polygon(struct writer *writer, const struct fs_wkb_head *head) {
    size_t rings;
    int status = fs_wkb_count(&writer->wkb, head->little, 4, &rings);
    for (size_t i = 0; i < rings && status == FS_OK; i++)
        status = put_part(writer, head, i == 0 ? PART_EXTERIOR : PART_HOLE);
    return status;
}

static int put_list_point(struct writer *writer, const struct fs_wkb_head *head) {
    const uint8_t *vertex;
    int status = fs_wkb_vertex(&writer->wkb, head, &vertex);
    if (status != FS_OK || is_empty_point(head, vertex)) return status;
    return put_vertex(writer, head, vertex, 0);
}

static int put_single(struct writer *writer, const struct fs_wkb_head *head) {
    switch (head->type) {
    case FS_WKB_POINT:
        return put_list_point(writer, head);
    case FS_WKB_LINESTRING:
        return put_part(writer, head, PART_LINE);
    case FS_WKB_POLYGON:
        return put_polygon(writer, head);
    default:
        return FS_ERR_GEOMETRY;
    }
}

static bool is_multi(uint32_t type) {
    return type >= FS_WKB_MULTIPOINT && type <= FS_WKB_MULTIPOLYGON;
}

/* Heads of a multi geometry's parts repeat its type without "multi", and its dimensions. */
static int part_head(struct writer *writer, struct fs_wkb_head *head) {
    size_t start = writer->wkb.at;
    int status = fs_wkb_head(&writer->wkb, head);
    if (status != FS_OK) return status;
    if (head->type == writer->head.type - 3 && head->has_z == writer->head.has_z &&
        head->has_m == writer->head.has_m)
        return FS_OK;
    writer->wkb.at = start;
    return FS_ERR_GEOMETRY;
}

static int put_list(struct writer *writer, const char *name) {
    struct fs_out *out = &writer->out;
    fs_out_byte(out, '{');
    if (writer->head.has_z) put_text(out, "\"hasZ\":true,");
    if (writer->head.has_m) put_text(out, "\"hasM\":true,");
    fs_out_byte(out, '"');
    put_text(out, name);
    put_text(out, "\":[");
    int status = FS_OK;
    if (is_multi(writer->head.type)) {
        size_t parts;
        struct fs_wkb_head head;
        status = fs_wkb_count(&writer->wkb, writer->head.little, 9, &parts);
        for (size_t i = 0; i < parts && status == FS_OK; i++) {
            status = part_head(writer, &head);
            if (status == FS_OK) status = put_single(writer, &head);
        }
    } else {
        status = put_single(writer, &writer->head);
    }
    put_text(out, "]}");
    return status;
}

static int put_point(struct writer *writer) {
    static const char *const names[] = {"{\"x\":", ",\"y\":", ",\"z\":", ",\"m\":"};
    struct fs_wkb_head head = writer->head;
    if (head.type == FS_WKB_MULTIPOINT) {
        size_t points;
        int status = fs_wkb_count(&writer->wkb, head.little, 9, &points);
        if (status == FS_OK && points > 1) return FS_ERR_GEOMETRY;
        if (status == FS_OK && points == 1) status = part_head(writer, &head);
        if (status != FS_OK) return status;
        if (points == 0) {
            put_text(&writer->out, "{\"x\":null,\"y\":null}");
            return FS_OK;
        }
    }
    const uint8_t *vertex;
    size_t start = writer->wkb.at;
    int status = fs_wkb_vertex(&writer->wkb, &head, &vertex);
    if (status != FS_OK) return status;
    if (is_empty_point(&head, vertex)) {
        put_text(&writer->out, "{\"x\":null,\"y\":null}");
        return FS_OK;
    }
    if (!is_finite_vertex(&head, vertex, 0)) {
        writer->wkb.at = start;
        return FS_ERR_NOT_FINITE;
    }
    for (size_t axis = 0; axis < head.dims; axis++) {
        bool is_m = head.has_m && axis == head.dims - 1;
        put_text(&writer->out, names[is_m ? 3 : axis]);
        put_ordinate(&writer->out, fs_wkb_ordinate(&head, vertex, 0, axis));
    }
    fs_out_byte(&writer->out, '}');
    return FS_OK;
}

/* The Esri kind that a WKB type becomes by itself. */
static int kind_of(uint32_t type) {
    static const int kinds[] = {0,
                                FS_GEOMETRY_POINT,
                                FS_GEOMETRY_POLYLINE,
                                FS_GEOMETRY_POLYGON,
                                FS_GEOMETRY_MULTIPOINT,
                                FS_GEOMETRY_POLYLINE,
                                FS_GEOMETRY_POLYGON,
                                0};
    return kinds[type];
}

static int put_kind(struct writer *writer, int kind) {
    int own = kind_of(writer->head.type);
    if (kind == FS_GEOMETRY_ANY) kind = own;
    bool points = own == FS_GEOMETRY_POINT || own == FS_GEOMETRY_MULTIPOINT;
    if (kind == FS_GEOMETRY_POINT && points) return put_point(writer);
    if (kind == FS_GEOMETRY_MULTIPOINT && points) return put_list(writer, "points");
    if (kind != own || own == 0) return FS_ERR_GEOMETRY;
    return put_list(writer, kind == FS_GEOMETRY_POLYLINE ? "paths" : "rings");
}

int fs_geometry_to_esri(const uint8_t *blob, size_t blob_size, int kind, uint8_t *out,
                        size_t out_size, struct fs_result *result) {
    struct writer writer = {.wkb = {blob, blob_size, 0}, .out = {out, out_size, 0}};
    struct fs_gpkg_header header;
    int status = fs_gpkg_header(&writer.wkb, &header);
    if (status == FS_OK) status = fs_wkb_head(&writer.wkb, &writer.head);
    if (status == FS_OK) status = put_kind(&writer, kind);
    if (status == FS_OK && writer.wkb.at != blob_size) status = FS_ERR_TRAILING;
    *result = (struct fs_result){writer.out.size, writer.wkb.at};
    if (status == FS_OK && fs_out_overflowed(&writer.out)) return FS_NEED_OUTPUT;
    return status;
}
