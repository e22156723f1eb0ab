#include "fs_rtree.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"

_Static_assert(FLT_MANT_DIG == 24 && FLT_MAX_EXP == 128, "floats are IEEE 754 binary32");

/* The next float in the direction of the sign. */
static float moved(float value, bool up) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value == 0)
        bits = up ? 1 : UINT32_C(0x80000001);
    else if ((value > 0) == up)
        bits++;
    else
        bits--;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

static float rounded_down(double value) {
    if (value > FLT_MAX) return FLT_MAX;
    if (value < -FLT_MAX) return -INFINITY;
    float nearest = (float)value;
    return nearest > value ? moved(nearest, false) : nearest;
}

static float rounded_up(double value) {
    if (value > FLT_MAX) return INFINITY;
    if (value < -FLT_MAX) return -FLT_MAX;
    float nearest = (float)value;
    return nearest < value ? moved(nearest, true) : nearest;
}

static void widen(double extent[4], const double sides[4]) {
    for (int i = 0; i < 4; i += 2) {
        if (sides[i] < extent[i]) extent[i] = sides[i];
        if (sides[i + 1] > extent[i + 1]) extent[i + 1] = sides[i + 1];
    }
}

size_t fs_rtree_boxes(const uint8_t *bounds, size_t count, int64_t first_key, const int64_t *keys,
                      struct fs_box *boxes, double extent[4]) {
    size_t made = 0;
    for (size_t row = 0; row < count; row++) {
        double sides[4];
        bool is_placed = true;
        for (size_t i = 0; i < 4; i++) {
            sides[i] = fs_load_f64(bounds + (4 * row + i) * 8, true);
            is_placed = is_placed && !isnan(sides[i]);
        }
        if (!is_placed) continue;
        boxes[made].key = keys != NULL ? keys[row] : first_key + (int64_t)row;
        for (size_t i = 0; i < 4; i++)
            boxes[made].sides[i] = i % 2 == 0 ? rounded_down(sides[i]) : rounded_up(sides[i]);
        widen(extent, sides);
        made++;
    }
    return made;
}

enum order { BY_X, BY_Y, BY_KEY };

/* An integer for the place of a box in an order: by the middle on an axis, or by the key. The
 * middle of a box from infinity to infinity is nowhere, so zero will do. */
static uint64_t rank_of(const struct fs_box *box, enum order order) {
    if (order == BY_KEY) return (uint64_t)box->key ^ UINT64_C(1) << 63;
    const float *sides = box->sides + (order == BY_X ? 0 : 2);
    float middle = (float)(((double)sides[0] + (double)sides[1]) / 2);
    uint32_t bits;
    if (isnan(middle)) middle = 0;
    memcpy(&bits, &middle, sizeof bits);
    return bits >> 31 != 0 ? (uint32_t)~bits : bits | UINT32_C(1) << 31;
}

/* Stable, from the lowest byte of the rank to the highest; bytes that are the same in all cost one
 * look. No order of the input is bad for it. */
static void sort(struct fs_box *boxes, size_t count, struct fs_box *work, enum order order) {
    struct fs_box *from = boxes, *to = work;
    for (int shift = 0; shift < (order == BY_KEY ? 64 : 32); shift += 8) {
        size_t ends[256] = {0}, end = 0;
        for (size_t i = 0; i < count; i++) ends[rank_of(&from[i], order) >> shift & 0xff]++;
        if (count == 0 || ends[rank_of(&from[0], order) >> shift & 0xff] == count) continue;
        for (size_t byte = 0; byte < 256; byte++) ends[byte] = end += ends[byte];
        for (size_t i = count; i-- > 0;)
            to[--ends[rank_of(&from[i], order) >> shift & 0xff]] = from[i];
        struct fs_box *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != boxes) memcpy(boxes, from, count * sizeof *boxes);
}

/* A total order: what is cut by it is cut in one way only, also where all boxes are one. */
void fs_rtree_sort(struct fs_box *boxes, size_t count, struct fs_box *work) {
    sort(boxes, count, work, BY_KEY);
    sort(boxes, count, work, BY_Y);
    sort(boxes, count, work, BY_X);
}

static bool precedes(const struct fs_box *a, const struct fs_box *b) {
    for (enum order order = BY_X; order < BY_KEY; order++) {
        uint64_t ours = rank_of(a, order), theirs = rank_of(b, order);
        if (ours != theirs) return ours < theirs;
    }
    return a->key < b->key;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* How many limits do not come after the box: the number of its part. */
static size_t part_of(const struct fs_box *box, const struct fs_box *limits, size_t count) {
    size_t first = 0, after = count;
    while (first < after) {
        size_t at = first + (after - first) / 2;
        if (precedes(box, &limits[at]))
            after = at;
        else
            first = at + 1;
    }
    return first;
}

void fs_rtree_part(const struct fs_box *boxes, size_t count, const struct fs_box *limits,
                   size_t limit_count, struct fs_box *out, size_t *sizes) {
    size_t end = 0;
    memset(sizes, 0, (limit_count + 1) * sizeof *sizes);
    for (size_t i = 0; i < count; i++) sizes[part_of(&boxes[i], limits, limit_count)]++;
    for (size_t part = 0; part <= limit_count; part++) sizes[part] = end += sizes[part];
    /* From behind, sizes[part] being where the part's next box ends: at last where it begins. */
    for (size_t i = count; i-- > 0;)
        out[--sizes[part_of(&boxes[i], limits, limit_count)]] = boxes[i];
    for (size_t part = 0; part <= limit_count; part++)
        sizes[part] = (part < limit_count ? sizes[part + 1] : count) - sizes[part];
}

static uint8_t *put_big_endian(uint8_t *to, uint64_t value, size_t size) {
    for (size_t i = size; i-- > 0; value >>= 8) to[i] = (uint8_t)value;
    return to + size;
}

static size_t most_cells(size_t node_size) {
    if (node_size < FS_RTREE_HEAD_SIZE) return 0;
    return least((node_size - FS_RTREE_HEAD_SIZE) / FS_RTREE_CELL_SIZE, UINT16_MAX);
}

int fs_rtree_node(const struct fs_box *boxes, size_t count, unsigned depth, size_t node_size,
                  uint8_t *node) {
    if (node_size < FS_RTREE_HEAD_SIZE || count > most_cells(node_size) || depth > UINT16_MAX)
        return FS_ERR_LIMIT;
    uint8_t *to = put_big_endian(node, depth, 2);
    to = put_big_endian(to, count, 2);
    for (size_t i = 0; i < count; i++) {
        to = put_big_endian(to, (uint64_t)boxes[i].key, 8);
        for (int side = 0; side < 4; side++) {
            uint32_t bits;
            memcpy(&bits, &boxes[i].sides[side], sizeof bits);
            to = put_big_endian(to, bits, 4);
        }
    }
    memset(to, 0, node_size - (size_t)(to - node));
    return FS_OK;
}

static struct fs_box around(const struct fs_box *boxes, size_t count, int64_t key) {
    struct fs_box whole = boxes[0];
    whole.key = key;
    for (size_t i = 1; i < count; i++)
        for (int side = 0; side < 4; side += 2) {
            if (boxes[i].sides[side] < whole.sides[side]) whole.sides[side] = boxes[i].sides[side];
            if (boxes[i].sides[side + 1] > whole.sides[side + 1])
                whole.sides[side + 1] = boxes[i].sides[side + 1];
        }
    return whole;
}

/* Where the i-th of n nearly equal parts begins. */
static size_t edge(size_t count, size_t i, size_t n) {
    return count / n * i + least(i, count % n);
}

static size_t parts_of(size_t count, size_t most) { return count / most + (count % most > 0); }

int fs_rtree_pack(const struct fs_rtree_plan *plan, struct fs_box *boxes, size_t count,
                  struct fs_box *work, int64_t first_node, size_t room, uint8_t *nodes,
                  struct fs_box *parents, int64_t *places, struct fs_result *result) {
    size_t made = 0, wanted = 0;
    if (plan->cells == 0 || plan->cells > most_cells(plan->node_size) || plan->slice == 0)
        return FS_ERR_LIMIT;
    size_t slices = count > 0 ? parts_of(count, plan->slice) : 0;
    for (size_t i = 0; i < slices; i++)
        wanted += parts_of(edge(count, i + 1, slices) - edge(count, i, slices), plan->cells);
    *result = (struct fs_result){wanted, 0};
    if (wanted > room) return FS_NEED_OUTPUT;
    sort(boxes, count, work, BY_X);
    for (size_t i = 0; i < slices; i++) {
        size_t start = edge(count, i, slices), size = edge(count, i + 1, slices) - start;
        size_t parts = parts_of(size, plan->cells);
        sort(boxes + start, size, work, BY_Y);
        for (size_t part = 0; part < parts; part++, made++) {
            size_t from = start + edge(size, part, parts), to = start + edge(size, part + 1, parts);
            int64_t number = first_node + (int64_t)made;
            parents[made] = around(boxes + from, to - from, number);
            fs_rtree_node(boxes + from, to - from, 0, plan->node_size,
                          nodes + made * plan->node_size);
            for (size_t box = from; box < to; box++) {
                places[2 * box] = boxes[box].key;
                places[2 * box + 1] = number;
            }
        }
    }
    return FS_OK;
}
