/* A cursor over one complete JSON text in memory: pulls tokens, never recurses, never allocates. */
#ifndef FS_JSON_H
#define FS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "number.h"

#define FS_JSON_DEPTH_MAX 64

struct fs_json {
    const uint8_t *text;
    size_t size;
    size_t at; /* next unread byte; on an error the place to report */
};

/* A string's raw bytes between its quotes, escapes still in place. */
struct fs_json_string {
    const uint8_t *text;
    size_t size;
    bool escaped;
};

/* The next byte that is not white space, not consumed; 0 at the end. */
uint8_t fs_json_peek(struct fs_json *json);

/* Consumes `byte` if it comes next. */
bool fs_json_take(struct fs_json *json, uint8_t byte);

int fs_json_string(struct fs_json *json, struct fs_json_string *string);
int fs_json_number(struct fs_json *json, struct fs_number *number);
int fs_json_skip(struct fs_json *json);

/* "null", "true" or "false": consumes the literal if it comes next, whole. */
bool fs_json_literal(struct fs_json *json, const char *literal);

/* Steps through an object that was opened with '{': FS_OK with a name and the cursor on its value,
 * FS_EMPTY after '}'. `first` is true on the first call and cleared. */
int fs_json_member(struct fs_json *json, bool *first, struct fs_json_string *name);

/* Steps through an array that was opened with '[': FS_OK with the cursor on a value, FS_EMPTY
 * after ']'. */
int fs_json_element(struct fs_json *json, bool *first);

/* True when the string, unescaped, is exactly this ASCII text. */
bool fs_json_equals(const struct fs_json_string *string, const char *ascii);

/* As above, without regard to ASCII case. */
bool fs_json_equals_any_case(const struct fs_json_string *string, const char *ascii);

/* Writes the string as UTF-8 with escapes resolved; `to` must have string->size bytes, which is
 * always enough. FS_ERR_TEXT: broken UTF-8, a bad escape, a lone surrogate. */
int fs_json_unescape(const struct fs_json_string *string, uint8_t *to, size_t *size);

/* FS_OK or FS_ERR_TRUNCATED / FS_ERR_SYNTAX, whichever fits where the cursor stands. */
int fs_json_unexpected(const struct fs_json *json);

#endif
