/* Reading half of Esri JSON -> GeoPackage: vertices into the work buffer, rings sorted out there.
 */
#include <math.h>
#include <stdalign.h>

#include "fs_geometry.h"
#include "geometry_reader.h"

/* ---- vertices ---- */

static int take_work(struct fs_geometry_reader *reader, size_t size) {
    if (reader->work_free < size) return FS_NEED_WORK;
    reader->work_free -= size;
    return FS_OK;
}

static int add_vertex(struct fs_geometry_reader *reader, const double xyzm[4]) {
    if (reader->want_z && isnan(xyzm[2])) return FS_ERR_Z_MISSING;
    int status = take_work(reader, reader->stride * sizeof(double));
    if (status != FS_OK) return status;
    double *vertex = reader->vertices + reader->vertex_count * reader->stride;
    for (int axis = 0; axis < 2; axis++) {
        double value = xyzm[axis];
        vertex[axis] = value;
        if (value < reader->min[axis]) reader->min[axis] = value;
        if (value > reader->max[axis]) reader->max[axis] = value;
    }
    if (reader->want_z) vertex[2] = xyzm[2];
    if (reader->want_m) vertex[reader->stride - 1] = xyzm[3];
    reader->vertex_count++;
    return FS_OK;
}

/* A number; null and "NaN" are NaN. */
static int read_ordinate(struct fs_json *json, double *value) {
    uint8_t first = fs_json_peek(json);
    *value = NAN;
    if (first == 'n') return fs_json_literal(json, "null") ? FS_OK : fs_json_unexpected(json);
    if (first == '"') {
        struct fs_json_string string;
        size_t start = json->at;
        int status = fs_json_string(json, &string);
        if (status != FS_OK || fs_json_equals(&string, "NaN")) return status;
        json->at = start;
        return FS_ERR_NOT_FINITE;
    }
    struct fs_number number;
    size_t start = json->at;
    int status = fs_json_number(json, &number);
    if (status != FS_OK) return status;
    *value = fs_number_double(&number);
    if (isfinite(*value)) return FS_OK;
    json->at = start;
    return FS_ERR_NOT_FINITE;
}

static int read_vertex(struct fs_geometry_reader *reader) {
    struct fs_json *json = reader->json;
    if (fs_json_peek(json) == '{') return FS_ERR_CURVE;
    if (!fs_json_take(json, '[')) return fs_json_unexpected(json);
    size_t start = json->at;
    double read[4];
    size_t count = 0;
    bool first = true;
    for (;;) {
        int status = fs_json_element(json, &first);
        if (status == FS_EMPTY) break;
        if (status != FS_OK) return status;
        if (count == 4) return FS_ERR_VERTEX;
        status = read_ordinate(json, &read[count++]);
        if (status != FS_OK) return status;
    }
    size_t m_index = reader->source_z ? 3 : 2;
    if (count < 2 || isnan(read[0]) || isnan(read[1])) {
        json->at = start;
        return FS_ERR_VERTEX;
    }
    double xyzm[4] = {read[0], read[1], NAN, NAN};
    if (reader->source_z && count > 2) xyzm[2] = read[2];
    if (reader->source_m && count > m_index) xyzm[3] = read[m_index];
    int status = add_vertex(reader, xyzm);
    if (status < 0) json->at = start;
    return status;
}

static int read_vertices(struct fs_geometry_reader *reader) {
    struct fs_json *json = reader->json;
    if (!fs_json_take(json, '[')) return fs_json_unexpected(json);
    bool first = true;
    for (;;) {
        int status = fs_json_element(json, &first);
        if (status != FS_OK) return status == FS_EMPTY ? FS_OK : status;
        status = read_vertex(reader);
        if (status != FS_OK) return status;
    }
}

/* ---- parts ---- */

static int close_ring(struct fs_geometry_reader *reader, size_t start) {
    const double *first = reader->vertices + start * reader->stride;
    const double *last = reader->vertices + (reader->vertex_count - 1) * reader->stride;
    if (reader->vertex_count - start > 1 && first[0] == last[0] && first[1] == last[1])
        return FS_OK;
    double xyzm[4] = {first[0], first[1], NAN, NAN};
    if (reader->want_z) xyzm[2] = first[2];
    if (reader->want_m) xyzm[3] = first[reader->stride - 1];
    return add_vertex(reader, xyzm);
}

static int read_part(struct fs_geometry_reader *reader) {
    size_t start = reader->vertex_count;
    int status = read_vertices(reader);
    if (status != FS_OK || reader->vertex_count == start) return status;
    if (reader->kind == FS_GEOMETRY_POLYGON) status = close_ring(reader, start);
    if (status == FS_OK) status = take_work(reader, sizeof(struct fs_ring));
    if (status != FS_OK) return status;
    reader->rings--;
    reader->ring_count++;
    *reader->rings = (struct fs_ring){.start = start, .count = reader->vertex_count - start};
    return FS_OK;
}

static void put_rings_in_reading_order(struct fs_geometry_reader *reader) {
    for (size_t i = 0, j = reader->ring_count; i + 1 < j; i++) {
        struct fs_ring swapped = reader->rings[i];
        reader->rings[i] = reader->rings[--j];
        reader->rings[j] = swapped;
    }
}

static int read_parts(struct fs_geometry_reader *reader) {
    struct fs_json *json = reader->json;
    if (!fs_json_take(json, '[')) return fs_json_unexpected(json);
    bool first = true;
    for (;;) {
        int status = fs_json_element(json, &first);
        if (status == FS_EMPTY) break;
        if (status == FS_OK) status = read_part(reader);
        if (status != FS_OK) return status;
    }
    put_rings_in_reading_order(reader);
    return FS_OK;
}

static void reset_bounds(struct fs_geometry_reader *reader) {
    for (int axis = 0; axis < 2; axis++) {
        reader->min[axis] = INFINITY;
        reader->max[axis] = -INFINITY;
    }
}

static int read_coordinates(struct fs_geometry_reader *reader) {
    reader->work_free += reader->vertex_count * reader->stride * sizeof(double);
    reader->work_free += reader->ring_count * sizeof(struct fs_ring);
    reader->rings += reader->ring_count;
    reader->vertex_count = reader->ring_count = 0;
    reset_bounds(reader);
    if (fs_json_literal(reader->json, "null")) return FS_OK;
    return reader->kind == FS_GEOMETRY_MULTIPOINT ? read_vertices(reader) : read_parts(reader);
}

/* ---- members ---- */

static const char *const coordinate_names[] = {NULL, NULL, "points", "paths", "rings"};

static bool is_coordinates(const struct fs_geometry_reader *reader,
                           const struct fs_json_string *name) {
    return reader->kind != FS_GEOMETRY_POINT &&
           fs_json_equals(name, coordinate_names[reader->kind]);
}

static int refuse_other_kinds(const struct fs_json_string *name) {
    if (fs_json_equals(name, "curvePaths") || fs_json_equals(name, "curveRings"))
        return FS_ERR_CURVE;
    for (int kind = FS_GEOMETRY_MULTIPOINT; kind <= FS_GEOMETRY_POLYGON; kind++)
        if (fs_json_equals(name, coordinate_names[kind])) return FS_ERR_GEOMETRY;
    return FS_OK;
}

/* The axis that a one-letter member of a point names; -1 for others. */
static int point_axis(const struct fs_json_string *name) {
    static const char *const axes[] = {"x", "y", "z", "m"};
    for (int axis = 0; axis < 4; axis++)
        if (fs_json_equals(name, axes[axis])) return axis;
    return -1;
}

static int read_flag(struct fs_json *json, bool *flag, bool *seen) {
    if (fs_json_peek(json) == 't' && fs_json_literal(json, "true"))
        *flag = *seen = true;
    else if (fs_json_peek(json) == 'f' && fs_json_literal(json, "false")) {
        *flag = false;
        *seen = true;
    } else
        return fs_json_skip(json);
    return FS_OK;
}

struct members {
    bool z, z_seen, m, m_seen; /* hasZ and hasM */
    bool coordinates_seen;
    size_t coordinates_at;
};

static int read_member(struct fs_geometry_reader *reader, struct members *members,
                       const struct fs_json_string *name, size_t name_at) {
    struct fs_json *json = reader->json;
    if (is_coordinates(reader, name)) {
        fs_json_peek(json);
        members->coordinates_seen = true;
        members->coordinates_at = json->at;
        return read_coordinates(reader);
    }
    int axis = reader->kind == FS_GEOMETRY_POINT ? point_axis(name) : -1;
    if (axis >= 0) return read_ordinate(json, &reader->point[axis]);
    if (fs_json_equals(name, "hasZ")) return read_flag(json, &members->z, &members->z_seen);
    if (fs_json_equals(name, "hasM")) return read_flag(json, &members->m, &members->m_seen);
    int status = refuse_other_kinds(name);
    if (status == FS_OK) return fs_json_skip(json);
    json->at = name_at;
    return status;
}

/* hasZ and hasM may follow the coordinates: those were read on the layer's word and are read again
 * if the geometry says otherwise. Without hasZ, hasM alone makes the third ordinate an M. */
static int settle_dimensions(struct fs_geometry_reader *reader, const struct members *members) {
    bool m = members->m_seen ? members->m : reader->want_m;
    bool z = members->z_seen ? members->z : reader->want_z && !(members->m_seen && members->m);
    if (z == reader->source_z && m == reader->source_m) return FS_OK;
    reader->source_z = z;
    reader->source_m = m;
    if (!members->coordinates_seen) return FS_OK;
    size_t end = reader->json->at;
    reader->json->at = members->coordinates_at;
    int status = read_coordinates(reader);
    if (status == FS_OK) reader->json->at = end;
    return status;
}

static int read_object(struct fs_geometry_reader *reader) {
    struct fs_json *json = reader->json;
    if (fs_json_peek(json) == 'n' && fs_json_literal(json, "null")) return FS_EMPTY;
    if (!fs_json_take(json, '{')) return fs_json_unexpected(json);
    struct members members = {.z = false};
    struct fs_json_string name;
    bool first = true;
    for (;;) {
        fs_json_peek(json);
        size_t name_at = json->at;
        int status = fs_json_member(json, &first, &name);
        if (status == FS_EMPTY) return settle_dimensions(reader, &members);
        if (status == FS_OK) status = read_member(reader, &members, &name, name_at);
        if (status != FS_OK) return status;
    }
}

static int settle_point(struct fs_geometry_reader *reader) {
    if (isnan(reader->point[0])) return FS_OK;
    if (isnan(reader->point[1])) return FS_ERR_VERTEX;
    return add_vertex(reader, reader->point);
}

/* ---- entry ---- */

void fs_geometry_reader_init(struct fs_geometry_reader *reader, int kind, int dims, void *work,
                             size_t work_size) {
    bool want_z = (dims & FS_DIMS_Z) != 0, want_m = (dims & FS_DIMS_M) != 0;
    *reader = (struct fs_geometry_reader){.kind = kind,
                                          .want_z = want_z,
                                          .want_m = want_m,
                                          .source_z = want_z,
                                          .source_m = want_m,
                                          .stride = 2 + (size_t)want_z + (size_t)want_m,
                                          .point = {NAN, NAN, NAN, NAN}};
    reset_bounds(reader);
    const size_t align = alignof(struct fs_ring);
    uint8_t *start = work;
    size_t skip = (align - (uintptr_t)start % align) % align;
    size_t size = work_size > skip ? (work_size - skip) / align * align : 0;
    reader->vertices = (void *)(start + (size > 0 ? skip : 0));
    reader->rings = (void *)((uint8_t *)reader->vertices + size);
    reader->work_free = size;
}

int fs_geometry_read(struct fs_geometry_reader *reader, struct fs_json *json) {
    reader->json = json;
    int status = read_object(reader);
    if (status == FS_OK && reader->kind == FS_GEOMETRY_POINT) status = settle_point(reader);
    if (status == FS_OK && reader->kind == FS_GEOMETRY_POLYGON)
        fs_rings_assign(reader->rings, reader->ring_count, reader->vertices, reader->stride);
    return status;
}
