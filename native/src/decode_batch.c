/* Batches: what is open, what fits, what must be delivered first; and the small kinds of items. */
#include "cell.h"
#include "decoder.h"
#include "guid.h"
#include "pickle.h"

bool fs_decode_has_batch(const struct fs_decoder *decoder) {
    return decoder->batch.kind == FS_BATCH_ATTACHMENT_DATA ? decoder->out.size > 0
                                                           : decoder->batch.count > 0;
}

static bool same_batch(const struct fs_batch *a, const struct fs_batch *b) {
    if (a->kind != b->kind || a->operation != b->operation || a->attachments != b->attachments ||
        a->layer != b->layer)
        return false;
    return a->kind != FS_BATCH_ATTACHMENT_DATA || a->count == b->count;
}

int fs_decode_begin(struct fs_decoder *decoder, const struct fs_batch *batch) {
    struct fs_batch *open = &decoder->batch;
    if (open->kind != FS_BATCH_NONE && same_batch(open, batch))
        return open->count >= decoder->config.rows_max && open->kind != FS_BATCH_ATTACHMENT_DATA
                   ? FS_BATCH
                   : FS_OK;
    if (fs_decode_has_batch(decoder)) return FS_BATCH;
    *open = *batch;
    decoder->out =
        (struct fs_out){decoder->config.out, decoder->config.out_size - FS_PICKLE_LIST_END_SIZE, 0};
    if (open->kind != FS_BATCH_ATTACHMENT_DATA) fs_pickle_list_start(&decoder->out);
    return FS_OK;
}

int fs_decode_commit(struct fs_decoder *decoder, size_t mark) {
    struct fs_out *out = &decoder->out;
    if (!fs_out_overflowed(out)) {
        decoder->batch.count++;
        return FS_OK;
    }
    size_t wanted = out->size;
    out->size = mark;
    if (decoder->batch.count > 0) return FS_BATCH;
    if (wanted > decoder->config.out_limit - FS_PICKLE_LIST_END_SIZE) return FS_ERR_LIMIT;
    decoder->wanted = wanted + FS_PICKLE_LIST_END_SIZE;
    return FS_NEED_OUTPUT;
}

void fs_decode_close_batch(struct fs_decoder *decoder) {
    struct fs_out *out = &decoder->out;
    if (decoder->batch.kind != FS_BATCH_ATTACHMENT_DATA) {
        out->cap += FS_PICKLE_LIST_END_SIZE;
        fs_pickle_list_end(out);
    }
    decoder->batch.size = out->size;
    decoder->delivered = true;
}

static struct fs_batch list_batch(struct fs_decoder *decoder, int kind) {
    const struct fs_frame *frame = fs_decode_frame(decoder);
    return (struct fs_batch){.kind = kind,
                             .operation = frame->operation,
                             .attachments = frame->attachments,
                             .layer = decoder->layer_id};
}

int fs_decode_bad(struct fs_decoder *decoder, const struct fs_item *item, int code, size_t at,
                  size_t column) {
    struct fs_batch batch = list_batch(decoder, FS_BATCH_BAD);
    int status = fs_decode_begin(decoder, &batch);
    if (status != FS_OK) return status;
    struct fs_out *out = &decoder->out;
    size_t mark = out->size;
    fs_pickle_tuple_start(out);
    fs_pickle_integer(out, (int64_t)item->offset);
    fs_pickle_integer(out, (int64_t)item->size);
    fs_pickle_integer(out, code);
    fs_pickle_integer(out, (int64_t)at);
    if (column == SIZE_MAX)
        fs_pickle_none(out);
    else
        fs_pickle_integer(out, (int64_t)column);
    if (item->text == NULL || item->size > decoder->config.raw_limit)
        fs_pickle_none(out);
    else
        fs_pickle_bytes(out, item->text, item->size);
    fs_pickle_tuple_end(out);
    return fs_decode_commit(decoder, mark);
}

static int named_json(struct fs_decoder *decoder, const struct fs_batch *batch,
                      const struct fs_json_string *name, const struct fs_item *item) {
    int status = fs_decode_begin(decoder, batch);
    if (status != FS_OK) return status;
    struct fs_out *out = &decoder->out;
    size_t mark = out->size;
    fs_pickle_tuple_start(out);
    status = fs_pickle_json_string(out, name);
    if (status != FS_OK) { /* a name that is no text is nobody's */
        out->size = mark;
        return FS_OK;
    }
    fs_pickle_bytes(out, item->text, item->size);
    fs_pickle_tuple_end(out);
    return fs_decode_commit(decoder, mark);
}

int fs_decode_header(struct fs_decoder *decoder, const struct fs_item *item) {
    if (item->text == NULL || item->size > FS_DECODE_SMALL_MAX) return FS_OK;
    struct fs_batch batch = {.kind = FS_BATCH_HEADER, .layer = FS_NO_LAYER};
    struct fs_json_string name = {decoder->name, decoder->name_size, decoder->name_escaped};
    return named_json(decoder, &batch, &name, item);
}

int fs_decode_result(struct fs_decoder *decoder, const struct fs_item *item) {
    if (item->text == NULL || item->size > FS_DECODE_SMALL_MAX)
        return fs_decode_bad(decoder, item, FS_ERR_LIMIT, 0, SIZE_MAX);
    struct fs_batch batch = list_batch(decoder, FS_BATCH_RESULTS);
    struct fs_json_string name = {decoder->list_name, decoder->list_name_size, true};
    return named_json(decoder, &batch, &name, item);
}

const struct fs_layer *fs_decode_find_layer(const struct fs_decoder *decoder, int64_t id) {
    for (size_t i = 0; i < decoder->config.layer_count; i++)
        if (decoder->config.layers[i].id == id) return &decoder->config.layers[i];
    return NULL;
}

int fs_decode_layer_id(struct fs_decoder *decoder, const struct fs_item *item) {
    struct fs_number number;
    int64_t id;
    if (item->text == NULL || fs_number_scan(item->text, item->size, &number) != item->size ||
        !fs_number_integer(&number, &id) || id == FS_NO_LAYER)
        return fs_decode_bad(decoder, item, FS_ERR_LAYER, 0, SIZE_MAX);
    decoder->layer_id = id;
    decoder->layer = fs_decode_find_layer(decoder, id);
    return FS_OK;
}
