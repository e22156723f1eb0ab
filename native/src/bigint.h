/* The slow, always right way from decimal text to double, for the few that need it. */
#ifndef FS_BIGINT_H
#define FS_BIGINT_H

#include <stddef.h>
#include <stdint.h>

/* Bits of the double nearest to the magnitude of a valid JSON number, ties to even. */
uint64_t fs_bigint_nearest(const uint8_t *text, size_t size);

#endif
