/* Runs a fuzz target over files without libFuzzer: each as it is, cut at every length, and with
 * every bit flipped; always in a heap block of exactly its size. */
#include <stdint.h>
#include <string.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX 65536
#define FLIPPED_MAX 400 /* files up to this size are worth every bit */

static void run(const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size > 0 ? size : 1);
    CHECK(exact != NULL);
    if (size > 0) memcpy(exact, data, size);
    CHECK(LLVMFuzzerTestOneInput(exact, size) == 0);
    free(exact);
}

int main(int count, char **names) {
    static uint8_t data[FILE_MAX];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        CHECK(file != NULL);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        run(data, size);
        for (size_t cut = 0; cut < size; cut++) run(data, cut);
        for (size_t bit = 0; size <= FLIPPED_MAX && bit < 8 * size; bit++) {
            data[bit / 8] ^= (uint8_t)(1U << bit % 8);
            run(data, size);
            data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
    }
    puts("ok");
    return 0;
}
