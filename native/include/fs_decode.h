/* Decoder: replica files, delta files, feature sets, extractChanges answers and edit results, as a
 * push parser. ArcGIS REST API: "Create replica", "Synchronize replica", "Extract changes",
 * "Feature object", "Sync and attachments".
 *
 * Input comes in pieces of any size. What comes out are batches: rows of one layer and one
 * operation as a Python pickle, attachment bytes, and everything else that a sync must know. Memory
 * is what the caller gives: an item buffer for a feature that straddles two pieces, a work buffer
 * for its vertices, an output buffer. A feature that is too large or cannot be decoded becomes an
 * entry of a FS_BATCH_BAD batch and the next one goes on; only a document whose structure is broken
 * ends with an error. */
#ifndef FS_DECODE_H
#define FS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs_layer.h"
#include "fs_status.h"

enum fs_batch_kind {
    FS_BATCH_NONE = 0,
    FS_BATCH_ROWS = 1,            /* [(value, ..., geometry), ...]: bounds in the bounds buffer */
    FS_BATCH_PARTIAL = 2,         /* [((value, ...), (missing column, ...)), ...]; bounds too */
    FS_BATCH_DELETES = 3,         /* ["{GUID}" | object id, ...] */
    FS_BATCH_ATTACHMENT_DATA = 4, /* raw bytes of attachment number `count` */
    FS_BATCH_ATTACHMENTS = 5,     /* [(number, field, ..., data size | None, error code), ...] */
    FS_BATCH_RESULTS = 6,         /* [(member name, JSON text), ...] */
    FS_BATCH_HEADER = 7,          /* [(member name, JSON text), ...] of the root */
    FS_BATCH_BAD = 8, /* [(offset, size, code, error offset, column | None, raw | None)] */
    FS_BATCH_LATE = 9 /* [(entry number, layer id)]: see entries in the configuration */
};

enum fs_operation { FS_DATA = 0, FS_ADDS = 1, FS_UPDATES = 2, FS_DELETES = 3 };

struct fs_batch {
    int kind;        /* enum fs_batch_kind */
    int operation;   /* enum fs_operation */
    int attachments; /* 1: about attachments, 0: about features */
    int64_t layer; /* meaningless for HEADER, LATE and root-level results without a default layer */
    size_t size;   /* bytes in the output buffer */
    size_t count;  /* items, or the attachment's number */
};

/* All of it belongs to the caller and must stay where it is while the decoder is used. */
struct fs_decode_config {
    const struct fs_layer *layers;
    size_t layer_count;
    const struct fs_layer *default_layer; /* for features at the root; NULL: none are expected */
    const int64_t *entries; /* second pass: the layer id of each entry, INT64_MIN = skip */
    size_t entry_count;     /* 0 and entries NULL: first pass */
    struct fs_cell *cells;  /* one per column of the widest layer */
    uint8_t *item;          /* the feature being read */
    size_t item_size;
    size_t item_limit; /* larger features are reported and skipped */
    void *work;        /* its vertices */
    size_t work_size;
    size_t work_limit;
    uint8_t *out; /* the batch */
    size_t out_size;
    size_t out_limit;
    double *bounds; /* minx, maxx, miny, maxy per row; NaN when it has none */
    size_t rows_max;
    size_t raw_limit; /* bytes of a bad feature that are worth reporting */
};

/* One attribute as it stands in the text. */
struct fs_cell {
    const uint8_t *text; /* a string's inside, else the whole token */
    size_t size;
    int kind; /* 0: missing; '"', '0' for a number, 'n', 't', 'f', '{', '[' */
    bool escaped;
};

struct fs_decoder;

/* Bytes that a decoder needs, aligned as for any object. */
size_t fs_decoder_size(void);

/* FS_ERR_LIMIT: a layer that was not prepared or buffers below the minimum. */
int fs_decode_init(struct fs_decoder *decoder, const struct fs_decode_config *config);

/* Takes input; `last` with the final piece (which may be empty).
 *
 * FS_NEED_INPUT: all taken. FS_BATCH: *batch is filled and its bytes lie in the output buffer until
 * the next call, which must offer the input that was not taken. FS_DONE: the document is complete
 * and all batches were delivered. FS_NEED_ITEM, FS_NEED_WORK, FS_NEED_OUTPUT: give a buffer of at
 * least result.size and offer the rest again. result.offset of an error counts from the first byte
 * of all. */
int fs_decode_run(struct fs_decoder *decoder, const uint8_t *input, size_t size, bool last,
                  size_t *taken, struct fs_batch *batch, struct fs_result *result);

/* Replaces a buffer after FS_NEED_*; `need` is that status. The item's bytes are carried over. */
int fs_decode_give(struct fs_decoder *decoder, int need, void *buffer, size_t size);

#endif
