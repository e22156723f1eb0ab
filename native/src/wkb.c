#include "wkb.h"

#include <math.h>

#include "fs_status.h"

static int need(struct fs_wkb *wkb, size_t count) {
    if (wkb->size - wkb->at >= count) return FS_OK;
    wkb->at = wkb->size;
    return FS_ERR_TRUNCATED;
}

int fs_gpkg_header(struct fs_wkb *wkb, struct fs_gpkg_header *header) {
    static const size_t envelope_sizes[] = {0, 32, 48, 48, 64};
    int status = need(wkb, 8);
    if (status != FS_OK) return status;
    const uint8_t *bytes = wkb->data;
    uint8_t flags = bytes[3];
    size_t envelope = flags >> 1 & 7;
    bool little = (flags & 1) != 0;
    bool extended = (flags & 0x20) != 0;
    if (bytes[0] != 'G' || bytes[1] != 'P' || bytes[2] != 0) return FS_ERR_HEADER;
    wkb->at = 3;
    if (envelope > 4 || extended) return FS_ERR_HEADER;
    header->srs_id = (int32_t)fs_load_u32(bytes + 4, little);
    header->empty = (flags & 0x10) != 0;
    wkb->at = 8;
    status = need(wkb, envelope_sizes[envelope]);
    if (status != FS_OK) return status;
    header->has_bounds = envelope > 0;
    for (size_t i = 0; i < 4 && envelope > 0; i++) {
        header->bounds[i] = fs_load_f64(bytes + 8 + i * 8, little);
        header->has_bounds = header->has_bounds && isfinite(header->bounds[i]);
    }
    header->has_bounds = header->has_bounds && header->bounds[0] <= header->bounds[1] &&
                         header->bounds[2] <= header->bounds[3];
    wkb->at += envelope_sizes[envelope];
    return FS_OK;
}

int fs_wkb_head(struct fs_wkb *wkb, struct fs_wkb_head *head) {
    int status = need(wkb, 5);
    if (status != FS_OK) return status;
    uint8_t order = wkb->data[wkb->at];
    if (order > 1) return FS_ERR_GEOMETRY;
    head->little = order == 1;
    uint32_t code = fs_load_u32(wkb->data + wkb->at + 1, head->little);
    uint32_t dims = code / 1000;
    head->type = code % 1000;
    if (dims > 3 || head->type < FS_WKB_POINT || head->type > FS_WKB_COLLECTION)
        return FS_ERR_GEOMETRY;
    head->has_z = (dims & 1) != 0;
    head->has_m = (dims & 2) != 0;
    head->dims = 2 + (size_t)head->has_z + (size_t)head->has_m;
    wkb->at += 5;
    return FS_OK;
}

int fs_wkb_count(struct fs_wkb *wkb, bool little, size_t item_size, size_t *count) {
    int status = need(wkb, 4);
    if (status != FS_OK) return status;
    uint32_t value = fs_load_u32(wkb->data + wkb->at, little);
    if (value > (wkb->size - wkb->at - 4) / item_size) return FS_ERR_TRUNCATED;
    wkb->at += 4;
    *count = value;
    return FS_OK;
}

int fs_wkb_vertices(struct fs_wkb *wkb, const struct fs_wkb_head *head, const uint8_t **vertices,
                    size_t *count) {
    int status = fs_wkb_count(wkb, head->little, head->dims * 8, count);
    if (status != FS_OK) return status;
    *vertices = wkb->data + wkb->at;
    wkb->at += *count * head->dims * 8;
    return FS_OK;
}

int fs_wkb_vertex(struct fs_wkb *wkb, const struct fs_wkb_head *head, const uint8_t **vertex) {
    int status = need(wkb, head->dims * 8);
    if (status != FS_OK) return status;
    *vertex = wkb->data + wkb->at;
    wkb->at += head->dims * 8;
    return FS_OK;
}
