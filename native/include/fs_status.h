/* What every codec returns. Zero is success, positive asks the caller for something and leaves the
 * call repeatable, negative is an error in the input and final for that call. */
#ifndef FS_STATUS_H
#define FS_STATUS_H

#include <stddef.h>

enum fs_status {
    FS_OK = 0,

    FS_NEED_OUTPUT = 1, /* output buffer too small: result.size is the size to offer */
    FS_NEED_WORK = 2,   /* work buffer too small: result.size is a size to try next */
    FS_EMPTY = 3,       /* a valid geometry without coordinates, or JSON null */
    FS_NEED_INPUT = 4,  /* all input was taken, more is wanted */
    FS_NEED_ITEM = 5,   /* item buffer too small: result.size is the size to offer */
    FS_BATCH = 6,       /* a batch is ready; not all input was taken */
    FS_DONE = 7,        /* the end, nothing more will come */

    FS_ERR_TRUNCATED = -1,  /* the input ends inside a value */
    FS_ERR_SYNTAX = -2,     /* not JSON, or not the JSON shape that belongs here */
    FS_ERR_DEPTH = -3,      /* nested deeper than the fixed limit */
    FS_ERR_NUMBER = -4,     /* a number outside the range of its type */
    FS_ERR_NOT_FINITE = -5, /* NaN or infinity where a coordinate or value belongs */
    FS_ERR_TEXT = -6,       /* not UTF-8, or a lone surrogate */
    FS_ERR_HEADER = -7,     /* not a GeoPackage geometry header */
    FS_ERR_GEOMETRY = -8,   /* a geometry type that is unknown, unsupported or not the expected */
    FS_ERR_CURVE = -9,      /* curvePaths, curveRings or a curve segment */
    FS_ERR_Z_MISSING = -10, /* the layer has z, a vertex has none */
    FS_ERR_VERTEX = -11,    /* a vertex with too few or too many ordinates */
    FS_ERR_TRAILING = -12,  /* bytes after the end of the value */
    FS_ERR_LIMIT = -13,     /* larger than the caller's or the format's limit */
    FS_ERR_GUID = -14,      /* not a GUID */
    FS_ERR_DATE = -15,      /* not an instant of the years 0001 to 9999 */
    FS_ERR_TYPE = -16,      /* a value of a type that the column cannot hold */
    FS_ERR_LAYER = -17,     /* an entry without layer id, or of a layer that was not announced */
    FS_ERR_BASE64 = -18,    /* attachment data that is not base64 */
    FS_ERR_CHECKSUM = -19,  /* a block whose checksum does not fit */
    FS_ERR_BASE = -20,      /* a delta against another base than the one at hand */
    FS_ERR_VERSION = -21    /* a format version that is not known here */
};

/* size: bytes written on FS_OK, bytes wanted on FS_NEED_*. offset: where in the input an error
 * was found, counted from its first byte; meaningless otherwise. */
struct fs_result {
    size_t size;
    size_t offset;
};

#endif
