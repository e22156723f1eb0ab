#include <float.h>
#include <math.h>
#include <string.h>

#include "bytes.h"
#include "check.h"
#include "fs_rtree.h"

static struct fs_box box_of(double minx, double maxx, double miny, double maxy) {
    double extent[4] = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    uint8_t bounds[32];
    struct fs_box box;
    fs_store_f64(bounds, minx);
    fs_store_f64(bounds + 8, maxx);
    fs_store_f64(bounds + 16, miny);
    fs_store_f64(bounds + 24, maxy);
    uint8_t *exact = exact_copy(bounds, sizeof bounds);
    CHECK(fs_rtree_boxes(exact, 1, 7, NULL, &box, extent) == 1 && box.key == 7);
    CHECK(extent[0] == minx && extent[1] == maxx && extent[2] == miny && extent[3] == maxy);
    free(exact);
    return box;
}

/* The nearest floats outside, and not one further. */
static void check_rounding(void) {
    static const double values[] = {0.1,  -0.1, 7.123456789, 1e-50, -1e-50, 1e-320,
                                    1e-45, 1.0,  16777217.0,  3.4e38, -3.4e38};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct fs_box box = box_of(values[i], values[i], -1, 1);
        CHECK(box.sides[0] <= values[i] && values[i] <= box.sides[1]);
        float between = (float)(((double)box.sides[0] + (double)box.sides[1]) / 2);
        CHECK(between == box.sides[0] || between == box.sides[1]);
        CHECK((box.sides[0] == box.sides[1]) == ((double)(float)values[i] == values[i]));
    }
    struct fs_box huge = box_of(1e300, 1e300, -1e300, -1e300);
    CHECK(huge.sides[0] == FLT_MAX && isinf(huge.sides[1]) && huge.sides[1] > 0);
    CHECK(isinf(huge.sides[2]) && huge.sides[2] < 0 && huge.sides[3] == -FLT_MAX);
}

/* A node as the documentation of SQLite's R-tree lays it out, to the byte. */
static void check_node(void) {
    struct fs_box box = {0x0102030405060708, {1.0F, 2.0F, -1.0F, 0.5F}};
    static const uint8_t expected[30] = {0,    2,    0,    1,    1,    2,    3,    4, 5, 6,
                                         7,    8,    0x3f, 0x80, 0,    0,    0x40, 0, 0, 0,
                                         0xbf, 0x80, 0,    0,    0x3f, 0x00, 0,    0, 0, 0};
    uint8_t *node = malloc(sizeof expected);
    CHECK(node != NULL);
    CHECK(fs_rtree_node(&box, 1, 2, sizeof expected, node) == FS_OK);
    CHECK(memcmp(node, expected, sizeof expected) == 0);
    CHECK(fs_rtree_node(&box, 1, 2, 27, node) == FS_ERR_LIMIT);
    CHECK(fs_rtree_node(&box, 0, 0, 3, node) == FS_ERR_LIMIT);
    free(node);
}

static void check_plans(void) {
    struct fs_box boxes[3], work[3], parents[3];
    int64_t places[6];
    uint8_t nodes[3 * 52];
    struct fs_result result;
    for (int i = 0; i < 3; i++) boxes[i] = box_of(i, i, -i, -i);
    struct fs_rtree_plan plan = {52, 1, 1};
    CHECK(fs_rtree_pack(&plan, boxes, 3, work, 9, 2, nodes, parents, places, &result) ==
          FS_NEED_OUTPUT);
    CHECK(result.size == 3);
    CHECK(fs_rtree_pack(&plan, boxes, 3, work, 9, 3, nodes, parents, places, &result) == FS_OK);
    for (int i = 0; i < 3; i++) CHECK(places[2 * i + 1] == 9 + i && parents[i].key == 9 + i);
    plan.cells = 3;
    CHECK(fs_rtree_pack(&plan, boxes, 3, work, 9, 3, nodes, parents, places, &result) ==
          FS_ERR_LIMIT);
    plan = (struct fs_rtree_plan){52, 2, 0};
    CHECK(fs_rtree_pack(&plan, boxes, 3, work, 9, 3, nodes, parents, places, &result) ==
          FS_ERR_LIMIT);
}

void test_rtree(void) {
    check_rounding();
    check_node();
    check_plans();
}
