/* A geometry as plain numbers: how it is divided, and its vertices one after the other. */
#ifndef FS_SHAPE_H
#define FS_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "fs_layer.h"

struct fs_shape {
    /* multipoint: vertices. polyline: parts, then the vertices of each. polygon: polygons, then for
     * each its rings and the vertices of each ring. point: nothing. */
    uint32_t *codes;
    size_t code_count;
    double *vertices; /* layer's ordinates each */
    size_t vertex_count;
};

/* Bytes of scratch, aligned as for a double, that a blob of that size needs for its shape. */
size_t fs_shape_size(size_t blob_size);

/* Takes a blob apart if it is exactly what fs_shape_print makes of its shape and not empty; false
 * otherwise. The scratch holds the shape. */
bool fs_shape_read(const struct fs_layer *layer, const uint8_t *blob, size_t size, void *scratch,
                   struct fs_shape *shape);

/* The GeoPackage blob: the type that fs_geometry_from_esri writes, rings as they are. */
void fs_shape_print(const struct fs_layer *layer, const struct fs_shape *shape, struct fs_out *out);

static inline size_t fs_shape_stride(const struct fs_layer *layer) {
    return 2 + (size_t)(layer->dims & 1) + (size_t)(layer->dims >> 1 & 1);
}

#endif
