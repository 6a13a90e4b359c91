/* The lines of a journal, or of the merged stream in a database, for people: which to show, and what each
 * says. */
#ifndef DOORPOST_LINES_H
#define DOORPOST_LINES_H

#include "backoff.h"
#include "directory.h"
#include "event.h"
#include "follow.h"
#include "settings.h"
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

/* A journal or a stream open for reading. The order of calls: filter_start(), lines_open_from() or
 * lines_open(), unless `empty` lines_start() at lines_since() or at lines_from_end(), lines_next() until it
 * returns 0 or less, lines_explain_empty(), lines_close(). Lines come in the order in which they were stored;
 * received_at may go back, as after `doorpost rejected --replay`. */
struct lines {
    struct events *stream; /* NULL: a journal */
    const char *where;     /* the database or the directory */
    struct directory directory;
    int32_t first, last; /* days; 0 for a stream; meaningless if `empty` */
    bool empty;
    uint64_t damaged; /* lines skipped */
    uint64_t passed;  /* lines that passed the filter */
    uint64_t done;    /* read since lines_start(), in the unit of lines_length() */
    struct event_parser *parser;
    struct event event;       /* from the last line read */
    struct record record;     /* of a stream: without what only a line has: line, received_at, chain */
    struct position position; /* in a stream, `offset` is the number */
    int64_t received_at;
    struct walk walk;
    bool following;
    struct follow follow;   /* of a journal */
    struct backoff backoff; /* of a stream */
};

/* Opens what the settings name: the stream, or else the journal, after loading the settings into `config`.
 * With `follow`, lines_wait() can wait for more. Returns NULL after printing the reason; free with
 * lines_close(). */
struct lines *lines_open_from(const struct settings *settings, const struct filter *filter, bool follow,
                              struct config *config);

/* Opens a journal. */
struct lines *lines_open(const char *path);
void lines_close(struct lines *lines);

/* Finds out how much there is now: the range of days, or of numbers. Returns 0, or prints the reason and
 * returns STATUS_PROBLEM. */
int lines_refresh(struct lines *lines);

/* Waits until there may be more lines; then lines_refresh() and lines_next() go on. If the connection to a
 * stream's database is lost, all three say so once, and then there is nothing new until it is back. */
void lines_wait(struct lines *lines);

/* Starts at a position; one before the first line means the first line. */
void lines_start(struct lines *lines, struct position position);

/* Reads the next line that passes the filter into the fields above. Counts damaged lines, and reports the
 * first few on standard error. Returns 1, 0 at the end, or -1 after printing the reason. */
int lines_next(struct lines *lines, const struct filter *filter);

/* Finds the first position at which a line received since filter->since can be. Returns 0, or prints the
 * reason and returns STATUS_PROBLEM, which a journal never does. */
int lines_since(struct lines *lines, const struct filter *filter, struct position *position);

/* Finds the position of the `count`th line from the end that passes the filter. Returns as lines_since(). */
int lines_from_end(struct lines *lines, const struct filter *filter, int64_t count,
                   struct position *position);

/* Explains why no line passed the filter, as explain_empty() does. */
void lines_explain_empty(struct lines *lines);

/* How much there is to read from a position on, for a progress bar: bytes of a journal, numbers of a stream.
 */
uint64_t lines_length(const struct lines *lines, struct position from);

/* Finds the size of the journal, or of the database's table, in bytes. Returns as lines_since(). */
int lines_size(struct lines *lines, uint64_t *bytes);

#endif
