/* Delta: columns of edits <-> compact streams. SPEC.md beside this folder gives every byte.
 *
 * One column of at most FS_DELTA_ROWS_MAX values goes in as marshal.dumps([value, ...], 2), with
 * the values that a base has for the same rows beside it if there is a base, and is appended to
 * three streams: numbers, texts and bytes that do not compress. Reading appends the values to a
 * pickle. */
#ifndef FS_DELTA_H
#define FS_DELTA_H

#include <stddef.h>
#include <stdint.h>

#include "fs_layer.h"
#include "fs_status.h"

#define FS_DELTA_ROWS_MAX 4096
#define FS_DELTA_SLOTS 8192
#define FS_DELTA_STREAMS 3

enum fs_delta_stream { FS_DELTA_NUMBERS = 0, FS_DELTA_TEXTS = 1, FS_DELTA_RAW = 2 };

/* Writing appends at `size`, up to `cap`. Reading goes on at `at`, up to `size`. */
struct fs_delta_streams {
    uint8_t *data[FS_DELTA_STREAMS];
    size_t cap[FS_DELTA_STREAMS];
    size_t size[FS_DELTA_STREAMS];
    size_t at[FS_DELTA_STREAMS];
};

struct fs_delta_text {
    const uint8_t *bytes;
    size_t size;
};

/* Scratch of one column; nothing in it outlives a call. */
struct fs_delta_work {
    uint8_t classes[FS_DELTA_ROWS_MAX];
    uint8_t base_classes[FS_DELTA_ROWS_MAX];
    int64_t values[FS_DELTA_ROWS_MAX];
    int64_t base[FS_DELTA_ROWS_MAX];
    struct fs_delta_text texts[FS_DELTA_ROWS_MAX];
    uint16_t slots[FS_DELTA_SLOTS];
    uint8_t guids[FS_DELTA_ROWS_MAX][16];
};

/* A list of values as Python marshals it; data NULL: there is none. */
struct fs_delta_list {
    const uint8_t *data;
    size_t size;
};

/* Appends a column of an attribute type. The base may be absent; else it has as many values.
 * FS_NEED_OUTPUT: a stream is full, nothing was appended, result.size is the number of that stream.
 * FS_ERR_LIMIT: more values than FS_DELTA_ROWS_MAX. Other errors: lists that are none. */
int fs_delta_put(int column_type, const struct fs_delta_list *values,
                 const struct fs_delta_list *base, struct fs_delta_work *work,
                 struct fs_delta_streams *streams, struct fs_result *result);

/* Reads `count` values as a pickled list. FS_NEED_OUTPUT: offer result.size, nothing was taken.
 * Errors: result.offset in the numbers. */
int fs_delta_get(int column_type, size_t count, const struct fs_delta_list *base,
                 struct fs_delta_work *work, struct fs_delta_streams *streams, uint8_t *out,
                 size_t out_size, struct fs_result *result);

/* The same for the geometry column of a layer. `shapes` is scratch for vertices: FS_NEED_WORK asks
 * for more. */
int fs_delta_put_geometry(const struct fs_layer *layer, const struct fs_delta_list *values,
                          const struct fs_delta_list *base, struct fs_delta_work *work,
                          void *shapes, size_t shapes_size, struct fs_delta_streams *streams,
                          struct fs_result *result);
int fs_delta_get_geometry(const struct fs_layer *layer, size_t count,
                          const struct fs_delta_list *base, struct fs_delta_work *work,
                          void *shapes, size_t shapes_size, struct fs_delta_streams *streams,
                          uint8_t *out, size_t out_size, struct fs_result *result);

#endif
