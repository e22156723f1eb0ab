/* UTF-8 as RFC 3629 defines it: shortest forms only, no surrogates, nothing above U+10FFFF. */
#ifndef FS_UTF8_H
#define FS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool fs_utf8_valid(const uint8_t *text, size_t size);

/* Writes one scalar value, returns its length, 1 to 4. */
size_t fs_utf8_put(uint32_t point, uint8_t *to);

#endif
