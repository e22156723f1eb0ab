/* Decoding base64 (RFC 4648 section 4) that comes in pieces of any size. */
#ifndef FS_BASE64_H
#define FS_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_base64_decoder {
    uint32_t bits;
    unsigned count; /* characters in `bits`, 0 to 3 */
    unsigned padding;
};

/* Takes one character: 0 to 3 bytes come out. White space is skipped; false: not base64. */
bool fs_base64_take(struct fs_base64_decoder *decoder, uint8_t character, uint8_t out[3],
                    size_t *out_size);

/* Decodes whole groups of four plain characters; returns the characters used, a multiple of four.
 * Only while decoder->count == 0. `out` has room for 3/4 of `size`. */
size_t fs_base64_take_groups(const uint8_t *text, size_t size, uint8_t *out);

/* At the end: missing padding is forgiven, a dangling character is not. */
bool fs_base64_finish(struct fs_base64_decoder *decoder, uint8_t out[3], size_t *out_size);

#endif
