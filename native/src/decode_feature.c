/* One feature, complete in memory: its attributes into cells, its geometry into the work buffer,
 * then the row in the order of the layer's columns. */
#include <math.h>

#include "cell.h"
#include "decoder.h"
#include "fs_geometry.h"
#include "geometry_reader.h"
#include "guid.h"
#include "pickle.h"

struct feature {
    struct fs_geometry_reader geometry;
    bool has_geometry;  /* the member is there */
    bool null_geometry; /* and is null */
    size_t column;      /* the column being worked on, for the report */
};

static int read_attributes(struct fs_decoder *decoder, struct fs_json *json) {
    const struct fs_layer *layer = decoder->layer;
    struct fs_json_string name;
    bool first = true;
    if (fs_json_literal(json, "null")) return FS_OK;
    if (!fs_json_take(json, '{')) return fs_json_unexpected(json);
    for (;;) {
        int status = fs_json_member(json, &first, &name);
        if (status != FS_OK) return status == FS_EMPTY ? FS_OK : status;
        size_t column = fs_layer_find(layer, &name);
        status = column == layer->column_count ? fs_json_skip(json)
                                               : fs_cell_read(json, &decoder->config.cells[column]);
        if (status != FS_OK) return status;
    }
}

static int read_geometry(struct fs_decoder *decoder, struct feature *feature,
                         struct fs_json *json) {
    const struct fs_layer *layer = decoder->layer;
    if (layer->geometry_kind == FS_GEOMETRY_ANY) return fs_json_skip(json);
    fs_geometry_reader_init(&feature->geometry, layer->geometry_kind, layer->dims,
                            decoder->config.work, decoder->config.work_size);
    int status = fs_geometry_read(&feature->geometry, json);
    if (status == FS_NEED_WORK) {
        decoder->wanted = decoder->config.work_size * 2;
        return decoder->wanted > decoder->config.work_limit ? FS_ERR_LIMIT : FS_NEED_WORK;
    }
    feature->has_geometry = true;
    feature->null_geometry = status == FS_EMPTY;
    return status == FS_EMPTY ? FS_OK : status;
}

static int read_feature(struct fs_decoder *decoder, struct feature *feature, struct fs_json *json) {
    struct fs_json_string name;
    bool first = true;
    for (size_t i = 0; i < decoder->layer->column_count; i++) decoder->config.cells[i].kind = 0;
    if (!fs_json_take(json, '{')) return fs_json_unexpected(json);
    for (;;) {
        int status = fs_json_member(json, &first, &name);
        if (status == FS_EMPTY) break;
        if (status != FS_OK) return status;
        if (fs_json_equals(&name, "attributes"))
            status = read_attributes(decoder, json);
        else if (fs_json_equals(&name, "geometry"))
            status = read_geometry(decoder, feature, json);
        else
            status = fs_json_skip(json);
        if (status != FS_OK) return status;
    }
    return json->at == json->size ? FS_OK : FS_ERR_TRAILING;
}

static bool is_partial(const struct fs_decoder *decoder, const struct feature *feature) {
    const struct fs_layer *layer = decoder->layer;
    if (layer->geometry_kind != FS_GEOMETRY_ANY && !feature->has_geometry) return true;
    for (size_t i = 0; i < layer->column_count; i++)
        if (decoder->config.cells[i].kind == 0) return true;
    return false;
}

static int put_values(struct fs_decoder *decoder, struct feature *feature) {
    const struct fs_layer *layer = decoder->layer;
    struct fs_out *out = &decoder->out;
    fs_pickle_tuple_start(out);
    for (size_t i = 0; i < layer->column_count; i++) {
        feature->column = i;
        int status = fs_cell_pickle(&decoder->config.cells[i], layer->columns[i].type, out);
        if (status != FS_OK) return status;
    }
    feature->column = SIZE_MAX;
    if (layer->geometry_kind != FS_GEOMETRY_ANY) {
        if (!feature->has_geometry || feature->null_geometry) {
            fs_pickle_none(out);
        } else {
            size_t mark = fs_pickle_bytes_start(out);
            fs_geometry_put(&feature->geometry, layer->srs_id, out);
            fs_pickle_bytes_end(out, mark);
        }
    }
    fs_pickle_tuple_end(out);
    return FS_OK;
}

static void put_missing(struct fs_decoder *decoder, const struct feature *feature) {
    const struct fs_layer *layer = decoder->layer;
    struct fs_out *out = &decoder->out;
    fs_pickle_tuple_start(out);
    for (size_t i = 0; i < layer->column_count; i++)
        if (decoder->config.cells[i].kind == 0) fs_pickle_integer(out, (int64_t)i);
    if (layer->geometry_kind != FS_GEOMETRY_ANY && !feature->has_geometry)
        fs_pickle_integer(out, (int64_t)layer->column_count);
    fs_pickle_tuple_end(out);
}

static void put_bounds(struct fs_decoder *decoder, const struct feature *feature) {
    double *bounds = decoder->config.bounds + decoder->batch.count * 4;
    const struct fs_geometry_reader *geometry = &feature->geometry;
    bool none = !feature->has_geometry || feature->null_geometry || geometry->vertex_count == 0;
    for (size_t axis = 0; axis < 2; axis++) {
        bounds[axis * 2] = none ? NAN : geometry->min[axis];
        bounds[axis * 2 + 1] = none ? NAN : geometry->max[axis];
    }
}

static int put_row(struct fs_decoder *decoder, struct feature *feature) {
    int operation = fs_decode_frame(decoder)->operation;
    bool partial = operation == FS_UPDATES && is_partial(decoder, feature);
    struct fs_batch batch = {.kind = partial ? FS_BATCH_PARTIAL : FS_BATCH_ROWS,
                             .operation = operation,
                             .layer = decoder->layer_id};
    int status = fs_decode_begin(decoder, &batch);
    if (status != FS_OK) return status;
    struct fs_out *out = &decoder->out;
    size_t mark = out->size;
    if (partial) fs_pickle_tuple_start(out);
    status = put_values(decoder, feature);
    if (status != FS_OK) {
        out->size = mark;
        return status;
    }
    if (partial) {
        put_missing(decoder, feature);
        fs_pickle_tuple_end(out);
    }
    put_bounds(decoder, feature);
    return fs_decode_commit(decoder, mark);
}

int fs_decode_feature(struct fs_decoder *decoder, const struct fs_item *item) {
    if (item->text == NULL) return fs_decode_bad(decoder, item, FS_ERR_LIMIT, 0, SIZE_MAX);
    struct feature feature;
    feature.has_geometry = false;
    feature.column = SIZE_MAX;
    struct fs_json json = {item->text, item->size, 0};
    int status = read_feature(decoder, &feature, &json);
    if (status == FS_OK) status = put_row(decoder, &feature);
    if (status >= 0) return status;
    size_t at = json.at;
    if (feature.column != SIZE_MAX)
        at = (size_t)(decoder->config.cells[feature.column].text - item->text);
    return fs_decode_bad(decoder, item, status, at, feature.column);
}

/* The GUID among the attributes of a deleted row that was sent whole. */
static int key_of_feature(struct fs_decoder *decoder, struct fs_json *json, struct fs_cell *key) {
    struct feature feature;
    const struct fs_layer *layer = decoder->layer;
    if (layer->key_column >= layer->column_count) return FS_ERR_TYPE;
    int status = read_feature(decoder, &feature, json);
    if (status == FS_OK) *key = decoder->config.cells[layer->key_column];
    return status;
}

int fs_decode_delete(struct fs_decoder *decoder, const struct fs_item *item) {
    if (item->text == NULL) return fs_decode_bad(decoder, item, FS_ERR_LIMIT, 0, SIZE_MAX);
    const struct fs_frame *frame = fs_decode_frame(decoder);
    struct fs_json json = {item->text, item->size, 0};
    struct fs_cell id = {NULL, 0, 0, false};
    int status = item->text[0] == '{' && !frame->attachments ? key_of_feature(decoder, &json, &id)
                                                             : fs_cell_read(&json, &id);
    if (status > 0) return status;
    if (status == FS_OK && id.kind != '"' && id.kind != '0') status = FS_ERR_TYPE;
    if (status != FS_OK) return fs_decode_bad(decoder, item, status, json.at, SIZE_MAX);
    struct fs_batch batch = {.kind = FS_BATCH_DELETES,
                             .operation = FS_DELETES,
                             .attachments = frame->attachments,
                             .layer = decoder->layer_id};
    status = fs_decode_begin(decoder, &batch);
    if (status != FS_OK) return status;
    size_t mark = decoder->out.size;
    status =
        fs_cell_pickle(&id, id.kind == '"' ? FS_COLUMN_GUID : FS_COLUMN_INTEGER, &decoder->out);
    if (status == FS_OK) return fs_decode_commit(decoder, mark);
    decoder->out.size = mark;
    return fs_decode_bad(decoder, item, status, 0, SIZE_MAX);
}
