/* What the codecs are told about a layer: its columns in the order of the rows, its geometry. */
#ifndef FS_LAYER_H
#define FS_LAYER_H

#include <stddef.h>
#include <stdint.h>

/* How a field travels in Esri JSON and lies in the row. */
enum fs_column_type {
    FS_COLUMN_INTEGER = 1, /* 64-bit integer */
    FS_COLUMN_REAL = 2,    /* double */
    FS_COLUMN_TEXT = 3,    /* text, also DateOnly, TimeOnly and TimestampOffset */
    FS_COLUMN_GUID = 4,    /* text {UPPER-CASE} */
    FS_COLUMN_DATE = 5     /* epoch milliseconds <-> text YYYY-MM-DDTHH:MM:SS.sssZ */
};

struct fs_column {
    const uint8_t *name; /* UTF-8; field names match without regard to ASCII case */
    size_t name_size;
    const uint8_t *label; /* ,"name": as JSON text; only encoding needs it */
    size_t label_size;    /* at least 1 */
    int type;             /* enum fs_column_type */
};

#define FS_COLUMNS_MAX 4096

struct fs_layer {
    int64_t id;
    const struct fs_column *columns;
    size_t column_count; /* at most FS_COLUMNS_MAX */
    size_t key_column;   /* index of the GlobalID; column_count when there is none */
    int geometry_kind;   /* enum fs_geometry_kind; ANY = a table without geometry */
    int32_t srs_id;
    int dims;          /* enum fs_geometry_dims */
    uint16_t *slots;   /* room for the name table */
    size_t slot_count; /* a power of two, at least twice column_count */
    const uint8_t *reference; /* JSON that the encoder puts into each geometry as its
                                 spatialReference; NULL: none */
    size_t reference_size;
};

/* Fills the name table of a layer whose other members are set. FS_ERR_LIMIT: slots too few, too
 * many columns, an unknown type. */
int fs_layer_prepare(struct fs_layer *layer);

#endif
