/* A geometry column in work. */
#ifndef FS_DELTA_GEOMETRY_H
#define FS_DELTA_GEOMETRY_H

#include "delta.h"
#include "shape.h"

#define FS_CLASS_WHOLE 3 /* some ordinate is on no grid: eight bytes each, xor what is expected */
#define FS_AXES 4

struct fs_delta_geometry {
    const struct fs_layer *layer;
    struct fs_delta_work *work;
    struct fs_marshal values, base;
    bool has_base;
    size_t count;
    size_t stride;
    int places[FS_AXES]; /* of each ordinate */
    uint8_t *scratch;
    size_t scratch_size, scratch_wanted;
    double anchor[FS_AXES]; /* the first vertex of the last geometry on the grid */
};

/* What a vertex is compared with, the same on both sides. */
struct fs_prediction {
    const struct fs_shape *base; /* NULL: none */
    size_t prefix;               /* vertices before it stand at the same place in the base */
    const double *anchor;
};

/* Walks the vertices run by run: where the run of vertex i ends and whether it is a ring. */
struct fs_runs {
    const struct fs_delta_geometry *geometry;
    const struct fs_shape *shape;
    size_t code, rings_left, start, end;
};

int fs_delta_open_geometry(struct fs_delta_geometry *geometry, const struct fs_layer *layer,
                           struct fs_delta_list base, struct fs_delta_work *work, void *shapes,
                           size_t shapes_size);

/* Whether the scratch has so many bytes; remembers the most that was asked for. */
bool fs_delta_room(struct fs_delta_geometry *geometry, size_t wanted);

/* The next value of a list, its shape at that offset in the scratch; *read tells whether it is a
 * blob that has a shape. */
int fs_delta_next(struct fs_delta_geometry *geometry, struct fs_marshal *list, size_t offset,
                  struct fs_value *value, struct fs_shape *shape, bool *read);

/* The base's shape for the next row, at the start of the scratch, *used bytes of it. */
int fs_delta_next_base(struct fs_delta_geometry *geometry, struct fs_shape *shape, bool *read,
                       size_t *used);

/* One ordinate of every point on the grid into work->values, of their bases into work->base. */
int fs_delta_gather(struct fs_delta_geometry *geometry, size_t axis, size_t *used);

/* What vertex i is compared with; start = what ring_start says about it. */
const double *fs_predict(const struct fs_delta_geometry *geometry,
                         const struct fs_prediction *prediction, const struct fs_shape *shape,
                         size_t i, size_t start);

struct fs_runs fs_runs(const struct fs_delta_geometry *geometry, const struct fs_shape *shape);

/* The index of its ring's first vertex if vertex i closes a ring, else SIZE_MAX. i only grows. */
size_t fs_ring_start(struct fs_runs *runs, size_t i);

static inline uint64_t fs_bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline int64_t fs_grid_or_zero(double value, int places) {
    int64_t integer;
    return fs_on_grid(value, places, &integer) ? integer : 0;
}

#endif
