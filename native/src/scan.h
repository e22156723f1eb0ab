/* Finds the end of one JSON value that arrives in pieces, without understanding what is inside. */
#ifndef FS_SCAN_H
#define FS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_scan {
    uint64_t objects; /* open containers, innermost lowest: set = object */
    size_t depth;
    bool started;
    bool scalar; /* a number or literal at the top: only a delimiter ends it */
    bool in_string;
    bool escaped; /* the next byte belongs to an escape */
};

/* Goes on with a value at text[0]; *taken is what belongs to it. FS_OK: complete, its delimiter not
 * taken. FS_EMPTY: more input is needed, all was taken. FS_ERR_SYNTAX: brackets that do not match,
 * or a byte that starts no value. */
int fs_scan_run(struct fs_scan *scan, const uint8_t *text, size_t size, size_t *taken);

#endif
