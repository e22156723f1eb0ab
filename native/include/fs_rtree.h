/* Packing an R-tree: boxes -> the nodes that SQLite keeps (sqlite.org/rtree.html, "The shadow
 * tables"), by sort-tile-recursive packing: boxes sorted by x, cut into slices, each sorted by y,
 * cut into nodes. The caller holds all memory; boxes are in the processor's own layout and leave
 * it only for scratch files of the same process. */
#ifndef FS_RTREE_H
#define FS_RTREE_H

#include <stddef.h>
#include <stdint.h>

#include "fs_status.h"

#define FS_RTREE_HEAD_SIZE 4
#define FS_RTREE_CELL_SIZE 24

struct fs_box {
    int64_t key;    /* of a row, or the number of a node */
    float sides[4]; /* minx, maxx, miny, maxy; never smaller than the doubles they were made of */
};

struct fs_rtree_plan {
    size_t node_size; /* bytes of a node: SQLite's own choice, by the size of a page */
    size_t cells;     /* boxes in a node at most */
    size_t slice;     /* boxes in a slice, about */
};

/* Boxes of `count` rows whose bounds are four little-endian doubles each: minx, maxx, miny, maxy;
 * a NaN among them stands for a row without a place, which is left out. Keys are keys[row], or
 * without `keys` count on from `first_key`. `extent` is widened to hold all of them. Returns how
 * many boxes were made. */
size_t fs_rtree_boxes(const uint8_t *bounds, size_t count, int64_t first_key, const int64_t *keys,
                      struct fs_box *boxes, double extent[4]);

/* Sorts by the middle in x; what is equal there by y, then by key. `work` has room for as many. */
void fs_rtree_sort(struct fs_box *boxes, size_t count, struct fs_box *work);

/* Parts the boxes by `limits`, which are sorted: part i holds what comes before limit i, the last
 * part the rest. The parts lie behind one another in `out`; sizes[0 .. limit_count] tells how many
 * boxes are in each. */
void fs_rtree_part(const struct fs_box *boxes, size_t count, const struct fs_box *limits,
                   size_t limit_count, struct fs_box *out, size_t *sizes);

/* One node with these boxes; `depth` is the height of the tree in the root and 0 in all others.
 * FS_ERR_LIMIT: more boxes than a node of that size takes. */
int fs_rtree_node(const struct fs_box *boxes, size_t count, unsigned depth, size_t node_size,
                  uint8_t *node);

/* Puts all boxes into nodes with the numbers first_node, first_node + 1, ...; `boxes` are sorted on
 * the way, `work` has room for as many. For the i-th node nodes[i * node_size] is its data and
 * parents[i] its number and box; places gets a pair (key, number of its node) for each box.
 *
 * FS_OK: result.size nodes were made. FS_NEED_OUTPUT: there are more than `room` nodes, offer
 * result.size. FS_ERR_LIMIT: a plan that cannot be followed. */
int fs_rtree_pack(const struct fs_rtree_plan *plan, struct fs_box *boxes, size_t count,
                  struct fs_box *work, int64_t first_node, size_t room, uint8_t *nodes,
                  struct fs_box *parents, int64_t *places, struct fs_result *result);

#endif
