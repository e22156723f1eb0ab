/* Reads what marshal.dumps(rows, 2) wrote: a list of tuples of plain values.
 * Source: CPython's Python/marshal.c, format version 2 (no references, no short forms). */
#ifndef FS_MARSHAL_H
#define FS_MARSHAL_H

#include <stddef.h>
#include <stdint.h>

struct fs_marshal {
    const uint8_t *data;
    size_t size;
    size_t at; /* next unread byte; on an error the place to report */
};

enum fs_value_kind {
    FS_VALUE_NONE,
    FS_VALUE_INTEGER,
    FS_VALUE_REAL,
    FS_VALUE_TEXT, /* UTF-8 as CPython writes it: lone surrogates may be in it */
    FS_VALUE_BYTES
};

struct fs_value {
    enum fs_value_kind kind;
    int64_t integer;
    double real;
    const uint8_t *bytes; /* of a text or of bytes, inside the input */
    size_t size;
};

/* The head of a list or a tuple, and its length. FS_ERR_SYNTAX: something else stands there. */
int fs_marshal_list(struct fs_marshal *marshal, size_t *count);
int fs_marshal_tuple(struct fs_marshal *marshal, size_t *count);

/* A value that is no container. FS_ERR_NUMBER: an integer beyond 64 bits. FS_ERR_TYPE: any other
 * Python object. */
int fs_marshal_value(struct fs_marshal *marshal, struct fs_value *value);

#endif
