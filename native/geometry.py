"""Geometry between its two homes: GeoPackage blobs and Esri JSON.

Sources: ArcGIS REST API "Geometry objects"; OGC 12-128 GeoPackage 1.3, clause 2.1.3 and, for the
functions that R-tree triggers call, requirement annex F.3.

All functions are pure and may be called from any thread; the interpreter lock is released while
the core works.
"""

import sqlite3
from functools import partial

from native._native import ffi, lib
from native.errors import ErrorCode, GeometryError

KINDS = {
    "esriGeometryPoint": lib.FS_GEOMETRY_POINT,
    "esriGeometryMultipoint": lib.FS_GEOMETRY_MULTIPOINT,
    "esriGeometryPolyline": lib.FS_GEOMETRY_POLYLINE,
    "esriGeometryPolygon": lib.FS_GEOMETRY_POLYGON,
}
"""Esri geometry types that a layer can have, with the core's number for each."""

_WORK_LIMIT = 1 << 30


def esri_json_to_gpkg(
    geometry_json: bytes, geometry_type: str, srs_id: int, has_z: bool, has_m: bool
) -> bytes | None:
    """Turn one Esri JSON geometry into the GeoPackage blob that a layer's column holds.

    The blob is POINT, MULTIPOINT, MULTILINESTRING or MULTIPOLYGON with exactly the layer's Z and
    M, little-endian, with an XY envelope unless it is a point or empty. Rings come out closed,
    exteriors counter-clockwise, holes with the exterior that contains them. A missing M becomes
    NaN. JSON ``null`` gives None.

    Raises GeometryError: no JSON, another geometry type, a curve, a missing Z, NaN or infinity.
    """
    kind = KINDS[geometry_type]
    dims = (lib.FS_DIMS_Z if has_z else 0) | (lib.FS_DIMS_M if has_m else 0)
    source = ffi.from_buffer(geometry_json)
    result = ffi.new("struct fs_result *")
    work_size = out_size = len(geometry_json) + 256
    work = ffi.new("uint8_t[]", work_size)
    out = ffi.new("uint8_t[]", out_size)
    while True:
        status = lib.fs_geometry_from_esri(
            source, len(source), kind, srs_id, dims, work, work_size, out, out_size, result
        )
        if status == lib.FS_NEED_WORK and work_size < _WORK_LIMIT:
            work_size = result.size
            work = ffi.new("uint8_t[]", work_size)
        elif status == lib.FS_NEED_OUTPUT:
            out_size = result.size
            out = ffi.new("uint8_t[]", out_size)
        elif status == lib.FS_OK:
            return ffi.buffer(out, result.size)[:]
        elif status == lib.FS_EMPTY:
            return None
        else:
            raise _error(status, result.offset)


def gpkg_to_esri_json(blob: bytes, geometry_type: str | None = None) -> bytes:
    """Turn a GeoPackage blob of any writer into Esri JSON text without ``spatialReference``.

    Numbers are the shortest that read back as the same double. Polygon rings run as Esri draws
    them, exteriors clockwise. With ``geometry_type`` the answer is of that type: a single point may
    become a multipoint and a multipoint of one a point; any other difference is an error.

    Raises GeometryError: a broken blob, a collection, a curve, NaN or infinity outside M.
    """
    kind = lib.FS_GEOMETRY_ANY if geometry_type is None else KINDS[geometry_type]
    source = ffi.from_buffer(blob)
    result = ffi.new("struct fs_result *")
    out_size = 2 * len(blob) + 256
    while True:
        out = ffi.new("uint8_t[]", out_size)
        status = lib.fs_geometry_to_esri(source, len(source), kind, out, out_size, result)
        if status == lib.FS_OK:
            return ffi.buffer(out, result.size)[:]
        if status != lib.FS_NEED_OUTPUT:
            raise _error(status, result.offset)
        out_size = result.size


def envelope(blob: bytes) -> tuple[float, float, float, float] | None:
    """Bounds of a GeoPackage blob as (minx, maxx, miny, maxy); None when it is empty.

    An envelope in the header is believed. Raises GeometryError for a blob that cannot be read.
    """
    bounds = ffi.new("double[4]")
    result = ffi.new("struct fs_result *")
    status = lib.fs_geometry_envelope(ffi.from_buffer(blob), len(blob), bounds, result)
    if status == lib.FS_OK:
        return bounds[0], bounds[1], bounds[2], bounds[3]
    if status == lib.FS_EMPTY:
        return None
    raise _error(status, result.offset)


def is_empty(blob: bytes) -> bool:
    """True when a GeoPackage blob has no coordinates. Raises GeometryError as envelope does."""
    return envelope(blob) is None


def st_is_empty(blob: object) -> int | None:
    """SQL's ST_IsEmpty: 1 or 0; None for NULL and for what is no geometry."""
    if not isinstance(blob, bytes):
        return None
    try:
        return int(is_empty(blob))
    except GeometryError:
        return None


def st_bound(index: int, blob: object) -> float | None:
    """One of SQL's ST_MinX, ST_MaxX, ST_MinY, ST_MaxY, numbered 0 to 3.

    None for NULL, for an empty geometry and for what is no geometry.
    """
    if not isinstance(blob, bytes):
        return None
    try:
        bounds = envelope(blob)
    except GeometryError:
        return None
    return None if bounds is None else bounds[index]


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the five functions that GeoPackage R-tree triggers call."""
    connection.create_function("ST_IsEmpty", 1, st_is_empty, deterministic=True)
    for index, name in enumerate(("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")):
        connection.create_function(name, 1, partial(st_bound, index), deterministic=True)


def _error(status: int, offset: int) -> GeometryError:
    if status == lib.FS_NEED_WORK:
        status = lib.FS_ERR_LIMIT
    return GeometryError(ErrorCode(status), offset)
