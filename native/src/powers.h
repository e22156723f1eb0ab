/* Powers of ten as 128-bit fixed-point numbers with the top bit set, rounded up. */
#ifndef FS_POWERS_H
#define FS_POWERS_H

#include "wide.h"

#define FS_POWER_MIN (-342)
#define FS_POWER_MAX 324
#define FS_POWER_EXACT_MAX 55 /* 0..55 are exact, every other entry is rounded up */

/* fs_powers[k - FS_POWER_MIN] = ceil(10^k * 2^(127 - floor(log2(10^k)))) */
extern const struct fs_wide fs_powers[FS_POWER_MAX - FS_POWER_MIN + 1];

/* floor(log2(10^k)), exact for |k| <= 1233. */
static inline int fs_log2_of_power(int k) { return (int)((int64_t)k * 1741647 >> 19); }

#endif
