/* One feature after the other, each whole or not at all. */
#include "fs_encode.h"

#include <math.h>
#include <stdbool.h>

#include "datetime.h"
#include "fs_geometry.h"
#include "geometry_print.h"
#include "guid.h"
#include "json_print.h"
#include "marshal.h"

struct encoder {
    const struct fs_layer *layer;
    int form;
    struct fs_marshal marshal;
    struct fs_encode_progress *progress;
    struct fs_out out;
};

static int print_integer(struct fs_out *out, const struct fs_value *value) {
    int64_t integer = value->integer;
    if (value->kind == FS_VALUE_REAL) { /* SQLite keeps what a foreign writer stored */
        double real = value->real;
        if (!(fabs(real) <= 9007199254740992.0) || real != (double)(int64_t)real)
            return FS_ERR_NUMBER;
        integer = (int64_t)real;
    } else if (value->kind != FS_VALUE_INTEGER) {
        return FS_ERR_TYPE;
    }
    fs_json_print_integer(out, integer);
    return FS_OK;
}

static int print_real(struct fs_out *out, const struct fs_value *value) {
    if (value->kind == FS_VALUE_INTEGER) {
        fs_json_print_integer(out, value->integer);
        return FS_OK;
    }
    if (value->kind != FS_VALUE_REAL) return FS_ERR_TYPE;
    if (!isfinite(value->real)) return FS_ERR_NOT_FINITE;
    fs_json_print_real(out, value->real);
    return FS_OK;
}

static int print_guid(struct fs_out *out, const struct fs_value *value) {
    uint8_t spare[FS_GUID_TEXT_SIZE + 2];
    if (value->kind != FS_VALUE_TEXT) return FS_ERR_TYPE;
    uint8_t *start = fs_out_begin(out, sizeof spare, spare);
    start[0] = start[sizeof spare - 1] = '"';
    if (!fs_guid_normalise(value->bytes, value->size, (char *)start + 1)) return FS_ERR_GUID;
    fs_out_end(out, start, start + sizeof spare, spare);
    return FS_OK;
}

static int print_date(struct fs_out *out, const struct fs_value *value) {
    int64_t epoch_ms;
    if (value->kind != FS_VALUE_TEXT) return FS_ERR_TYPE;
    if (!fs_datetime_parse(value->bytes, value->size, &epoch_ms)) return FS_ERR_DATE;
    fs_json_print_integer(out, epoch_ms);
    return FS_OK;
}

static int print_value(struct fs_out *out, int column_type, const struct fs_value *value) {
    if (value->kind == FS_VALUE_NONE) {
        fs_json_print_text(out, "null");
        return FS_OK;
    }
    switch (column_type) {
    case FS_COLUMN_INTEGER:
        return print_integer(out, value);
    case FS_COLUMN_REAL:
        return print_real(out, value);
    case FS_COLUMN_GUID:
        return print_guid(out, value);
    case FS_COLUMN_DATE:
        return print_date(out, value);
    default:
        if (value->kind != FS_VALUE_TEXT) return FS_ERR_TYPE;
        return fs_json_print_string(out, value->bytes, value->size);
    }
}

/* Which places an update carries; an add carries all. */
struct mask {
    const uint8_t *bits;
    size_t size;
    bool all;
};

static bool is_set(const struct mask *mask, size_t place) {
    return mask->all || (place / 8 < mask->size && (mask->bits[place / 8] >> place % 8 & 1) != 0);
}

static int read_mask(struct encoder *encoder, struct mask *mask) {
    struct fs_value value;
    mask->all = encoder->form == FS_ENCODE_ADDS;
    if (mask->all) return FS_OK;
    int status = fs_marshal_value(&encoder->marshal, &value);
    if (status != FS_OK) return status;
    if (value.kind != FS_VALUE_BYTES) return FS_ERR_TYPE;
    mask->bits = value.bytes;
    mask->size = value.size;
    return FS_OK;
}

static int print_attributes(struct encoder *encoder, const struct mask *mask) {
    const struct fs_layer *layer = encoder->layer;
    struct fs_out *out = &encoder->out;
    bool first = true;
    fs_json_print_text(out, "{\"attributes\":{");
    for (size_t i = 0; i < layer->column_count; i++) {
        struct fs_value value;
        encoder->progress->column = i;
        size_t start = encoder->marshal.at;
        int status = fs_marshal_value(&encoder->marshal, &value);
        if (status != FS_OK) return status;
        if (!is_set(mask, i) && i != layer->key_column) continue;
        fs_out_bytes(out, layer->columns[i].label + first, layer->columns[i].label_size - first);
        first = false;
        status = print_value(out, layer->columns[i].type, &value);
        if (status != FS_OK) {
            encoder->marshal.at = start;
            return status;
        }
    }
    fs_out_byte(out, '}');
    return FS_OK;
}

/* A geometry may say in which reference it is; the brace that ends it gives way for that. */
static void print_reference(struct fs_out *out, const struct fs_layer *layer) {
    if (layer->reference == NULL || out->size == 0) return;
    out->size--;
    fs_json_print_text(out, ",\"spatialReference\":");
    fs_out_bytes(out, layer->reference, layer->reference_size);
    fs_out_byte(out, '}');
}

static int print_geometry(struct encoder *encoder, const struct mask *mask) {
    const struct fs_layer *layer = encoder->layer;
    struct fs_value value;
    if (layer->geometry_kind == FS_GEOMETRY_ANY) return FS_OK;
    encoder->progress->column = layer->column_count;
    size_t start = encoder->marshal.at;
    int status = fs_marshal_value(&encoder->marshal, &value);
    if (status != FS_OK || !is_set(mask, layer->column_count)) return status;
    if (value.kind == FS_VALUE_NONE) {
        if (!mask->all) fs_json_print_text(&encoder->out, ",\"geometry\":null");
        return FS_OK;
    }
    if (value.kind != FS_VALUE_BYTES) {
        encoder->marshal.at = start;
        return FS_ERR_TYPE;
    }
    size_t at;
    fs_json_print_text(&encoder->out, ",\"geometry\":");
    status = fs_geometry_print(&encoder->out, value.bytes, value.size, layer->geometry_kind,
                               layer->dims, &at);
    if (status != FS_OK)
        encoder->marshal.at -= value.size - at;
    else
        print_reference(&encoder->out, layer);
    return status;
}

static int print_feature(struct encoder *encoder) {
    const struct fs_layer *layer = encoder->layer;
    struct mask mask = {NULL, 0, false};
    size_t width = layer->column_count + (layer->geometry_kind != FS_GEOMETRY_ANY) +
                   (encoder->form == FS_ENCODE_UPDATES);
    size_t count;
    encoder->progress->column = SIZE_MAX;
    int status = fs_marshal_tuple(&encoder->marshal, &count);
    if (status == FS_OK && count != width) status = FS_ERR_SYNTAX;
    if (status == FS_OK) status = read_mask(encoder, &mask);
    if (status == FS_OK) status = print_attributes(encoder, &mask);
    if (status == FS_OK) status = print_geometry(encoder, &mask);
    fs_out_byte(&encoder->out, '}');
    return status;
}

int fs_encode_rows(const struct fs_layer *layer, int form, const uint8_t *batch, size_t size,
                   struct fs_encode_progress *progress, uint8_t *out, size_t out_size,
                   struct fs_result *result) {
    struct encoder encoder = {.layer = layer,
                              .form = form,
                              .marshal = {batch, size, progress->at},
                              .progress = progress,
                              .out = {out, out_size, 0}};
    int status = FS_OK;
    if (progress->at == 0) status = fs_marshal_list(&encoder.marshal, &progress->rows);
    if (status == FS_OK) progress->at = encoder.marshal.at;
    size_t done = 0;
    while (status == FS_OK && progress->row < progress->rows) {
        if (progress->written > 0) fs_out_byte(&encoder.out, ',');
        status = print_feature(&encoder);
        if (status != FS_OK) break;
        if (fs_out_overflowed(&encoder.out)) {
            *result = (struct fs_result){done > 0 ? done : encoder.out.size, 0};
            return done > 0 ? FS_BATCH : FS_NEED_OUTPUT;
        }
        done = encoder.out.size;
        progress->at = encoder.marshal.at;
        progress->row++;
        progress->written++;
    }
    if (status == FS_OK && encoder.marshal.at != size) status = FS_ERR_TRAILING;
    *result = (struct fs_result){done, encoder.marshal.at};
    return status;
}
