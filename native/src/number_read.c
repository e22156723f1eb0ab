/* Decimal text to double: exact small cases by one multiplication, then D. Lemire's 128-bit product
 * ("Number parsing at a gigabyte per second", 2021), then big integers for what is too close. */
#include <math.h>
#include <string.h>

#include "bigint.h"
#include "fs_status.h"
#include "number.h"
#include "powers.h"

#define EXPONENT_CLAMP 100000 /* far beyond any double, far below overflow */

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* Takes one digit into the mantissa; digits after the 19th only move the exponent. */
static inline void take_digit(struct fs_number *number, int *significant, uint8_t digit,
                              int64_t shift) {
    if (*significant < 19) {
        number->mantissa = number->mantissa * 10 + digit;
        number->exponent += shift;
        if (number->mantissa != 0) ++*significant;
    } else {
        number->exponent += shift + 1;
        number->truncated = number->truncated || digit != 0;
    }
}

static size_t scan_exponent(const uint8_t *text, size_t size, size_t at, int64_t *exponent) {
    bool negative = at < size && text[at] == '-';
    if (at < size && (text[at] == '-' || text[at] == '+')) at++;
    if (at >= size || !is_digit(text[at])) return 0;
    int64_t value = 0;
    for (; at < size && is_digit(text[at]); at++)
        if (value < EXPONENT_CLAMP) value = value * 10 + (text[at] - '0');
    *exponent += negative ? -value : value;
    return at;
}

size_t fs_number_scan(const uint8_t *text, size_t size, struct fs_number *number) {
    *number = (struct fs_number){.text = text, .integral = true};
    size_t at = 0;
    int significant = 0;
    if (at < size && text[at] == '-') {
        number->negative = true;
        at++;
    }
    if (at >= size || !is_digit(text[at])) return 0;
    if (text[at] == '0') {
        at++;
        if (at < size && is_digit(text[at])) return 0;
    } else {
        for (; at < size && is_digit(text[at]); at++)
            take_digit(number, &significant, (uint8_t)(text[at] - '0'), 0);
    }
    if (at < size && text[at] == '.') {
        number->integral = false;
        at++;
        if (at >= size || !is_digit(text[at])) return 0;
        for (; at < size && is_digit(text[at]); at++)
            take_digit(number, &significant, (uint8_t)(text[at] - '0'), -1);
    }
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        number->integral = false;
        at = scan_exponent(text, size, at + 1, &number->exponent);
        if (at == 0) return 0;
    }
    number->size = at;
    return at;
}

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define INFINITY_BITS ((uint64_t)0x7ff << 52)
#define UNDECIDED UINT64_MAX

/* Bits of the double nearest to mantissa * 10^exponent, or UNDECIDED when 128 bits of the power are
 * too few to tell which way it rounds. */
static uint64_t nearest_bits(uint64_t mantissa, int64_t exponent) {
    if (mantissa == 0 || exponent < FS_POWER_MIN) return 0;
    if (exponent > 308) return INFINITY_BITS;
    int q = (int)exponent;
    int zeros = fs_leading_zeros(mantissa);
    mantissa <<= zeros;

    /* The product wants the power rounded down; the table is rounded up. */
    struct fs_wide power = fs_powers[q - FS_POWER_MIN];
    if (q > FS_POWER_EXACT_MAX) {
        power.high -= power.low == 0;
        power.low--;
    }
    struct fs_wide product = fs_wide_product(mantissa, power.high);
    if ((product.high & 0x1ff) == 0x1ff) {
        struct fs_wide tail = fs_wide_product(mantissa, power.low);
        product.low += tail.high;
        product.high += product.low < tail.high;
    }
    if (product.low == UINT64_MAX && (q < -27 || q > FS_POWER_EXACT_MAX)) return UNDECIDED;

    int top = (int)(product.high >> 63);
    int shift = top + 64 - 52 - 3;
    uint64_t significand = product.high >> shift;
    int binary = fs_log2_of_power(q) + 63 + top - zeros + 1023;
    if (binary <= 0) {
        if (1 - binary >= 64) return 0;
        significand >>= 1 - binary;
        significand += significand & 1;
        return significand >>
               1; /* a carry into bit 52 is the smallest normal number, as it should be */
    }
    /* Exactly half way, which only these powers allow: to even. */
    if (product.low <= 1 && q >= -4 && q <= 23 && (significand & 3) == 1 &&
        significand << shift == product.high)
        significand &= ~(uint64_t)1;
    significand += significand & 1;
    significand >>= 1;
    if (significand >= (uint64_t)1 << 53) {
        significand >>= 1;
        binary++;
    }
    if (binary >= 0x7ff) return INFINITY_BITS;
    return (significand & (((uint64_t)1 << 52) - 1)) | (uint64_t)binary << 52;
}

static double with_sign(const struct fs_number *number, double magnitude) {
    return number->negative ? -magnitude : magnitude;
}

double fs_number_double(const struct fs_number *number) {
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t mantissa = number->mantissa;
    int64_t exponent = number->exponent;
    if (!number->truncated && mantissa <= (uint64_t)1 << 53 && exponent >= -22 && exponent <= 22) {
        double value = (double)mantissa;
        return with_sign(number, exponent < 0 ? value / exact[-exponent] : value * exact[exponent]);
    }
    uint64_t bits = nearest_bits(mantissa, exponent);
    if (bits != UNDECIDED && number->truncated && nearest_bits(mantissa + 1, exponent) != bits)
        bits = UNDECIDED;
    if (bits == UNDECIDED) bits = fs_bigint_nearest(number->text, number->size);
    return with_sign(number, from_bits(bits));
}

bool fs_number_integer(const struct fs_number *number, int64_t *value) {
    uint64_t magnitude = number->mantissa;
    int64_t exponent = number->exponent;
    if (number->truncated) return false;
    for (; exponent < 0 && magnitude != 0; exponent++) {
        if (magnitude % 10 != 0) return false;
        magnitude /= 10;
    }
    for (; exponent > 0 && magnitude != 0; exponent--) {
        if (magnitude > UINT64_MAX / 10) return false;
        magnitude *= 10;
    }
    if (number->negative) {
        if (magnitude > (uint64_t)1 << 63) return false;
        *value = magnitude > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)magnitude;
        return true;
    }
    if (magnitude > (uint64_t)INT64_MAX) return false;
    *value = (int64_t)magnitude;
    return true;
}

int fs_number_parse(const uint8_t *text, size_t size, double *value) {
    struct fs_number number;
    if (size == 0 || fs_number_scan(text, size, &number) != size) return FS_ERR_SYNTAX;
    double read = fs_number_double(&number);
    if (isinf(read)) return FS_ERR_NUMBER;
    *value = read;
    return FS_OK;
}
