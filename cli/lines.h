/* The journal's lines for people: which lines to show, and what each says. */
#ifndef DOORPOST_LINES_H
#define DOORPOST_LINES_H

#include "directory.h"
#include "event.h"
#include "options.h"
#include "walk.h"

struct filter {
    const char *since_text, *until_text; /* as given on the command line */
    bool utc;
    struct list devices, accounts, types;
    int64_t since, until; /* by the time of receipt, microseconds; set by filter_start() */
};

/* For the option table of a verb whose struct options has a `struct filter filter`. */
#define OPTIONS_FILTER                                                                                   \
    {'S',                                                                                                \
     "since",                                                                                            \
     OPTION_TEXT,                                                                                        \
     "TIME",                                                                                             \
     "received at or after: a date, \"2 hours ago\", 8d",                                                \
     AT(filter.since_text)},                                                                             \
        {'U', "until", OPTION_TEXT, "TIME", "received before", AT(filter.until_text)},                   \
        {0, "device", OPTION_LIST, "ID", "only of this device; may be repeated", AT(filter.devices)},    \
        {0, "account", OPTION_LIST, "ID", "only of this account; may be repeated", AT(filter.accounts)}, \
        {0, "type", OPTION_LIST, "TYPE", "only of this type; may be repeated", AT(filter.types)}, {      \
        0, "utc", OPTION_FLAG, NULL, "times in UTC, not local time", AT(filter.utc)                      \
    }

/* Parses the times; ends the process if they make no sense. */
void filter_start(struct filter *filter);

/* A journal open for reading. The order of calls: lines_open(), filter_start(), unless `empty` lines_start()
 * at lines_since() or at lines_from_end(), lines_next() until it returns 0 or less, lines_explain_empty(),
 * lines_close(). Lines come in the order in which they were stored; received_at may go back, as after
 * `doorpost rejected --replay`. */
struct lines {
    struct directory directory;
    int32_t first, last; /* days; meaningless if `empty` */
    bool empty;
    uint64_t damaged; /* lines skipped */
    uint64_t passed;  /* lines that passed the filter */
    struct event_parser *parser;
    struct event event; /* from the last line read */
    struct record record;
    struct position position;
    int64_t received_at;
    struct walk walk;
};

/* Opens the journal. Returns NULL after printing the reason; free with lines_close(). */
struct lines *lines_open(const char *path);
void lines_close(struct lines *lines);

/* Updates the range of days. Returns 0, or prints the reason and returns STATUS_PROBLEM. */
int lines_refresh(struct lines *lines);

/* Starts at a position; one before the first line means the start of the first day. */
void lines_start(struct lines *lines, struct position position);

/* Reads the next line that passes the filter into the fields above. Counts damaged lines, and reports the
 * first few on standard error. Returns 1, 0 at the end, or -1 after printing the reason. */
int lines_next(struct lines *lines, const struct filter *filter);

/* The first position where a line received since then can be. */
struct position lines_since(const struct lines *lines, int64_t since);

/* Finds the position of the `count`th line from the end that passes the filter. */
int lines_from_end(struct lines *lines, const struct filter *filter, int64_t count,
                   struct position *position);

/* Explains why no line passed the filter, as explain_empty() does. */
void lines_explain_empty(const struct lines *lines);

/* Total size in bytes of the segments from day `from` on. */
uint64_t lines_size(const struct lines *lines, int32_t from);

#endif
