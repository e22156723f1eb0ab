#include "base64.h"

#define SKIPPED 0x40
#define PADDING 0x41
#define INVALID 0x42

static uint8_t value_of(uint8_t character) {
    if (character >= 'A' && character <= 'Z') return (uint8_t)(character - 'A');
    if (character >= 'a' && character <= 'z') return (uint8_t)(character - 'a' + 26);
    if (character >= '0' && character <= '9') return (uint8_t)(character - '0' + 52);
    switch (character) {
    case '+':
        return 62;
    case '/':
        return 63;
    case '=':
        return PADDING;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return SKIPPED;
    default:
        return INVALID;
    }
}

bool fs_base64_take(struct fs_base64_decoder *decoder, uint8_t character, uint8_t out[3],
                    size_t *out_size) {
    uint8_t value = value_of(character);
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
        uint8_t a = value_of(text[at]), b = value_of(text[at + 1]);
        uint8_t c = value_of(text[at + 2]), d = value_of(text[at + 3]);
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
