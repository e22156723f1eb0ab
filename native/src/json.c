/* The JSON cursor: grammar of RFC 8259, bounded nesting. */
#include "json.h"

#include <string.h>

#include "fs_status.h"
#include "utf8.h"

static bool is_space(uint8_t byte) {
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

uint8_t fs_json_peek(struct fs_json *json) {
    while (json->at < json->size && is_space(json->text[json->at])) json->at++;
    return json->at < json->size ? json->text[json->at] : 0;
}

bool fs_json_take(struct fs_json *json, uint8_t byte) {
    if (fs_json_peek(json) != byte || json->at >= json->size) return false;
    json->at++;
    return true;
}

int fs_json_unexpected(const struct fs_json *json) {
    return json->at >= json->size ? FS_ERR_TRUNCATED : FS_ERR_SYNTAX;
}

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Nonzero if any of eight bytes is zero (and, above such a byte, possibly more: good for a test).
 */
static uint64_t has_zero(uint64_t eight) {
    return (eight - EVERY_BYTE(1)) & ~eight & EVERY_BYTE(0x80);
}

/* Skips bytes, eight at a time, that neither end a string nor escape nor break it. */
static size_t skip_plain(const uint8_t *text, size_t at, size_t size) {
    while (size - at >= 8) {
        uint64_t eight;
        memcpy(&eight, text + at, sizeof eight);
        uint64_t control = (eight - EVERY_BYTE(0x20)) & ~eight & EVERY_BYTE(0x80);
        if ((has_zero(eight ^ EVERY_BYTE('"')) | has_zero(eight ^ EVERY_BYTE('\\')) | control) != 0)
            break;
        at += 8;
    }
    return at;
}

int fs_json_string(struct fs_json *json, struct fs_json_string *string) {
    if (!fs_json_take(json, '"')) return fs_json_unexpected(json);
    size_t start = json->at;
    bool escaped = false;
    for (size_t at = skip_plain(json->text, start, json->size); at < json->size; at++) {
        uint8_t byte = json->text[at];
        if (byte == '"') {
            *string = (struct fs_json_string){json->text + start, at - start, escaped};
            json->at = at + 1;
            return FS_OK;
        }
        if (byte < 0x20) {
            json->at = at;
            return FS_ERR_SYNTAX;
        }
        if (byte == '\\') {
            escaped = true;
            at++;
        }
    }
    json->at = json->size;
    return FS_ERR_TRUNCATED;
}

int fs_json_number(struct fs_json *json, struct fs_number *number) {
    uint8_t first = fs_json_peek(json);
    if (first != '-' && (first < '0' || first > '9')) return fs_json_unexpected(json);
    size_t size = fs_number_scan(json->text + json->at, json->size - json->at, number);
    if (size == 0) return FS_ERR_SYNTAX;
    json->at += size;
    return FS_OK;
}

bool fs_json_literal(struct fs_json *json, const char *literal) {
    size_t length = strlen(literal);
    fs_json_peek(json);
    if (json->size - json->at < length) return false;
    if (memcmp(json->text + json->at, literal, length) != 0) return false;
    json->at += length;
    return true;
}

static int skip_scalar(struct fs_json *json) {
    struct fs_json_string string;
    struct fs_number number;
    switch (fs_json_peek(json)) {
    case '"':
        return fs_json_string(json, &string);
    case 't':
        return fs_json_literal(json, "true") ? FS_OK : FS_ERR_SYNTAX;
    case 'f':
        return fs_json_literal(json, "false") ? FS_OK : FS_ERR_SYNTAX;
    case 'n':
        return fs_json_literal(json, "null") ? FS_OK : FS_ERR_SYNTAX;
    default:
        return fs_json_number(json, &number);
    }
}

/* Containers are a stack of bits: set = object. */
int fs_json_skip(struct fs_json *json) {
    uint64_t objects = 0;
    int depth = 0;
    struct fs_json_string name;
    for (;;) {
        bool first = false;
        uint8_t byte = fs_json_peek(json);
        if (byte == '{' || byte == '[') {
            if (depth == FS_JSON_DEPTH_MAX) return FS_ERR_DEPTH;
            json->at++;
            depth++;
            objects = objects << 1 | (byte == '{');
            first = true;
        } else {
            int status = skip_scalar(json);
            if (status != FS_OK) return status;
        }
        for (;;) {
            if (depth == 0) return FS_OK;
            int status = (objects & 1) != 0 ? fs_json_member(json, &first, &name)
                                            : fs_json_element(json, &first);
            if (status == FS_OK) break;
            if (status != FS_EMPTY) return status;
            depth--;
            objects >>= 1;
        }
    }
}

/* After a value: a comma, or the closing byte. FS_OK: another item follows. */
static int next_item(struct fs_json *json, bool *first, uint8_t close) {
    uint8_t byte = fs_json_peek(json);
    if (byte == close) {
        json->at++;
        return FS_EMPTY;
    }
    if (*first) {
        *first = false;
        return byte == 0 ? fs_json_unexpected(json) : FS_OK;
    }
    if (byte != ',') return fs_json_unexpected(json);
    json->at++;
    return FS_OK;
}

int fs_json_member(struct fs_json *json, bool *first, struct fs_json_string *name) {
    int status = next_item(json, first, '}');
    if (status != FS_OK) return status;
    status = fs_json_string(json, name);
    if (status != FS_OK) return status;
    if (!fs_json_take(json, ':')) return fs_json_unexpected(json);
    return FS_OK;
}

int fs_json_element(struct fs_json *json, bool *first) {
    int status = next_item(json, first, ']');
    if (status == FS_OK && fs_json_peek(json) == ']') return FS_ERR_SYNTAX;
    return status;
}

static uint8_t lower(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

static bool equals(const struct fs_json_string *string, const char *ascii, bool any_case) {
    uint8_t plain[64 * 6]; /* a name of 64 characters, each as \uXXXX */
    const uint8_t *text = string->text;
    size_t size = string->size;
    if (string->escaped) {
        if (size > sizeof plain || fs_json_unescape(string, plain, &size) != FS_OK) return false;
        text = plain;
    }
    if (size != strlen(ascii)) return false;
    if (!any_case) return memcmp(text, ascii, size) == 0;
    for (size_t i = 0; i < size; i++)
        if (lower(text[i]) != lower((uint8_t)ascii[i])) return false;
    return true;
}

bool fs_json_equals(const struct fs_json_string *string, const char *ascii) {
    return equals(string, ascii, false);
}

bool fs_json_equals_any_case(const struct fs_json_string *string, const char *ascii) {
    return equals(string, ascii, true);
}

static int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte = lower(byte);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* XXXX of \uXXXX at text[at]; -1 when it is not there. */
static int32_t hex_unit(const struct fs_json_string *string, size_t at) {
    int32_t unit = 0;
    if (string->size < 4 || at > string->size - 4) return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(string->text[at + i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* The escape after a backslash at text[*at]; -1 when it is none. */
static int32_t escape(const struct fs_json_string *string, size_t *at) {
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (*at >= string->size) return -1;
    uint8_t letter = string->text[(*at)++];
    const char *found = letter == 0 ? NULL : strchr(letters, letter);
    if (found != NULL) return meanings[found - letters];
    if (letter != 'u') return -1;
    int32_t unit = hex_unit(string, *at);
    if (unit < 0) return -1;
    *at += 4;
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit > 0xdbff || *at + 2 > string->size || string->text[*at] != '\\' ||
        string->text[*at + 1] != 'u')
        return -1;
    int32_t low = hex_unit(string, *at + 2);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    *at += 6;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

int fs_json_unescape(const struct fs_json_string *string, uint8_t *to, size_t *size) {
    if (!fs_utf8_valid(string->text, string->size)) return FS_ERR_TEXT;
    if (!string->escaped) {
        if (string->size > 0) memcpy(to, string->text, string->size);
        *size = string->size;
        return FS_OK;
    }
    size_t used = 0;
    for (size_t at = 0; at < string->size;) {
        uint8_t byte = string->text[at++];
        if (byte != '\\') {
            to[used++] = byte;
            continue;
        }
        int32_t point = escape(string, &at);
        if (point < 0) return FS_ERR_TEXT;
        used += fs_utf8_put((uint32_t)point, to + used);
    }
    *size = used;
    return FS_OK;
}
