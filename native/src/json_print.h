/* JSON text out. */
#ifndef FS_JSON_PRINT_H
#define FS_JSON_PRINT_H

#include "bytes.h"

void fs_json_print_text(struct fs_out *out, const char *text); /* as it is */
void fs_json_print_real(struct fs_out *out, double value);     /* finite */
void fs_json_print_integer(struct fs_out *out, int64_t value);

/* A quoted string; FS_ERR_TEXT when it is not UTF-8. */
int fs_json_print_string(struct fs_out *out, const uint8_t *text, size_t size);

#endif
