#include <string.h>

#include "check.h"

void *exact_copy(const void *bytes, size_t size) {
    void *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) memcpy(copy, bytes, size);
    return copy;
}

int main(void) {
    test_numbers();
    test_geometry();
    test_rtree();
    test_texts();
    puts("ok");
    return 0;
}
