/* Column names in an open-addressing table: slot value = column index + 1, 0 = free. */
#include "layer.h"

#include <stdbool.h>
#include <string.h>

#include "fs_status.h"

#define NAME_MAX 256 /* field names are at most 128 characters by the service's own rule */

static uint8_t lower(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

/* FNV-1a over the lower-cased bytes. */
static uint32_t hash_of(const uint8_t *name, size_t size) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < size; i++) hash = (hash ^ lower(name[i])) * 16777619U;
    return hash;
}

static bool same_name(const uint8_t *a, const uint8_t *b, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
    return true;
}

int fs_layer_prepare(struct fs_layer *layer) {
    size_t slots = layer->slot_count;
    if (layer->column_count > FS_COLUMNS_MAX || slots < 2 * layer->column_count + 1 ||
        (slots & (slots - 1)) != 0)
        return FS_ERR_LIMIT;
    memset(layer->slots, 0, slots * sizeof layer->slots[0]);
    for (size_t i = 0; i < layer->column_count; i++) {
        const struct fs_column *column = &layer->columns[i];
        if (column->type < FS_COLUMN_INTEGER || column->type > FS_COLUMN_DATE) return FS_ERR_LIMIT;
        size_t slot = hash_of(column->name, column->name_size) & (slots - 1);
        while (layer->slots[slot] != 0) slot = (slot + 1) & (slots - 1);
        layer->slots[slot] = (uint16_t)(i + 1);
    }
    return FS_OK;
}

size_t fs_layer_find(const struct fs_layer *layer, const struct fs_json_string *name) {
    uint8_t plain[NAME_MAX * 6];
    const uint8_t *text = name->text;
    size_t size = name->size;
    if (name->escaped) {
        if (size > sizeof plain || fs_json_unescape(name, plain, &size) != FS_OK)
            return layer->column_count;
        text = plain;
    }
    size_t slot = hash_of(text, size) & (layer->slot_count - 1);
    for (; layer->slots[slot] != 0; slot = (slot + 1) & (layer->slot_count - 1)) {
        const struct fs_column *column = &layer->columns[layer->slots[slot] - 1];
        if (column->name_size == size && same_name(column->name, text, size))
            return layer->slots[slot] - 1U;
    }
    return layer->column_count;
}
