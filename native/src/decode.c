/* The push parser: one state per thing that can come next, one step per token. */
#include "decoder.h"

#include "fs_geometry.h"

#define OUT_SIZE_MIN ((size_t)(2 * FS_DECODE_SMALL_MAX))

size_t fs_decoder_size(void) { return sizeof(struct fs_decoder); }

int fs_decode_init(struct fs_decoder *decoder, const struct fs_decode_config *config) {
    if (config->out_size < OUT_SIZE_MIN || config->out_limit < config->out_size ||
        config->raw_limit > FS_DECODE_SMALL_MAX || config->item_size < FS_DECODE_SMALL_MAX ||
        config->item_limit < config->item_size || config->work_size == 0 || config->rows_max == 0)
        return FS_ERR_LIMIT;
    memset(decoder, 0, sizeof *decoder);
    decoder->config = *config;
    fs_decode_use_default_layer(decoder);
    return FS_OK;
}

int fs_decode_give(struct fs_decoder *decoder, int need, void *buffer, size_t size) {
    struct fs_decode_config *config = &decoder->config;
    if (size < decoder->wanted) return FS_ERR_LIMIT;
    switch (need) {
    case FS_NEED_ITEM:
        memcpy(buffer, config->item, decoder->item_used);
        config->item = buffer;
        config->item_size = size;
        return FS_OK;
    case FS_NEED_WORK:
        config->work = buffer;
        config->work_size = size;
        return FS_OK;
    case FS_NEED_OUTPUT:
        /* asked for only while the open batch has no items yet */
        config->out = buffer;
        config->out_size = size;
        decoder->batch.kind = FS_BATCH_NONE;
        return FS_OK;
    default:
        return FS_ERR_LIMIT;
    }
}

static bool is_space(uint8_t byte) {
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* ---- values that are taken whole ---- */

static int act(struct fs_decoder *decoder, const struct fs_item *item) {
    switch (decoder->action) {
    case FS_ACTION_SKIP:
        return FS_OK;
    case FS_ACTION_HEADER:
        return fs_decode_header(decoder, item);
    case FS_ACTION_ID:
        return fs_decode_layer_id(decoder, item);
    case FS_ACTION_FEATURE:
        return fs_decode_feature(decoder, item);
    case FS_ACTION_DELETE:
        return fs_decode_delete(decoder, item);
    case FS_ACTION_RESULT:
        return fs_decode_result(decoder, item);
    case FS_ACTION_META:
        return fs_attachment_meta(decoder, item);
    }
    return FS_OK;
}

static int finish_item(struct fs_decoder *decoder) {
    struct fs_item item = {decoder->item_too_large ? NULL : decoder->config.item,
                           (size_t)decoder->item_total, decoder->item_offset};
    int status = act(decoder, &item);
    if (status != FS_OK) return status;
    decoder->item_open = decoder->item_ready = decoder->item_too_large = false;
    decoder->item_used = 0;
    decoder->state = FS_STATE_NEXT;
    return FS_OK;
}

/* Keeps the part of a value that lies in this input; FS_NEED_ITEM before anything was changed. */
static int keep(struct fs_decoder *decoder, const uint8_t *text, size_t size) {
    struct fs_decode_config *config = &decoder->config;
    size_t limit = decoder->action == FS_ACTION_FEATURE || decoder->action == FS_ACTION_DELETE
                       ? config->item_limit
                       : FS_DECODE_SMALL_MAX;
    if (decoder->action == FS_ACTION_SKIP || decoder->item_too_large) return FS_OK;
    if (size > limit - decoder->item_used) {
        decoder->item_too_large = true;
        return FS_OK;
    }
    if (size > config->item_size - decoder->item_used) {
        size_t wanted = decoder->item_used + size;
        size_t doubled = config->item_size > limit / 2 ? limit : config->item_size * 2;
        decoder->wanted = wanted > doubled ? wanted : doubled;
        return FS_NEED_ITEM;
    }
    memcpy(config->item + decoder->item_used, text, size);
    decoder->item_used += size;
    return FS_OK;
}

/* A value that lies whole in the input is handled there; only one that straddles inputs is copied.
 */
static int step_value(struct fs_decoder *decoder, const uint8_t *text, size_t size, size_t *taken) {
    struct fs_scan scan = decoder->scan;
    size_t length;
    int found = fs_scan_run(&scan, text, size, &length);
    if (found < 0) {
        *taken = length;
        return found;
    }
    if (found == FS_OK && !decoder->item_open && length <= decoder->config.item_limit) {
        struct fs_item item = {text, length, decoder->item_offset};
        int status = act(decoder, &item);
        if (status != FS_OK) return status;
        *taken = length;
        decoder->state = FS_STATE_NEXT;
        return FS_OK;
    }
    int status = keep(decoder, text, length);
    if (status != FS_OK) return status;
    decoder->scan = scan;
    decoder->item_total = (decoder->item_open ? decoder->item_total : 0) + length;
    decoder->item_open = true;
    decoder->item_ready = found == FS_OK;
    *taken = length;
    return decoder->item_ready ? finish_item(decoder) : FS_OK;
}

/* ---- structure ---- */

static int step_route(struct fs_decoder *decoder, uint8_t first, size_t *taken) {
    bool entered;
    int status = fs_decode_route(decoder, first, &entered);
    if (status != FS_OK) return status;
    if (!entered) {
        decoder->scan = (struct fs_scan){.started = false};
        decoder->state = FS_STATE_IN_VALUE;
        return FS_OK;
    }
    *taken = 1;
    if (decoder->state != FS_STATE_IN_DATA) decoder->state = FS_STATE_FIRST;
    return FS_OK;
}

static int step_close(struct fs_decoder *decoder, size_t *taken) {
    int status = fs_decode_leave(decoder);
    if (status != FS_OK) return status;
    *taken = 1;
    decoder->state = decoder->depth == 0 ? FS_STATE_END : FS_STATE_NEXT;
    return FS_OK;
}

static int step_name(struct fs_decoder *decoder, uint8_t byte) {
    if (!decoder->name_escape && byte == '"') {
        decoder->state = FS_STATE_COLON;
        return FS_OK;
    }
    if (byte < 0x20) return FS_ERR_SYNTAX;
    decoder->name_escaped = decoder->name_escaped || byte == '\\';
    decoder->name_escape = !decoder->name_escape && byte == '\\';
    if (decoder->name_size == FS_DECODE_NAME_SIZE)
        decoder->name_too_long = true;
    else
        decoder->name[decoder->name_size++] = byte;
    return FS_OK;
}

static void start_name(struct fs_decoder *decoder) {
    decoder->name_size = 0;
    decoder->name_escape = decoder->name_escaped = decoder->name_too_long = false;
    decoder->state = FS_STATE_IN_NAME;
}

static int step_item(struct fs_decoder *decoder, uint8_t byte, size_t *taken) {
    bool object = fs_decode_in_object(decoder);
    if (byte == (object ? '}' : ']')) return step_close(decoder, taken);
    if (decoder->state == FS_STATE_NEXT) {
        if (byte != ',') return FS_ERR_SYNTAX;
        *taken = 1;
    }
    decoder->state = object ? FS_STATE_NAME : FS_STATE_VALUE;
    return FS_OK;
}

static int step(struct fs_decoder *decoder, const uint8_t *text, size_t size, uint64_t offset,
                size_t *taken) {
    uint8_t byte = text[0];
    *taken = 0;
    if (decoder->state == FS_STATE_IN_VALUE) return step_value(decoder, text, size, taken);
    if (decoder->state == FS_STATE_IN_DATA) {
        int status = fs_attachment_data(decoder, text, size, taken);
        if (status == FS_OK) decoder->state = FS_STATE_NEXT;
        return status == FS_EMPTY ? FS_OK : status;
    }
    if (decoder->state == FS_STATE_IN_NAME) {
        *taken = 1;
        return step_name(decoder, byte);
    }
    if (is_space(byte)) {
        *taken = 1;
        return FS_OK;
    }
    switch (decoder->state) {
    case FS_STATE_VALUE:
        decoder->item_offset = offset;
        return step_route(decoder, byte, taken);
    case FS_STATE_FIRST:
    case FS_STATE_NEXT:
        return step_item(decoder, byte, taken);
    case FS_STATE_NAME:
        if (byte != '"') return FS_ERR_SYNTAX;
        *taken = 1;
        start_name(decoder);
        return FS_OK;
    case FS_STATE_COLON:
        if (byte != ':') return FS_ERR_SYNTAX;
        *taken = 1;
        decoder->state = FS_STATE_VALUE;
        return FS_OK;
    case FS_STATE_END:
        return FS_ERR_TRAILING;
    case FS_STATE_IN_NAME:
    case FS_STATE_IN_VALUE:
    case FS_STATE_IN_DATA:
        break;
    }
    return FS_ERR_SYNTAX;
}

static int run(struct fs_decoder *decoder, const uint8_t *input, size_t size, bool last,
               size_t *taken) {
    if (decoder->item_ready) {
        int status = finish_item(decoder);
        if (status != FS_OK) return status;
    }
    while (*taken < size) {
        size_t step_taken;
        int status =
            step(decoder, input + *taken, size - *taken, decoder->position + *taken, &step_taken);
        *taken += step_taken;
        if (status != FS_OK) return status;
    }
    if (!last) return FS_NEED_INPUT;
    return decoder->state == FS_STATE_END ? FS_DONE : FS_ERR_TRUNCATED;
}

int fs_decode_run(struct fs_decoder *decoder, const uint8_t *input, size_t size, bool last,
                  size_t *taken, struct fs_batch *batch, struct fs_result *result) {
    *taken = 0;
    *result = (struct fs_result){0, 0};
    if (decoder->delivered) {
        decoder->delivered = false;
        decoder->batch = (struct fs_batch){.kind = FS_BATCH_NONE};
        decoder->out.size = 0;
    }
    int status = decoder->failed != 0 ? decoder->failed : run(decoder, input, size, last, taken);
    decoder->position += *taken;
    if (status < 0 && decoder->failed == 0) {
        decoder->failed = status;
        decoder->failed_at = decoder->position;
    }
    /* What was decoded before the end or before an error is handed over first. */
    if ((status < 0 || status == FS_DONE) && fs_decode_has_batch(decoder)) status = FS_BATCH;
    if (status == FS_BATCH) {
        fs_decode_close_batch(decoder);
        *batch = decoder->batch;
    }
    result->size = decoder->wanted;
    result->offset = (size_t)decoder->failed_at;
    return status;
}
