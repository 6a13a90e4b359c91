/* Output for people: colour, terminal width, a progress bar, local times. */
#ifndef DOORPOST_TERMINAL_H
#define DOORPOST_TERMINAL_H

#include "timestamp.h"

#include <stdbool.h>
#include <stdio.h>

struct json_object;

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARNING, COLOUR_BAD, COLOUR_NAME, COLOUR_FAINT };

/* Starts or ends a colour on standard output, if that is a terminal and NO_COLOR is not set; otherwise does
 * nothing. */
const char *colour(enum colour colour);

/* Explains on standard error why standard output is empty, if that is a terminal: the explanation is for a
 * person, not a program. */
void explain_empty(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Columns of the terminal on standard output; 80 if it is not a terminal. */
int terminal_width(void);

/* A bar on standard error, if that is a terminal and the work takes longer than a second. */
struct progress {
    const char *what;
    uint64_t total; /* bytes */
    int64_t since, drawn;
};
void progress_start(struct progress *progress, const char *what, uint64_t total);
void progress_show(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);

/* Parses a time as a person writes it: `2026-11-23`, `2026-11-23 12:00[:30]`, an RFC 3339 time in UTC,
 * `@seconds`, `now`, `today`, `yesterday`, `2 hours ago`, `90m`, `8d` (ago). In the local zone, or in UTC.
 * Sets *at in microseconds since 1970. Returns 0 or ERROR_INVALID. */
int when_parse(const char *text, bool utc, int64_t now, int64_t *at);

#define WHEN_SIZE 40
/* Writes `2026-11-23 12:00:00` in the local zone, or in UTC followed by Z. */
void when_format(int64_t at, bool utc, char out[WHEN_SIZE]);

/* Prints text with unsafe characters for a terminal as \u escapes; keeps line breaks and tabs. JSON keeps its
 * meaning. */
void print_visibly(FILE *out, const char *text, size_t length);

/* Prints text on standard output: visibly if that is a terminal, else byte for byte. */
void print_text(const char *text, size_t length);

/* Prints the value on its own line, in the same way. Returns 0, or prints the reason and returns
 * STATUS_PROBLEM. */
int print_json(struct json_object *value);

/* External text: returned as it is if it is printable ASCII without spaces, else as a JSON string, so that it
 * can neither move the cursor nor look like another column. Returns `out` or `text`. */
const char *plain(const char *text, char *out, size_t size);

#endif
