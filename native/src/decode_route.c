/* The shape of the documents: which member leads where. */
#include <string.h>

#include "decoder.h"
#include "fs_geometry.h"
#include "pickle.h"

static struct fs_json_string member_name(const struct fs_decoder *decoder) {
    return (struct fs_json_string){decoder->name, decoder->name_size, decoder->name_escaped};
}

static bool same_letters(const uint8_t *bytes, const char *word, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i], letter = (uint8_t)word[i];
        uint8_t lower = byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
        if (lower != (letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + 32) : letter)) return false;
    }
    return true;
}

/* Servers differ in the letter case of member names. */
static bool named(const struct fs_decoder *decoder, const char *name) {
    if (decoder->name_too_long) return false;
    if (decoder->name_escaped) {
        struct fs_json_string member = member_name(decoder);
        return fs_json_equals(&member, name);
    }
    size_t size = strlen(name);
    return decoder->name_size == size && same_letters(decoder->name, name, size);
}

static bool named_results(const struct fs_decoder *decoder) {
    static const char suffix[] = "Results";
    size_t length = sizeof suffix - 1;
    return !decoder->name_too_long && decoder->name_size > length &&
           same_letters(decoder->name + decoder->name_size - length, suffix, length);
}

static int enter(struct fs_decoder *decoder, enum fs_frame_kind kind, int operation,
                 int attachments) {
    if (decoder->depth == FS_DECODE_FRAMES) return FS_ERR_DEPTH;
    decoder->frames[decoder->depth++] = (struct fs_frame){kind, operation, attachments};
    return FS_OK;
}

/* Whether what follows belongs to a layer that can be decoded now. If not it is skipped: an unknown
 * layer is reported once; an entry that tells its id too late is left whole to a second pass. */
static int require_layer(struct fs_decoder *decoder, bool *usable) {
    if (decoder->layer_id == FS_NO_LAYER) decoder->entry_late = true;
    *usable = decoder->layer != NULL && !decoder->entry_late;
    if (*usable || decoder->entry_late || decoder->entry_reported) return FS_OK;
    struct fs_item item = {NULL, 0, decoder->item_offset};
    int status = fs_decode_bad(decoder, &item, FS_ERR_LAYER, 0, SIZE_MAX);
    if (status == FS_OK) decoder->entry_reported = true;
    return status;
}

/* Lists of an entry, of its "features" and of its "attachments". Leaves *entered false for what is
 * none. */
static int route_list(struct fs_decoder *decoder, int attachments, bool *entered) {
    bool deletes = named(decoder, "deletes") || named(decoder, "deleteIds");
    bool updates = named(decoder, "updates");
    bool results = named_results(decoder);
    if (!deletes && !updates && !results && !named(decoder, "adds")) return FS_OK;
    bool usable;
    int status = require_layer(decoder, &usable);
    if (status != FS_OK || !usable) return status;
    *entered = true;
    if (results) {
        memcpy(decoder->list_name, decoder->name, decoder->name_size);
        decoder->list_name_size = decoder->name_size;
        return enter(decoder, FS_FRAME_RESULTS, FS_DATA, attachments);
    }
    if (deletes) return enter(decoder, FS_FRAME_DELETES, FS_DELETES, attachments);
    return enter(decoder, attachments ? FS_FRAME_ATTACHMENTS : FS_FRAME_FEATURES,
                 updates ? FS_UPDATES : FS_ADDS, attachments);
}

static int route_entry(struct fs_decoder *decoder, uint8_t first, bool *entered) {
    if (named(decoder, "id") && fs_decode_frame(decoder)->kind == FS_FRAME_ENTRY) {
        decoder->action = FS_ACTION_ID;
        return FS_OK;
    }
    /* Some servers put the results of attachments into an object of their own. */
    int attachments = named(decoder, "attachments") ||
                      (first == '{' && named(decoder, "attachmentResults"));
    if (attachments || named(decoder, "features")) {
        if (first != '{' && first != '[') return FS_OK;
        bool usable;
        int status = require_layer(decoder, &usable);
        if (status != FS_OK || !usable) return status;
        *entered = true;
        if (first == '{') return enter(decoder, FS_FRAME_EDITS, FS_DATA, attachments);
        return enter(decoder, attachments ? FS_FRAME_ATTACHMENTS : FS_FRAME_FEATURES, FS_DATA,
                     attachments);
    }
    return first == '[' ? route_list(decoder, 0, entered) : FS_OK;
}

static int route_root(struct fs_decoder *decoder, uint8_t first, bool *entered) {
    bool list = first == '[';
    if (list &&
        (named(decoder, "edits") || named(decoder, "layers") || named(decoder, "editsResults") ||
                 named(decoder, "editResults"))) {
        *entered = true;
        /* What a skipped entry held is told by its operation: all rows of its layer, or changes. */
        return enter(decoder, FS_FRAME_ENTRIES, named(decoder, "layers") ? FS_DATA : FS_UPDATES, 0);
    }
    if (decoder->config.entries != NULL) return FS_OK; /* the first pass has seen the rest */
    decoder->action = decoder->name_too_long ? FS_ACTION_SKIP : FS_ACTION_HEADER;
    bool ours = named(decoder, "features") || named(decoder, "attachments") ||
                named(decoder, "adds") || named(decoder, "updates") || named(decoder, "deletes") ||
                named(decoder, "deleteIds") || named_results(decoder);
    if (!ours || decoder->config.default_layer == NULL) return FS_OK;
    decoder->action = FS_ACTION_SKIP;
    return route_entry(decoder, first, entered);
}

static int enter_entry(struct fs_decoder *decoder, bool *entered) {
    const struct fs_decode_config *config = &decoder->config;
    size_t number = decoder->entry_number++;
    decoder->layer = NULL;
    decoder->layer_id = FS_NO_LAYER;
    decoder->entry_late = decoder->entry_reported = false;
    if (config->entries != NULL) {
        if (number >= config->entry_count || config->entries[number] == FS_NO_LAYER) return FS_OK;
        decoder->layer_id = config->entries[number];
        decoder->layer = fs_decode_find_layer(decoder, decoder->layer_id);
    }
    *entered = true;
    return enter(decoder, FS_FRAME_ENTRY, fs_decode_frame(decoder)->operation, 0);
}

static int route_attachment(struct fs_decoder *decoder, uint8_t first, bool *entered) {
    static const char *const names[] = {"attachmentId", "globalId", "parentGlobalId",
                                        "contentType",  "name",     "size",
                                        "url",          "uploadId"};
    if (first == '"' && named(decoder, "data")) {
        *entered = true;
        decoder->attachment.has_data = true;
        decoder->state = FS_STATE_IN_DATA;
        return FS_OK;
    }
    for (int meta = 0; meta < FS_META_COUNT; meta++)
        if (named(decoder, names[meta])) {
            decoder->action = FS_ACTION_META;
            decoder->meta = (enum fs_meta)meta;
        }
    return FS_OK;
}

static int route_document(struct fs_decoder *decoder, uint8_t first, bool *entered) {
    *entered = true;
    if (first == '{') return enter(decoder, FS_FRAME_ROOT, FS_DATA, 0);
    if (first == '[') /* What a skipped entry held is told by its operation: all rows of its layer, or changes. */
        return enter(decoder, FS_FRAME_ENTRIES, named(decoder, "layers") ? FS_DATA : FS_UPDATES, 0);
    return FS_ERR_SYNTAX;
}

int fs_decode_route(struct fs_decoder *decoder, uint8_t first, bool *entered) {
    *entered = false;
    decoder->action = FS_ACTION_SKIP;
    if (decoder->depth == 0) return route_document(decoder, first, entered);
    switch (fs_decode_frame(decoder)->kind) {
    case FS_FRAME_ROOT:
        return route_root(decoder, first, entered);
    case FS_FRAME_ENTRIES:
        return first == '{' ? enter_entry(decoder, entered) : FS_OK;
    case FS_FRAME_ENTRY:
        return route_entry(decoder, first, entered);
    case FS_FRAME_EDITS:
        return first == '[' ? route_list(decoder, fs_decode_frame(decoder)->attachments, entered)
                            : FS_OK;
    case FS_FRAME_FEATURES:
        if (first == '{') decoder->action = FS_ACTION_FEATURE;
        return FS_OK;
    case FS_FRAME_DELETES:
        if (first != 'n') decoder->action = FS_ACTION_DELETE;
        return FS_OK;
    case FS_FRAME_ATTACHMENTS:
        *entered = first == '{';
        if (!*entered) return FS_OK;
        fs_attachment_start(decoder);
        return enter(decoder, FS_FRAME_ATTACHMENT, fs_decode_frame(decoder)->operation, 1);
    case FS_FRAME_ATTACHMENT:
        return route_attachment(decoder, first, entered);
    case FS_FRAME_RESULTS:
        decoder->action = FS_ACTION_RESULT;
        return FS_OK;
    }
    return FS_ERR_SYNTAX;
}

/* An entry whose id came too late is announced, so that a second pass can decode it. */
static int leave_entry(struct fs_decoder *decoder) {
    if (!decoder->entry_late) return FS_OK;
    if (decoder->layer_id == FS_NO_LAYER) {
        struct fs_item item = {NULL, 0, decoder->item_offset};
        return fs_decode_bad(decoder, &item, FS_ERR_LAYER, 0, SIZE_MAX);
    }
    struct fs_batch batch = {.kind = FS_BATCH_LATE, .layer = FS_NO_LAYER};
    int status = fs_decode_begin(decoder, &batch);
    if (status != FS_OK) return status;
    size_t mark = decoder->out.size;
    fs_pickle_tuple_start(&decoder->out);
    fs_pickle_integer(&decoder->out, (int64_t)decoder->entry_number - 1);
    fs_pickle_integer(&decoder->out, decoder->layer_id);
    fs_pickle_tuple_end(&decoder->out);
    return fs_decode_commit(decoder, mark);
}

int fs_decode_leave(struct fs_decoder *decoder) {
    int status = FS_OK;
    enum fs_frame_kind kind = fs_decode_frame(decoder)->kind;
    if (kind == FS_FRAME_ENTRY) status = leave_entry(decoder);
    if (kind == FS_FRAME_ATTACHMENT) status = fs_attachment_end(decoder);
    if (status != FS_OK) return status;
    decoder->depth--;
    if (kind == FS_FRAME_ENTRY) fs_decode_use_default_layer(decoder);
    return FS_OK;
}
