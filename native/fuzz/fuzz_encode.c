/* Marshalled rows. Byte 0: layer, byte 1: form, then the batch. */
#include "fs_encode.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const struct fs_layer *layer = &fuzz_layers()[data[0] % (FUZZ_LAYERS + 1)];
    int form = (data[1] & 1) != 0 ? FS_ENCODE_ADDS : FS_ENCODE_UPDATES;
    struct fs_encode_progress progress = {0, 0, 0, 0, 0};
    struct fs_result result;
    size_t out_size = 16;
    uint8_t *out = malloc(out_size);
    int status;
    do {
        size_t before = progress.at;
        status = fs_encode_rows(layer, form, data + 2, size - 2, &progress, out, out_size, &result);
        if (status == FS_NEED_OUTPUT) out = fuzz_grow(out, out_size = result.size);
        if (status == FS_BATCH) CLAIM(progress.at > before && result.size <= out_size);
    } while (status == FS_NEED_OUTPUT || status == FS_BATCH);
    CLAIM(status <= 0 && (status == FS_OK || result.offset <= size - 2));
    free(out);
    return 0;
}
