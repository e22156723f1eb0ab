#include "marshal.h"

#include <stdbool.h>

#include "bytes.h"
#include "fs_status.h"

static int take_u32(struct fs_marshal *marshal, uint32_t *value) {
    if (marshal->size - marshal->at < 4) return FS_ERR_TRUNCATED;
    *value = fs_load_u32(marshal->data + marshal->at, true);
    marshal->at += 4;
    return FS_OK;
}

/* Every item takes at least its type byte: a count that cannot be true is found here. */
static int take_container(struct fs_marshal *marshal, uint8_t type, size_t *count) {
    uint32_t length;
    if (marshal->at >= marshal->size) return FS_ERR_TRUNCATED;
    if (marshal->data[marshal->at] != type) return FS_ERR_SYNTAX;
    marshal->at++;
    int status = take_u32(marshal, &length);
    if (status != FS_OK) return status;
    if (length > marshal->size - marshal->at) return FS_ERR_TRUNCATED;
    *count = length;
    return FS_OK;
}

int fs_marshal_list(struct fs_marshal *marshal, size_t *count) {
    return take_container(marshal, '[', count);
}

int fs_marshal_tuple(struct fs_marshal *marshal, size_t *count) {
    return take_container(marshal, '(', count);
}

/* Fifteen bits per digit, least significant first; the sign is the count's. */
static int take_long(struct fs_marshal *marshal, int64_t *value) {
    uint32_t raw;
    int status = take_u32(marshal, &raw);
    if (status != FS_OK) return status;
    int32_t signed_count = (int32_t)raw;
    if (signed_count == INT32_MIN) return FS_ERR_SYNTAX;
    size_t count = (size_t)(signed_count < 0 ? -signed_count : signed_count);
    if (count > (marshal->size - marshal->at) / 2) return FS_ERR_TRUNCATED;
    if (count > 5) return FS_ERR_NUMBER;
    uint64_t magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = marshal->data + marshal->at + 2 * i;
        uint64_t digit = (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8;
        if (digit >> 15 != 0) return FS_ERR_SYNTAX;
        if (i == 4 && digit > 15) return FS_ERR_NUMBER;
        magnitude |= digit << 15 * i;
    }
    bool negative = signed_count < 0;
    if (magnitude > (uint64_t)INT64_MAX + negative) return FS_ERR_NUMBER;
    *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    marshal->at += 2 * count;
    return FS_OK;
}

static int take_bytes(struct fs_marshal *marshal, struct fs_value *value) {
    uint32_t size;
    int status = take_u32(marshal, &size);
    if (status != FS_OK) return status;
    if (size > marshal->size - marshal->at) return FS_ERR_TRUNCATED;
    value->bytes = marshal->data + marshal->at;
    value->size = size;
    marshal->at += size;
    return FS_OK;
}

int fs_marshal_value(struct fs_marshal *marshal, struct fs_value *value) {
    uint32_t word = 0;
    int status;
    if (marshal->at >= marshal->size) return FS_ERR_TRUNCATED;
    size_t start = marshal->at++;
    switch (marshal->data[start]) {
    case 'N':
        value->kind = FS_VALUE_NONE;
        return FS_OK;
    case 'T':
    case 'F':
        value->kind = FS_VALUE_INTEGER;
        value->integer = marshal->data[start] == 'T';
        return FS_OK;
    case 'i':
        status = take_u32(marshal, &word);
        value->kind = FS_VALUE_INTEGER;
        value->integer = (int32_t)word;
        return status;
    case 'l':
        value->kind = FS_VALUE_INTEGER;
        return take_long(marshal, &value->integer);
    case 'g':
        if (marshal->size - marshal->at < 8) return FS_ERR_TRUNCATED;
        value->kind = FS_VALUE_REAL;
        value->real = fs_load_f64(marshal->data + marshal->at, true);
        marshal->at += 8;
        return FS_OK;
    case 'u':
        value->kind = FS_VALUE_TEXT;
        return take_bytes(marshal, value);
    case 's':
        value->kind = FS_VALUE_BYTES;
        return take_bytes(marshal, value);
    default:
        marshal->at = start;
        return FS_ERR_TYPE;
    }
}
