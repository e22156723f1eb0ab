#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "fs_number.h"
#include "fs_status.h"

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void check_text(double value, const char *expected) {
    char text[FS_NUMBER_TEXT_MAX];
    size_t size = fs_number_print(value, text);
    CHECK(size == strlen(expected) && memcmp(text, expected, size) == 0);
}

static void check_round_trip(double value) {
    char text[FS_NUMBER_TEXT_MAX];
    double back = 0;
    size_t size = fs_number_print(value, text);
    CHECK(size < FS_NUMBER_TEXT_MAX);
    void *exact = exact_copy(text, size);
    CHECK(fs_number_parse(exact, size, &back) == FS_OK);
    CHECK(memcmp(&back, &value, sizeof value) == 0);
    free(exact);
}

static void check_long_digits(void) {
    uint8_t text[3000];
    double value = 0;
    memset(text, '7', sizeof text);
    text[1] = '.';
    CHECK(fs_number_parse(text, sizeof text, &value) == FS_OK);
    CHECK(value == 7.777777777777778);
    memset(text, '9', sizeof text);
    CHECK(fs_number_parse(text, sizeof text, &value) == FS_ERR_NUMBER);
}

/* Around the powers of two and ten, where the number of digits changes. */
static void check_integers(void) {
    char text[FS_NUMBER_TEXT_MAX], expected[FS_NUMBER_TEXT_MAX];
    uint64_t two = 1, ten = 1;
    for (int i = 0; i < 64; i++, two *= 2, ten *= 10)
        for (uint64_t off = 0; off < 3; off++)
            for (int which = 0; which < 2; which++) {
                uint64_t bits = (which == 0 ? two : ten) + off - 1;
                int64_t value;
                memcpy(&value, &bits, sizeof value);
                size_t size = fs_integer_print(value, text);
                snprintf(expected, sizeof expected, "%" PRId64, value);
                CHECK(size == strlen(expected) && memcmp(text, expected, size) == 0);
            }
}

void test_numbers(void) {
    check_integers();
    check_text(0.1, "0.1");
    check_text(-0.0, "-0.0");
    check_text(1e21, "1e+21");
    check_text(5e-324, "5e-324");
    check_text(1.7976931348623157e308, "1.7976931348623157e+308");
    uint64_t state = 88172645463325252U;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next_random(&state);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) check_round_trip(value);
        check_round_trip((double)(int64_t)(bits % 36000000000U) / 1e8);
        check_round_trip((double)(int64_t)(bits % 4000000000000U) / 1e4);
    }
    check_long_digits();
}
