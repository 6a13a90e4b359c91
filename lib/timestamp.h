/* Points in time: microseconds since 1970-01-01T00:00:00Z, and UTC days counted from that one. */
#ifndef DOORPOST_TIMESTAMP_H
#define DOORPOST_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

#define TIMESTAMP_SIZE sizeof("2026-11-23T12:00:00.123456Z")
#define DAY_SIZE sizeof("2026-11-23")
#define DAY_MAX 65535           /* the last day supported, in 2149: the index uses 16 bits */
#define SECOND INT64_C(1000000) /* in microseconds */
/* Milliseconds: a day before the year 10000, in any zone. */
#define TIMESTAMP_END INT64_C(253402214400000)

/* The wall clock, for recorded times. */
int64_t timestamp_now(void);

/* A clock that cannot be set, for deadlines and durations. */
int64_t monotonic_now(void);

/* Writes an RFC 3339 UTC time with six fractional digits. Years 0 to 9999. */
void timestamp_format(int64_t microseconds, char out[TIMESTAMP_SIZE]);

/* Reads an RFC 3339 time in UTC ("Z" or "+00:00") with 0 to 9 fractional digits; digits after the sixth are
 * dropped. A leap second (:60) counts as the second after. Returns 0 or ERROR_INVALID. */
int timestamp_parse(const char *text, size_t length, int64_t *microseconds);

/* Reads a time in any ISO 8601 or RFC 3339 form that a sender may use: a calendar date; "T", "t" or a
 * space; hours and minutes, optionally seconds, optionally a fraction of any length after a point or a
 * comma; "Z", "z", an offset (+hh:mm, +hhmm, +hh, -00:00), or nothing, which is UTC. Separators within
 * date and time are optional. 24:00 is the end of the day; a leap second is treated as above. Digits after
 * the sixth are dropped. Returns 0 or ERROR_INVALID. */
int timestamp_parse_iso8601(const char *text, size_t length, int64_t *microseconds);

int32_t timestamp_day(int64_t microseconds);
void day_format(int32_t day, char out[DAY_SIZE]);

/* Reads exactly `YYYY-MM-DD`, an existing day. Returns 0 or ERROR_INVALID. */
int day_parse(const char *text, size_t length, int32_t *day);

/* Reads a duration: digits and an optional s, m, h or d (default: s). Returns 0 or ERROR_INVALID. */
int duration_parse(const char *text, int64_t *seconds);

#endif
