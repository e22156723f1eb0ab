/* Exact decimal to double by binary long division on fixed-size integers. */
#include "bigint.h"

#include <stdbool.h>
#include <string.h>

#define LIMBS 130      /* 4160 bits: 10^1120 (the widest denominator) needs 3721 */
#define DIGITS_MAX 770 /* two doubles' midpoint has at most 767 significant digits */

struct bigint {
    uint32_t limb[LIMBS];
    size_t used; /* limbs up to the highest that is not zero */
};

static void multiply_add(struct bigint *number, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (size_t i = 0; i < number->used; i++) {
        carry += (uint64_t)number->limb[i] * factor;
        number->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0 && number->used < LIMBS) number->limb[number->used++] = (uint32_t)carry;
}

static void multiply_power_of_ten(struct bigint *number, int64_t exponent) {
    for (; exponent >= 9; exponent -= 9) multiply_add(number, 1000000000, 0);
    for (; exponent > 0; exponent--) multiply_add(number, 10, 0);
}

static void shift_left(struct bigint *number, size_t bits) {
    size_t limbs = bits / 32;
    unsigned rest = (unsigned)(bits % 32);
    if (number->used == 0 || number->used + limbs + 1 > LIMBS) return;
    memmove(number->limb + limbs, number->limb, number->used * sizeof number->limb[0]);
    memset(number->limb, 0, limbs * sizeof number->limb[0]);
    number->used += limbs;
    uint32_t carry = 0;
    for (size_t i = limbs; rest != 0 && i < number->used; i++) {
        uint32_t value = number->limb[i];
        number->limb[i] = value << rest | carry;
        carry = value >> (32 - rest);
    }
    if (carry != 0) number->limb[number->used++] = carry;
}

static int compare(const struct bigint *a, const struct bigint *b) {
    if (a->used != b->used) return a->used < b->used ? -1 : 1;
    for (size_t i = a->used; i-- > 0;)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

static void subtract(struct bigint *a, const struct bigint *b) {
    uint64_t borrow = 0;
    for (size_t i = 0; i < a->used; i++) {
        uint64_t take = (i < b->used ? b->limb[i] : 0) + borrow;
        borrow = a->limb[i] < take;
        a->limb[i] = (uint32_t)(a->limb[i] - take);
    }
    while (a->used > 0 && a->limb[a->used - 1] == 0) a->used--;
}

static size_t bit_length(const struct bigint *number) {
    if (number->used == 0) return 0;
    return number->used * 32 - (size_t)__builtin_clz(number->limb[number->used - 1]);
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* value = digits * 10^(returned exponent); what lies beyond DIGITS_MAX is kept as a last digit 1 */
static int64_t read_digits(const uint8_t *text, size_t size, struct bigint *digits, int *count) {
    int64_t exponent = 0;
    bool fraction = false, lost = false;
    size_t at = 0;
    for (; at < size && text[at] != 'e' && text[at] != 'E'; at++) {
        if (text[at] == '.') fraction = true;
        if (!is_digit(text[at])) continue;
        if (*count < DIGITS_MAX) {
            multiply_add(digits, 10, (uint32_t)(text[at] - '0'));
            *count += digits->used > 0;
            exponent -= fraction;
        } else {
            lost = lost || text[at] != '0';
            exponent += !fraction;
        }
    }
    if (lost) {
        multiply_add(digits, 10, 1);
        ++*count;
        exponent--;
    }
    bool negative = false;
    int64_t written = 0;
    for (; at < size; at++) {
        negative = negative || text[at] == '-';
        if (is_digit(text[at]) && written < 100000) written = written * 10 + (text[at] - '0');
    }
    return exponent + (negative ? -written : written);
}

uint64_t fs_bigint_nearest(const uint8_t *text, size_t size) {
    const uint64_t infinity = (uint64_t)0x7ff << 52;
    struct bigint numerator = {.used = 0};
    struct bigint denominator = {.limb = {1}, .used = 1};
    int count = 0;
    int64_t exponent = read_digits(text, size, &numerator, &count);
    if (numerator.used == 0 || exponent + count < -326) return 0;
    if (exponent + count > 310) return infinity;
    multiply_power_of_ten(exponent > 0 ? &numerator : &denominator,
                          exponent > 0 ? exponent : -exponent);

    /* Scale the quotient into [1, 2), its binary exponent into `binary`. */
    int binary = (int)bit_length(&numerator) - (int)bit_length(&denominator);
    if (binary > 0)
        shift_left(&denominator, (size_t)binary);
    else
        shift_left(&numerator, (size_t)-binary);
    if (compare(&numerator, &denominator) < 0) {
        shift_left(&numerator, 1);
        binary--;
    }
    if (binary > 1023) return infinity;

    int precision = binary >= -1022 ? 53 : 53 - (-1022 - binary);
    if (precision < 0) return 0;
    uint64_t significand = 0;
    for (int i = 0; i < precision; i++) {
        significand <<= 1;
        if (compare(&numerator, &denominator) >= 0) {
            subtract(&numerator, &denominator);
            significand |= 1;
        }
        shift_left(&numerator, 1);
    }
    int rest = compare(&numerator, &denominator);
    significand += rest > 0 || (rest == 0 && (significand & 1) != 0);
    if (binary < -1022) return significand; /* a carry becomes the smallest normal by itself */
    if (significand >> 53 != 0) {
        significand >>= 1;
        binary++;
    }
    if (binary > 1023) return infinity;
    return (significand & (((uint64_t)1 << 52) - 1)) | (uint64_t)(binary + 1023) << 52;
}
