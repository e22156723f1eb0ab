/* Esri JSON and blobs, both ways. Byte 0: kind, byte 1: dimensions, then the text or the blob. */
#include "target.h"

static void from_esri(const uint8_t *text, size_t size, int kind, int dims) {
    size_t work_size = 64, out_size = 64, json_size = 64;
    void *work = malloc(work_size);
    uint8_t *out = malloc(out_size), *json = malloc(json_size);
    struct fs_result result;
    int status;
    for (;;) {
        status = fs_geometry_from_esri(text, size, kind, 4326, dims, work, work_size, out, out_size,
                                       &result);
        if (status == FS_NEED_WORK)
            work = fuzz_grow(work, work_size = result.size);
        else if (status == FS_NEED_OUTPUT)
            out = fuzz_grow(out, out_size = result.size);
        else
            break;
    }
    CLAIM(status <= 0 || status == FS_EMPTY);
    CLAIM(status >= 0 || result.offset <= size);
    if (status == FS_OK) {
        size_t blob_size = result.size;
        double bounds[4];
        CLAIM(fs_geometry_envelope(out, blob_size, bounds, &result) >= 0);
        while ((status = fs_geometry_to_esri(out, blob_size, kind, json, json_size, &result)) ==
               FS_NEED_OUTPUT)
            json = fuzz_grow(json, json_size = result.size);
        CLAIM(status == FS_OK);
    }
    free(work);
    free(out);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fs_result result;
    double bounds[4];
    uint8_t out[4096];
    if (size < 2) return 0;
    int kind = data[0] % 5, dims = data[1] % 4;
    from_esri(data + 2, size - 2, kind, dims);
    int status = fs_geometry_to_esri(data + 2, size - 2, kind, out, sizeof out, &result);
    CLAIM(status <= FS_NEED_OUTPUT && (status >= 0 || result.offset <= size - 2));
    status = fs_geometry_envelope(data + 2, size - 2, bounds, &result);
    CLAIM(status < 0 || status == FS_OK || status == FS_EMPTY);
    return 0;
}
