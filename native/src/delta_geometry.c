/* What writing and reading a geometry column have in common: the lists, and what a vertex is
 * expected to be. */
#include "delta_geometry.h"

#include "fs_geometry.h"

static void *aligned(void *memory, size_t *size) {
    size_t skip = (8 - (uintptr_t)memory % 8) % 8;
    if (skip > *size) skip = *size;
    *size -= skip;
    return (uint8_t *)memory + skip;
}

/* ---- the next geometry of a list ---- */

bool fs_delta_room(struct fs_delta_geometry *geometry, size_t wanted) {
    if (wanted > geometry->scratch_wanted) geometry->scratch_wanted = wanted;
    return wanted <= geometry->scratch_size;
}

/* The next value; *read tells whether it is a blob that has a shape. */
int fs_delta_next(struct fs_delta_geometry *geometry, struct fs_marshal *list, size_t offset,
                  struct fs_value *value, struct fs_shape *shape, bool *read) {
    *read = false;
    int status = fs_marshal_value(list, value);
    if (status != FS_OK || value->kind != FS_VALUE_BYTES) return status;
    if (!fs_delta_room(geometry, offset + fs_shape_size(value->size))) return FS_NEED_WORK;
    *read = fs_shape_read(geometry->layer, value->bytes, value->size, geometry->scratch + offset,
                          shape);
    return FS_OK;
}

/* The base's shape for this row lies at the start of the scratch. */
int fs_delta_next_base(struct fs_delta_geometry *geometry, struct fs_shape *shape, bool *read,
                       size_t *used) {
    struct fs_value value = {.size = 0};
    *read = false;
    *used = 0;
    if (!geometry->has_base) return FS_OK;
    int status = fs_delta_next(geometry, &geometry->base, 0, &value, shape, read);
    if (status == FS_OK && value.kind == FS_VALUE_BYTES) *used = fs_shape_size(value.size);
    return status;
}

/* ---- prediction ---- */

static const double *base_vertex(const struct fs_delta_geometry *geometry,
                                 const struct fs_prediction *prediction, size_t i, size_t count) {
    const struct fs_shape *base = prediction->base;
    if (base == NULL) return NULL;
    if (i < prediction->prefix) return base->vertices + i * geometry->stride;
    size_t from_end = count - i;
    if (from_end > base->vertex_count || base->vertex_count - from_end < prediction->prefix)
        return NULL;
    return base->vertices + (base->vertex_count - from_end) * geometry->stride;
}

/* ring_start: index of the ring's first vertex if i closes a ring, else SIZE_MAX. */
const double *fs_predict(const struct fs_delta_geometry *geometry,
                         const struct fs_prediction *prediction, const struct fs_shape *shape,
                         size_t i, size_t ring_start) {
    const double *vertex = base_vertex(geometry, prediction, i, shape->vertex_count);
    if (vertex != NULL) return vertex;
    if (ring_start != SIZE_MAX) return shape->vertices + ring_start * geometry->stride;
    return i == 0 ? prediction->anchor : shape->vertices + (i - 1) * geometry->stride;
}

static void next_run(struct fs_runs *runs) {
    const uint32_t *codes = runs->shape->codes;
    runs->start = runs->end;
    if (runs->geometry->layer->geometry_kind == FS_GEOMETRY_POLYGON)
        while (runs->rings_left == 0 && runs->code < runs->shape->code_count)
            runs->rings_left = codes[runs->code++];
    if (runs->rings_left > 0) runs->rings_left--;
    runs->end += runs->code < runs->shape->code_count ? codes[runs->code++] : 0;
}

struct fs_runs fs_runs(const struct fs_delta_geometry *geometry, const struct fs_shape *shape) {
    bool listed = geometry->layer->geometry_kind != FS_GEOMETRY_MULTIPOINT;
    return (struct fs_runs){.geometry = geometry, .shape = shape, .code = listed ? 1 : 0};
}

size_t fs_ring_start(struct fs_runs *runs, size_t i) {
    while (i >= runs->end && runs->code < runs->shape->code_count) next_run(runs);
    bool closes = runs->geometry->layer->geometry_kind == FS_GEOMETRY_POLYGON && i + 1 == runs->end;
    return closes && i > runs->start ? runs->start : SIZE_MAX;
}

/* One ordinate of every point on the grid into work->values, of their bases into work->base. */
int fs_delta_gather(struct fs_delta_geometry *geometry, size_t axis, size_t *used) {
    struct fs_delta_work *work = geometry->work;
    struct fs_marshal values = geometry->values, base_list = geometry->base;
    int places = geometry->places[axis];
    *used = 0;
    for (size_t i = 0; i < geometry->count; i++) {
        struct fs_shape shape, base;
        struct fs_value value;
        bool read = false, base_read = false;
        int status = FS_OK;
        if (geometry->has_base)
            status = fs_delta_next(geometry, &base_list, 0, &value, &base, &base_read);
        int64_t guess = base_read ? fs_grid_or_zero(base.vertices[axis], places) : 0;
        if (status == FS_OK && values.data != NULL)
            status = fs_delta_next(geometry, &values, 0, &value, &shape, &read);
        if (status != FS_OK) return status;
        if (work->classes[i] != FS_CLASS_REGULAR) continue;
        work->base[*used] = guess;
        work->values[(*used)++] = read ? fs_grid_or_zero(shape.vertices[axis], places) : 0;
    }
    return FS_OK;
}

int fs_delta_open_geometry(struct fs_delta_geometry *geometry, const struct fs_layer *layer,
                           struct fs_delta_list base, struct fs_delta_work *work, void *shapes,
                           size_t shapes_size) {
    size_t base_count;
    *geometry = (struct fs_delta_geometry){.layer = layer,
                                           .work = work,
                                           .has_base = base.data != NULL,
                                           .count = geometry->count,
                                           .stride = fs_shape_stride(layer)};
    geometry->scratch = aligned(shapes, &shapes_size);
    geometry->scratch_size = shapes_size;
    if (layer->geometry_kind == FS_GEOMETRY_ANY) return FS_ERR_GEOMETRY;
    int status = fs_delta_open(base, &geometry->base, &base_count);
    return status == FS_OK && geometry->has_base && base_count != geometry->count ? FS_ERR_SYNTAX
                                                                                  : status;
}
