/* Times are integers, formatted only when a line is written. calendar_day() replaces the C library's
 * calendar, which reads the host's time zone first, even for UTC; for a program that serves one request,
 * that costs more than the signature. */
#include "timestamp.h"

#include "error.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS INT64_C(86400)

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

/* Returns the days from 1970-01-01 to a date of the proleptic Gregorian calendar; years from 0. */
static int32_t calendar_day(int year, int month, int day) {
    /* In a year that begins in March, the leap day comes last and every five months have 153 days. */
    int years = month > 2 ? year : year - 1, months = month > 2 ? month - 3 : month + 9;
    int leap_days = (years + 400) / 4 - (years + 400) / 100 + (years + 400) / 400 - 97; /* years may be -1 */
    return 365 * years + leap_days + (153 * months + 2) / 5 + day - 719469;
}

static void calendar_date(int32_t number, int *year, int *month, int *day) {
    *year = 1970 + (int)divide_down(number, number < 0 ? 365 : 366); /* that year or slightly earlier */
    while (calendar_day(*year + 1, 1, 1) <= number)
        ++*year;
    for (*month = 1; *month < 12 && calendar_day(*year, *month + 1, 1) <= number;)
        ++*month;
    *day = number - calendar_day(*year, *month, 1) + 1;
}

void timestamp_format(int64_t microseconds, char out[TIMESTAMP_SIZE]) {
    int32_t number = timestamp_day(microseconds);
    int64_t rest = microseconds - number * DAY_SECONDS * SECOND;
    int second = (int)(rest / SECOND);
    int year, month, day;
    calendar_date(number, &year, &month, &day);
    char text[96]; /* fits any int in any field, so the compiler sees no truncation */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month, day, second / 3600,
             second / 60 % 60, second % 60, (int)(rest % SECOND));
    snprintf(out, TIMESTAMP_SIZE, "%.*s", (int)TIMESTAMP_SIZE - 1, text);
}

int32_t timestamp_day(int64_t microseconds) {
    return (int32_t)divide_down(microseconds, DAY_SECONDS * SECOND);
}

/* Formatted by hand: a day's file is named under each lock, and snprintf() is ten times slower. */
void day_format(int32_t day, char out[DAY_SIZE]) {
    int year, month, day_of_month;
    calendar_date(day, &year, &month, &day_of_month);
    const int digits[] = {year / 1000, year / 100, year / 10,         year,
                          month / 10,  month,      day_of_month / 10, day_of_month};
    for (int i = 0, at = 0; i < 8; i++, at++) {
        if (i == 4 || i == 6)
            out[at++] = '-';
        out[at] = (char)('0' + digits[i] % 10);
    }
    out[DAY_SIZE - 1] = '\0';
}

/* Reads `count` decimal digits at *text and moves past them. Returns -1 for anything else. */
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

/* YYYY-MM-DD, or YYYYMMDD if `basic`. */
static int parse_date(const char **text, const char *end, bool basic, int32_t *number) {
    int year = digits(text, end, 4);
    int month = basic || literal(text, end, '-') ? digits(text, end, 2) : -1;
    int day = basic || literal(text, end, '-') ? digits(text, end, 2) : -1;
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31)
        return ERROR_INVALID;
    *number = calendar_day(year, month, day);
    /* A day that does not exist, such as 30 February, has become one of the next month. */
    return month == 12 || *number < calendar_day(year, month + 1, 1) ? 0 : ERROR_INVALID;
}

int day_parse(const char *text, size_t length, int32_t *day) {
    const char *end = text + length;
    return parse_date(&text, end, false, day) != 0 || text != end ? ERROR_INVALID : 0;
}

/* Optional digits after a point or a comma. Returns microseconds, or -1. */
static int64_t parse_fraction(const char **text, const char *end) {
    int64_t fraction = 0;
    int count = 0;
    if (!literal(text, end, '.') && !literal(text, end, ','))
        return 0;
    for (; *text < end && **text >= '0' && **text <= '9'; count++, (*text)++)
        if (count < 6)
            fraction = fraction * 10 + (**text - '0');
    for (int digit = count; digit < 6; digit++)
        fraction *= 10;
    return count >= 1 ? fraction : -1;
}

/* hh:mm, hh:mm:ss or hh:mm:ss.s; a comma may replace the point; colons are optional; 24:00 is the end of
 * the day. */
static int parse_time_of_day(const char **text, const char *end, int64_t *microseconds) {
    int hour = digits(text, end, 2), second = 0;
    bool basic = !literal(text, end, ':');
    int minute = digits(text, end, 2);
    int64_t fraction = 0;
    if (*text < end && (basic ? **text >= '0' && **text <= '9' : literal(text, end, ':'))) {
        second = digits(text, end, 2);
        fraction = parse_fraction(text, end);
    }
    if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 60 || fraction < 0)
        return ERROR_INVALID;
    *microseconds = (hour * 3600 + minute * 60 + second) * SECOND + fraction;
    return hour < 24 || *microseconds == DAY_SECONDS * SECOND ? 0 : ERROR_INVALID;
}

/* Z, +hh:mm, +hhmm, +hh, or nothing, which is UTC. In seconds, positive to the east. */
static int parse_offset(const char **text, const char *end, int *seconds) {
    *seconds = 0;
    if (*text == end || literal(text, end, 'Z') || literal(text, end, 'z'))
        return 0;
    int sign = literal(text, end, '+') ? 1 : literal(text, end, '-') ? -1 : 0;
    int hours = digits(text, end, 2), minutes = 0;
    if (literal(text, end, ':') || *text < end)
        minutes = digits(text, end, 2);
    if (sign == 0 || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return ERROR_INVALID;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return 0;
}

int timestamp_parse_iso8601(const char *text, size_t length, int64_t *microseconds) {
    const char *end = text + length;
    bool basic = length > 4 && text[4] != '-';
    int32_t day;
    int64_t time;
    int offset;
    if (parse_date(&text, end, basic, &day) != 0 ||
        !(literal(&text, end, 'T') || literal(&text, end, 't') || literal(&text, end, ' ')) ||
        parse_time_of_day(&text, end, &time) != 0 || parse_offset(&text, end, &offset) != 0 || text != end)
        return ERROR_INVALID;
    *microseconds = (day * DAY_SECONDS - offset) * SECOND + time;
    return 0;
}

int timestamp_parse(const char *text, size_t length, int64_t *microseconds) {
    size_t zone = length > 0 && text[length - 1] == 'Z' ? 1 : sizeof "+00:00" - 1;
    size_t least = sizeof "2026-11-23T12:00:00" - 1, most = least + sizeof ".123456789" - 1;
    if (length < least + zone || length > most + zone || text[4] != '-' || text[10] != 'T' ||
        memcmp(text + 11, "24", 2) == 0 || text[13] != ':' || text[16] != ':' ||
        memchr(text, ',', length) != NULL || (zone > 1 && memcmp(text + length - zone, "+00:00", zone) != 0))
        return ERROR_INVALID;
    return timestamp_parse_iso8601(text, length, microseconds);
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
