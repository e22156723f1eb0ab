/* A document in pieces. Byte 0: size of the pieces, byte 1: options, then the document. */
#include "fs_decode.h"
#include "target.h"

#define SMALL 131072
#define LIMIT 262144

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct fs_cell cells[FUZZ_COLUMNS];
    static double bounds[4 * 8];
    static const int64_t entries[] = {0, INT64_MIN, 2};
    if (size < 2) return 0;
    struct fs_layer *layers = fuzz_layers();
    struct fs_decode_config config = {
        .layers = layers,
        .layer_count = FUZZ_LAYERS + 1,
        .default_layer = (data[1] & 1) != 0 ? &layers[data[1] % 4] : NULL,
        .entries = (data[1] & 8) != 0 ? entries : NULL,
        .entry_count = (data[1] & 8) != 0 ? 3 : 0,
        .cells = cells,
        .item = malloc(SMALL),
        .item_size = SMALL,
        .item_limit = LIMIT,
        .work = malloc(64),
        .work_size = 64,
        .work_limit = LIMIT,
        .out = malloc(SMALL),
        .out_size = SMALL,
        .out_limit = LIMIT,
        .bounds = bounds,
        .rows_max = 8,
        .raw_limit = 100};
    void *buffers[] = {config.item, config.work, config.out};
    static const int needs[] = {FS_NEED_ITEM, FS_NEED_WORK, FS_NEED_OUTPUT};
    struct fs_decoder *decoder = malloc(fs_decoder_size());
    CLAIM(decoder != NULL && fs_decode_init(decoder, &config) == FS_OK);
    size_t piece = (size_t)data[0] + 1, at = 2;
    int status = FS_NEED_INPUT;
    while (status != FS_DONE && status >= 0) {
        size_t length = least(piece, size - at), taken;
        struct fs_batch batch;
        struct fs_result result;
        uint8_t *input = malloc(length + 1);
        CLAIM(input != NULL);
        memcpy(input, data + at, length);
        status =
            fs_decode_run(decoder, input, length, at + length == size, &taken, &batch, &result);
        free(input);
        CLAIM(taken <= length && (status != FS_NEED_INPUT || taken == length));
        at += taken;
        if (status < 0) CLAIM(result.offset <= size);
        if (status == FS_BATCH) CLAIM(batch.size > 0 && batch.size <= LIMIT);
        for (int i = 0; i < 3; i++) {
            if (status != needs[i]) continue;
            void *buffer = malloc(result.size);
            CLAIM(buffer != NULL && fs_decode_give(decoder, status, buffer, result.size) == FS_OK);
            free(buffers[i]);
            buffers[i] = buffer;
        }
    }
    for (int i = 0; i < 3; i++) free(buffers[i]);
    free(decoder);
    return 0;
}
