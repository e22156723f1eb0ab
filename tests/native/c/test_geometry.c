#include <string.h>

#include "check.h"
#include "fs_geometry.h"

static double work[4096];
static uint8_t blob[4096], text[4096];

static size_t to_gpkg(const char *json, int kind, int dims) {
    struct fs_result result;
    size_t size = strlen(json);
    uint8_t *exact = exact_copy(json, size);
    CHECK(fs_geometry_from_esri(exact, size, kind, 4326, dims, work, sizeof work, blob, sizeof blob,
                                &result) == FS_OK);
    free(exact);
    return result.size;
}

static void check_there_and_back(const char *json, int kind, int dims) {
    struct fs_result result;
    size_t size = to_gpkg(json, kind, dims);
    uint8_t *exact = exact_copy(blob, size);
    CHECK(fs_geometry_to_esri(exact, size, kind, text, sizeof text, &result) == FS_OK);
    CHECK(result.size == strlen(json) && memcmp(text, json, result.size) == 0);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = exact_copy(blob, cut);
        CHECK(fs_geometry_to_esri(part, cut, kind, text, sizeof text, &result) < 0);
        CHECK(result.offset <= cut);
        free(part);
    }
    free(exact);
}

/* Every smaller buffer asks for more, and what it asks for is enough. */
static void check_buffers_grow(const char *json, int kind) {
    size_t size = strlen(json), wanted = to_gpkg(json, kind, FS_DIMS_XY);
    struct fs_result result;
    for (size_t room = 0; room < wanted; room++) {
        uint8_t *small = malloc(room + 1);
        CHECK(small != NULL);
        CHECK(fs_geometry_from_esri((const uint8_t *)json, size, kind, 4326, FS_DIMS_XY, work,
                                    sizeof work, small, room, &result) == FS_NEED_OUTPUT);
        CHECK(result.size == wanted);
        free(small);
    }
    size_t work_size = 1;
    for (;;) {
        void *small = malloc(work_size);
        CHECK(small != NULL);
        int status = fs_geometry_from_esri((const uint8_t *)json, size, kind, 4326, FS_DIMS_XY,
                                           small, work_size, blob, sizeof blob, &result);
        free(small);
        if (status == FS_OK) break;
        CHECK(status == FS_NEED_WORK && result.size > work_size);
        work_size = result.size;
    }
}

static void check_flipped_bits(const char *json, int kind) {
    size_t size = strlen(json);
    struct fs_result result;
    double bounds[4];
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint8_t *broken = exact_copy(json, size);
        broken[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CHECK(fs_geometry_from_esri(broken, size, kind, 0, FS_DIMS_ZM, work, sizeof work, blob,
                                    sizeof blob, &result) <= FS_EMPTY);
        free(broken);
    }
    size = to_gpkg(json, kind, FS_DIMS_XY);
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint8_t *broken = exact_copy(blob, size);
        broken[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CHECK(fs_geometry_to_esri(broken, size, FS_GEOMETRY_ANY, text, sizeof text, &result) <=
              FS_NEED_OUTPUT);
        CHECK(fs_geometry_envelope(broken, size, bounds, &result) <= FS_EMPTY);
        free(broken);
    }
}

void test_geometry(void) {
    static const char polygon[] =
        "{\"rings\":[[[0,0],[0,10],[10,10],[10,0],[0,0]],[[1,1],[2,1],[2,2],[1,2],[1,1]],"
        "[[20,0],[20,1.5],[21,0],[20,0]]]}";
    check_there_and_back("{\"x\":1,\"y\":-2.5}", FS_GEOMETRY_POINT, FS_DIMS_XY);
    check_there_and_back("{\"x\":1,\"y\":2,\"z\":3,\"m\":null}", FS_GEOMETRY_POINT, FS_DIMS_ZM);
    check_there_and_back("{\"hasM\":true,\"points\":[[1,2,3],[4,5,6]]}", FS_GEOMETRY_MULTIPOINT,
                         FS_DIMS_M);
    check_there_and_back("{\"hasZ\":true,\"paths\":[[[1,2,3],[4,5,6]],[[7,8,9],[1,1,1]]]}",
                         FS_GEOMETRY_POLYLINE, FS_DIMS_Z);
    check_there_and_back(polygon, FS_GEOMETRY_POLYGON, FS_DIMS_XY);
    check_buffers_grow(polygon, FS_GEOMETRY_POLYGON);
    check_buffers_grow("{\"points\":[[1,2],[4,5]]}", FS_GEOMETRY_MULTIPOINT);
    check_flipped_bits(polygon, FS_GEOMETRY_POLYGON);
    check_flipped_bits("{\"x\":1,\"y\":-2.5}", FS_GEOMETRY_POINT);
}
