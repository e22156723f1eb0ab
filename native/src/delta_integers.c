/* A run of integers: value = prediction + offset + unit * k. The k are varints, or all their lowest
 * bytes, then all their second bytes and so on: bytes of one kind side by side pack better. */
#include "delta.h"

enum predictor { PREDICT_ZERO = 0, PREDICT_PREVIOUS = 1, PREDICT_BASE = 2 };

#define ZIGZAG 4 /* flag beside the predictor: offset 0, signed k */
#define PLANES 8 /* flag: byte planes instead of varints */

/* From so many values on the packing behind it makes up for a plane that is mostly zero. */
#define PLANES_COUNT 64

/* Differences wrap around: what is subtracted is added again, whatever the size. */
static int64_t residual(const int64_t *values, const int64_t *base, size_t i,
                        enum predictor predictor) {
    uint64_t prediction = 0;
    if (predictor == PREDICT_PREVIOUS) prediction = i > 0 ? (uint64_t)values[i - 1] : 0;
    if (predictor == PREDICT_BASE) prediction = (uint64_t)base[i];
    return (int64_t)((uint64_t)values[i] - prediction);
}

static size_t varint_size(uint64_t value) {
    size_t size = 1;
    for (; value > 0x7f; value >>= 7) size++;
    return size;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

struct plan {
    enum predictor predictor;
    bool zigzag;
    int64_t offset;
    uint64_t unit;
    size_t size;  /* with varints */
    size_t width; /* bytes of the largest k */
};

static uint64_t multiple(const struct plan *plan, int64_t r) {
    if (plan->zigzag) {
        int64_t k = plan->unit == 1 ? r : r / (int64_t)plan->unit;
        return fs_zigzag(k);
    }
    return ((uint64_t)r - (uint64_t)plan->offset) / plan->unit;
}

/* The first value of a PREVIOUS run stands apart: it has nothing to do with the steps. */
static size_t first_of(enum predictor predictor) { return predictor == PREDICT_PREVIOUS; }

static struct plan plan_for(const int64_t *values, const int64_t *base, size_t count,
                            enum predictor predictor, bool zigzag) {
    struct plan plan = {predictor, zigzag, 0, 0, 0, 0};
    size_t first = first_of(predictor);
    for (size_t i = first; i < count && !zigzag; i++) {
        int64_t r = residual(values, base, i, predictor);
        if (i == first || r < plan.offset) plan.offset = r;
    }
    for (size_t i = first; i < count && plan.unit != 1; i++) {
        int64_t r = residual(values, base, i, predictor);
        uint64_t distance = (uint64_t)r - (uint64_t)plan.offset;
        if (zigzag && r < 0) distance = 0 - (uint64_t)r;
        plan.unit = common_divisor(distance, plan.unit);
    }
    if (plan.unit == 0 || plan.unit > INT64_MAX) plan.unit = 1;
    plan.size = varint_size(plan.unit) + varint_size(fs_zigzag(plan.offset));
    for (size_t i = first; i < count; i++) {
        uint64_t k = multiple(&plan, residual(values, base, i, predictor));
        plan.size += varint_size(k);
        while (plan.width < 8 && k >> 8 * plan.width != 0) plan.width++;
    }
    return plan;
}

static bool prefers_planes(const struct plan *plan, size_t count) {
    return plan->width * count <= plan->size + (count < PLANES_COUNT ? 0 : count);
}

/* What a plan is worth: with planes its bytes hold no continuation bits. */
static size_t cost_of(const struct plan *plan, size_t count) {
    size_t planes = plan->width * count;
    return prefers_planes(plan, count) && planes < plan->size ? planes : plan->size;
}

void fs_put_integers(struct fs_delta_writer *writer, const int64_t *values, const int64_t *base,
                     size_t count) {
    struct fs_out *numbers = &writer->out[FS_DELTA_NUMBERS];
    if (count == 0) return;
    struct plan best = plan_for(values, base, count, PREDICT_ZERO, false);
    for (int predictor = PREDICT_ZERO; predictor <= PREDICT_BASE; predictor++)
        for (int zigzag = 0; zigzag <= 1; zigzag++) {
            if (predictor == PREDICT_BASE && base == NULL) continue;
            struct plan plan =
                plan_for(values, base, count, (enum predictor)predictor, zigzag != 0);
            if (cost_of(&plan, count) < cost_of(&best, count)) best = plan;
        }
    bool planes = prefers_planes(&best, count);
    fs_out_byte(numbers,
                (uint8_t)(best.predictor | (best.zigzag ? ZIGZAG : 0) | (planes ? PLANES : 0)));
    if (best.predictor == PREDICT_PREVIOUS) fs_put_varint(numbers, fs_zigzag(values[0]));
    fs_put_varint(numbers, best.unit);
    if (!best.zigzag) fs_put_varint(numbers, fs_zigzag(best.offset));
    if (planes) fs_out_byte(numbers, (uint8_t)best.width);
    size_t first = first_of(best.predictor);
    for (size_t plane = 0; plane < (planes ? best.width : 1); plane++)
        for (size_t i = first; i < count; i++) {
            uint64_t k = multiple(&best, residual(values, base, i, best.predictor));
            if (planes)
                fs_out_byte(numbers, (uint8_t)(k >> 8 * plane));
            else
                fs_put_varint(numbers, k);
        }
}

/* The k of the run, unsigned, into values. */
static int get_multiples(struct fs_delta_streams *streams, bool planes, int64_t *values,
                         size_t count) {
    const uint8_t *bytes;
    uint64_t k;
    int status = FS_OK;
    if (!planes) {
        for (size_t i = 0; i < count && status == FS_OK; i++) {
            status = fs_get_varint(streams, &k);
            values[i] = (int64_t)k;
        }
        return status;
    }
    status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &bytes);
    if (status != FS_OK) return status;
    size_t width = bytes[0];
    if (width > 8) return FS_ERR_SYNTAX;
    status = fs_get_bytes(streams, FS_DELTA_NUMBERS, width * count, &bytes);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        k = 0;
        for (size_t plane = 0; plane < width; plane++)
            k |= (uint64_t)bytes[plane * count + i] << 8 * plane;
        values[i] = (int64_t)k;
    }
    return status;
}

int fs_get_integers(struct fs_delta_streams *streams, int64_t *values, const int64_t *base,
                    size_t count) {
    const uint8_t *flags;
    uint64_t unit, number, offset = 0;
    if (count == 0) return FS_OK;
    int status = fs_get_bytes(streams, FS_DELTA_NUMBERS, 1, &flags);
    if (status != FS_OK) return status;
    int predictor = flags[0] & 3;
    bool zigzag = (flags[0] & ZIGZAG) != 0;
    if (flags[0] > (PLANES | ZIGZAG | 3) || predictor > PREDICT_BASE) return FS_ERR_SYNTAX;
    if (predictor == PREDICT_BASE && base == NULL) return FS_ERR_SYNTAX;
    if (predictor == PREDICT_PREVIOUS) {
        status = fs_get_varint(streams, &number);
        values[0] = fs_unzigzag(number);
    }
    if (status == FS_OK) status = fs_get_varint(streams, &unit);
    if (status == FS_OK && !zigzag) {
        status = fs_get_varint(streams, &number);
        offset = (uint64_t)fs_unzigzag(number);
    }
    size_t first = first_of((enum predictor)predictor);
    if (status == FS_OK)
        status = get_multiples(streams, (flags[0] & PLANES) != 0, values + first, count - first);
    for (size_t i = first; i < count && status == FS_OK; i++) {
        uint64_t k = zigzag ? (uint64_t)fs_unzigzag((uint64_t)values[i]) : (uint64_t)values[i];
        uint64_t prediction = 0;
        if (predictor == PREDICT_PREVIOUS) prediction = (uint64_t)values[i - 1];
        if (predictor == PREDICT_BASE) prediction = (uint64_t)base[i];
        values[i] = (int64_t)(prediction + offset + unit * k);
    }
    return status;
}
