/* A cursor over a GeoPackage geometry blob: header, then WKB whose every part names its byte order.
 */
#ifndef FS_WKB_H
#define FS_WKB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum fs_wkb_type {
    FS_WKB_POINT = 1,
    FS_WKB_LINESTRING = 2,
    FS_WKB_POLYGON = 3,
    FS_WKB_MULTIPOINT = 4,
    FS_WKB_MULTILINESTRING = 5,
    FS_WKB_MULTIPOLYGON = 6,
    FS_WKB_COLLECTION = 7
};

struct fs_wkb {
    const uint8_t *data;
    size_t size;
    size_t at; /* next unread byte; on an error the place to report */
};

struct fs_gpkg_header {
    int32_t srs_id;
    bool empty;
    bool has_bounds;  /* the envelope is there, finite and in order */
    double bounds[4]; /* minx, maxx, miny, maxy */
};

struct fs_wkb_head {
    uint32_t type; /* enum fs_wkb_type */
    bool little;
    bool has_z;
    bool has_m;
    size_t dims; /* 2, 3 or 4 ordinates per vertex */
};

/* Reads the GeoPackage header; the cursor then stands on the WKB. */
int fs_gpkg_header(struct fs_wkb *wkb, struct fs_gpkg_header *header);

/* Reads byte order and type code of one geometry. FS_ERR_GEOMETRY: a code outside 1..7, EWKB's flag
 * bits, or a curve type. */
int fs_wkb_head(struct fs_wkb *wkb, struct fs_wkb_head *head);

/* Reads a count of items of at least item_size bytes each and checks that they can be there. */
int fs_wkb_count(struct fs_wkb *wkb, bool little, size_t item_size, size_t *count);

/* Reads a vertex count; *vertices points at the first, all of them are inside the blob. */
int fs_wkb_vertices(struct fs_wkb *wkb, const struct fs_wkb_head *head, const uint8_t **vertices,
                    size_t *count);

/* The same for a point, which has no count. */
int fs_wkb_vertex(struct fs_wkb *wkb, const struct fs_wkb_head *head, const uint8_t **vertex);

static inline double fs_wkb_ordinate(const struct fs_wkb_head *head, const uint8_t *vertices,
                                     size_t index, size_t axis) {
    return fs_load_f64(vertices + (index * head->dims + axis) * 8, head->little);
}

#endif
