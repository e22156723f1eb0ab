/* Number tokens inside JSON, before it is known what they must become. */
#ifndef FS_NUMBER_TOKEN_H
#define FS_NUMBER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs_number.h"

/* A number token as JSON's grammar allows it. */
struct fs_number {
    uint64_t mantissa;   /* the first 19 significant digits */
    int64_t exponent;    /* value = mantissa * 10^exponent, when not truncated */
    const uint8_t *text; /* the token, needed when truncated */
    size_t size;
    bool negative;
    bool integral;  /* written without fraction and exponent */
    bool truncated; /* more than 19 significant digits */
};

/* Reads the token at the front of text; returns 0 when there is no JSON number. */
size_t fs_number_scan(const uint8_t *text, size_t size, struct fs_number *number);

/* The nearest double, ties to even; infinity when out of range. */
double fs_number_double(const struct fs_number *number);

/* The exact 64-bit integer; false when fractional or out of range. 1e3 and 5.0 are integers. */
bool fs_number_integer(const struct fs_number *number, int64_t *value);

#endif
