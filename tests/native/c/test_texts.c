/* Texts that the encoder writes: each byte at each place, in blocks of exactly their size. */
#include <string.h>

#include "check.h"
#include "fs_status.h"
#include "guid.h"
#include "json_print.h"

/* Byte by byte, as RFC 8259 has it; the bytes from 0x80 on make no UTF-8 by themselves. */
static size_t print_slowly(const uint8_t *text, size_t size, char *to) {
    static const char hex[] = "0123456789abcdef";
    char *at = to;
    *at++ = '"';
    for (size_t i = 0; i < size; i++) {
        const char *letters = "\"\\\b\f\n\r\t", *names = "\"\\bfnrt";
        const char *found = text[i] == 0 ? NULL : strchr(letters, text[i]);
        if (found != NULL) {
            *at++ = '\\';
            *at++ = names[found - letters];
        } else if (text[i] < 0x20) {
            memcpy(at, "\\u00", 4);
            at[4] = hex[text[i] >> 4];
            at[5] = hex[text[i] & 15];
            at += 6;
        } else {
            *at++ = (char)text[i];
        }
    }
    *at++ = '"';
    return (size_t)(at - to);
}

/* Into a block of every size up to the right one: it is full, or its size is told. */
static void check_string(const uint8_t *text, size_t size, bool is_valid) {
    char expected[256];
    size_t length = print_slowly(text, size, expected);
    uint8_t *from = exact_copy(text, size);
    for (size_t cap = 0; cap <= length; cap++) {
        uint8_t *to = malloc(cap > 0 ? cap : 1);
        CHECK(to != NULL);
        struct fs_out out = {to, cap, 0};
        int status = fs_json_print_string(&out, from, size);
        CHECK(status == (is_valid ? FS_OK : FS_ERR_TEXT));
        if (is_valid) CHECK(out.size == length);
        if (is_valid && cap == length) CHECK(memcmp(to, expected, length) == 0);
        free(to);
    }
    free(from);
}

static void check_strings(void) {
    static const uint8_t bytes[] = {0x00, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
                                    0x1f, 0x20, 0x21, '"',  0x23, 0x5b, '\\', 0x5d,
                                    0x7f, 0x80, 0x9f, 0xa2, 0xc2, 0xdc, 0xff};
    static const size_t sizes[] = {1, 7, 8, 9, 17};
    uint8_t text[20];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            for (size_t byte = 0; byte < sizeof bytes; byte++) {
                memset(text, 'a', sizes[i]);
                text[at] = bytes[byte];
                check_string(text, sizes[i], bytes[byte] < 0x80);
            }
    for (size_t at = 0; at + 4 <= sizeof text; at++) { /* U+1F333 between quotes, anywhere */
        memset(text, '"', sizeof text);
        memcpy(text + at, "\360\237\214\263", 4);
        check_string(text, sizeof text, true);
    }
}

static void check_guid(const char *text, size_t size) {
    uint8_t guid[FS_GUID_SIZE];
    char again[FS_GUID_TEXT_SIZE], normal[FS_GUID_TEXT_SIZE];
    uint8_t *copy = exact_copy(text, size);
    bool is_guid = fs_guid_parse(copy, size, guid);
    if (is_guid) fs_guid_print(guid, again);
    bool is_normal = is_guid && size == sizeof again && memcmp(again, text, size) == 0;
    CHECK(fs_guid_is_normal(copy, size) == is_normal);
    CHECK(fs_guid_normalise(copy, size, normal) == is_guid);
    CHECK(!is_guid || memcmp(normal, again, sizeof again) == 0);
    free(copy);
}

static bool is_hex(int byte) {
    return byte > 0 && strchr("0123456789abcdefABCDEF", byte) != NULL;
}

static void check_guids(void) {
    const char *normal = "{09AF7C31-5D2E-4B60-8F9A-0A1B2C3D4E5F}";
    uint8_t guid[FS_GUID_SIZE];
    char text[FS_GUID_TEXT_SIZE];
    CHECK(fs_guid_is_normal((const uint8_t *)normal, FS_GUID_TEXT_SIZE));
    for (size_t size = 0; size < FS_GUID_TEXT_SIZE; size++) {
        check_guid(normal, size);
        check_guid(normal + FS_GUID_TEXT_SIZE - size, size);
    }
    CHECK(fs_guid_parse((const uint8_t *)normal + 1, FS_GUID_TEXT_SIZE - 2, guid));
    for (size_t at = 0; at < FS_GUID_TEXT_SIZE; at++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(text, normal, sizeof text);
            text[at] = (char)byte;
            check_guid(text, sizeof text);
            bool framing = strchr("{-}", normal[at]) != NULL;
            bool right = framing ? byte == normal[at] : is_hex(byte);
            CHECK(fs_guid_parse((const uint8_t *)text, sizeof text, guid) == right);
        }
}

void test_texts(void) {
    check_strings();
    check_guids();
}
