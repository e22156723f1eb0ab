#include "json_print.h"

#include "fs_number.h"
#include "fs_status.h"
#include "utf8.h"

void fs_json_print_text(struct fs_out *out, const char *text) {
    fs_out_bytes(out, text, strlen(text));
}

/* Numbers go straight into the buffer while there is room for the longest. */
void fs_json_print_real(struct fs_out *out, double value) {
    char text[FS_NUMBER_TEXT_MAX];
    if (fs_out_fits(out, FS_NUMBER_TEXT_MAX))
        out->size += fs_number_print(value, (char *)out->data + out->size);
    else
        fs_out_bytes(out, text, fs_number_print(value, text));
}

void fs_json_print_integer(struct fs_out *out, int64_t value) {
    char text[FS_NUMBER_TEXT_MAX];
    fs_out_bytes(out, text, fs_integer_print(value, text));
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

int fs_json_print_string(struct fs_out *out, const uint8_t *text, size_t size) {
    if (!fs_utf8_valid(text, size)) return FS_ERR_TEXT;
    fs_out_byte(out, '"');
    size_t plain = 0;
    for (size_t at = 0; at < size; at++) {
        uint8_t byte = text[at];
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        fs_out_bytes(out, text + plain, at - plain);
        print_escape(out, byte);
        plain = at + 1;
    }
    if (size > plain) fs_out_bytes(out, text + plain, size - plain);
    fs_out_byte(out, '"');
    return FS_OK;
}
