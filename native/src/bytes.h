/* Bytes in and out: little-endian stores, either-endian loads, and a counting output buffer. */
#ifndef FS_BYTES_H
#define FS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Output: `size` counts what was wanted, also beyond `cap`, so that a caller learns in one failed
 * call how much room to offer. Nothing is ever written beyond `cap`. */
struct fs_out {
    uint8_t *data;
    size_t cap;
    size_t size;
};

static inline bool fs_out_fits(const struct fs_out *out, size_t count) {
    return out->size <= out->cap && out->cap - out->size >= count;
}

static inline bool fs_out_overflowed(const struct fs_out *out) { return out->size > out->cap; }

/* Counts bytes that were written in place, or that would have been had there been room. */
static inline void fs_out_advance(struct fs_out *out, size_t count) {
    out->size = count > SIZE_MAX - out->size ? SIZE_MAX : out->size + count;
}

static inline void fs_out_bytes(struct fs_out *out, const void *bytes, size_t count) {
    if (fs_out_fits(out, count) && count > 0) memcpy(out->data + out->size, bytes, count);
    fs_out_advance(out, count);
}

static inline void fs_out_byte(struct fs_out *out, uint8_t byte) { fs_out_bytes(out, &byte, 1); }

static inline void fs_store_u32(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

static inline void fs_store_u64(uint8_t *to, uint64_t value) {
    fs_store_u32(to, (uint32_t)value);
    fs_store_u32(to + 4, (uint32_t)(value >> 32));
}

static inline void fs_store_f64(uint8_t *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    fs_store_u64(to, bits);
}

static inline void fs_out_u32(struct fs_out *out, uint32_t value) {
    uint8_t bytes[4];
    fs_store_u32(bytes, value);
    fs_out_bytes(out, bytes, sizeof bytes);
}

static inline void fs_out_f64(struct fs_out *out, double value) {
    uint8_t bytes[8];
    fs_store_f64(bytes, value);
    fs_out_bytes(out, bytes, sizeof bytes);
}

static inline uint32_t fs_load_u32(const uint8_t *from, bool little) {
    uint32_t low = (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
                   (uint32_t)from[3] << 24;
    if (little) return low;
    return low >> 24 | (low >> 8 & 0xff00U) | (low << 8 & 0xff0000U) | low << 24;
}

static inline double fs_load_f64(const uint8_t *from, bool little) {
    uint64_t first = fs_load_u32(from, little);
    uint64_t second = fs_load_u32(from + 4, little);
    uint64_t bits = little ? second << 32 | first : first << 32 | second;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
