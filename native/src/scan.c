#include "scan.h"

#include "fs_status.h"
#include "json.h"

static bool ends_scalar(uint8_t byte) {
    return byte == ',' || byte == '}' || byte == ']' || byte <= ' ';
}

/* To the closing quote; false when the input ends first. */
static bool skip_string(struct fs_scan *scan, const uint8_t *text, size_t size, size_t *at) {
    for (; *at < size; ++*at) {
        uint8_t byte = text[*at];
        if (scan->escaped) {
            scan->escaped = false;
        } else if (byte == '\\') {
            scan->escaped = true;
        } else if (byte == '"') {
            scan->in_string = false;
            ++*at;
            return true;
        }
    }
    return false;
}

/* Deeper than the parser goes only the number of brackets counts: the value will be refused whole,
 * but its end must be found. */
static void open_container(struct fs_scan *scan, bool object) {
    if (scan->depth++ < FS_JSON_DEPTH_MAX) scan->objects = scan->objects << 1 | object;
}

static int close_container(struct fs_scan *scan, bool object) {
    if (scan->depth == 0) return FS_ERR_SYNTAX;
    if (--scan->depth >= FS_JSON_DEPTH_MAX) return FS_OK;
    bool opened = (scan->objects & 1) != 0;
    scan->objects >>= 1;
    return opened == object ? FS_OK : FS_ERR_SYNTAX;
}

static int start_value(struct fs_scan *scan, uint8_t byte) {
    scan->started = true;
    scan->scalar = byte != '{' && byte != '[' && byte != '"';
    return scan->scalar && ends_scalar(byte) ? FS_ERR_SYNTAX : FS_OK;
}

int fs_scan_run(struct fs_scan *scan, const uint8_t *text, size_t size, size_t *taken) {
    size_t at = 0;
    int status = FS_OK;
    if (!scan->started && size > 0) status = start_value(scan, text[0]);
    while (status == FS_OK && at < size) {
        if (scan->in_string) {
            if (!skip_string(scan, text, size, &at)) break;
            if (scan->depth == 0) goto complete;
            continue;
        }
        uint8_t byte = text[at];
        if (scan->scalar) {
            if (ends_scalar(byte)) goto complete;
        } else if (byte == '"') {
            scan->in_string = true;
        } else if (byte == '{' || byte == '[') {
            open_container(scan, byte == '{');
        } else if (byte == '}' || byte == ']') {
            status = close_container(scan, byte == '}');
            if (status == FS_OK && scan->depth == 0) {
                at++;
                goto complete;
            }
        }
        if (status == FS_OK) at++;
    }
    *taken = at;
    return status == FS_OK ? FS_EMPTY : status;
complete:
    *taken = at;
    return FS_OK;
}
