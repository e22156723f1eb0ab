/* Shortest round-trip printing after R. Giulietti, "The Schubfach way to render doubles" (2021):
 * the interval of decimals that read back as the value is scaled by one table entry, and at most
 * four candidates are compared. */
#include "fs_number.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "powers.h"

struct decimal {
    uint64_t digits;
    int exponent;
};

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* floor(log10(2^e)) and floor(log10(3/4 * 2^e)), exact for every exponent of a double. */
static int log10_of_pow2(int e) { return (int)((int64_t)e * 1262611 >> 22); }
static int log10_of_three_quarters_pow2(int e) {
    return (int)(((int64_t)e * 1262611 - 524031) >> 22);
}

/* The product's upper 64 bits with every lower bit folded into the last: enough to compare. */
static uint64_t round_to_odd(struct fs_wide power, uint64_t factor) {
    struct fs_wide low = fs_wide_product(power.low, factor);
    struct fs_wide high = fs_wide_product(power.high, factor);
    uint64_t middle = high.low + low.high;
    uint64_t top = high.high + (middle < high.low);
    return top | (middle > 1);
}

static struct decimal shortest(uint64_t fraction, int biased) {
    uint64_t c = biased == 0 ? fraction : fraction | (uint64_t)1 << 52;
    int q = (biased == 0 ? 1 : biased) - 1075;
    bool even = (c & 1) == 0;
    bool lower_is_closer = fraction == 0 && biased > 1;
    int k = lower_is_closer ? log10_of_three_quarters_pow2(q) : log10_of_pow2(q);
    int shift = q + fs_log2_of_power(-k) + 1;
    struct fs_wide power = fs_powers[-k - FS_POWER_MIN];

    uint64_t lower = round_to_odd(power, (4 * c - 2 + lower_is_closer) << shift) + !even;
    uint64_t middle = round_to_odd(power, (4 * c) << shift);
    uint64_t upper = round_to_odd(power, (4 * c + 2) << shift) - !even;

    uint64_t s = middle / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool below = lower <= 40 * tens;
        bool above = 40 * tens + 40 <= upper;
        if (below != above) return (struct decimal){tens + above, k + 1};
    }
    bool below = lower <= 4 * s;
    bool above = 4 * s + 4 <= upper;
    if (below != above) return (struct decimal){s + above, k};
    uint64_t half = 4 * s + 2;
    bool up = middle > half || (middle == half && (s & 1) != 0);
    return (struct decimal){s + up, k};
}

static size_t count_digits(uint64_t value) {
    static const uint64_t least[] = {0, /* of one digit more than its place says */
                                     10U,
                                     100U,
                                     1000U,
                                     10000U,
                                     100000U,
                                     1000000U,
                                     10000000U,
                                     100000000U,
                                     1000000000U,
                                     10000000000U,
                                     100000000000U,
                                     1000000000000U,
                                     10000000000000U,
                                     100000000000000U,
                                     1000000000000000U,
                                     10000000000000000U,
                                     100000000000000000U,
                                     1000000000000000000U,
                                     10000000000000000000U};
    size_t bits = 64 - (size_t)fs_leading_zeros(value | 1);
    size_t count = bits * 1233 >> 12; /* log10(2) * 4096 = 1233.02 */
    return count + (value >= least[count]);
}

static void write_pair(char *text, uint32_t value) { memcpy(text, digit_pairs + 2 * value, 2); }

/* Writes exactly eight digits. The number is halved three times, into lanes of one word: the
 * quotients by 100 and by 10 come from multiplications that are exact in their range. */
static void write_eight(char *text, uint32_t value) {
    uint32_t high = value / 10000;
    uint64_t fours = high | (uint64_t)(value - high * 10000) << 32;
    uint64_t hundreds = fours * 10486 >> 20 & UINT64_C(0x0000007f0000007f);
    uint64_t pairs = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = pairs * 103 >> 10 & UINT64_C(0x000f000f000f000f);
    uint64_t digits = tens | (pairs - tens * 10) << 8;
    fs_store_u64((uint8_t *)text, digits | UINT64_C(0x3030303030303030));
}

/* Writes exactly `count` digits. */
static void write_digits(char *text, uint64_t value, size_t count) {
    char *end = text + count;
    while (end - text >= 8) {
        end -= 8;
        write_eight(end, (uint32_t)(value % 100000000));
        value /= 100000000;
    }
    uint32_t rest = (uint32_t)value;
    while (end - text >= 2) {
        end -= 2;
        write_pair(end, rest % 100);
        rest /= 100;
    }
    if (end > text) *text = (char)('0' + rest % 10);
}

size_t fs_integer_print(int64_t value, char *text) {
    size_t sign = value < 0;
    uint64_t magnitude = sign ? 0 - (uint64_t)value : (uint64_t)value;
    text[0] = '-';
    size_t count = count_digits(magnitude);
    write_digits(text + sign, magnitude, count);
    return sign + count;
}

static size_t print_exponent(char *text, int exponent) {
    text[0] = 'e';
    text[1] = exponent < 0 ? '-' : '+';
    uint64_t magnitude = (uint64_t)(exponent < 0 ? -exponent : exponent);
    size_t count = count_digits(magnitude);
    write_digits(text + 2, magnitude, count);
    return 2 + count;
}

static struct decimal without_trailing_zeros(struct decimal value) {
    if (value.digits % 100000000 == 0) {
        value.digits /= 100000000;
        value.exponent += 8;
    }
    while (value.digits % 10 == 0) {
        value.digits /= 10;
        value.exponent++;
    }
    return value;
}

/* k digits, the decimal point n places from the left, as in ECMA-262 Number::toString; but whole
 * numbers of 17 digits and more get an exponent: filled up with zeros they would be other integers.
 */
static size_t lay_out(struct decimal value, char *text) {
    int k = (int)count_digits(value.digits);
    int n = k + value.exponent;
    if (k <= n && n <= 16) {
        write_digits(text, value.digits, (size_t)k);
        memset(text + k, '0', (size_t)(n - k));
        return (size_t)n;
    }
    if (0 < n && n <= 16) {
        write_digits(text + 1, value.digits, (size_t)k);
        memmove(text, text + 1, (size_t)n);
        text[n] = '.';
        return (size_t)k + 1;
    }
    if (-6 < n && n <= 0) {
        text[0] = '0';
        text[1] = '.';
        memset(text + 2, '0', (size_t)-n);
        write_digits(text + 2 - n, value.digits, (size_t)k);
        return (size_t)(2 - n + k);
    }
    write_digits(text + 1, value.digits, (size_t)k);
    text[0] = text[1];
    if (k == 1) return 1 + print_exponent(text + 1, n - 1);
    text[1] = '.';
    return (size_t)k + 1 + print_exponent(text + k + 1, n - 1);
}

/* n / 10^8 */
static size_t print_grid(uint64_t n, char *text) {
    uint64_t whole = n / 100000000;
    uint32_t part = (uint32_t)(n % 100000000);
    size_t count = count_digits(whole);
    write_digits(text, whole, count);
    if (part == 0) return count;
    text[count] = '.';
    write_eight(text + count + 1, part);
    size_t end = count + 9;
    while (text[end - 1] == '0') end--;
    return end;
}

/* Coordinates and measurements mostly lie on a decimal grid. If n / 10^8 is the value and n has at
 * most 15 digits, then n is its shortest text: no two such decimals share a double. */
static bool on_grid(double magnitude, uint64_t *n) {
    if (!(magnitude >= 1e-6 && magnitude < 1e7)) return false;
    int64_t nearest = (int64_t)(magnitude * 1e8 + 0.5);
    *n = (uint64_t)nearest;
    return (double)nearest / 1e8 == magnitude;
}

/* The same for 10^4: projected coordinates beyond that, and larger measures. */
static bool on_coarse_grid(double magnitude, uint64_t *n) {
    if (!(magnitude >= 1e7 && magnitude < 1e11)) return false;
    int64_t nearest = (int64_t)(magnitude * 1e4 + 0.5);
    *n = (uint64_t)nearest * 10000;
    return (double)nearest / 1e4 == magnitude;
}

size_t fs_number_print(double value, char *text) {
    uint64_t bits, n;
    memcpy(&bits, &value, sizeof bits);
    size_t sign = (size_t)(bits >> 63);
    double magnitude = sign ? -value : value;
    text[0] = '-';
    if (on_grid(magnitude, &n) || on_coarse_grid(magnitude, &n))
        return sign + print_grid(n, text + sign);
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52 & 0x7ff);
    if (biased == 0 && fraction == 0) {
        memcpy(text + sign, "0.0", 3);
        return sign ? 4 : 1;
    }
    if (magnitude < 9007199254740992.0 && (double)(int64_t)magnitude == magnitude)
        return fs_integer_print((int64_t)value, text);
    return sign + lay_out(without_trailing_zeros(shortest(fraction, biased)), text + sign);
}
