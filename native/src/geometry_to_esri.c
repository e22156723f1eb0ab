/* GeoPackage binary -> Esri JSON geometry, one pass over the WKB. */
#include <math.h>

#include "fs_geometry.h"
#include "fs_number.h"
#include "geometry_print.h"
#include "json_print.h"
#include "wkb.h"

struct writer {
    struct fs_wkb wkb;
    struct fs_out *out;
    int dims;                /* which of the blob's further ordinates are written */
    struct fs_wkb_head head; /* of the whole geometry: its parts must have the same dimensions */
    bool listed;             /* something was written into the list that is open */
};

static void put_comma(struct writer *writer) {
    if (writer->listed) fs_out_byte(writer->out, ',');
    writer->listed = true;
}

/* The axes that are written, of 0 = x to 3 = m: in the order of the blob. */
static bool shows(const struct writer *writer, const struct fs_wkb_head *head, size_t axis) {
    if (axis < 2) return true;
    bool is_m = head->has_m && axis == head->dims - 1;
    return (writer->dims & (is_m ? FS_DIMS_M : FS_DIMS_Z)) != 0;
}

/* The ordinates of one vertex that are written. An M may be NaN: it travels as null. */
struct vertex {
    double values[4];
    size_t count;
    size_t m; /* place of the M; 4 = there is none */
};

/* False when a value is not finite that must be. */
static bool read_vertex(const struct writer *writer, const struct fs_wkb_head *head,
                        const uint8_t *vertices, size_t index, struct vertex *vertex) {
    vertex->count = 2;
    vertex->m = 4;
    vertex->values[0] = fs_wkb_ordinate(head, vertices, index, 0);
    vertex->values[1] = fs_wkb_ordinate(head, vertices, index, 1);
    bool finite = isfinite(vertex->values[0]) && isfinite(vertex->values[1]);
    for (size_t axis = 2; axis < head->dims; axis++) {
        if (!shows(writer, head, axis)) continue;
        double value = fs_wkb_ordinate(head, vertices, index, axis);
        bool is_m = head->has_m && axis == head->dims - 1;
        if (is_m) vertex->m = vertex->count;
        finite = finite && (is_m ? !isinf(value) : isfinite(value));
        vertex->values[vertex->count++] = value;
    }
    return finite;
}

static bool is_empty_point(const struct fs_wkb_head *head, const uint8_t *vertex) {
    return isnan(fs_wkb_ordinate(head, vertex, 0, 0)) && isnan(fs_wkb_ordinate(head, vertex, 0, 1));
}

static uint8_t *put_ordinate(uint8_t *to, double value) {
    if (!isnan(value)) return to + fs_number_print(value, (char *)to);
    memcpy(to, "null", 4);
    return to + 4;
}

static int put_vertex(struct writer *writer, const struct fs_wkb_head *head,
                      const uint8_t *vertices, size_t index) {
    struct vertex vertex;
    uint8_t spare[4 * (FS_NUMBER_TEXT_MAX + 1) + 2];
    if (!read_vertex(writer, head, vertices, index, &vertex)) {
        writer->wkb.at = (size_t)(vertices - writer->wkb.data) + index * head->dims * 8;
        return FS_ERR_NOT_FINITE;
    }
    uint8_t *start = fs_out_begin(writer->out, sizeof spare, spare);
    uint8_t *to = start;
    if (writer->listed) *to++ = ',';
    writer->listed = true;
    *to++ = '[';
    for (size_t i = 0; i < vertex.count; i++) {
        to = put_ordinate(to, vertex.values[i]);
        *to++ = i + 1 < vertex.count ? ',' : ']';
    }
    fs_out_end(writer->out, start, to, spare);
    return FS_OK;
}

static bool is_closed(const struct fs_wkb_head *head, const uint8_t *vertices, size_t count) {
    for (size_t axis = 0; axis < 2; axis++)
        if (fs_wkb_ordinate(head, vertices, 0, axis) !=
            fs_wkb_ordinate(head, vertices, count - 1, axis))
            return false;
    return true;
}

/* Twice the signed area, by differences from the first vertex. */
static double ring_area(const struct fs_wkb_head *head, const uint8_t *vertices, size_t count) {
    double x0 = fs_wkb_ordinate(head, vertices, 0, 0), y0 = fs_wkb_ordinate(head, vertices, 0, 1);
    double sum = 0, ax = 0, ay = 0;
    for (size_t i = 1; i < count; i++) {
        double bx = fs_wkb_ordinate(head, vertices, i, 0) - x0;
        double by = fs_wkb_ordinate(head, vertices, i, 1) - y0;
        sum += ax * by - bx * ay;
        ax = bx;
        ay = by;
    }
    return sum;
}

enum part { PART_LINE, PART_EXTERIOR, PART_HOLE };

static int put_part(struct writer *writer, const struct fs_wkb_head *head, enum part part) {
    const uint8_t *vertices;
    size_t count;
    int status = fs_wkb_vertices(&writer->wkb, head, &vertices, &count);
    if (status != FS_OK || count == 0) return status;
    bool reversed = false;
    if (part != PART_LINE) {
        double area = ring_area(head, vertices, count);
        reversed = part == PART_EXTERIOR ? area > 0 : area < 0;
    }
    put_comma(writer);
    fs_out_byte(writer->out, '[');
    writer->listed = false;
    for (size_t i = 0; i < count && status == FS_OK; i++)
        status = put_vertex(writer, head, vertices, reversed ? count - 1 - i : i);
    if (status == FS_OK && part != PART_LINE && (count == 1 || !is_closed(head, vertices, count)))
        status = put_vertex(writer, head, vertices, reversed ? count - 1 : 0);
    fs_out_byte(writer->out, ']');
    writer->listed = true;
    return status;
}

static int put_polygon(struct writer *writer, const struct fs_wkb_head *head) {
    size_t rings;
    int status = fs_wkb_count(&writer->wkb, head->little, 4, &rings);
    for (size_t i = 0; i < rings && status == FS_OK; i++)
        status = put_part(writer, head, i == 0 ? PART_EXTERIOR : PART_HOLE);
    return status;
}

static int put_list_point(struct writer *writer, const struct fs_wkb_head *head) {
    const uint8_t *vertex;
    int status = fs_wkb_vertex(&writer->wkb, head, &vertex);
    if (status != FS_OK || is_empty_point(head, vertex)) return status;
    return put_vertex(writer, head, vertex, 0);
}

static int put_single(struct writer *writer, const struct fs_wkb_head *head) {
    switch (head->type) {
    case FS_WKB_POINT:
        return put_list_point(writer, head);
    case FS_WKB_LINESTRING:
        return put_part(writer, head, PART_LINE);
    case FS_WKB_POLYGON:
        return put_polygon(writer, head);
    default:
        return FS_ERR_GEOMETRY;
    }
}

static bool is_multi(uint32_t type) {
    return type >= FS_WKB_MULTIPOINT && type <= FS_WKB_MULTIPOLYGON;
}

/* Heads of a multi geometry's parts repeat its type without "multi", and its dimensions. */
static int part_head(struct writer *writer, struct fs_wkb_head *head) {
    size_t start = writer->wkb.at;
    int status = fs_wkb_head(&writer->wkb, head);
    if (status != FS_OK) return status;
    if (head->type == writer->head.type - 3 && head->has_z == writer->head.has_z &&
        head->has_m == writer->head.has_m)
        return FS_OK;
    writer->wkb.at = start;
    return FS_ERR_GEOMETRY;
}

static int put_list(struct writer *writer, const char *name) {
    struct fs_out *out = writer->out;
    fs_out_byte(out, '{');
    if (writer->head.has_z && (writer->dims & FS_DIMS_Z) != 0)
        fs_json_print_text(out, "\"hasZ\":true,");
    if (writer->head.has_m && (writer->dims & FS_DIMS_M) != 0)
        fs_json_print_text(out, "\"hasM\":true,");
    fs_out_byte(out, '"');
    fs_json_print_text(out, name);
    fs_json_print_text(out, "\":[");
    int status = FS_OK;
    if (is_multi(writer->head.type)) {
        size_t parts;
        struct fs_wkb_head head;
        status = fs_wkb_count(&writer->wkb, writer->head.little, 9, &parts);
        for (size_t i = 0; i < parts && status == FS_OK; i++) {
            status = part_head(writer, &head);
            if (status == FS_OK) status = put_single(writer, &head);
        }
    } else {
        status = put_single(writer, &writer->head);
    }
    fs_json_print_text(out, "]}");
    return status;
}

static int put_point(struct writer *writer) {
    static const char names[][6] = {"{\"x\":", ",\"y\":", ",\"z\":", ",\"m\":"};
    struct fs_wkb_head head = writer->head;
    if (head.type == FS_WKB_MULTIPOINT) {
        size_t points;
        int status = fs_wkb_count(&writer->wkb, head.little, 9, &points);
        if (status == FS_OK && points > 1) return FS_ERR_GEOMETRY;
        if (status == FS_OK && points == 1) status = part_head(writer, &head);
        if (status != FS_OK) return status;
        if (points == 0) {
            fs_json_print_text(writer->out, "{\"x\":null,\"y\":null}");
            return FS_OK;
        }
    }
    const uint8_t *vertex;
    size_t start = writer->wkb.at;
    int status = fs_wkb_vertex(&writer->wkb, &head, &vertex);
    if (status != FS_OK) return status;
    if (is_empty_point(&head, vertex)) {
        fs_json_print_text(writer->out, "{\"x\":null,\"y\":null}");
        return FS_OK;
    }
    struct vertex shown;
    if (!read_vertex(writer, &head, vertex, 0, &shown)) {
        writer->wkb.at = start;
        return FS_ERR_NOT_FINITE;
    }
    for (size_t i = 0; i < shown.count; i++) {
        uint8_t spare[5 + FS_NUMBER_TEXT_MAX];
        uint8_t *text = fs_out_begin(writer->out, sizeof spare, spare);
        memcpy(text, names[i == shown.m ? 3 : i], 5);
        fs_out_end(writer->out, text, put_ordinate(text + 5, shown.values[i]), spare);
    }
    fs_out_byte(writer->out, '}');
    return FS_OK;
}

/* The Esri kind that a WKB type becomes by itself. */
static int kind_of(uint32_t type) {
    static const int kinds[] = {0,
                                FS_GEOMETRY_POINT,
                                FS_GEOMETRY_POLYLINE,
                                FS_GEOMETRY_POLYGON,
                                FS_GEOMETRY_MULTIPOINT,
                                FS_GEOMETRY_POLYLINE,
                                FS_GEOMETRY_POLYGON,
                                0};
    return kinds[type];
}

static int put_kind(struct writer *writer, int kind) {
    int own = kind_of(writer->head.type);
    if (kind == FS_GEOMETRY_ANY) kind = own;
    bool points = own == FS_GEOMETRY_POINT || own == FS_GEOMETRY_MULTIPOINT;
    if (kind == FS_GEOMETRY_POINT && points) return put_point(writer);
    if (kind == FS_GEOMETRY_MULTIPOINT && points) return put_list(writer, "points");
    if (kind != own || own == 0) return FS_ERR_GEOMETRY;
    return put_list(writer, kind == FS_GEOMETRY_POLYLINE ? "paths" : "rings");
}

int fs_geometry_print(struct fs_out *out, const uint8_t *blob, size_t blob_size, int kind, int dims,
                      size_t *at) {
    struct writer writer = {.wkb = {blob, blob_size, 0}, .out = out, .dims = dims};
    struct fs_gpkg_header header;
    int status = fs_gpkg_header(&writer.wkb, &header);
    if (status == FS_OK) status = fs_wkb_head(&writer.wkb, &writer.head);
    if (status == FS_OK) status = put_kind(&writer, kind);
    if (status == FS_OK && writer.wkb.at != blob_size) status = FS_ERR_TRAILING;
    *at = writer.wkb.at;
    return status;
}

int fs_geometry_to_esri(const uint8_t *blob, size_t blob_size, int kind, uint8_t *out,
                        size_t out_size, struct fs_result *result) {
    struct fs_out sink = {out, out_size, 0};
    int status = fs_geometry_print(&sink, blob, blob_size, kind, FS_DIMS_ZM, &result->offset);
    result->size = sink.size;
    return status == FS_OK && fs_out_overflowed(&sink) ? FS_NEED_OUTPUT : status;
}
