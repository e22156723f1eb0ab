/* Attachments: their bytes leave in pieces while the text is read, what is said about them at the
 * end. */
#include "cell.h"
#include "decoder.h"
#include "guid.h"
#include "pickle.h"

void fs_attachment_start(struct fs_decoder *decoder) {
    struct fs_attachment *attachment = &decoder->attachment;
    size_t number = attachment->number + 1;
    memset(attachment->meta, 0, sizeof attachment->meta);
    attachment->number = number;
    attachment->text_used = 0;
    attachment->base64 = (struct fs_base64_decoder){0, 0, 0};
    attachment->escape = false;
    attachment->unicode_digits = 0;
    attachment->has_data = false;
    attachment->data_size = 0;
    attachment->error = 0;
}

static void set_error(struct fs_attachment *attachment, int code) {
    if (attachment->error == 0) attachment->error = code;
}

int fs_attachment_meta(struct fs_decoder *decoder, const struct fs_item *item) {
    struct fs_attachment *attachment = &decoder->attachment;
    struct fs_cell cell;
    struct fs_json json = {item->text, item->size, 0};
    int status = item->text == NULL ? FS_ERR_LIMIT : fs_cell_read(&json, &cell);
    if (status == FS_OK && cell.size > FS_META_TEXT_SIZE - attachment->text_used)
        status = FS_ERR_LIMIT;
    if (status != FS_OK) {
        set_error(attachment, status);
        return FS_OK;
    }
    uint8_t *text = attachment->text + attachment->text_used;
    if (cell.size > 0) memcpy(text, cell.text, cell.size);
    attachment->text_used += cell.size;
    cell.text = text;
    attachment->meta[decoder->meta] = cell;
    return FS_OK;
}

/* ---- data ---- */

static int put_data(struct fs_decoder *decoder, const uint8_t *bytes, size_t size) {
    if (!fs_out_fits(&decoder->out, size)) return FS_BATCH;
    fs_out_bytes(&decoder->out, bytes, size);
    decoder->attachment.data_size += size;
    return FS_OK;
}

static int take_character(struct fs_decoder *decoder, uint8_t character) {
    struct fs_attachment *attachment = &decoder->attachment;
    uint8_t bytes[3];
    size_t size;
    if (attachment->error != 0) return FS_OK;
    if (!fs_out_fits(&decoder->out, sizeof bytes)) return FS_BATCH;
    if (!fs_base64_take(&attachment->base64, character, bytes, &size))
        set_error(attachment, FS_ERR_BASE64);
    return put_data(decoder, bytes, size);
}

static int hex_value(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* JSON may escape what base64 uses: \/ and \u002b; line breaks come as \r\n. */
static int take_escaped(struct fs_decoder *decoder, uint8_t byte) {
    struct fs_attachment *attachment = &decoder->attachment;
    if (attachment->unicode_digits > 0) {
        int value = hex_value(byte);
        uint32_t unicode = attachment->unicode << 4 | (uint32_t)(value < 0 ? 0 : value);
        if (value < 0) set_error(attachment, FS_ERR_BASE64);
        if (attachment->unicode_digits == 1) {
            int status = take_character(decoder, unicode < 0x80 ? (uint8_t)unicode : 0);
            if (status != FS_OK) return status;
        }
        attachment->unicode = unicode;
        attachment->unicode_digits--;
        return FS_OK;
    }
    if (byte == 'u') {
        attachment->unicode_digits = 4;
        attachment->unicode = 0;
    } else if (byte == '/') {
        int status = take_character(decoder, byte);
        if (status != FS_OK) return status;
    } else if (byte != 'n' && byte != 'r' && byte != 't') {
        set_error(attachment, FS_ERR_BASE64);
    }
    attachment->escape = false;
    return FS_OK;
}

/* Whole groups of plain characters, as far as input and room allow. */
static size_t take_groups(struct fs_decoder *decoder, const uint8_t *text, size_t size) {
    struct fs_attachment *attachment = &decoder->attachment;
    struct fs_out *out = &decoder->out;
    if (attachment->base64.count != 0 || attachment->base64.padding != 0 || attachment->error != 0)
        return 0;
    size_t room = (out->cap - out->size) / 3;
    size_t groups = size / 4 < room ? size / 4 : room;
    size_t taken = fs_base64_take_groups(text, groups * 4, out->data + out->size);
    fs_out_advance(out, taken / 4 * 3);
    attachment->data_size += taken / 4 * 3;
    return taken;
}

/* The closing quote: what is left of the last group. */
static int end_data(struct fs_decoder *decoder) {
    struct fs_attachment *attachment = &decoder->attachment;
    uint8_t bytes[3];
    size_t size;
    if (!fs_out_fits(&decoder->out, sizeof bytes)) return FS_BATCH;
    bool sound =
        attachment->unicode_digits == 0 && fs_base64_finish(&attachment->base64, bytes, &size);
    if (!sound) set_error(attachment, FS_ERR_BASE64);
    attachment->base64 = (struct fs_base64_decoder){0, 0, 0};
    return sound && attachment->error == 0 ? put_data(decoder, bytes, size) : FS_OK;
}

int fs_attachment_data(struct fs_decoder *decoder, const uint8_t *text, size_t size,
                       size_t *taken) {
    struct fs_attachment *attachment = &decoder->attachment;
    struct fs_batch batch = {.kind = FS_BATCH_ATTACHMENT_DATA,
                             .operation = fs_decode_frame(decoder)->operation,
                             .attachments = 1,
                             .layer = decoder->layer_id,
                             .count = attachment->number};
    *taken = 0;
    int status = fs_decode_begin(decoder, &batch);
    while (status == FS_OK && *taken < size) {
        if (!attachment->escape && attachment->unicode_digits == 0) {
            *taken += take_groups(decoder, text + *taken, size - *taken);
            if (*taken == size) break;
        }
        uint8_t byte = text[*taken];
        if (attachment->escape || (attachment->unicode_digits > 0 && byte != '"')) {
            status = take_escaped(decoder, byte);
        } else if (byte == '"') {
            status = end_data(decoder);
            if (status == FS_OK) {
                ++*taken;
                return FS_OK;
            }
        } else if (byte == '\\') {
            attachment->escape = true;
        } else {
            status = take_character(decoder, byte);
        }
        if (status == FS_OK) ++*taken;
    }
    return status == FS_OK ? FS_EMPTY : status;
}

/* ---- end ---- */

static int pickle_meta(const struct fs_attachment *attachment, enum fs_meta meta,
                       struct fs_out *out) {
    const struct fs_cell *cell = &attachment->meta[meta];
    size_t mark = out->size;
    int type = FS_COLUMN_TEXT;
    if (meta == FS_META_GLOBAL_ID || meta == FS_META_PARENT) type = FS_COLUMN_GUID;
    if ((meta == FS_META_SIZE || meta == FS_META_ATTACHMENT_ID) && cell->kind == '0')
        type = FS_COLUMN_INTEGER;
    int status = fs_cell_pickle(cell, type, out);
    if (status == FS_OK) return FS_OK;
    out->size = mark;
    fs_pickle_none(out);
    return status;
}

int fs_attachment_end(struct fs_decoder *decoder) {
    struct fs_attachment *attachment = &decoder->attachment;
    struct fs_batch batch = {.kind = FS_BATCH_ATTACHMENTS,
                             .operation = fs_decode_frame(decoder)->operation,
                             .attachments = 1,
                             .layer = decoder->layer_id};
    int status = fs_decode_begin(decoder, &batch);
    if (status != FS_OK) return status;
    struct fs_out *out = &decoder->out;
    size_t mark = out->size;
    int error = attachment->error;
    fs_pickle_tuple_start(out);
    fs_pickle_integer(out, (int64_t)attachment->number);
    for (int meta = 0; meta < FS_META_COUNT; meta++) {
        status = pickle_meta(attachment, (enum fs_meta)meta, out);
        if (error == 0) error = status;
    }
    if (attachment->has_data)
        fs_pickle_integer(out, (int64_t)attachment->data_size);
    else
        fs_pickle_none(out);
    fs_pickle_integer(out, error);
    fs_pickle_tuple_end(out);
    return fs_decode_commit(decoder, mark);
}
