/* What the fuzz targets share: layers to decode for, buffers that grow when the core asks. */
#ifndef FS_FUZZ_TARGET_H
#define FS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs_geometry.h"
#include "fs_layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim about our own code: its failure is a finding. */
#define CLAIM(claim)           \
    do {                       \
        if (!(claim)) abort(); \
    } while (0)

#define FUZZ_LAYERS 4
#define FUZZ_COLUMNS 5

#define FUZZ_COLUMN(name, type) \
    { (const uint8_t *)name, 1, (const uint8_t *)",\"" name "\":", 5, type }

/* Layer i has the Esri kind i + 1 (the last is a table), columns of every type, and dimensions i.
 */
static inline struct fs_layer *fuzz_layers(void) {
    static const struct fs_column columns[FUZZ_COLUMNS] = {
        FUZZ_COLUMN("g", FS_COLUMN_GUID),
        FUZZ_COLUMN("n", FS_COLUMN_INTEGER),
        FUZZ_COLUMN("d", FS_COLUMN_REAL),
        FUZZ_COLUMN("s", FS_COLUMN_TEXT),
        FUZZ_COLUMN("t", FS_COLUMN_DATE)};
    static struct fs_layer layers[FUZZ_LAYERS + 1];
    static uint16_t slots[FUZZ_LAYERS + 1][16];
    for (int i = 0; i <= FUZZ_LAYERS; i++) {
        layers[i] = (struct fs_layer){.id = i,
                                      .columns = columns,
                                      .column_count = FUZZ_COLUMNS,
                                      .geometry_kind = i < FUZZ_LAYERS ? i + 1 : 0,
                                      .srs_id = 4326,
                                      .dims = i % 4,
                                      .slots = slots[i],
                                      .slot_count = 16};
        CLAIM(fs_layer_prepare(&layers[i]) == FS_OK);
    }
    return layers;
}

static inline void *fuzz_grow(void *old, size_t size) {
    free(old);
    void *grown = malloc(size);
    CLAIM(grown != NULL);
    return grown;
}

#endif
