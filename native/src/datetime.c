#include "datetime.h"

#define DAY_MS INT64_C(86400000)
#define FIRST_MS (-719162 * DAY_MS)    /* 0001-01-01 */
#define LAST_MS (2932897 * DAY_MS - 1) /* the end of 9999-12-31 */

struct date {
    int year, month, day;
};

/* Days since 1970-01-01, counted from March so that leap days come last. */
static int64_t days_of(struct date date) {
    int64_t year = date.year - (date.month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_of(int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    int64_t march = (5 * of_year + 2) / 153;
    int month = (int)(march < 10 ? march + 3 : march - 9);
    int year = (int)(of_era + era * 400 + (month <= 2));
    return (struct date){year, month, (int)(of_year - (153 * march + 2) / 5 + 1)};
}

static void put_digits(char *text, int value, int count) {
    for (; count > 0; value /= 10) text[--count] = (char)('0' + value % 10);
}

bool fs_datetime_print(int64_t epoch_ms, char text[FS_DATETIME_TEXT_SIZE]) {
    if (epoch_ms < FIRST_MS || epoch_ms > LAST_MS) return false;
    int64_t days = (epoch_ms - FIRST_MS) / DAY_MS + FIRST_MS / DAY_MS;
    int ms = (int)(epoch_ms - days * DAY_MS);
    struct date date = date_of(days);
    static const char form[] = "0000-00-00T00:00:00.000Z";
    for (int i = 0; i < FS_DATETIME_TEXT_SIZE; i++) text[i] = form[i];
    put_digits(text, date.year, 4);
    put_digits(text + 5, date.month, 2);
    put_digits(text + 8, date.day, 2);
    put_digits(text + 11, ms / 3600000, 2);
    put_digits(text + 14, ms / 60000 % 60, 2);
    put_digits(text + 17, ms / 1000 % 60, 2);
    put_digits(text + 20, ms % 1000, 3);
    return true;
}

struct text {
    const uint8_t *at, *end;
};

static bool take(struct text *text, uint8_t byte) {
    if (text->at == text->end || *text->at != byte) return false;
    text->at++;
    return true;
}

static bool number(struct text *text, int digits, int *value) {
    *value = 0;
    for (; digits > 0; digits--, text->at++) {
        if (text->at == text->end || *text->at < '0' || *text->at > '9') return false;
        *value = *value * 10 + (*text->at - '0');
    }
    return true;
}

static int days_in(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool read_date(struct text *text, int64_t *ms) {
    struct date date;
    if (!number(text, 4, &date.year) || !take(text, '-') || !number(text, 2, &date.month) ||
        !take(text, '-') || !number(text, 2, &date.day))
        return false;
    if (date.month < 1 || date.month > 12 || date.day < 1 ||
        date.day > days_in(date.year, date.month))
        return false;
    *ms = days_of(date) * DAY_MS;
    return date.year >= 1;
}

static bool read_fraction(struct text *text, int *ms) {
    *ms = 0;
    int weight = 100;
    const uint8_t *start = text->at;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++, weight /= 10)
        *ms += weight * (*text->at - '0');
    return text->at > start;
}

static bool read_time(struct text *text, int64_t *ms) {
    int hour, minute, second = 0, fraction = 0;
    if (!number(text, 2, &hour) || !take(text, ':') || !number(text, 2, &minute)) return false;
    if (take(text, ':')) {
        if (!number(text, 2, &second)) return false;
        if (take(text, '.') && !read_fraction(text, &fraction)) return false;
    }
    if (hour > 23 || minute > 59 || second > 59) return false;
    *ms += (int64_t)hour * 3600000 + minute * 60000 + second * 1000 + fraction;
    return true;
}

static bool read_zone(struct text *text, int64_t *ms) {
    if (text->at == text->end || take(text, 'Z')) return true;
    bool east = take(text, '+');
    int hour, minute;
    if (!east && !take(text, '-')) return false;
    if (!number(text, 2, &hour)) return false;
    take(text, ':');
    if (!number(text, 2, &minute) || hour > 23 || minute > 59) return false;
    int64_t offset = (int64_t)hour * 3600000 + minute * 60000;
    *ms += east ? -offset : offset;
    return true;
}

bool fs_datetime_parse(const uint8_t *text, size_t size, int64_t *epoch_ms) {
    struct text cursor = {text, text + size};
    int64_t ms;
    if (!read_date(&cursor, &ms)) return false;
    if (take(&cursor, 'T') || take(&cursor, ' '))
        if (!read_time(&cursor, &ms) || !read_zone(&cursor, &ms)) return false;
    if (cursor.at != cursor.end || ms < FIRST_MS || ms > LAST_MS) return false;
    *epoch_ms = ms;
    return true;
}
