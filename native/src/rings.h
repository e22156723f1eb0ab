/* The rings of one polygon: which are exteriors, which hole lies in which. */
#ifndef FS_RINGS_H
#define FS_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ring, or a part of a line, within an array of vertices of `stride` doubles each. */
struct fs_ring {
    size_t start;  /* index of its first vertex */
    size_t count;  /* vertices, the closing one included */
    double area;   /* signed: positive = counter-clockwise with y up */
    double min[2]; /* bounds in x and y */
    double max[2];
    size_t owner; /* a hole's exterior; its own index for an exterior */
    size_t next;  /* the next hole of the same exterior; FS_RING_NONE at the end */
};

#define FS_RING_NONE SIZE_MAX

/* Twice the signed area by differences from the first vertex: far from the origin the plain
 * shoelace sum loses the sign of small rings. */
double fs_ring_area(const double *vertices, size_t stride, size_t count);

/* Fills area, min, max, owner and next of every ring; start and count are given. A ring is an
 * exterior if it runs clockwise, as Esri draws it; a counter-clockwise one is a hole of the
 * smallest exterior that contains it, and an exterior itself when none does. When no ring runs
 * clockwise the even-odd rule decides. Work is bounded: beyond a fixed budget of comparisons a hole
 * goes to the exterior before it. */
void fs_rings_assign(struct fs_ring *rings, size_t ring_count, const double *vertices,
                     size_t stride);

#endif
