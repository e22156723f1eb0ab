/* What the parts of the delta codec share: streams, varints, classes, integer runs. */
#ifndef FS_DELTA_PARTS_H
#define FS_DELTA_PARTS_H

#include "bytes.h"
#include "fs_delta.h"
#include "marshal.h"

/* What a value of a column is: it travels in the column's own form, is null, or is something else
 * that carries its type with it. */
enum fs_delta_class { FS_CLASS_REGULAR = 0, FS_CLASS_NULL = 1, FS_CLASS_TAGGED = 2 };

/* ---- writing ---- */

struct fs_delta_writer {
    struct fs_out out[FS_DELTA_STREAMS];
};

struct fs_delta_writer fs_delta_writer(const struct fs_delta_streams *streams);

/* FS_OK and the streams are longer, or FS_NEED_OUTPUT and they are as before. */
int fs_delta_commit(const struct fs_delta_writer *writer, struct fs_delta_streams *streams,
                    struct fs_result *result);

void fs_put_varint(struct fs_out *out, uint64_t value);

/* Classes of n values: a byte that says whether any is not regular, then one byte each if so. */
void fs_put_classes(struct fs_delta_writer *writer, const uint8_t *classes, size_t count);

/* A value with its type. FS_ERR_TEXT: a text that is not UTF-8. */
int fs_put_tagged(struct fs_delta_writer *writer, const struct fs_value *value);

/* A run of integers with the cheapest predictor. base may be NULL. */
void fs_put_integers(struct fs_delta_writer *writer, const int64_t *values, const int64_t *base,
                     size_t count);

/* The GUIDs that work->texts spells. */
void fs_put_guids(struct fs_delta_writer *writer, struct fs_delta_work *work, size_t count);

/* ---- reading ---- */

/* GUIDs into work->guids. */
int fs_get_guids(struct fs_delta_streams *streams, struct fs_delta_work *work, size_t count);

int fs_get_varint(struct fs_delta_streams *streams, uint64_t *value);
int fs_get_bytes(struct fs_delta_streams *streams, enum fs_delta_stream stream, uint64_t count,
                 const uint8_t **bytes);
/* `last_class` is the highest that the column knows. */
int fs_get_classes(struct fs_delta_streams *streams, uint8_t *classes, size_t count,
                   uint8_t last_class);
int fs_get_tagged(struct fs_delta_streams *streams, struct fs_out *out);
int fs_get_integers(struct fs_delta_streams *streams, int64_t *values, const int64_t *base,
                    size_t count);

/* ---- lists ---- */

/* Opens a list of values; *count of them. An absent list has none and count 0. */
int fs_delta_open(struct fs_delta_list list, struct fs_marshal *marshal, size_t *count);

static inline uint64_t fs_zigzag(int64_t value) {
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t fs_unzigzag(uint64_t value) {
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

/* ---- grid ---- */

#define FS_GRID_PLACES_MAX 9

/* value = integer / 10^places, bit for bit. */
bool fs_on_grid(double value, int places, int64_t *integer);
double fs_from_grid(int64_t integer, int places);

#endif
