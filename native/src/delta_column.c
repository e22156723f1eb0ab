/* Attribute columns: integers, reals and dates as integer runs, texts and GUIDs by first
 * appearance. */
#include <math.h>

#include "datetime.h"
#include "delta.h"
#include "guid.h"
#include "pickle.h"
#include "utf8.h"

#define WHOLE_REALS 255 /* in the place of a grid: eight bytes each, xor the base's */

struct column {
    int type;
    size_t count;
    bool has_base;
    struct fs_delta_work *work;
};

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Only the one spelling that reading gives back. */
static bool canonical_date(const struct fs_value *value, int64_t *ms) {
    char text[FS_DATETIME_TEXT_SIZE];
    return value->kind == FS_VALUE_TEXT && value->size == sizeof text &&
           fs_datetime_parse(value->bytes, value->size, ms) && fs_datetime_print(*ms, text) &&
           memcmp(text, value->bytes, sizeof text) == 0;
}

static bool canonical_guid(const struct fs_value *value) {
    return value->kind == FS_VALUE_TEXT && fs_guid_is_normal(value->bytes, value->size);
}

/* The value as the column's integer: for a real its bits, for a text or GUID nothing yet. */
static enum fs_delta_class classify(int type, const struct fs_value *value, int64_t *integer) {
    bool regular;
    if (value->kind == FS_VALUE_NONE) return FS_CLASS_NULL;
    switch (type) {
    case FS_COLUMN_INTEGER:
        *integer = value->integer;
        regular = value->kind == FS_VALUE_INTEGER;
        break;
    case FS_COLUMN_REAL:
        *integer = (int64_t)bits_of(value->real);
        regular = value->kind == FS_VALUE_REAL;
        break;
    case FS_COLUMN_DATE:
        regular = canonical_date(value, integer);
        break;
    case FS_COLUMN_GUID:
        regular = canonical_guid(value);
        break;
    default:
        regular = value->kind == FS_VALUE_TEXT && fs_utf8_valid(value->bytes, value->size);
        break;
    }
    return regular ? FS_CLASS_REGULAR : FS_CLASS_TAGGED;
}

static int read_list(int type, struct fs_delta_list list, uint8_t *classes, int64_t *values,
                     struct fs_delta_text *texts, size_t *count) {
    struct fs_marshal marshal;
    int status = fs_delta_open(list, &marshal, count);
    for (size_t i = 0; i < *count && status == FS_OK; i++) {
        struct fs_value value = {.integer = 0};
        values[i] = 0;
        status = fs_marshal_value(&marshal, &value);
        if (status != FS_OK) break;
        classes[i] = (uint8_t)classify(type, &value, &values[i]);
        if (texts != NULL) texts[i] = (struct fs_delta_text){value.bytes, value.size};
    }
    if (status == FS_OK && marshal.at != marshal.size) status = FS_ERR_TRAILING;
    return status;
}

/* A base value of another class predicts as zero. */
static int read_base(struct column *column, struct fs_delta_list base) {
    struct fs_delta_work *work = column->work;
    size_t count;
    int status = read_list(column->type, base, work->base_classes, work->base, NULL, &count);
    column->has_base = base.data != NULL;
    if (status == FS_OK && column->has_base && count != column->count) return FS_ERR_SYNTAX;
    for (size_t i = 0; i < count && status == FS_OK; i++)
        if (work->base_classes[i] != FS_CLASS_REGULAR) work->base[i] = 0;
    return status;
}

static int read_values(struct column *column, struct fs_delta_list values) {
    struct fs_delta_work *work = column->work;
    bool texts = column->type == FS_COLUMN_TEXT || column->type == FS_COLUMN_GUID;
    return read_list(column->type, values, work->classes, work->values, texts ? work->texts : NULL,
                     &column->count);
}

/* Moves the regular values, and their bases, to the front. */
static size_t compact(struct column *column) {
    struct fs_delta_work *work = column->work;
    size_t used = 0;
    for (size_t i = 0; i < column->count; i++) {
        if (work->classes[i] != FS_CLASS_REGULAR) continue;
        work->values[used] = work->values[i];
        work->base[used] = work->base[i];
        work->texts[used] = work->texts[i];
        used++;
    }
    return used;
}

/* ---- reals ---- */

static size_t count_on_grid(const struct column *column, int places) {
    const struct fs_delta_work *work = column->work;
    size_t found = 0;
    int64_t integer;
    for (size_t i = 0; i < column->count; i++)
        found += work->classes[i] == FS_CLASS_REGULAR &&
                 fs_on_grid(from_bits((uint64_t)work->values[i]), places, &integer);
    return found;
}

/* The coarsest grid that holds most values; WHOLE_REALS when none holds half of them. */
static int choose_places(const struct column *column) {
    size_t regular = 0, best = 0;
    int places = WHOLE_REALS;
    for (size_t i = 0; i < column->count; i++)
        regular += column->work->classes[i] == FS_CLASS_REGULAR;
    for (int candidate = 0; candidate <= FS_GRID_PLACES_MAX && best < regular; candidate++) {
        size_t found = count_on_grid(column, candidate);
        if (found > best) {
            best = found;
            places = candidate;
        }
    }
    return best * 2 < regular ? WHOLE_REALS : places;
}

static void base_to_grid(const struct column *column, int places) {
    struct fs_delta_work *work = column->work;
    for (size_t i = 0; i < column->count && column->has_base; i++) {
        int64_t integer;
        bool there = work->base_classes[i] == FS_CLASS_REGULAR &&
                     fs_on_grid(from_bits((uint64_t)work->base[i]), places, &integer);
        work->base[i] = there ? integer : 0;
    }
}

static void values_to_grid(const struct column *column, int places) {
    struct fs_delta_work *work = column->work;
    for (size_t i = 0; i < column->count; i++) {
        int64_t integer;
        if (work->classes[i] != FS_CLASS_REGULAR) continue;
        if (fs_on_grid(from_bits((uint64_t)work->values[i]), places, &integer))
            work->values[i] = integer;
        else
            work->classes[i] = FS_CLASS_TAGGED;
    }
}

/* Byte planes, lowest first. */
static void put_whole_reals(struct fs_delta_writer *writer, const struct column *column,
                            size_t used) {
    const struct fs_delta_work *work = column->work;
    for (int shift = 0; shift < 64; shift += 8)
        for (size_t i = 0; i < used; i++) {
            uint64_t base = column->has_base ? (uint64_t)work->base[i] : 0;
            uint64_t bits = (uint64_t)work->values[i] ^ base;
            fs_out_byte(&writer->out[FS_DELTA_NUMBERS], (uint8_t)(bits >> shift));
        }
}

static void put_reals(struct fs_delta_writer *writer, struct column *column) {
    struct fs_delta_work *work = column->work;
    int places = choose_places(column);
    if (places != WHOLE_REALS) {
        base_to_grid(column, places);
        values_to_grid(column, places);
    }
    fs_put_classes(writer, work->classes, column->count);
    size_t used = compact(column);
    if (used == 0) return;
    fs_out_byte(&writer->out[FS_DELTA_NUMBERS], (uint8_t)places);
    if (places == WHOLE_REALS)
        put_whole_reals(writer, column, used);
    else
        fs_put_integers(writer, work->values, column->has_base ? work->base : NULL, used);
}

/* Doubles come back as their bits in work->values. */
static int get_reals(struct fs_delta_streams *streams, struct column *column, size_t used) {
    struct fs_delta_work *work = column->work;
    const uint8_t *bytes;
    if (used == 0) return FS_OK;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &bytes);
    if (status != FS_OK) return status;
    int places = bytes[0];
    if (places == WHOLE_REALS) {
        status = fs_get_bytes(streams, FS_DELTA_NUMBERS, used * 8, &bytes);
        for (size_t i = 0; i < used && status == FS_OK; i++) {
            uint64_t bits = column->has_base ? (uint64_t)work->base[i] : 0;
            for (size_t plane = 0; plane < 8; plane++)
                bits ^= (uint64_t)bytes[plane * used + i] << 8 * plane;
            work->values[i] = (int64_t)bits;
        }
        return status;
    }
    if (places > FS_GRID_PLACES_MAX) return FS_ERR_SYNTAX;
    for (size_t i = 0; i < used && column->has_base; i++) {
        int64_t integer;
        double real = from_bits((uint64_t)work->base[i]);
        work->base[i] = fs_on_grid(real, places, &integer) ? integer : 0;
    }
    status = fs_get_integers(streams, work->values, column->has_base ? work->base : NULL, used);
    for (size_t i = 0; i < used && status == FS_OK; i++)
        work->values[i] = (int64_t)bits_of(fs_from_grid(work->values[i], places));
    return status;
}

/* ---- texts and GUIDs ---- */

static uint32_t hash_of(const struct fs_delta_text *text) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < text->size; i++) hash = (hash ^ text->bytes[i]) * 16777619U;
    return hash ^ hash >> 15;
}

/* Each text becomes 0 if it is new, else 1 + its place among those that were new; the new ones move
 * to the front of work->texts. Returns how many they are. */
static size_t refer(struct fs_delta_work *work, size_t used) {
    size_t known = 0;
    memset(work->slots, 0, sizeof work->slots);
    for (size_t i = 0; i < used; i++) {
        struct fs_delta_text text = work->texts[i];
        size_t slot = hash_of(&text) % FS_DELTA_SLOTS;
        for (; work->slots[slot] != 0; slot = (slot + 1) % FS_DELTA_SLOTS) {
            const struct fs_delta_text *other = &work->texts[work->slots[slot] - 1];
            if (other->size == text.size && memcmp(other->bytes, text.bytes, text.size) == 0) break;
        }
        work->values[i] = work->slots[slot];
        if (work->slots[slot] != 0) continue;
        work->texts[known++] = text;
        work->slots[slot] = (uint16_t)known;
    }
    return known;
}

static void put_texts(struct fs_delta_writer *writer, struct column *column) {
    struct fs_delta_work *work = column->work;
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    fs_put_classes(writer, work->classes, column->count);
    size_t used = compact(column);
    size_t known = refer(work, used);
    for (size_t i = 0; i < used; i++) fs_put_varint(numbers, (uint64_t)work->values[i]);
    if (column->type == FS_COLUMN_GUID) {
        fs_put_guids(writer, work, known);
        return;
    }
    for (size_t i = 0; i < known; i++) fs_put_varint(numbers, work->texts[i].size);
    for (size_t i = 0; i < known; i++)
        fs_out_bytes(&writer->out[FS_DELTA_TEXTS], work->texts[i].bytes, work->texts[i].size);
}

static int get_text(struct fs_delta_streams *streams, struct fs_delta_text *text) {
    uint64_t size;
    int status = fs_get_varint(streams, &size);
    if (status == FS_OK) status = fs_get_bytes(streams, FS_DELTA_TEXTS, size, &text->bytes);
    if (status != FS_OK) return status;
    text->size = (size_t)size;
    return fs_utf8_valid(text->bytes, text->size) ? FS_OK : FS_ERR_TEXT;
}

/* Afterwards work->values names places in work->texts or work->guids. */
static int get_texts(struct fs_delta_streams *streams, struct column *column, size_t used) {
    struct fs_delta_work *work = column->work;
    size_t known = 0;
    for (size_t i = 0; i < used; i++) {
        uint64_t reference;
        int status = fs_get_varint(streams, &reference);
        if (status != FS_OK) return status;
        if (reference > known) return FS_ERR_SYNTAX;
        work->values[i] = (int64_t)(reference == 0 ? known++ : reference - 1);
    }
    if (column->type == FS_COLUMN_GUID) return fs_get_guids(streams, work, known);
    for (size_t i = 0; i < known; i++) {
        int status = get_text(streams, &work->texts[i]);
        if (status != FS_OK) return status;
    }
    return FS_OK;
}

/* ---- columns ---- */

static int put_tagged(struct fs_delta_writer *writer, const struct column *column,
                      struct fs_delta_list values) {
    struct fs_marshal marshal;
    size_t count;
    int status = fs_delta_open(values, &marshal, &count);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        struct fs_value value;
        status = fs_marshal_value(&marshal, &value);
        if (status != FS_OK || column->work->classes[i] != FS_CLASS_TAGGED) continue;
        status = fs_put_tagged(writer, &value);
    }
    return status;
}

int fs_delta_put(int column_type, const struct fs_delta_list *values,
                 const struct fs_delta_list *base, struct fs_delta_work *work,
                 struct fs_delta_streams *streams, struct fs_result *result) {
    struct column column = {.type = column_type, .work = work};
    struct fs_delta_writer writer = fs_delta_writer(streams);
    *result = (struct fs_result){0, 0};
    int status = read_values(&column, *values);
    if (status == FS_OK) status = read_base(&column, *base);
    if (status != FS_OK) return status;
    if (column_type == FS_COLUMN_REAL) {
        put_reals(&writer, &column);
    } else if (column_type == FS_COLUMN_TEXT || column_type == FS_COLUMN_GUID) {
        put_texts(&writer, &column);
    } else {
        fs_put_classes(&writer, work->classes, column.count);
        size_t used = compact(&column);
        fs_put_integers(&writer, work->values, column.has_base ? work->base : NULL, used);
    }
    status = put_tagged(&writer, &column, *values);
    return status == FS_OK ? fs_delta_commit(&writer, streams, result) : status;
}

static int pickle_regular(const struct column *column, size_t place, struct fs_out *out) {
    const struct fs_delta_work *work = column->work;
    int64_t value = work->values[place];
    char text[FS_GUID_TEXT_SIZE];
    switch (column->type) {
    case FS_COLUMN_INTEGER:
        fs_pickle_integer(out, value);
        return FS_OK;
    case FS_COLUMN_REAL:
        fs_pickle_float(out, from_bits((uint64_t)value));
        return FS_OK;
    case FS_COLUMN_DATE:
        if (!fs_datetime_print(value, text)) return FS_ERR_DATE;
        fs_pickle_text(out, text, FS_DATETIME_TEXT_SIZE);
        return FS_OK;
    case FS_COLUMN_GUID:
        fs_guid_print(work->guids[value], text);
        fs_pickle_text(out, text, FS_GUID_TEXT_SIZE);
        return FS_OK;
    default:
        fs_pickle_text(out, work->texts[value].bytes, work->texts[value].size);
        return FS_OK;
    }
}

static int pickle_column(struct fs_delta_streams *streams, const struct column *column,
                         struct fs_out *out) {
    size_t used = 0;
    int status = FS_OK;
    fs_pickle_list_start(out);
    for (size_t i = 0; i < column->count && status == FS_OK; i++) {
        if (column->work->classes[i] == FS_CLASS_NULL)
            fs_pickle_none(out);
        else if (column->work->classes[i] == FS_CLASS_TAGGED)
            status = fs_get_tagged(streams, out);
        else
            status = pickle_regular(column, used++, out);
    }
    fs_pickle_list_end(out);
    return status;
}

static int get_column(struct fs_delta_streams *streams, struct column *column,
                      struct fs_delta_list base, struct fs_out *out) {
    struct fs_delta_work *work = column->work;
    int status = read_base(column, base);
    if (status == FS_OK)
        status = fs_get_classes(streams, work->classes, column->count, FS_CLASS_TAGGED);
    if (status != FS_OK) return status;
    size_t used = compact(column);
    if (column->type == FS_COLUMN_REAL)
        status = get_reals(streams, column, used);
    else if (column->type == FS_COLUMN_TEXT || column->type == FS_COLUMN_GUID)
        status = get_texts(streams, column, used);
    else
        status = fs_get_integers(streams, work->values, column->has_base ? work->base : NULL, used);
    return status == FS_OK ? pickle_column(streams, column, out) : status;
}

int fs_delta_get(int column_type, size_t count, const struct fs_delta_list *base,
                 struct fs_delta_work *work, struct fs_delta_streams *streams, uint8_t *out,
                 size_t out_size, struct fs_result *result) {
    struct fs_out sink = {out, out_size, 0};
    if (count > FS_DELTA_ROWS_MAX) return FS_ERR_LIMIT;
    struct column column = {.type = column_type, .count = count, .work = work};
    struct fs_delta_streams next = *streams;
    int status = get_column(&next, &column, *base, &sink);
    *result = (struct fs_result){sink.size, next.at[FS_DELTA_NUMBERS]};
    if (status != FS_OK) return status;
    if (fs_out_overflowed(&sink)) return FS_NEED_OUTPUT;
    *streams = next;
    return FS_OK;
}
