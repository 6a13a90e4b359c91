/* Times are kept as integers and turned into text only where a line is written; the calendar itself is the C
 * library's (gmtime_r, timegm). */
#include "timestamp.h"

#include "error.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS 86400

static int64_t clock_now(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

int64_t timestamp_now(void) {
    return clock_now(CLOCK_REALTIME);
}

int64_t monotonic_now(void) {
    return clock_now(CLOCK_MONOTONIC);
}

static int64_t divide_down(int64_t number, int64_t divisor) {
    return number / divisor - (number % divisor < 0);
}

void timestamp_format(int64_t microseconds, char out[TIMESTAMP_SIZE]) {
    time_t seconds = (time_t)divide_down(microseconds, SECOND);
    int fraction = (int)(microseconds - seconds * SECOND);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[80]; /* wide enough for any int in any field, so that the compiler sees no cut */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1,
             utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, fraction);
    snprintf(out, TIMESTAMP_SIZE, "%.*s", (int)TIMESTAMP_SIZE - 1, text);
}

int32_t timestamp_day(int64_t microseconds) {
    return (int32_t)divide_down(microseconds, DAY_SECONDS * SECOND);
}

void day_format(int32_t day, char out[DAY_SIZE]) {
    char text[TIMESTAMP_SIZE];
    timestamp_format(day * DAY_SECONDS * SECOND, text);
    snprintf(out, DAY_SIZE, "%.*s", (int)DAY_SIZE - 1, text);
}

/* Reads `count` decimal digits at *text and steps past them; -1 where there is anything else. */
static int digits(const char **text, const char *end, int count) {
    int number = 0;
    if (end - *text < count)
        return -1;
    for (; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9')
            return -1;
        number = number * 10 + (**text - '0');
    }
    return number;
}

static int literal(const char **text, const char *end, char wanted) {
    if (*text == end || **text != wanted)
        return 0;
    (*text)++;
    return 1;
}

static int parse_date(const char **text, const char *end, struct tm *utc) {
    int year = digits(text, end, 4);
    int month = literal(text, end, '-') ? digits(text, end, 2) : -1;
    int day = literal(text, end, '-') ? digits(text, end, 2) : -1;
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31)
        return ERROR_INVALID;
    *utc = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    struct tm normal = *utc;
    timegm(&normal); /* turns 30 February into 1 or 2 March: not a day that the calendar has */
    return normal.tm_mon == month - 1 ? 0 : ERROR_INVALID;
}

int day_parse(const char *text, size_t length, int32_t *day) {
    struct tm utc;
    const char *end = text + length;
    if (parse_date(&text, end, &utc) != 0 || text != end)
        return ERROR_INVALID;
    *day = (int32_t)(timegm(&utc) / DAY_SECONDS);
    return 0;
}

/* "." and 1 to 9 digits, or nothing. Returns microseconds, or -1. */
static int64_t parse_fraction(const char **text, const char *end) {
    int64_t fraction = 0;
    int count = 0;
    if (!literal(text, end, '.'))
        return 0;
    for (; *text < end && **text >= '0' && **text <= '9'; count++, (*text)++)
        if (count < 6)
            fraction = fraction * 10 + (**text - '0');
    for (int place = count; place < 6; place++)
        fraction *= 10;
    return count >= 1 && count <= 9 ? fraction : -1;
}

int timestamp_parse(const char *text, size_t length, int64_t *microseconds) {
    struct tm utc;
    const char *end = text + length;
    if (parse_date(&text, end, &utc) != 0 || !literal(&text, end, 'T'))
        return ERROR_INVALID;
    utc.tm_hour = digits(&text, end, 2);
    utc.tm_min = literal(&text, end, ':') ? digits(&text, end, 2) : -1;
    utc.tm_sec = literal(&text, end, ':') ? digits(&text, end, 2) : -1;
    if (utc.tm_hour < 0 || utc.tm_hour > 23 || utc.tm_min < 0 || utc.tm_min > 59 || utc.tm_sec < 0 ||
        utc.tm_sec > 60)
        return ERROR_INVALID;
    int64_t fraction = parse_fraction(&text, end);
    if (fraction < 0)
        return ERROR_INVALID;
    if (!literal(&text, end, 'Z'))
        for (const char *zero = "+00:00"; *zero != '\0'; zero++)
            if (!literal(&text, end, *zero))
                return ERROR_INVALID;
    if (text != end)
        return ERROR_INVALID;
    *microseconds = timegm(&utc) * SECOND + fraction;
    return 0;
}

int duration_parse(const char *text, int64_t *seconds) {
    static const char units[] = "smhd";
    static const int64_t factors[] = {1, 60, 3600, 86400};
    int64_t number = 0, factor = 1;
    const char *digit = text;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10 + (*digit - '0');
        if (number > INT64_MAX / SECOND / 86400)
            return ERROR_INVALID;
    }
    if (digit == text)
        return ERROR_INVALID;
    if (*digit != '\0') {
        const char *unit = strchr(units, *digit);
        if (unit == NULL || digit[1] != '\0')
            return ERROR_INVALID;
        factor = factors[unit - units];
    }
    *seconds = number * factor;
    return 0;
}
