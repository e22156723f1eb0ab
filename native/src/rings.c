#include "rings.h"

#include <math.h>

static double lesser(double a, double b) { return a < b ? a : b; }
static double greater(double a, double b) { return a > b ? a : b; }

/* Comparisons of vertices or of bounds for one polygon: about half a second on a slow core. Real
 * polygons stay far below; hostile ones with a million rings must not hold the device. */
#define COMPARISONS_MAX ((size_t)100000000)

double fs_ring_area(const double *vertices, size_t stride, size_t count) {
    double sum = 0;
    for (size_t i = 1; i + 1 < count; i++) {
        const double *a = vertices + i * stride, *b = a + stride;
        sum += (a[0] - vertices[0]) * (b[1] - vertices[1]) -
               (b[0] - vertices[0]) * (a[1] - vertices[1]);
    }
    return sum;
}

static void measure(struct fs_ring *ring, const double *vertices, size_t stride) {
    const double *vertex = vertices + ring->start * stride;
    ring->area = fs_ring_area(vertex, stride, ring->count);
    for (int axis = 0; axis < 2; axis++) ring->min[axis] = ring->max[axis] = vertex[axis];
    for (size_t i = 1; i < ring->count; i++)
        for (int axis = 0; axis < 2; axis++) {
            double value = vertex[i * stride + (size_t)axis];
            ring->min[axis] = lesser(ring->min[axis], value);
            ring->max[axis] = greater(ring->max[axis], value);
        }
}

static bool bounds_contain(const struct fs_ring *outer, const struct fs_ring *inner) {
    return outer->min[0] <= inner->min[0] && outer->min[1] <= inner->min[1] &&
           outer->max[0] >= inner->max[0] && outer->max[1] >= inner->max[1];
}

enum side { OUTSIDE, INSIDE, BOUNDARY };

/* Ray casting to the right of the point. */
static enum side side_of(const struct fs_ring *ring, const double *vertices, size_t stride,
                         const double *point) {
    const double *vertex = vertices + ring->start * stride;
    bool inside = false;
    for (size_t i = 0; i + 1 < ring->count; i++) {
        const double *a = vertex + i * stride, *b = a + stride;
        double turn = (b[0] - a[0]) * (point[1] - a[1]) - (point[0] - a[0]) * (b[1] - a[1]);
        bool in_x = lesser(a[0], b[0]) <= point[0] && point[0] <= greater(a[0], b[0]);
        bool in_y = lesser(a[1], b[1]) <= point[1] && point[1] <= greater(a[1], b[1]);
        if (turn == 0 && in_x && in_y) return BOUNDARY;
        if ((a[1] > point[1]) != (b[1] > point[1]) && (turn > 0) == (b[1] > a[1])) inside = !inside;
    }
    return inside ? INSIDE : OUTSIDE;
}

/* A hole may touch its exterior: the first vertex that is not on the boundary decides. */
static bool contains(const struct fs_ring *outer, const struct fs_ring *inner,
                     const double *vertices, size_t stride, size_t *budget) {
    if (!bounds_contain(outer, inner)) return false;
    for (size_t i = 0; i + 1 < inner->count || i == 0; i++) {
        size_t cost = outer->count;
        if (cost > *budget) {
            *budget = 0;
            return false;
        }
        *budget -= cost;
        enum side side = side_of(outer, vertices, stride, vertices + (inner->start + i) * stride);
        if (side != BOUNDARY) return side == INSIDE;
    }
    return true;
}

/* How many of the candidate rings contain `inner`, and which is the smallest. */
static size_t containers(const struct fs_ring *rings, size_t ring_count, size_t inner,
                         bool clockwise_only, const double *vertices, size_t stride,
                         size_t *smallest, size_t *budget) {
    size_t found = 0;
    *smallest = FS_RING_NONE;
    for (size_t i = 0; i<ring_count && * budget> 0; i++) {
        --*budget;
        if (i == inner || (clockwise_only && rings[i].area >= 0)) continue;
        double size = fabs(rings[i].area);
        if (size <= fabs(rings[inner].area)) continue;
        if (!contains(&rings[i], &rings[inner], vertices, stride, budget)) continue;
        found++;
        if (*smallest == FS_RING_NONE || size < fabs(rings[*smallest].area)) *smallest = i;
    }
    return found;
}

/* Crossing rings can make a hole the owner of a hole: the inner one then stands for itself. */
static void detach_from_holes(struct fs_ring *rings, size_t ring_count) {
    for (size_t i = 0; i < ring_count; i++)
        if (rings[rings[i].owner].owner != rings[i].owner) rings[i].owner = i;
}

/* Holes hang on their exterior in the order in which they came. */
static void link_holes(struct fs_ring *rings, size_t ring_count) {
    for (size_t i = ring_count; i-- > 0;) {
        size_t owner = rings[i].owner;
        if (owner == i) continue;
        rings[i].next = rings[owner].next;
        rings[owner].next = i;
    }
}

void fs_rings_assign(struct fs_ring *rings, size_t ring_count, const double *vertices,
                     size_t stride) {
    bool any_clockwise = false;
    for (size_t i = 0; i < ring_count; i++) {
        measure(&rings[i], vertices, stride);
        rings[i].owner = i;
        rings[i].next = FS_RING_NONE;
        any_clockwise = any_clockwise || rings[i].area < 0;
    }
    if (ring_count < 2) return;
    size_t budget = COMPARISONS_MAX;
    size_t last_exterior = 0;
    for (size_t i = 0; i < ring_count; i++) {
        if (any_clockwise && rings[i].area < 0) {
            last_exterior = i;
            continue;
        }
        size_t smallest;
        size_t found =
            containers(rings, ring_count, i, any_clockwise, vertices, stride, &smallest, &budget);
        if (budget == 0 && rings[last_exterior].owner == last_exterior)
            rings[i].owner = last_exterior;
        else if (any_clockwise ? found > 0 : found % 2 == 1)
            rings[i].owner = smallest;
    }
    detach_from_holes(rings, ring_count);
    link_holes(rings, ring_count);
}
