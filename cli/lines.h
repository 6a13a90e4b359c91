/* The journal's lines for people: which of them are wanted, and what each says. */
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

/* For a verb's table of options, if its struct options has a `struct filter filter`. */
#define OPTIONS_FILTER                                                                                    \
    {'S',                                                                                                 \
     "since",                                                                                             \
     OPTION_TEXT,                                                                                         \
     "TIME",                                                                                              \
     "received at or after: a date, \"2 hours ago\", 8d",                                                 \
     AT(filter.since_text)},                                                                              \
        {'U', "until", OPTION_TEXT, "TIME", "received before", AT(filter.until_text)},                    \
        {0, "device", OPTION_LIST, "ID", "of this device alone; may be repeated", AT(filter.devices)},    \
        {0, "account", OPTION_LIST, "ID", "of this account alone; may be repeated", AT(filter.accounts)}, \
        {0, "type", OPTION_LIST, "TYPE", "of this type alone; may be repeated", AT(filter.types)}, {      \
        0, "utc", OPTION_FLAG, NULL, "times in UTC, not in the local zone", AT(filter.utc)                \
    }

/* Reads the times; ends the process where they make no sense. */
void filter_start(struct filter *filter);

/* A journal that is read. */
struct lines {
    struct directory directory;
    int32_t first, last; /* days; meaningless where there are none */
    bool empty;
    uint64_t damaged; /* lines that were passed over */
    uint64_t passed;  /* the filter */
    struct event_parser *parser;
    struct event event; /* what the line read last says */
    struct record record;
    struct position position;
    int64_t received_at;
    struct walk walk;
};

/* Opens it. Returns NULL after having said why not; freed by lines_close(). */
struct lines *lines_open(const char *path);
void lines_close(struct lines *lines);

/* Looks which days there are. Returns 0 or says what is wrong and returns STATUS_PROBLEM. */
int lines_refresh(struct lines *lines);

/* Starts at a place; before the first line: the start of the first day. */
void lines_start(struct lines *lines, struct position position);

/* Reads the next line that the filter lets through into the fields above. Damaged lines are counted, and the
 * first few are told on standard error. Returns 1, 0 at the end, or -1 after having said why. */
int lines_next(struct lines *lines, const struct filter *filter);

/* The first place where a line received since then can be. */
struct position lines_since(const struct lines *lines, int64_t since);

/* The place of the `count`th line from the end that the filter lets through. */
int lines_from_end(struct lines *lines, const struct filter *filter, int64_t count,
                   struct position *position);

/* Where the filter let nothing through: says why, as tell_empty() does. */
void lines_explain_empty(const struct lines *lines);

/* How many bytes the segments from `from` on have. */
uint64_t lines_size(const struct lines *lines, int32_t from);

#endif
