#include "guid.h"

#include <string.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Branches on random digits are guessed wrong half of the time, so both ways here do without. */
static bool are_upper_digits(uint64_t eight) {
    uint64_t from_0 = eight + EACH(0x80 - '0'), past_9 = eight + EACH(0x80 - '9' - 1);
    uint64_t from_a = eight + EACH(0x80 - 'A'), past_f = eight + EACH(0x80 - 'F' - 1);
    uint64_t right = (from_0 & ~past_9) | (from_a & ~past_f);
    return (right & ~eight & EACH(0x80)) == EACH(0x80);
}

bool fs_guid_is_normal(const uint8_t *text, size_t size) {
    uint64_t words[4];
    if (size != FS_GUID_TEXT_SIZE) return false;
    memcpy(&words[0], text + 1, 8);
    memcpy(&words[1], text + 10, 4);
    memcpy((uint8_t *)&words[1] + 4, text + 15, 4);
    memcpy(&words[2], text + 20, 4);
    memcpy((uint8_t *)&words[2] + 4, text + 25, 4);
    memcpy(&words[3], text + 29, 8);
    bool framed = text[0] == '{' && text[37] == '}' && text[9] == '-' && text[14] == '-' &&
                  text[19] == '-' && text[24] == '-';
    return framed && are_upper_digits(words[0]) && are_upper_digits(words[1]) &&
           are_upper_digits(words[2]) && are_upper_digits(words[3]);
}

/* 0 to 15; 0x80 for what is no digit. */
static uint8_t hex_value(uint8_t byte) {
    uint8_t digit = (uint8_t)(byte - '0'), letter = (uint8_t)((byte | 0x20) - 'a');
    uint8_t value = digit <= 9 ? digit : 0x80;
    return letter <= 5 ? (uint8_t)(letter + 10) : value;
}

static bool is_group_start(size_t byte) {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool fs_guid_parse(const uint8_t *text, size_t size, uint8_t guid[FS_GUID_SIZE]) {
    if (size >= 2 && text[0] == '{' && text[size - 1] == '}') {
        text++;
        size -= 2;
    }
    bool hyphens = size == 36;
    if (!hyphens && size != 32) return false;
    uint8_t wrong = 0;
    for (size_t i = 0; i < FS_GUID_SIZE; i++) {
        if (hyphens && is_group_start(i)) wrong |= *text++ == '-' ? 0 : 0x80;
        uint8_t high = hex_value(*text++);
        uint8_t low = hex_value(*text++);
        wrong |= high | low;
        guid[i] = (uint8_t)(high << 4 | low);
    }
    return (wrong & 0x80) == 0;
}

void fs_guid_print(const uint8_t guid[FS_GUID_SIZE], char text[FS_GUID_TEXT_SIZE]) {
    static const char digits[] = "0123456789ABCDEF";
    *text++ = '{';
    for (size_t i = 0; i < FS_GUID_SIZE; i++) {
        if (is_group_start(i)) *text++ = '-';
        *text++ = digits[guid[i] >> 4];
        *text++ = digits[guid[i] & 15];
    }
    *text = '}';
}

bool fs_guid_normalise(const uint8_t *text, size_t size, char normal[FS_GUID_TEXT_SIZE]) {
    uint8_t guid[FS_GUID_SIZE];
    if (fs_guid_is_normal(text, size)) {
        memcpy(normal, text, FS_GUID_TEXT_SIZE);
        return true;
    }
    if (!fs_guid_parse(text, size, guid)) return false;
    fs_guid_print(guid, normal);
    return true;
}
