/* Geometry: Esri JSON <-> GeoPackage binary.
 *
 * Esri JSON geometry objects: ArcGIS REST API, "Geometry objects". GeoPackage binary: OGC 12-128
 * (GeoPackage 1.3), clause 2.1.3; its WKB is ISO 19125 with the Z/M codes of ISO 13249-3.
 *
 * All functions are pure: no state, no allocation, any thread. Input may be hostile. */
#ifndef FS_GEOMETRY_H
#define FS_GEOMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "fs_status.h"

/* What a layer's geometry column holds. The value is the Esri kind; the WKB kind follows from it.
 */
enum fs_geometry_kind {
    FS_GEOMETRY_ANY = 0, /* only for fs_geometry_to_esri: take what the blob holds */
    FS_GEOMETRY_POINT = 1,
    FS_GEOMETRY_MULTIPOINT = 2,
    FS_GEOMETRY_POLYLINE = 3,
    FS_GEOMETRY_POLYGON = 4
};

enum fs_geometry_dims { FS_DIMS_XY = 0, FS_DIMS_Z = 1, FS_DIMS_M = 2, FS_DIMS_ZM = 3 };

/* One Esri JSON geometry to one GeoPackage blob of the column type of `kind` (POINT, MULTIPOINT,
 * MULTILINESTRING, MULTIPOLYGON) with exactly the dimensions `dims`.
 *
 * work: scratch for the vertices; any alignment; FS_NEED_WORK asks for more.
 * FS_EMPTY: the text is JSON null, nothing is written. An empty geometry is FS_OK with a blob. */
int fs_geometry_from_esri(const uint8_t *json, size_t json_size, int kind, int32_t srs_id, int dims,
                          void *work, size_t work_size, uint8_t *out, size_t out_size,
                          struct fs_result *result);

/* One GeoPackage blob to Esri JSON text without spatialReference. `kind` other than ANY asks for
 * that Esri type: a single point may become a multipoint and back, anything else that differs is
 * FS_ERR_GEOMETRY. */
int fs_geometry_to_esri(const uint8_t *blob, size_t blob_size, int kind, uint8_t *out,
                        size_t out_size, struct fs_result *result);

/* Bounds of a blob as minx, maxx, miny, maxy; FS_EMPTY (bounds untouched) when it has none.
 * A header envelope is believed; without one the WKB is read, collections included. */
int fs_geometry_envelope(const uint8_t *blob, size_t blob_size, double bounds[4],
                         struct fs_result *result);

#endif
