/* Columns of a delta. Byte 0: what to do, byte 1: column, byte 2: count, byte 3: size of the base;
 * then the base's list, and the values' list (written, read back) or the numbers (read). */
#include "fs_delta.h"
#include "target.h"

#define STREAM 65536
#define OUT (1 << 18)
#define SCRATCH (1 << 20)

static struct fs_delta_work work;
static uint8_t written[FS_DELTA_STREAMS][STREAM];
static uint64_t scratch[SCRATCH / 8];
static uint8_t out[OUT];

struct column {
    int type; /* 0: the geometry of the layer */
    const struct fs_layer *layer;
    struct fs_delta_list base;
};

static int put(const struct column *column, const struct fs_delta_list *values,
               struct fs_delta_streams *streams) {
    struct fs_result result;
    if (column->type != 0)
        return fs_delta_put(column->type, values, &column->base, &work, streams, &result);
    return fs_delta_put_geometry(column->layer, values, &column->base, &work, scratch, SCRATCH,
                                 streams, &result);
}

static int get(const struct column *column, size_t count, struct fs_delta_streams *streams,
               size_t *size) {
    struct fs_result result;
    int status;
    if (column->type != 0)
        status =
            fs_delta_get(column->type, count, &column->base, &work, streams, out, OUT, &result);
    else
        status = fs_delta_get_geometry(column->layer, count, &column->base, &work, scratch, SCRATCH,
                                       streams, out, OUT, &result);
    *size = result.size;
    return status;
}

/* What was written can be read, to the last byte of each stream. */
static void there_and_back(const struct column *column, const uint8_t *data, size_t size) {
    struct fs_delta_list values = {data, size};
    struct fs_delta_streams streams = {.size = {0}};
    size_t count, out_size;
    for (int i = 0; i < FS_DELTA_STREAMS; i++) {
        streams.data[i] = written[i];
        streams.cap[i] = STREAM;
    }
    if (size < 5 || data[0] != '[') return;
    count = (size_t)data[1] | (size_t)data[2] << 8;
    if (put(column, &values, &streams) != FS_OK) return;
    int status = get(column, count, &streams, &out_size);
    CLAIM(status == FS_OK || status == FS_NEED_OUTPUT || status == FS_NEED_WORK);
    if (status != FS_OK) return;
    for (int i = 0; i < FS_DELTA_STREAMS; i++) CLAIM(streams.at[i] == streams.size[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    size_t base_size = data[3];
    if (base_size > size - 4) return 0;
    const struct fs_layer *layer = &fuzz_layers()[data[1] / 8 % FUZZ_LAYERS];
    struct column column = {data[1] % 6, layer, {NULL, 0}};
    if (base_size > 0) column.base = (struct fs_delta_list){data + 4, base_size};
    const uint8_t *rest = data + 4 + base_size;
    size_t rest_size = size - 4 - base_size, out_size;
    uint8_t *copy = malloc(rest_size + 1);
    CLAIM(copy != NULL);
    memcpy(copy, rest, rest_size);
    if ((data[0] & 1) != 0) {
        there_and_back(&column, copy, rest_size);
    } else {
        size_t third = rest_size / 3;
        struct fs_delta_streams streams = {
            .data = {copy, copy + rest_size - 2 * third, copy + rest_size - third},
            .size = {rest_size - 2 * third, third, third}};
        int status = get(&column, data[2], &streams, &out_size);
        CLAIM(status <= FS_NEED_WORK);
        for (int i = 0; i < FS_DELTA_STREAMS; i++) CLAIM(streams.at[i] <= streams.size[i]);
    }
    free(copy);
    return 0;
}
