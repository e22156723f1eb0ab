#include "json_print.h"

#include "fs_number.h"
#include "fs_status.h"
#include "utf8.h"

void fs_json_print_text(struct fs_out *out, const char *text) {
    fs_out_bytes(out, text, strlen(text));
}

void fs_json_print_real(struct fs_out *out, double value) {
    uint8_t spare[FS_NUMBER_TEXT_MAX];
    uint8_t *start = fs_out_begin(out, sizeof spare, spare);
    fs_out_end(out, start, start + fs_number_print(value, (char *)start), spare);
}

void fs_json_print_integer(struct fs_out *out, int64_t value) {
    uint8_t spare[FS_NUMBER_TEXT_MAX];
    uint8_t *start = fs_out_begin(out, sizeof spare, spare);
    fs_out_end(out, start, start + fs_integer_print(value, (char *)start), spare);
}

static void print_escape(struct fs_out *out, uint8_t byte) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "btn?fr"; /* for 8 to 13 */
    char text[6] = {'\\', (char)byte, '0', '0', 0, 0};
    if (byte == '"' || byte == '\\') {
        fs_out_bytes(out, text, 2);
    } else if (byte >= 8 && byte <= 13 && byte != 11) {
        text[1] = letters[byte - 8];
        fs_out_bytes(out, text, 2);
    } else {
        text[1] = 'u';
        text[4] = hex[byte >> 4];
        text[5] = hex[byte & 15];
        fs_out_bytes(out, text, 6);
    }
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight bytes needs an escape: a control character, a quote, a backslash. */
static bool has_special(uint64_t eight) {
    uint64_t control = eight - EACH(0x20), ascii = ~eight;
    uint64_t quote = eight ^ EACH('"'), backslash = eight ^ EACH('\\');
    uint64_t found = (control & ascii) | ((quote - EACH(1)) & ~quote) |
                     ((backslash - EACH(1)) & ~backslash);
    return (found & EACH(0x80)) != 0;
}

static bool has_special_or_not_ascii(uint64_t eight) {
    return ((eight & EACH(0x80)) != 0) | has_special(eight);
}

static bool is_special(uint8_t byte) { return byte < 0x20 || byte == '"' || byte == '\\'; }

/* Copies the text to `to` up to the first eight bytes that need more than that; returns how far it
 * came. Most texts are short and plain, so this is all that happens to them. */
static size_t copy_plain(uint8_t *to, const uint8_t *text, size_t size) {
    uint64_t eight;
    size_t at = 0;
    for (; size - at >= sizeof eight; at += sizeof eight) {
        memcpy(&eight, text + at, sizeof eight);
        if (has_special_or_not_ascii(eight)) return at;
        memcpy(to + at, &eight, sizeof eight);
    }
    for (; at < size && !is_special(text[at]) && text[at] < 0x80; at++) to[at] = text[at];
    return at;
}

/* The first byte at or after `at` that needs an escape. */
static size_t find_special(const uint8_t *text, size_t size, size_t at) {
    uint64_t eight;
    for (; size - at >= sizeof eight; at += sizeof eight) {
        memcpy(&eight, text + at, sizeof eight);
        if (has_special(eight)) break;
    }
    while (at < size && !is_special(text[at])) at++;
    return at;
}

int fs_json_print_string(struct fs_out *out, const uint8_t *text, size_t size) {
    size_t at = 0;
    fs_out_byte(out, '"');
    if (fs_out_fits(out, size)) {
        at = copy_plain(out->data + out->size, text, size);
        out->size += at;
    }
    if (at < size && !fs_utf8_valid(text + at, size - at)) return FS_ERR_TEXT;
    while (at < size) {
        size_t special = find_special(text, size, at);
        fs_out_bytes(out, text + at, special - at);
        if (special < size) print_escape(out, text[special++]);
        at = special;
    }
    fs_out_byte(out, '"');
    return FS_OK;
}
