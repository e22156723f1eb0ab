/* One Esri JSON geometry, parsed into a work buffer and written as GeoPackage binary from there. */
#ifndef FS_GEOMETRY_READER_H
#define FS_GEOMETRY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "json.h"
#include "rings.h"

struct fs_geometry_reader {
    struct fs_json *json;
    int kind; /* enum fs_geometry_kind, not ANY */
    bool want_z, want_m;
    bool source_z, source_m; /* what the text says its ordinates are */
    size_t stride;
    double *vertices; /* upwards from the start of the work buffer */
    size_t vertex_count;
    struct fs_ring *rings; /* downwards from its end: rings, or the parts of a line */
    size_t ring_count;
    size_t work_free;      /* bytes between the two */
    double min[2], max[2]; /* bounds in x and y; min > max while there is no vertex */
    double point[4];       /* x, y, z, m as read; NaN = not there */
};

void fs_geometry_reader_init(struct fs_geometry_reader *reader, int kind, int dims, void *work,
                             size_t work_size);

/* Reads the value under the cursor. FS_EMPTY: it is null. FS_NEED_WORK: start again with more. */
int fs_geometry_read(struct fs_geometry_reader *reader, struct fs_json *json);

/* Writes what was read; may be called again with a larger output. */
void fs_geometry_put(const struct fs_geometry_reader *reader, int32_t srs_id, struct fs_out *out);

#endif
