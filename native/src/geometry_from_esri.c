/* Writing half of Esri JSON -> GeoPackage: one pass that writes header and WKB. */
#include <math.h>

#include "fs_geometry.h"
#include "geometry_reader.h"
#include "wkb.h"

static void put_head(struct fs_out *out, const struct fs_geometry_reader *reader, uint32_t type) {
    fs_out_byte(out, 1);
    fs_out_u32(out, type + 1000 * (uint32_t)reader->want_z + 2000 * (uint32_t)reader->want_m);
}

static void put_vertices(struct fs_out *out, const struct fs_geometry_reader *reader, size_t start,
                         size_t count, bool reversed) {
    size_t stride = reader->stride, size = count * stride * 8;
    if (fs_out_fits(out, size)) {
        uint8_t *to = out->data + out->size;
        const double *from = reader->vertices + start * stride;
        for (size_t i = 0; i < count; i++) {
            const double *vertex = from + (reversed ? count - 1 - i : i) * stride;
            for (size_t axis = 0; axis < stride; axis++, to += 8) fs_store_f64(to, vertex[axis]);
        }
    }
    fs_out_advance(out, size);
}

static void put_ring(struct fs_out *out, const struct fs_geometry_reader *reader,
                     const struct fs_ring *ring, bool exterior) {
    bool reversed = exterior ? ring->area < 0 : ring->area > 0;
    fs_out_u32(out, (uint32_t)ring->count);
    put_vertices(out, reader, ring->start, ring->count, reversed);
}

static void put_polygons(struct fs_out *out, const struct fs_geometry_reader *reader) {
    const struct fs_ring *rings = reader->rings;
    uint32_t polygons = 0;
    for (size_t i = 0; i < reader->ring_count; i++) polygons += rings[i].owner == i;
    fs_out_u32(out, polygons);
    for (size_t i = 0; i < reader->ring_count; i++) {
        if (rings[i].owner != i) continue;
        uint32_t count = 1;
        for (size_t hole = rings[i].next; hole != FS_RING_NONE; hole = rings[hole].next) count++;
        put_head(out, reader, FS_WKB_POLYGON);
        fs_out_u32(out, count);
        put_ring(out, reader, &rings[i], true);
        for (size_t hole = rings[i].next; hole != FS_RING_NONE; hole = rings[hole].next)
            put_ring(out, reader, &rings[hole], false);
    }
}

static void put_lines(struct fs_out *out, const struct fs_geometry_reader *reader) {
    fs_out_u32(out, (uint32_t)reader->ring_count);
    for (size_t i = 0; i < reader->ring_count; i++) {
        put_head(out, reader, FS_WKB_LINESTRING);
        fs_out_u32(out, (uint32_t)reader->rings[i].count);
        put_vertices(out, reader, reader->rings[i].start, reader->rings[i].count, false);
    }
}

static void put_points(struct fs_out *out, const struct fs_geometry_reader *reader) {
    fs_out_u32(out, (uint32_t)reader->vertex_count);
    for (size_t i = 0; i < reader->vertex_count; i++) {
        put_head(out, reader, FS_WKB_POINT);
        put_vertices(out, reader, i, 1, false);
    }
}

static void put_point(struct fs_out *out, const struct fs_geometry_reader *reader) {
    if (reader->vertex_count > 0) {
        put_vertices(out, reader, 0, 1, false);
        return;
    }
    for (size_t axis = 0; axis < reader->stride; axis++) fs_out_f64(out, NAN);
}

void fs_geometry_put(const struct fs_geometry_reader *reader, int32_t srs_id, struct fs_out *out) {
    static const uint32_t types[] = {0, FS_WKB_POINT, FS_WKB_MULTIPOINT, FS_WKB_MULTILINESTRING,
                                     FS_WKB_MULTIPOLYGON};
    bool point = reader->kind == FS_GEOMETRY_POINT;
    bool empty = reader->vertex_count == 0;
    bool bounds = !point && !empty;
    const uint8_t start[4] = {'G', 'P', 0, (uint8_t)(1 | bounds << 1 | empty << 4)};
    fs_out_bytes(out, start, sizeof start);
    fs_out_u32(out, (uint32_t)srs_id);
    for (int axis = 0; bounds && axis < 2; axis++) {
        fs_out_f64(out, reader->min[axis]);
        fs_out_f64(out, reader->max[axis]);
    }
    put_head(out, reader, types[reader->kind]);
    if (point)
        put_point(out, reader);
    else if (reader->kind == FS_GEOMETRY_MULTIPOINT)
        put_points(out, reader);
    else if (reader->kind == FS_GEOMETRY_POLYLINE)
        put_lines(out, reader);
    else
        put_polygons(out, reader);
}

int fs_geometry_from_esri(const uint8_t *json, size_t json_size, int kind, int32_t srs_id, int dims,
                          void *work, size_t work_size, uint8_t *out, size_t out_size,
                          struct fs_result *result) {
    *result = (struct fs_result){0, 0};
    if (kind < FS_GEOMETRY_POINT || kind > FS_GEOMETRY_POLYGON) return FS_ERR_GEOMETRY;
    if (json_size > UINT32_MAX) return FS_ERR_LIMIT;
    struct fs_json cursor = {json, json_size, 0};
    struct fs_geometry_reader reader;
    fs_geometry_reader_init(&reader, kind, dims, work, work_size);
    int status = fs_geometry_read(&reader, &cursor);
    if (status == FS_NEED_WORK) result->size = work_size > SIZE_MAX / 2 ? SIZE_MAX : work_size * 2;
    if (status == FS_OK || status == FS_EMPTY) {
        fs_json_peek(&cursor);
        if (cursor.at != json_size) status = FS_ERR_TRAILING;
    }
    result->offset = cursor.at;
    if (status != FS_OK) return status;
    struct fs_out sink = {out, out_size, 0};
    fs_geometry_put(&reader, srs_id, &sink);
    result->size = sink.size;
    return fs_out_overflowed(&sink) ? FS_NEED_OUTPUT : FS_OK;
}
