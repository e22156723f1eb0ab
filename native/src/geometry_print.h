/* A GeoPackage blob as Esri JSON into an output that others write to as well. */
#ifndef FS_GEOMETRY_PRINT_H
#define FS_GEOMETRY_PRINT_H

#include "bytes.h"

/* As fs_geometry_to_esri, but only the ordinates of `dims` are written. *at: where the blob is at
 * fault. */
int fs_geometry_print(struct fs_out *out, const uint8_t *blob, size_t blob_size, int kind, int dims,
                      size_t *at);

#endif
