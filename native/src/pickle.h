/* Values as a Python pickle, protocol 4: data opcodes only, no frames, no memo.
 * Source: the opcode table of CPython's pickletools. */
#ifndef FS_PICKLE_H
#define FS_PICKLE_H

#include "bytes.h"
#include "json.h"

#define FS_PICKLE_LIST_END_SIZE 2

/* A list of items: start, any number of items, end. */
void fs_pickle_list_start(struct fs_out *out);
void fs_pickle_list_end(struct fs_out *out);

/* A tuple of any length: start, items, end. */
void fs_pickle_tuple_start(struct fs_out *out);
void fs_pickle_tuple_end(struct fs_out *out);

void fs_pickle_none(struct fs_out *out);
void fs_pickle_integer(struct fs_out *out, int64_t value);
void fs_pickle_float(struct fs_out *out, double value);

/* Text that is known to be UTF-8. */
void fs_pickle_text(struct fs_out *out, const void *text, size_t size);

/* A JSON string; FS_ERR_TEXT, FS_ERR_LIMIT beyond 4 GB. */
int fs_pickle_json_string(struct fs_out *out, const struct fs_json_string *string);

void fs_pickle_bytes(struct fs_out *out, const void *bytes, size_t size);

/* Bytes that are written behind the returned mark and closed by the end call. */
size_t fs_pickle_bytes_start(struct fs_out *out);
void fs_pickle_bytes_end(struct fs_out *out, size_t mark);

#endif
