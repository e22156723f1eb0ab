#include "pickle.h"

#include "fs_status.h"

enum opcode {
    OP_PROTO = 0x80,
    OP_EMPTY_LIST = ']',
    OP_MARK = '(',
    OP_APPENDS = 'e',
    OP_TUPLE = 't',
    OP_STOP = '.',
    OP_NONE = 'N',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_LONG1 = 0x8a,
    OP_BINFLOAT = 'G',
    OP_BINUNICODE = 'X',
    OP_BINBYTES = 'B'
};

static void put_opcode(struct fs_out *out, enum opcode opcode) {
    fs_out_byte(out, (uint8_t)opcode);
}

void fs_pickle_list_start(struct fs_out *out) {
    static const uint8_t start[] = {OP_PROTO, 4, OP_EMPTY_LIST, OP_MARK};
    fs_out_bytes(out, start, sizeof start);
}

void fs_pickle_list_end(struct fs_out *out) {
    put_opcode(out, OP_APPENDS);
    put_opcode(out, OP_STOP);
}

void fs_pickle_tuple_start(struct fs_out *out) { put_opcode(out, OP_MARK); }

void fs_pickle_tuple_end(struct fs_out *out) { put_opcode(out, OP_TUPLE); }

void fs_pickle_none(struct fs_out *out) { put_opcode(out, OP_NONE); }

void fs_pickle_integer(struct fs_out *out, int64_t value) {
    uint8_t bytes[10];
    if (value >= 0 && value <= UINT8_MAX) {
        bytes[0] = OP_BININT1;
        bytes[1] = (uint8_t)value;
        fs_out_bytes(out, bytes, 2);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        bytes[0] = OP_BININT;
        fs_store_u32(bytes + 1, (uint32_t)value);
        fs_out_bytes(out, bytes, 5);
    } else {
        bytes[0] = OP_LONG1;
        bytes[1] = 8;
        fs_store_u64(bytes + 2, (uint64_t)value);
        fs_out_bytes(out, bytes, 10);
    }
}

void fs_pickle_float(struct fs_out *out, double value) {
    uint8_t bytes[9] = {OP_BINFLOAT};
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++) bytes[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    fs_out_bytes(out, bytes, sizeof bytes);
}

static void put_sized(struct fs_out *out, enum opcode opcode, const void *bytes, size_t size) {
    uint8_t head[5] = {(uint8_t)opcode};
    fs_store_u32(head + 1, (uint32_t)size);
    fs_out_bytes(out, head, sizeof head);
    fs_out_bytes(out, bytes, size);
}

void fs_pickle_text(struct fs_out *out, const void *text, size_t size) {
    put_sized(out, OP_BINUNICODE, text, size);
}

void fs_pickle_bytes(struct fs_out *out, const void *bytes, size_t size) {
    put_sized(out, OP_BINBYTES, bytes, size);
}

int fs_pickle_json_string(struct fs_out *out, const struct fs_json_string *string) {
    if (string->size > UINT32_MAX) return FS_ERR_LIMIT;
    if (!fs_out_fits(out, string->size) || !fs_out_fits(out, string->size + 5)) {
        fs_out_advance(out, string->size);
        fs_out_advance(out, 5);
        return FS_OK;
    }
    uint8_t *head = out->data + out->size;
    size_t size;
    int status = fs_json_unescape(string, head + 5, &size);
    if (status != FS_OK) return status;
    head[0] = OP_BINUNICODE;
    fs_store_u32(head + 1, (uint32_t)size);
    out->size += 5 + size;
    return FS_OK;
}

size_t fs_pickle_bytes_start(struct fs_out *out) {
    put_sized(out, OP_BINBYTES, NULL, 0);
    return out->size;
}

void fs_pickle_bytes_end(struct fs_out *out, size_t mark) {
    if (!fs_out_overflowed(out)) fs_store_u32(out->data + mark - 4, (uint32_t)(out->size - mark));
}
