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

/* Where up to `most` bytes may be written: in place when they fit, else in `spare`, which has room
 * for them. fs_out_end takes what was written up to `end`. */
static inline uint8_t *fs_out_begin(struct fs_out *out, size_t most, uint8_t *spare) {
    return fs_out_fits(out, most) ? out->data + out->size : spare;
}

static inline void fs_out_end(struct fs_out *out, const uint8_t *start, const uint8_t *end,
                              const uint8_t *spare) {
    if (start == spare)
        fs_out_bytes(out, spare, (size_t)(end - spare));
    else
        out->size += (size_t)(end - start);
}

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

/* Written so that compilers see one load, and one swap of bytes where the order is the other. */
static inline uint64_t fs_load_u64(const uint8_t *from, bool little) {
    if (little)
        return (uint64_t)from[0] | (uint64_t)from[1] << 8 | (uint64_t)from[2] << 16 |
               (uint64_t)from[3] << 24 | (uint64_t)from[4] << 32 | (uint64_t)from[5] << 40 |
               (uint64_t)from[6] << 48 | (uint64_t)from[7] << 56;
    return (uint64_t)from[7] | (uint64_t)from[6] << 8 | (uint64_t)from[5] << 16 |
           (uint64_t)from[4] << 24 | (uint64_t)from[3] << 32 | (uint64_t)from[2] << 40 |
           (uint64_t)from[1] << 48 | (uint64_t)from[0] << 56;
}

static inline double fs_load_f64(const uint8_t *from, bool little) {
    uint64_t bits = fs_load_u64(from, little);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
