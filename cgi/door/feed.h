/* The journal as the page sees it: its end, and its newest events. One for all threads. */
#ifndef DOORPOST_FEED_H
#define DOORPOST_FEED_H

#include "event.h"
#include "record.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How many lines feed_read() looks back at most: a page must not read a partner's whole journal. */
#define FEED_LINES 20000

struct feed;

/* `journal` must stay valid. Returns NULL if out of memory. */
struct feed *feed_new(const char *journal);
void feed_free(struct feed *feed);

/* Looks at the end of the journal now, and wakes those in feed_wait() if it has grown. Returns 0, or
 * ERROR_SYSTEM with a reason. */
int feed_refresh(struct feed *feed, struct reason *reason);

/* Follows the journal until *ending is set: calls feed_refresh() after each change, and once a second. */
void feed_follow(struct feed *feed, const atomic_bool *ending);

/* The number of the last line that feed_refresh() has found; 0: none. */
uint64_t feed_end(struct feed *feed);

/* Waits until the journal has a line after `seq`, `deadline` on monotonic_now()'s clock has passed, or
 * *ending is set. Returns feed_end(). */
uint64_t feed_wait(struct feed *feed, uint64_t seq, int64_t deadline, const atomic_bool *ending);

/* Reads back from the end to the line after number `after`, at most FEED_LINES lines. Calls `wanted` with
 * each line, and if that returns true, `visit` with the parsed event; both newest first, and with the feed
 * locked. Ends when `visit` returns false. Damaged lines are skipped. Sets *end to the number of the line it
 * began with, or to `after`. Returns 0, or ERROR_SYSTEM with a reason. */
struct feed_reader {
    bool (*wanted)(void *context, const struct record *record); /* NULL: every line */
    bool (*visit)(void *context, const struct record *record, const struct event *event);
    void *context;
};
int feed_read(struct feed *feed, uint64_t after, const struct feed_reader *reader, uint64_t *end,
              struct reason *reason);

/* Reads one event, as feed_read() does. Returns 1, 0 if the journal has no such line within reach, or
 * ERROR_SYSTEM. */
int feed_find(struct feed *feed, uint64_t seq, struct event *event, struct reason *reason);

#endif
