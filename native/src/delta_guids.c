/* GUIDs: sorted ones share their first two bytes' order, version 4 ones six bits. */
#include "delta.h"
#include "guid.h"

#define ASCENDING 1 /* bytes 0 and 1 as an integer run that never falls */
#define VERSION_4 2 /* bytes 6 and 8 without their constant bits */

#define VERSION_BYTE 6
#define VARIANT_BYTE 8

static int64_t first_two(const uint8_t guid[FS_GUID_SIZE]) { return guid[0] << 8 | guid[1]; }

static uint8_t flags_of(struct fs_delta_work *work, size_t count) {
    uint8_t flags = ASCENDING | VERSION_4;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *guid = work->guids[i];
        if (guid[VERSION_BYTE] >> 4 != 4 || guid[VARIANT_BYTE] >> 6 != 2)
            flags &= (uint8_t)~VERSION_4;
        if (i > 0 && first_two(guid) < first_two(work->guids[i - 1])) flags &= (uint8_t)~ASCENDING;
        work->values[i] = first_two(guid);
    }
    return flags;
}

/* Bytes that stay in the raw stream. */
static bool is_raw(size_t byte, uint8_t flags) {
    if (byte < 2) return (flags & ASCENDING) == 0;
    if (byte == VERSION_BYTE || byte == VARIANT_BYTE) return (flags & VERSION_4) == 0;
    return true;
}

/* Ten bits each, the first in the lowest bits. */
static void put_version_4(struct fs_delta_writer *writer, const struct fs_delta_work *work,
                          size_t count) {
    uint32_t bits = 0;
    unsigned filled = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *guid = work->guids[i];
        uint32_t ten = (uint32_t)(guid[VERSION_BYTE] & 0x0f) << 6 | (guid[VARIANT_BYTE] & 0x3f);
        bits |= ten << filled;
        for (filled += 10; filled >= 8; filled -= 8, bits >>= 8)
            fs_out_byte(&writer->out[FS_DELTA_RAW], (uint8_t)bits);
    }
    if (filled > 0) fs_out_byte(&writer->out[FS_DELTA_RAW], (uint8_t)bits);
}

void fs_put_guids(struct fs_delta_writer *writer, struct fs_delta_work *work, size_t count) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    if (count == 0) return;
    for (size_t i = 0; i < count; i++)
        fs_guid_parse(work->texts[i].bytes, work->texts[i].size, work->guids[i]);
    uint8_t flags = flags_of(work, count);
    fs_out_byte(numbers, flags);
    if ((flags & ASCENDING) != 0) fs_put_integers(writer, work->values, NULL, count);
    if ((flags & VERSION_4) != 0) put_version_4(writer, work, count);
    for (size_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < FS_GUID_SIZE; byte++)
            if (is_raw(byte, flags)) fs_out_byte(&writer->out[FS_DELTA_RAW], work->guids[i][byte]);
}

static int get_version_4(struct fs_delta_streams *streams, struct fs_delta_work *work,
                         size_t count) {
    const uint8_t *bytes;
    uint32_t bits = 0;
    unsigned filled = 0;
    int status = fs_get_bytes(streams, FS_DELTA_RAW, (count * 10 + 7) / 8, &bytes);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        for (; filled < 10; filled += 8) bits |= (uint32_t)*bytes++ << filled;
        work->guids[i][VERSION_BYTE] = (uint8_t)(0x40 | (bits >> 6 & 0x0f));
        work->guids[i][VARIANT_BYTE] = (uint8_t)(0x80 | (bits & 0x3f));
        bits >>= 10;
        filled -= 10;
    }
    return status;
}

int fs_get_guids(struct fs_delta_streams *streams, struct fs_delta_work *work, size_t count) {
    const uint8_t *bytes;
    if (count == 0) return FS_OK;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &bytes);
    if (status != FS_OK) return status;
    uint8_t flags = bytes[0];
    if (flags > (ASCENDING | VERSION_4)) return FS_ERR_SYNTAX;
    int64_t *firsts = work->base; /* a GUID column has no use for a base */
    if ((flags & ASCENDING) != 0) status = fs_get_integers(streams, firsts, NULL, count);
    if (status == FS_OK && (flags & VERSION_4) != 0) status = get_version_4(streams, work, count);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        if ((flags & ASCENDING) != 0) {
            if (firsts[i] < 0 || firsts[i] > 0xffff) return FS_ERR_SYNTAX;
            work->guids[i][0] = (uint8_t)(firsts[i] >> 8);
            work->guids[i][1] = (uint8_t)firsts[i];
        }
        for (size_t byte = 0; byte < FS_GUID_SIZE && status == FS_OK; byte++) {
            if (!is_raw(byte, flags)) continue;
            status = fs_get_bytes(streams, FS_DELTA_RAW, 1, &bytes);
            if (status == FS_OK) work->guids[i][byte] = bytes[0];
        }
    }
    return status;
}
