#include "utf8.h"

#include <string.h>

static bool is_tail(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* Length of the valid sequence at the front that is not ASCII; 0 when it is broken. */
static size_t sequence(const uint8_t *text, size_t size) {
    uint8_t lead = text[0];
    if (lead >= 0xc2 && lead <= 0xdf) return size >= 2 && is_tail(text[1]) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (size < 3 || !is_tail(text[1]) || !is_tail(text[2])) return 0;
        if (lead == 0xe0 && text[1] < 0xa0) return 0;
        if (lead == 0xed && text[1] > 0x9f) return 0;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (size < 4 || !is_tail(text[1]) || !is_tail(text[2]) || !is_tail(text[3])) return 0;
        if (lead == 0xf0 && text[1] < 0x90) return 0;
        if (lead == 0xf4 && text[1] > 0x8f) return 0;
        return 4;
    }
    return 0;
}

bool fs_utf8_valid(const uint8_t *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint64_t eight;
        if (size - at >= sizeof eight) {
            memcpy(&eight, text + at, sizeof eight);
            if ((eight & 0x8080808080808080U) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        if (text[at] < 0x80) {
            at++;
            continue;
        }
        size_t length = sequence(text + at, size - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

size_t fs_utf8_put(uint32_t point, uint8_t *to) {
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (uint8_t)(0xc0 | point >> 6);
        to[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (uint8_t)(0xe0 | point >> 12);
        to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | point >> 18);
    to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}
