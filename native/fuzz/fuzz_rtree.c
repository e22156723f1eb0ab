/* Bounds of rows. Byte 0: boxes in a node, byte 1: in a slice, byte 2: limits; then the bounds,
 * four doubles a row. Every box comes back once, inside the box of its node. */
#include <math.h>

#include "fs_rtree.h"
#include "target.h"

#define ROWS 512
#define NODE_SIZE 1228

static struct fs_box boxes[ROWS], work[ROWS], parted[ROWS], parents[ROWS];
static uint8_t nodes[ROWS * NODE_SIZE];
static int64_t places[2 * ROWS];
static size_t sizes[ROWS + 1];
static uint8_t seen[ROWS];

static void each_once(const struct fs_box *found, size_t count) {
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++) CLAIM(found[i].key >= 1 && found[i].key <= ROWS);
    for (size_t i = 0; i < count; i++) CLAIM(++seen[found[i].key - 1] == 1);
}

static void check_boxes(const uint8_t *bounds, size_t count, const double extent[4]) {
    for (size_t i = 0; i < count; i++) {
        double sides[4];
        memcpy(sides, bounds + 32 * (size_t)(boxes[i].key - 1), sizeof sides);
        for (int side = 0; side < 4; side += 2) {
            CLAIM(boxes[i].sides[side] <= sides[side] && extent[side] <= sides[side]);
            CLAIM(boxes[i].sides[side + 1] >= sides[side + 1] &&
                  extent[side + 1] >= sides[side + 1]);
        }
    }
}

static void check_parts(size_t count, size_t limit_count) {
    size_t sum = 0;
    fs_rtree_sort(boxes, count, work);
    for (size_t i = 0; i < limit_count; i++)
        parents[i] = boxes[count * (i + 1) / (limit_count + 1)];
    fs_rtree_part(boxes, count, parents, limit_count, parted, sizes);
    for (size_t part = 0; part <= limit_count; part++) sum += sizes[part];
    CLAIM(sum == count);
    CLAIM(count == 0 || memcmp(parted, boxes, count * sizeof *boxes) == 0); /* sorted before */
}

static void check_nodes(const struct fs_rtree_plan *plan, size_t count) {
    struct fs_result result;
    size_t at = 0;
    if (fs_rtree_pack(plan, boxes, count, work, 2, ROWS, nodes, parents, places, &result) != FS_OK)
        return;
    each_once(boxes, count);
    for (size_t node = 0; node < result.size; node++) {
        const uint8_t *data = nodes + node * NODE_SIZE;
        size_t cells = (size_t)data[2] << 8 | data[3];
        CLAIM(cells >= 1 && cells <= plan->cells && parents[node].key == 2 + (int64_t)node);
        for (size_t cell = 0; cell < cells; cell++, at++) {
            CLAIM(at < count && places[2 * at] == boxes[at].key);
            CLAIM(places[2 * at + 1] == parents[node].key);
            for (int side = 0; side < 4; side += 2) {
                CLAIM(parents[node].sides[side] <= boxes[at].sides[side]);
                CLAIM(parents[node].sides[side + 1] >= boxes[at].sides[side + 1]);
            }
        }
    }
    CLAIM(at == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    double extent[4] = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    if (size < 3) return 0;
    size_t rows = (size - 3) / 32;
    if (rows > ROWS) rows = ROWS;
    uint8_t *bounds = malloc(rows * 32 + 1);
    CLAIM(bounds != NULL);
    memcpy(bounds, data + 3, rows * 32);
    size_t count = fs_rtree_boxes(bounds, rows, 1, NULL, boxes, extent);
    CLAIM(count <= rows);
    each_once(boxes, count);
    uint16_t one = 1;
    if (*(const uint8_t *)&one == 1) check_boxes(bounds, count, extent);
    free(bounds);
    check_parts(count, data[2]);
    struct fs_rtree_plan plan = {NODE_SIZE, data[0] % 60, data[1]};
    check_nodes(&plan, count);
    return 0;
}
