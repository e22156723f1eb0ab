#include "guid.h"

static int hex_value(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    return -1;
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
    for (size_t i = 0; i < FS_GUID_SIZE; i++) {
        if (hyphens && is_group_start(i) && *text++ != '-') return false;
        int high = hex_value(*text++);
        int low = hex_value(*text++);
        if (high < 0 || low < 0) return false;
        guid[i] = (uint8_t)(high << 4 | low);
    }
    return true;
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
