/* Reading a geometry column. */
#include "delta_geometry.h"
#include "fs_geometry.h"
#include "pickle.h"

/* Reads a shape's codes; with shape->codes NULL it only counts them and the vertices. Each vertex
 * takes at least a byte per ordinate: `vertices_max` is what can still be there. */
static int get_code(struct fs_delta_streams *streams, struct fs_shape *shape, size_t vertices_max,
                    uint32_t *code) {
    uint64_t value;
    int status = fs_get_varint(streams, &value);
    if (status != FS_OK) return status;
    if (value > vertices_max) return FS_ERR_TRUNCATED;
    *code = (uint32_t)value;
    if (shape->codes != NULL) shape->codes[shape->code_count] = *code;
    shape->code_count++;
    return FS_OK;
}

static int get_run(struct fs_delta_streams *streams, struct fs_shape *shape, size_t vertices_max) {
    uint32_t vertices;
    int status = get_code(streams, shape, vertices_max, &vertices);
    if (status != FS_OK) return status;
    if (vertices > vertices_max - shape->vertex_count) return FS_ERR_TRUNCATED;
    shape->vertex_count += vertices;
    return FS_OK;
}

static int get_codes(struct fs_delta_streams *streams, int kind, struct fs_shape *shape,
                     size_t vertices_max) {
    uint32_t parts, rings = 1;
    if (kind == FS_GEOMETRY_POINT) return FS_OK;
    if (kind == FS_GEOMETRY_MULTIPOINT) return get_run(streams, shape, vertices_max);
    int status = get_code(streams, shape, vertices_max, &parts);
    for (; status == FS_OK && parts > 0; parts--) {
        rings = 1;
        if (kind == FS_GEOMETRY_POLYGON) status = get_code(streams, shape, vertices_max, &rings);
        for (; status == FS_OK && rings > 0; rings--)
            status = get_run(streams, shape, vertices_max);
    }
    return status;
}

static int take_room(struct fs_delta_geometry *geometry, size_t offset, struct fs_shape *shape) {
    size_t vertices_size = shape->vertex_count * geometry->stride * sizeof(double);
    size_t size = vertices_size + shape->code_count * sizeof(uint32_t);
    if (!fs_delta_room(geometry, offset + size)) return FS_NEED_WORK;
    shape->vertices = (void *)(geometry->scratch + offset);
    shape->codes = (void *)(geometry->scratch + offset + vertices_size);
    return FS_OK;
}

static int get_own_structure(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                             size_t offset, struct fs_shape *shape) {
    int kind = geometry->layer->geometry_kind;
    size_t left = streams->size[FS_DELTA_NUMBERS] - streams->at[FS_DELTA_NUMBERS];
    size_t vertices_max = left / geometry->stride;
    struct fs_delta_streams start = *streams;
    int status = get_codes(streams, kind, shape, vertices_max);
    if (status == FS_OK && shape->vertex_count == 0) return FS_ERR_SYNTAX;
    if (status == FS_OK) status = take_room(geometry, offset, shape);
    if (status != FS_OK) return status;
    *streams = start;
    shape->code_count = 0;
    shape->vertex_count = kind == FS_GEOMETRY_POINT;
    return get_codes(streams, kind, shape, vertices_max);
}

static int get_structure(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                         size_t offset, struct fs_shape *shape, struct fs_prediction *prediction) {
    const struct fs_shape *base = prediction->base;
    *shape = (struct fs_shape){.vertex_count = geometry->layer->geometry_kind == FS_GEOMETRY_POINT};
    if (base == NULL) return get_own_structure(streams, geometry, offset, shape);
    const uint8_t *differs;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &differs);
    if (status != FS_OK) return status;
    prediction->prefix = base->vertex_count;
    if (*differs == 0) {
        shape->vertex_count = base->vertex_count;
        shape->code_count = base->code_count;
        status = take_room(geometry, offset, shape);
        if (status == FS_OK && base->code_count > 0)
            memcpy(shape->codes, base->codes, base->code_count * sizeof(uint32_t));
        return status;
    }
    uint64_t prefix;
    status = *differs == 1 ? fs_get_varint(streams, &prefix) : FS_ERR_SYNTAX;
    if (status != FS_OK) return status;
    if (prefix > base->vertex_count) return FS_ERR_SYNTAX;
    prediction->prefix = (size_t)prefix;
    return get_own_structure(streams, geometry, offset, shape);
}

static int get_ordinate(struct fs_delta_streams *streams, double expected, int places, bool whole,
                        double *value) {
    if (whole) {
        const uint8_t *bytes;
        int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 8, &bytes);
        if (status != FS_OK) return status;
        uint64_t bits = fs_bits_of(fs_load_f64(bytes, true)) ^ fs_bits_of(expected);
        memcpy(value, &bits, sizeof bits);
        return FS_OK;
    }
    uint64_t step;
    int status = fs_get_varint(streams, &step);
    if (status != FS_OK) return status;
    uint64_t guess = (uint64_t)fs_grid_or_zero(expected, places);
    *value = fs_from_grid((int64_t)(guess + (uint64_t)fs_unzigzag(step)), places);
    return FS_OK;
}

static int get_vertices(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                        struct fs_shape *shape, const struct fs_prediction *prediction,
                        bool whole) {
    struct fs_runs runs = fs_runs(geometry, shape);
    for (size_t i = 0; i < shape->vertex_count; i++) {
        double *vertex = shape->vertices + i * geometry->stride;
        const double *expected =
            fs_predict(geometry, prediction, shape, i, fs_ring_start(&runs, i));
        for (size_t axis = 0; axis < geometry->stride; axis++) {
            int status =
                get_ordinate(streams, expected[axis], geometry->places[axis], whole, &vertex[axis]);
            if (status != FS_OK) return status;
        }
    }
    return FS_OK;
}

static void pickle_shape(const struct fs_delta_geometry *geometry, const struct fs_shape *shape,
                         struct fs_out *out) {
    size_t mark = fs_pickle_bytes_start(out);
    fs_shape_print(geometry->layer, shape, out);
    fs_pickle_bytes_end(out, mark);
}

static int get_shape(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                     bool whole, const struct fs_shape *base, size_t offset, struct fs_out *out) {
    struct fs_shape shape;
    struct fs_prediction prediction = {base, 0, geometry->anchor};
    int status = get_structure(streams, geometry, offset, &shape, &prediction);
    if (status == FS_OK) status = get_vertices(streams, geometry, &shape, &prediction, whole);
    if (status != FS_OK) return status;
    if (!whole) memcpy(geometry->anchor, shape.vertices, geometry->stride * sizeof(double));
    pickle_shape(geometry, &shape, out);
    return FS_OK;
}

/* The point whose ordinates wait in `axes`, one run after the other. */
static void get_point(const struct fs_delta_geometry *geometry, const int64_t *axes, size_t used,
                      size_t place, struct fs_out *out) {
    double vertex[FS_AXES];
    struct fs_shape shape = {.vertices = vertex, .vertex_count = 1};
    for (size_t axis = 0; axis < geometry->stride; axis++)
        vertex[axis] = fs_from_grid(axes[axis * used + place], geometry->places[axis]);
    pickle_shape(geometry, &shape, out);
}

static int get_axes(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                    int64_t **axes, size_t *used, size_t *reserved) {
    size_t count = 0;
    for (size_t i = 0; i < geometry->count; i++)
        count += geometry->work->classes[i] == FS_CLASS_REGULAR;
    *reserved = count * geometry->stride * sizeof(int64_t);
    if (!fs_delta_room(geometry, *reserved)) return FS_NEED_WORK;
    *axes = (void *)geometry->scratch;
    *used = count;
    /* The bases' shapes are read behind the ordinates that wait. */
    uint8_t *scratch = geometry->scratch;
    size_t size = geometry->scratch_size;
    int status = FS_OK;
    for (size_t axis = 0; axis < geometry->stride && status == FS_OK; axis++) {
        geometry->scratch = scratch + *reserved;
        geometry->scratch_size = size - *reserved;
        status = fs_delta_gather(geometry, axis, &count);
        geometry->scratch = scratch;
        geometry->scratch_size = size;
        if (status == FS_NEED_WORK) geometry->scratch_wanted += *reserved;
        if (status == FS_OK)
            status = fs_get_integers(streams, *axes + axis * *used,
                                     geometry->has_base ? geometry->work->base : NULL, *used);
    }
    return status;
}

static int get_rows(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                    struct fs_out *out) {
    const uint8_t *classes = geometry->work->classes;
    bool points = geometry->layer->geometry_kind == FS_GEOMETRY_POINT;
    int64_t *axes = NULL;
    size_t used = 0, reserved = 0, place = 0;
    int status = points ? get_axes(streams, geometry, &axes, &used, &reserved) : FS_OK;
    geometry->scratch += reserved;
    geometry->scratch_size -= reserved;
    fs_pickle_list_start(out);
    for (size_t i = 0; i < geometry->count && status == FS_OK; i++) {
        struct fs_shape base;
        bool base_read;
        size_t offset;
        status = fs_delta_next_base(geometry, &base, &base_read, &offset);
        if (status != FS_OK) break;
        bool whole = classes[i] == FS_CLASS_WHOLE;
        if (classes[i] == FS_CLASS_NULL)
            fs_pickle_none(out);
        else if (classes[i] == FS_CLASS_TAGGED)
            status = fs_get_tagged(streams, out);
        else if (points && !whole)
            get_point(geometry, axes, used, place++, out);
        else
            status = get_shape(streams, geometry, whole, base_read ? &base : NULL, offset, out);
    }
    fs_pickle_list_end(out);
    geometry->scratch_wanted += reserved;
    return status;
}

static int get_geometry(struct fs_delta_streams *streams, struct fs_delta_geometry *geometry,
                        struct fs_out *out) {
    const uint8_t *places;
    int status = fs_get_classes(streams, geometry->work->classes, geometry->count, FS_CLASS_WHOLE);
    if (status == FS_OK)
        status = fs_get_bytes(streams, FS_DELTA_NUMBERS, geometry->stride - 1, &places);
    if (status != FS_OK) return status;
    for (size_t axis = 0; axis < geometry->stride; axis++) {
        geometry->places[axis] = places[axis == 0 ? 0 : axis - 1];
        if (geometry->places[axis] > FS_GRID_PLACES_MAX) return FS_ERR_SYNTAX;
    }
    return get_rows(streams, geometry, out);
}

int fs_delta_get_geometry(const struct fs_layer *layer, size_t count,
                          const struct fs_delta_list *base, struct fs_delta_work *work,
                          void *shapes, size_t shapes_size, struct fs_delta_streams *streams,
                          uint8_t *out, size_t out_size, struct fs_result *result) {
    struct fs_out sink = {out, out_size, 0};
    struct fs_delta_streams next = *streams;
    struct fs_delta_geometry geometry = {.count = count};
    if (count > FS_DELTA_ROWS_MAX) return FS_ERR_LIMIT;
    int status = fs_delta_open_geometry(&geometry, layer, *base, work, shapes, shapes_size);
    if (status == FS_OK) status = get_geometry(&next, &geometry, &sink);
    *result = (struct fs_result){sink.size, next.at[FS_DELTA_NUMBERS]};
    if (status == FS_NEED_WORK) result->size = geometry.scratch_wanted * 2 + 8;
    if (status != FS_OK) return status;
    if (fs_out_overflowed(&sink)) return FS_NEED_OUTPUT;
    *streams = next;
    return FS_OK;
}
