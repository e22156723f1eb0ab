/* The decoder's state, shared by the files that are its parts. */
#ifndef FS_DECODER_H
#define FS_DECODER_H

#include "base64.h"
#include "bytes.h"
#include "fs_decode.h"
#include "json.h"
#include "layer.h"
#include "scan.h"

#define FS_DECODE_FRAMES 8
#define FS_DECODE_NAME_SIZE 256
#define FS_DECODE_SMALL_MAX 65536 /* header members, results, ids: larger ones are not ours */
#define FS_META_TEXT_SIZE 16384
#define FS_NO_LAYER INT64_MIN

/* Which container the parser is in. */
enum fs_frame_kind {
    FS_FRAME_ROOT,
    FS_FRAME_ENTRIES,     /* [layer entry, ...]: "edits", "layers", or the document itself */
    FS_FRAME_ENTRY,       /* {"id": ..., "features": ..., "attachments": ...} */
    FS_FRAME_EDITS,       /* {"adds": ..., "updates": ..., "deletes": ...} */
    FS_FRAME_FEATURES,    /* [feature, ...] */
    FS_FRAME_DELETES,     /* [id, ...] */
    FS_FRAME_ATTACHMENTS, /* [attachment, ...] */
    FS_FRAME_ATTACHMENT,
    FS_FRAME_RESULTS /* [edit result, ...] */
};

struct fs_frame {
    enum fs_frame_kind kind;
    int operation;   /* enum fs_operation of a list's items */
    int attachments; /* 1 inside an entry's attachments */
};

/* What happens with a value when its end is found. */
enum fs_action {
    FS_ACTION_SKIP,
    FS_ACTION_HEADER,
    FS_ACTION_ID,
    FS_ACTION_FEATURE,
    FS_ACTION_DELETE,
    FS_ACTION_RESULT,
    FS_ACTION_META
};

enum fs_meta {
    FS_META_ATTACHMENT_ID,
    FS_META_GLOBAL_ID,
    FS_META_PARENT,
    FS_META_CONTENT_TYPE,
    FS_META_NAME,
    FS_META_SIZE,
    FS_META_URL,
    FS_META_UPLOAD_ID,
    FS_META_COUNT
};

enum fs_decode_state {
    FS_STATE_VALUE, /* a value comes */
    FS_STATE_FIRST, /* after '{' or '[': an item or the end */
    FS_STATE_NEXT,  /* after an item: a comma or the end */
    FS_STATE_NAME,
    FS_STATE_IN_NAME,
    FS_STATE_COLON,
    FS_STATE_IN_VALUE,
    FS_STATE_IN_DATA, /* inside the base64 string of an attachment */
    FS_STATE_END
};

struct fs_attachment {
    size_t number; /* counts all attachments of the document, from 1 */
    struct fs_cell meta[FS_META_COUNT];
    uint8_t text[FS_META_TEXT_SIZE];
    size_t text_used;
    struct fs_base64_decoder base64;
    bool escape;        /* a backslash came */
    int unicode_digits; /* of \uXXXX still to come */
    uint32_t unicode;
    bool has_data;
    uint64_t data_size;
    int error; /* the first thing that went wrong; 0 = nothing */
};

struct fs_item {
    const uint8_t *text;
    size_t size;
    uint64_t offset; /* of its first byte in the document */
};

struct fs_decoder {
    struct fs_decode_config config;
    uint64_t position; /* document offset of the input that is offered now */
    enum fs_decode_state state;
    struct fs_frame frames[FS_DECODE_FRAMES];
    size_t depth;

    uint8_t name[FS_DECODE_NAME_SIZE]; /* of the member being read, raw */
    size_t name_size;
    bool name_escape, name_escaped, name_too_long;
    uint8_t list_name[FS_DECODE_NAME_SIZE]; /* of the result list that is open */
    size_t list_name_size;

    enum fs_action action;
    enum fs_meta meta;
    struct fs_scan scan;
    size_t item_used; /* bytes of the value that lie in the item buffer */
    uint64_t item_total;
    uint64_t item_offset;
    bool item_open;      /* a value was begun and its head is in the item buffer */
    bool item_ready;     /* the item buffer holds all of it */
    bool item_too_large; /* it goes on, but is not kept */

    const struct fs_layer *layer; /* NULL: id unknown yet, or not announced */
    int64_t layer_id;
    size_t entry_number; /* entries begun so far */
    bool entry_late;     /* something had to be skipped before the id was known */
    bool entry_reported;

    struct fs_out out;
    struct fs_batch batch;
    bool delivered;
    size_t wanted; /* size to offer after FS_NEED_* */
    int failed;
    uint64_t failed_at;

    struct fs_attachment attachment;
};

/* ---- batches (decode_batch.c) ---- */

/* Opens a batch of this kind or goes on with it. FS_BATCH: another one must be delivered first. */
int fs_decode_begin(struct fs_decoder *decoder, const struct fs_batch *batch);

/* Counts the item written since `mark`, or takes it back: FS_BATCH, FS_NEED_OUTPUT, FS_ERR_LIMIT.
 */
int fs_decode_commit(struct fs_decoder *decoder, size_t mark);

/* Reports an item that cannot be decoded. `column` = SIZE_MAX when it is none's fault. */
int fs_decode_bad(struct fs_decoder *decoder, const struct fs_item *item, int code, size_t at,
                  size_t column);

bool fs_decode_has_batch(const struct fs_decoder *decoder);
void fs_decode_close_batch(struct fs_decoder *decoder);

/* ---- items ---- */

int fs_decode_feature(struct fs_decoder *decoder, const struct fs_item *item);
int fs_decode_delete(struct fs_decoder *decoder, const struct fs_item *item);
int fs_decode_result(struct fs_decoder *decoder, const struct fs_item *item);
int fs_decode_header(struct fs_decoder *decoder, const struct fs_item *item);

/* The announced layer of that id; NULL when there is none. */
const struct fs_layer *fs_decode_find_layer(const struct fs_decoder *decoder, int64_t id);
int fs_decode_layer_id(struct fs_decoder *decoder, const struct fs_item *item);

void fs_attachment_start(struct fs_decoder *decoder);
int fs_attachment_meta(struct fs_decoder *decoder, const struct fs_item *item);
int fs_attachment_data(struct fs_decoder *decoder, const uint8_t *text, size_t size, size_t *taken);
int fs_attachment_end(struct fs_decoder *decoder);

/* ---- structure (decode_route.c) ---- */

/* A value begins with `first`: enters a container or chooses what to do with it. */
int fs_decode_route(struct fs_decoder *decoder, uint8_t first, bool *entered);

/* The innermost container ends: what is owed to it, then one level up. */
int fs_decode_leave(struct fs_decoder *decoder);

static inline struct fs_frame *fs_decode_frame(struct fs_decoder *decoder) {
    return &decoder->frames[decoder->depth - 1];
}

/* Outside of entries: the layer of features at the root, if one is expected. */
static inline void fs_decode_use_default_layer(struct fs_decoder *decoder) {
    decoder->layer = decoder->config.default_layer;
    decoder->layer_id = decoder->layer != NULL ? decoder->layer->id : FS_NO_LAYER;
}

static inline bool fs_decode_in_object(const struct fs_decoder *decoder) {
    enum fs_frame_kind kind = decoder->frames[decoder->depth - 1].kind;
    return kind == FS_FRAME_ROOT || kind == FS_FRAME_ENTRY || kind == FS_FRAME_EDITS ||
           kind == FS_FRAME_ATTACHMENT;
}

#endif
