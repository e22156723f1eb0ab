/* 64 x 64 -> 128 bit products, with and without a 128-bit type (32-bit ARM has none). */
#ifndef FS_WIDE_H
#define FS_WIDE_H

#include <stdint.h>

struct fs_wide {
    uint64_t high;
    uint64_t low;
};

static inline struct fs_wide fs_wide_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide_type;
    wide_type product = (wide_type)a * b;
    return (struct fs_wide){(uint64_t)(product >> 64), (uint64_t)product};
#else
    uint64_t a_low = (uint32_t)a, a_high = a >> 32;
    uint64_t b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t low = a_low * b_low;
    uint64_t cross = a_high * b_low + (low >> 32);
    uint64_t middle = a_low * b_high + (uint32_t)cross;
    return (struct fs_wide){a_high * b_high + (cross >> 32) + (middle >> 32),
                            middle << 32 | (uint32_t)low};
#endif
}

/* Leading zero bits of a value that is not zero. */
static inline int fs_leading_zeros(uint64_t value) { return __builtin_clzll(value); }

#endif
