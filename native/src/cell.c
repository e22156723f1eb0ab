#include "cell.h"

#include <math.h>

#include "datetime.h"
#include "guid.h"
#include "pickle.h"

int fs_cell_read(struct fs_json *json, struct fs_cell *cell) {
    struct fs_json_string string;
    uint8_t first = fs_json_peek(json);
    size_t start = json->at;
    if (first == '"') {
        int status = fs_json_string(json, &string);
        if (status == FS_OK)
            *cell = (struct fs_cell){string.text, string.size, '"', string.escaped};
        return status;
    }
    int status = fs_json_skip(json);
    if (status != FS_OK) return status;
    bool number = first == '-' || (first >= '0' && first <= '9');
    *cell = (struct fs_cell){json->text + start, json->at - start, number ? '0' : first, false};
    return FS_OK;
}

static int pickle_integer(const struct fs_cell *cell, struct fs_out *out) {
    struct fs_number number;
    int64_t value = cell->kind == 't';
    if (cell->kind == '0') {
        fs_number_scan(cell->text, cell->size, &number);
        if (!fs_number_integer(&number, &value)) return FS_ERR_NUMBER;
    } else if (cell->kind != 't' && cell->kind != 'f') {
        return FS_ERR_TYPE;
    }
    fs_pickle_integer(out, value);
    return FS_OK;
}

static int pickle_real(const struct fs_cell *cell, struct fs_out *out) {
    struct fs_number number;
    if (cell->kind == '"') {
        struct fs_json_string string = {cell->text, cell->size, cell->escaped};
        return fs_json_equals_any_case(&string, "NaN") ? FS_ERR_NOT_FINITE : FS_ERR_TYPE;
    }
    if (cell->kind != '0') return FS_ERR_TYPE;
    fs_number_scan(cell->text, cell->size, &number);
    double value = fs_number_double(&number);
    if (!isfinite(value)) return FS_ERR_NOT_FINITE;
    fs_pickle_float(out, value);
    return FS_OK;
}

/* Some services hand numbers and booleans out of text columns bare: their token is the text. */
static int pickle_text(const struct fs_cell *cell, struct fs_out *out) {
    if (cell->kind == '{' || cell->kind == '[') return FS_ERR_TYPE;
    struct fs_json_string string = {cell->text, cell->size, cell->escaped};
    return fs_pickle_json_string(out, &string);
}

static int pickle_guid(const struct fs_cell *cell, struct fs_out *out) {
    char text[FS_GUID_TEXT_SIZE];
    if (cell->kind != '"') return FS_ERR_TYPE;
    if (!fs_guid_normalise(cell->text, cell->size, text)) return FS_ERR_GUID;
    fs_pickle_text(out, text, sizeof text);
    return FS_OK;
}

static int pickle_date(const struct fs_cell *cell, struct fs_out *out) {
    struct fs_number number;
    int64_t epoch_ms;
    char text[FS_DATETIME_TEXT_SIZE];
    if (cell->kind != '0') return FS_ERR_TYPE;
    fs_number_scan(cell->text, cell->size, &number);
    if (!fs_number_integer(&number, &epoch_ms) || !fs_datetime_print(epoch_ms, text))
        return FS_ERR_DATE;
    fs_pickle_text(out, text, sizeof text);
    return FS_OK;
}

int fs_cell_pickle(const struct fs_cell *cell, int column_type, struct fs_out *out) {
    if (cell->kind == 0 || cell->kind == 'n') {
        fs_pickle_none(out);
        return FS_OK;
    }
    switch (column_type) {
    case FS_COLUMN_INTEGER:
        return pickle_integer(cell, out);
    case FS_COLUMN_REAL:
        return pickle_real(cell, out);
    case FS_COLUMN_GUID:
        return pickle_guid(cell, out);
    case FS_COLUMN_DATE:
        return pickle_date(cell, out);
    default:
        return pickle_text(cell, out);
    }
}
