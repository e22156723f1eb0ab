/* Writing a geometry column: points on the grid as integer runs, the rest vertex by vertex. */
#include <math.h>

#include "delta_geometry.h"
#include "fs_geometry.h"

#define OFF_GRID (FS_GRID_PLACES_MAX + 1)

/* ---- grid ---- */

static int places_of(double value, int least) {
    int64_t integer;
    for (int places = least; places <= FS_GRID_PLACES_MAX; places++)
        if (fs_on_grid(value, places, &integer)) return places;
    return OFF_GRID;
}

/* Decimal places that each ordinate of a shape needs; x and y share theirs. */
static void places_of_shape(const struct fs_delta_geometry *geometry, const struct fs_shape *shape,
                            int needed[FS_AXES]) {
    for (size_t axis = 0; axis < geometry->stride; axis++) needed[axis] = 0;
    for (size_t i = 0; i < shape->vertex_count; i++)
        for (size_t axis = 0; axis < geometry->stride; axis++) {
            int *places = &needed[axis == 1 ? 0 : axis];
            if (*places == OFF_GRID) continue;
            *places = places_of(shape->vertices[i * geometry->stride + axis], *places);
        }
    needed[1] = needed[0];
}

static bool fits_grid(const struct fs_delta_geometry *geometry, const struct fs_shape *shape) {
    int64_t integer;
    for (size_t i = 0; i < shape->vertex_count * geometry->stride; i++)
        if (!fs_on_grid(shape->vertices[i], geometry->places[i % geometry->stride], &integer))
            return false;
    return true;
}

/* The grid that makes the column cheapest: 3.32 bits per place on it, some 48 bits off it. */
static void choose_places(struct fs_delta_geometry *geometry,
                          size_t weights[FS_AXES][OFF_GRID + 1]) {
    for (size_t axis = 0; axis < geometry->stride; axis++) {
        double least = INFINITY;
        for (int places = 0; places <= FS_GRID_PLACES_MAX; places++) {
            double cost = 0;
            for (int needed = 0; needed <= OFF_GRID; needed++)
                cost += (double)weights[axis][needed] * (needed <= places ? 3.32 * places : 48.0);
            if (cost < least) {
                least = cost;
                geometry->places[axis] = places;
            }
        }
    }
}

static int survey(struct fs_delta_geometry *geometry) {
    struct fs_delta_work *work = geometry->work;
    size_t weights[FS_AXES][OFF_GRID + 1] = {{0}};
    struct fs_marshal list = geometry->values;
    for (size_t i = 0; i < geometry->count; i++) {
        struct fs_value value;
        struct fs_shape shape;
        bool read;
        int needed[FS_AXES];
        int status = fs_delta_next(geometry, &list, 0, &value, &shape, &read);
        if (status != FS_OK) return status;
        work->classes[i] = value.kind == FS_VALUE_NONE ? FS_CLASS_NULL : FS_CLASS_TAGGED;
        if (!read) continue;
        work->classes[i] = FS_CLASS_REGULAR;
        places_of_shape(geometry, &shape, needed);
        for (size_t axis = 0; axis < geometry->stride; axis++)
            weights[axis][needed[axis]] += shape.vertex_count;
    }
    if (list.at != list.size) return FS_ERR_TRAILING;
    choose_places(geometry, weights);
    return FS_OK;
}

/* ---- writing ---- */

static size_t common_prefix(const struct fs_delta_geometry *geometry, const struct fs_shape *a,
                            const struct fs_shape *b) {
    size_t count = a->vertex_count < b->vertex_count ? a->vertex_count : b->vertex_count;
    size_t size = geometry->stride * sizeof(double);
    size_t i = 0;
    while (i < count && memcmp(a->vertices + i * geometry->stride,
                               b->vertices + i * geometry->stride, size) == 0)
        i++;
    return i;
}

static void put_structure(struct fs_delta_writer *writer, const struct fs_delta_geometry *geometry,
                          const struct fs_shape *shape, struct fs_prediction *prediction) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    const struct fs_shape *base = prediction->base;
    if (base != NULL) {
        bool same = base->code_count == shape->code_count &&
                    memcmp(base->codes, shape->codes, shape->code_count * 4) == 0;
        fs_out_byte(numbers, !same);
        prediction->prefix = base->vertex_count;
        if (same) return;
        prediction->prefix = common_prefix(geometry, shape, base);
        fs_put_varint(numbers, prediction->prefix);
    }
    for (size_t i = 0; i < shape->code_count; i++) fs_put_varint(numbers, shape->codes[i]);
}

static void put_vertices(struct fs_delta_writer *writer, struct fs_delta_geometry *geometry,
                         const struct fs_shape *shape, const struct fs_prediction *prediction,
                         bool whole) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    struct fs_runs runs = fs_runs(geometry, shape);
    for (size_t i = 0; i < shape->vertex_count; i++) {
        const double *vertex = shape->vertices + i * geometry->stride;
        const double *expected =
            fs_predict(geometry, prediction, shape, i, fs_ring_start(&runs, i));
        for (size_t axis = 0; axis < geometry->stride; axis++) {
            if (whole) {
                uint8_t bytes[8];
                fs_store_u64(bytes, fs_bits_of(vertex[axis]) ^ fs_bits_of(expected[axis]));
                fs_out_bytes(numbers, bytes, sizeof bytes);
                continue;
            }
            int64_t value = fs_grid_or_zero(vertex[axis], geometry->places[axis]);
            uint64_t guess = (uint64_t)fs_grid_or_zero(expected[axis], geometry->places[axis]);
            fs_put_varint(numbers, fs_zigzag((int64_t)((uint64_t)value - guess)));
        }
    }
}

/* Row by row. Points on the grid are left to the integer runs. */
static int put_shapes(struct fs_delta_writer *writer, struct fs_delta_geometry *geometry) {
    const uint8_t *classes = geometry->work->classes;
    bool points = geometry->layer->geometry_kind == FS_GEOMETRY_POINT;
    struct fs_marshal values = geometry->values;
    for (size_t i = 0; i < geometry->count; i++) {
        struct fs_shape shape, base;
        struct fs_value value;
        bool read, base_read;
        size_t used;
        int status = fs_delta_next_base(geometry, &base, &base_read, &used);
        if (status == FS_OK) status = fs_delta_next(geometry, &values, used, &value, &shape, &read);
        if (status != FS_OK) return status;
        if (classes[i] == FS_CLASS_TAGGED) status = fs_put_tagged(writer, &value);
        if (status != FS_OK) return status;
        bool whole = classes[i] == FS_CLASS_WHOLE;
        if (!whole && (points || classes[i] != FS_CLASS_REGULAR)) continue;
        struct fs_prediction prediction = {base_read ? &base : NULL, 0, geometry->anchor};
        put_structure(writer, geometry, &shape, &prediction);
        put_vertices(writer, geometry, &shape, &prediction, whole);
        if (!whole) memcpy(geometry->anchor, shape.vertices, geometry->stride * sizeof(double));
    }
    return FS_OK;
}

static int put_points(struct fs_delta_writer *writer, struct fs_delta_geometry *geometry) {
    size_t used;
    for (size_t axis = 0; axis < geometry->stride; axis++) {
        int status = fs_delta_gather(geometry, axis, &used);
        if (status != FS_OK) return status;
        fs_put_integers(writer, geometry->work->values,
                        geometry->has_base ? geometry->work->base : NULL, used);
    }
    return FS_OK;
}

static int mark_whole(struct fs_delta_geometry *geometry) {
    struct fs_marshal list = geometry->values;
    for (size_t i = 0; i < geometry->count; i++) {
        struct fs_value value;
        struct fs_shape shape;
        bool read;
        int status = fs_delta_next(geometry, &list, 0, &value, &shape, &read);
        if (status != FS_OK) return status;
        if (read && !fits_grid(geometry, &shape)) geometry->work->classes[i] = FS_CLASS_WHOLE;
    }
    return FS_OK;
}

static int put_geometry(struct fs_delta_writer *writer, struct fs_delta_geometry *geometry) {
    bool points = geometry->layer->geometry_kind == FS_GEOMETRY_POINT;
    int status = survey(geometry);
    if (status == FS_OK) status = mark_whole(geometry);
    if (status != FS_OK) return status;
    fs_put_classes(writer, geometry->work->classes, geometry->count);
    for (size_t axis = 1; axis < geometry->stride; axis++)
        fs_out_byte(&writer->out[FS_DELTA_NUMBERS], (uint8_t)geometry->places[axis]);
    if (points) status = put_points(writer, geometry);
    return status == FS_OK ? put_shapes(writer, geometry) : status;
}

int fs_delta_put_geometry(const struct fs_layer *layer, const struct fs_delta_list *values,
                          const struct fs_delta_list *base, struct fs_delta_work *work,
                          void *shapes, size_t shapes_size, struct fs_delta_streams *streams,
                          struct fs_result *result) {
    struct fs_delta_geometry geometry;
    struct fs_marshal list;
    struct fs_delta_writer writer = fs_delta_writer(streams);
    int status = fs_delta_open(*values, &list, &geometry.count);
    if (status == FS_OK)
        status = fs_delta_open_geometry(&geometry, layer, *base, work, shapes, shapes_size);
    geometry.values = list;
    *result = (struct fs_result){0, 0};
    if (status == FS_OK) status = put_geometry(&writer, &geometry);
    if (status == FS_NEED_WORK) result->size = geometry.scratch_wanted * 2 + 8;
    return status == FS_OK ? fs_delta_commit(&writer, streams, result) : status;
}
