#include "shape.h"

#include <math.h>

#include "fs_geometry.h"
#include "wkb.h"

size_t fs_shape_size(size_t blob_size) { return (blob_size / 8 + 1) * 8 * 3; }

/* ---- reading ---- */

struct reading {
    const struct fs_layer *layer;
    struct fs_wkb wkb;
    struct fs_shape *shape;
};

static bool take_head(struct reading *reading, uint32_t type) {
    struct fs_wkb_head head;
    return fs_wkb_head(&reading->wkb, &head) == FS_OK && head.type == type && head.little &&
           head.dims == fs_shape_stride(reading->layer);
}

static bool take_count(struct reading *reading, size_t *count) {
    if (fs_wkb_count(&reading->wkb, true, 4, count) != FS_OK) return false;
    reading->shape->codes[reading->shape->code_count++] = (uint32_t)*count;
    return true;
}

static bool take_vertices(struct reading *reading, size_t count) {
    struct fs_wkb *wkb = &reading->wkb;
    struct fs_shape *shape = reading->shape;
    size_t stride = fs_shape_stride(reading->layer);
    if (count > (wkb->size - wkb->at) / (stride * 8)) return false;
    double *to = shape->vertices + shape->vertex_count * stride;
    for (size_t i = 0; i < count * stride; i++)
        to[i] = fs_load_f64(wkb->data + wkb->at + i * 8, true);
    wkb->at += count * stride * 8;
    shape->vertex_count += count;
    return true;
}

static bool take_run(struct reading *reading) {
    size_t count;
    return take_count(reading, &count) && take_vertices(reading, count);
}

static bool take_polygon(struct reading *reading) {
    size_t rings;
    if (!take_head(reading, FS_WKB_POLYGON) || !take_count(reading, &rings)) return false;
    for (size_t i = 0; i < rings; i++)
        if (!take_run(reading)) return false;
    return true;
}

static bool take_part(struct reading *reading) {
    switch (reading->layer->geometry_kind) {
    case FS_GEOMETRY_MULTIPOINT:
        return take_head(reading, FS_WKB_POINT) && take_vertices(reading, 1);
    case FS_GEOMETRY_POLYLINE:
        return take_head(reading, FS_WKB_LINESTRING) && take_run(reading);
    default:
        return take_polygon(reading);
    }
}

static uint32_t whole_type(int kind) {
    static const uint32_t types[] = {0, FS_WKB_POINT, FS_WKB_MULTIPOINT, FS_WKB_MULTILINESTRING,
                                     FS_WKB_MULTIPOLYGON};
    return types[kind];
}

static bool take_geometry(struct reading *reading) {
    struct fs_gpkg_header header;
    size_t parts;
    int kind = reading->layer->geometry_kind;
    if (fs_gpkg_header(&reading->wkb, &header) != FS_OK) return false;
    if (!take_head(reading, whole_type(kind))) return false;
    if (kind == FS_GEOMETRY_POINT) return take_vertices(reading, 1);
    if (!take_count(reading, &parts)) return false;
    for (size_t i = 0; i < parts; i++)
        if (!take_part(reading)) return false;
    return true;
}

bool fs_shape_read(const struct fs_layer *layer, const uint8_t *blob, size_t size, void *scratch,
                   struct fs_shape *shape) {
    size_t third = fs_shape_size(size) / 3;
    uint8_t *memory = scratch;
    *shape = (struct fs_shape){.vertices = scratch, .codes = (void *)(memory + third)};
    struct reading reading = {layer, {blob, size, 0}, shape};
    if (!take_geometry(&reading) || shape->vertex_count == 0) return false;
    if (layer->geometry_kind == FS_GEOMETRY_POINT && isnan(shape->vertices[0])) return false;
    struct fs_out copy = {memory + 2 * third, third, 0};
    fs_shape_print(layer, shape, &copy);
    return copy.size == size && memcmp(copy.data, blob, size) == 0;
}

/* ---- printing ---- */

struct printing {
    const struct fs_layer *layer;
    const struct fs_shape *shape;
    struct fs_out *out;
    size_t code; /* next code and next vertex */
    size_t vertex;
};

static void put_head(struct printing *printing, uint32_t type) {
    fs_out_byte(printing->out, 1);
    fs_out_u32(printing->out, type + 1000 * (uint32_t)printing->layer->dims);
}

static void put_vertices(struct printing *printing, size_t count) {
    size_t stride = fs_shape_stride(printing->layer);
    const double *from = printing->shape->vertices + printing->vertex * stride;
    for (size_t i = 0; i < count * stride; i++) fs_out_f64(printing->out, from[i]);
    printing->vertex += count;
}

static uint32_t put_count(struct printing *printing) {
    uint32_t count = printing->shape->codes[printing->code++];
    fs_out_u32(printing->out, count);
    return count;
}

static void put_part(struct printing *printing) {
    uint32_t runs = 1;
    switch (printing->layer->geometry_kind) {
    case FS_GEOMETRY_MULTIPOINT:
        put_head(printing, FS_WKB_POINT);
        put_vertices(printing, 1);
        return;
    case FS_GEOMETRY_POLYLINE:
        put_head(printing, FS_WKB_LINESTRING);
        break;
    default:
        put_head(printing, FS_WKB_POLYGON);
        runs = put_count(printing);
        break;
    }
    for (; runs > 0; runs--) put_vertices(printing, put_count(printing));
}

static void put_bounds(struct printing *printing) {
    size_t stride = fs_shape_stride(printing->layer);
    for (size_t axis = 0; axis < 2; axis++) {
        double min = INFINITY, max = -INFINITY;
        for (size_t i = 0; i < printing->shape->vertex_count; i++) {
            double value = printing->shape->vertices[i * stride + axis];
            if (value < min) min = value;
            if (value > max) max = value;
        }
        fs_out_f64(printing->out, min);
        fs_out_f64(printing->out, max);
    }
}

void fs_shape_print(const struct fs_layer *layer, const struct fs_shape *shape,
                    struct fs_out *out) {
    struct printing printing = {layer, shape, out, 0, 0};
    bool point = layer->geometry_kind == FS_GEOMETRY_POINT;
    const uint8_t start[4] = {'G', 'P', 0, point ? 1 : 3};
    fs_out_bytes(out, start, sizeof start);
    fs_out_u32(out, (uint32_t)layer->srs_id);
    if (!point) put_bounds(&printing);
    put_head(&printing, whole_type(layer->geometry_kind));
    if (point) {
        put_vertices(&printing, 1);
        return;
    }
    for (uint32_t parts = put_count(&printing); parts > 0; parts--) put_part(&printing);
}
