/* Encoder: rows as Python marshals them -> Esri JSON features for "adds" and "updates".
 * ArcGIS REST API: "Feature object", "Synchronize replica", "Apply edits". */
#ifndef FS_ENCODE_H
#define FS_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "fs_layer.h"
#include "fs_status.h"

enum fs_encode_form {
    FS_ENCODE_ADDS =
        1, /* (value, ..., geometry): every column is written, a null geometry is not */
    FS_ENCODE_UPDATES = 2 /* (mask, value, ..., geometry): the columns of the mask and the key */
};

/* Where a batch stands. Zeroed before its first call, but for `written`. */
struct fs_encode_progress {
    size_t written; /* features in the list so far, of earlier batches too: a comma goes before the
                       next */
    size_t at;      /* bytes of the batch that are done with */
    size_t row;     /* the row being written; on an error the one at fault */
    size_t
        column;  /* on an error the column at fault, column_count = the geometry, SIZE_MAX = none */
    size_t rows; /* rows in the batch, known after the first call */
};

/* Writes features with commas between them, as long as whole ones fit. The batch is
 * marshal.dumps(rows, 2) of a list of tuples as the form says; a mask is little-endian bytes, bit i
 * for column i and bit column_count for the geometry.
 *
 * FS_OK: the batch is done, result.size bytes were written. FS_BATCH: out is full, empty it and
 * call again. FS_NEED_OUTPUT: not even one feature fits, offer result.size. Errors: result.offset
 * in the batch. */
int fs_encode_rows(const struct fs_layer *layer, int form, const uint8_t *batch, size_t size,
                   struct fs_encode_progress *progress, uint8_t *out, size_t out_size,
                   struct fs_result *result);

#endif
