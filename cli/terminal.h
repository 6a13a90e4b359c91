/* What depends on who reads: colour, the width of a terminal, a progress bar, times in the local zone. */
#ifndef DOORPOST_TERMINAL_H
#define DOORPOST_TERMINAL_H

#include "timestamp.h"

#include <stdbool.h>
#include <stdio.h>

struct json_object;

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARNING, COLOUR_BAD, COLOUR_NAME, COLOUR_FAINT };

/* Starts and ends a colour on standard output, where that is a terminal and NO_COLOR is not set; else
 * nothing. */
const char *colour(enum colour colour);

/* Says on standard error why standard output stays empty, if that is a terminal: for a person, not for a
 * program. */
void explain_empty(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The columns of the terminal on standard output; 80 where there is none. */
int terminal_width(void);

/* A bar on standard error, where that is a terminal and the work takes longer than a second. */
struct progress {
    const char *what;
    uint64_t total; /* bytes */
    int64_t since, drawn;
};
void progress_start(struct progress *progress, const char *what, uint64_t total);
void progress_show(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);

/* Reads a time as a person writes it: `2026-11-23`, `2026-11-23 12:00[:30]`, an RFC 3339 time in UTC,
 * `@seconds`, `now`, `today`, `yesterday`, `2 hours ago`, `90m`, `8d` (ago). In the local zone, or in UTC.
 * Microseconds since 1970. Returns 0 or ERROR_INVALID. */
int when_parse(const char *text, bool utc, int64_t now, int64_t *at);

#define WHEN_SIZE 40
/* Writes `2026-11-23 12:00:00` in the local zone, or in UTC with a Z behind it. */
void when_format(int64_t at, bool utc, char out[WHEN_SIZE]);

/* Prints text, in which what must not reach a terminal becomes a \u escape; line breaks and tabs stay. Inside
 * JSON it means the same as before. */
void print_visibly(FILE *out, const char *text, size_t length);

/* Prints text on standard output: visibly, if that is a terminal, else byte for byte. */
void print_text(const char *text, size_t length);

/* Prints the value on a line of its own, in the same way. Returns 0, or says why not and returns
 * STATUS_PROBLEM. */
int print_json(struct json_object *value);

/* Text from outside, in printable ASCII without spaces as it is, and all else as a JSON string: it can
 * neither move the cursor nor look like another column. Returns `out` or `text`. */
const char *plain(const char *text, char *out, size_t size);

#endif
