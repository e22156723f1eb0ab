/* The smallest parts: varints, classes, tagged values, the decimal grid. */
#include <math.h>

#include "delta.h"
#include "pickle.h"
#include "utf8.h"

enum tag { TAG_INTEGER = 0, TAG_REAL = 1, TAG_TEXT = 2, TAG_BYTES = 3 };

struct fs_delta_writer fs_delta_writer(const struct fs_delta_streams *streams) {
    struct fs_delta_writer writer;
    for (int i = 0; i < FS_DELTA_STREAMS; i++)
        writer.out[i] = (struct fs_out){streams->data[i], streams->cap[i], streams->size[i]};
    return writer;
}

int fs_delta_commit(const struct fs_delta_writer *writer, struct fs_delta_streams *streams,
                    struct fs_result *result) {
    for (size_t i = 0; i < FS_DELTA_STREAMS; i++)
        if (fs_out_overflowed(&writer->out[i])) {
            result->size = i;
            return FS_NEED_OUTPUT;
        }
    for (int i = 0; i < FS_DELTA_STREAMS; i++) streams->size[i] = writer->out[i].size;
    return FS_OK;
}

void fs_put_varint(struct fs_out *out, uint64_t value) {
    uint8_t bytes[10];
    size_t size = 0;
    for (; value > 0x7f; value >>= 7) bytes[size++] = (uint8_t)(value | 0x80);
    bytes[size++] = (uint8_t)value;
    fs_out_bytes(out, bytes, size);
}

int fs_get_varint(struct fs_delta_streams *streams, uint64_t *value) {
    const uint8_t *data = streams->data[FS_DELTA_NUMBERS];
    size_t size = streams->size[FS_DELTA_NUMBERS];
    size_t *at = &streams->at[FS_DELTA_NUMBERS];
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (*at == size) return FS_ERR_TRUNCATED;
        uint64_t byte = data[(*at)++];
        if (shift == 63 && byte > 1) return FS_ERR_NUMBER;
        *value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return FS_OK;
    }
    return FS_ERR_NUMBER;
}

int fs_get_bytes(struct fs_delta_streams *streams, enum fs_delta_stream stream, uint64_t count,
                 const uint8_t **bytes) {
    if (count > streams->size[stream] - streams->at[stream]) return FS_ERR_TRUNCATED;
    *bytes = streams->data[stream] + streams->at[stream];
    streams->at[stream] += (size_t)count;
    return FS_OK;
}

void fs_put_classes(struct fs_delta_writer *writer, const uint8_t *classes, size_t count) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) any |= classes[i];
    fs_out_byte(numbers, any != 0);
    if (any != 0) fs_out_bytes(numbers, classes, count);
}

int fs_get_classes(struct fs_delta_streams *streams, uint8_t *classes, size_t count,
                   uint8_t last_class) {
    const uint8_t *bytes;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &bytes);
    if (status != FS_OK) return status;
    memset(classes, 0, count);
    if (bytes[0] == 0) return FS_OK;
    if (bytes[0] != 1) return FS_ERR_SYNTAX;
    status = fs_get_bytes(streams, FS_DELTA_NUMBERS, count, &bytes);
    if (status != FS_OK) return status;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] > last_class) return FS_ERR_SYNTAX;
        classes[i] = bytes[i];
    }
    return FS_OK;
}

int fs_put_tagged(struct fs_delta_writer *writer, const struct fs_value *value) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    if (value->kind == FS_VALUE_TEXT && !fs_utf8_valid(value->bytes, value->size))
        return FS_ERR_TEXT;
    if (value->kind == FS_VALUE_INTEGER) {
        fs_out_byte(numbers, TAG_INTEGER);
        fs_put_varint(numbers, fs_zigzag(value->integer));
    } else if (value->kind == FS_VALUE_REAL) {
        fs_out_byte(numbers, TAG_REAL);
        fs_out_f64(numbers, value->real);
    } else {
        bool text = value->kind == FS_VALUE_TEXT;
        fs_out_byte(numbers, text ? TAG_TEXT : TAG_BYTES);
        fs_put_varint(numbers, value->size);
        fs_out_bytes(&writer->out[text ? FS_DELTA_TEXTS : FS_DELTA_RAW], value->bytes, value->size);
    }
    return FS_OK;
}

int fs_get_tagged(struct fs_delta_streams *streams, struct fs_out *out) {
    const uint8_t *bytes;
    uint64_t number;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &bytes);
    if (status != FS_OK) return status;
    uint8_t tag = bytes[0];
    if (tag > TAG_BYTES) return FS_ERR_SYNTAX;
    if (tag == TAG_REAL) {
        status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 8, &bytes);
        if (status == FS_OK) fs_pickle_float(out, fs_load_f64(bytes, true));
        return status;
    }
    status = fs_get_varint(streams, &number);
    if (status != FS_OK) return status;
    if (tag == TAG_INTEGER) {
        fs_pickle_integer(out, fs_unzigzag(number));
        return FS_OK;
    }
    status = fs_get_bytes(streams, tag == TAG_TEXT ? FS_DELTA_TEXTS : FS_DELTA_RAW, number, &bytes);
    if (status != FS_OK) return status;
    if (number > UINT32_MAX) return FS_ERR_LIMIT;
    if (tag == TAG_BYTES) {
        fs_pickle_bytes(out, bytes, (size_t)number);
        return FS_OK;
    }
    if (!fs_utf8_valid(bytes, (size_t)number)) return FS_ERR_TEXT;
    fs_pickle_text(out, bytes, (size_t)number);
    return FS_OK;
}

int fs_delta_open(struct fs_delta_list list, struct fs_marshal *marshal, size_t *count) {
    *marshal = (struct fs_marshal){list.data, list.size, 0};
    *count = 0;
    if (list.data == NULL) return FS_OK;
    int status = fs_marshal_list(marshal, count);
    return status == FS_OK && *count > FS_DELTA_ROWS_MAX ? FS_ERR_LIMIT : status;
}

static const double powers[FS_GRID_PLACES_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4,
                                                      1e5, 1e6, 1e7, 1e8, 1e9};

double fs_from_grid(int64_t integer, int places) { return (double)integer / powers[places]; }

bool fs_on_grid(double value, int places, int64_t *integer) {
    double scaled = value * powers[places];
    if (!(fabs(scaled) <= 9007199254740992.0)) return false;
    *integer = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    double back = fs_from_grid(*integer, places);
    return memcmp(&back, &value, sizeof value) == 0;
}
