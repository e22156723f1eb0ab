#include "base64.h"

#define SKIPPED 0x40
#define PADDING 0x41
#define INVALID 0x42

/* What each byte stands for; six bits or one of the three above. */
#define SS SKIPPED
#define PP PADDING
#define XX INVALID
/* clang-format off */
static const uint8_t values[256] = {
    XX, XX, XX, XX, XX, XX, XX, XX, XX, SS, SS, XX, XX, SS, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    SS, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, 62, XX, XX, XX, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, PP, XX, XX,
    XX,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, XX,
    XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
};
/* clang-format on */
#undef SS
#undef PP
#undef XX

bool fs_base64_take(struct fs_base64_decoder *decoder, uint8_t character, uint8_t out[3],
                    size_t *out_size) {
    uint8_t value = values[character];
    *out_size = 0;
    if (value == SKIPPED) return true;
    if (value == PADDING) return ++decoder->padding <= 2 && decoder->count >= 2;
    if (value == INVALID || decoder->padding > 0) return false;
    decoder->bits = decoder->bits << 6 | value;
    if (++decoder->count < 4) return true;
    out[0] = (uint8_t)(decoder->bits >> 16);
    out[1] = (uint8_t)(decoder->bits >> 8);
    out[2] = (uint8_t)decoder->bits;
    *decoder = (struct fs_base64_decoder){0, 0, 0};
    *out_size = 3;
    return true;
}

size_t fs_base64_take_groups(const uint8_t *text, size_t size, uint8_t *out) {
    size_t at = 0;
    for (; size - at >= 4; at += 4, out += 3) {
        uint8_t a = values[text[at]], b = values[text[at + 1]];
        uint8_t c = values[text[at + 2]], d = values[text[at + 3]];
        if ((a | b | c | d) >= SKIPPED) break;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    return at;
}

bool fs_base64_finish(struct fs_base64_decoder *decoder, uint8_t out[3], size_t *out_size) {
    *out_size = 0;
    if (decoder->count == 1) return false;
    if (decoder->count == 0) return decoder->padding == 0;
    uint32_t bits = decoder->bits << 6 * (4 - decoder->count);
    *out_size = decoder->count - 1;
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    return true;
}
