/* The smallest test frame that will do: a failed check names its line and the program fails. */
#ifndef FS_CHECK_H
#define FS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(claim)                                                    \
    do {                                                                \
        if (!(claim)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
            exit(1);                                                    \
        }                                                               \
    } while (0)

/* A copy of exactly `size` bytes on the heap, so that the sanitizer sees one byte too far. */
void *exact_copy(const void *bytes, size_t size);

void test_numbers(void);
void test_geometry(void);
void test_rtree(void);
void test_texts(void);

#endif
