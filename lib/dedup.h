/* Distinguishes new events from those already in the journal. */
#ifndef DOORPOST_DEDUP_H
#define DOORPOST_DEDUP_H

#include "directory.h"
#include "event.h"
#include "tail.h"

#include "index/index.h"

struct dedup;

/* `first_buckets`: of the index; 0 for the default. Returns NULL if out of memory. */
struct dedup *dedup_new(unsigned first_buckets);
void dedup_free(struct dedup *dedup);

/* Closes the files; the next dedup_begin() reopens them by name. */
void dedup_close(struct dedup *dedup);

/* The functions below require the append lock. They return 0 (or as documented), ERROR_SYSTEM, or
 * ERROR_TIMEOUT if the deadline passed, with a reason. */

/* Opens the newest segment, finds its end, and extends the index to it. Sets tail->fd to -1 if there is no
 * segment yet. */
int dedup_begin(struct dedup *dedup, const struct directory *directory, struct tail *tail,
                const struct deadline *deadline, struct reason *reason);

/* Records that this process created the segment of `day`, now the newest, so that the directory need not be
 * listed again. */
int dedup_made_day(struct dedup *dedup, struct directory *directory, int32_t day, struct reason *reason);

/* Finds the line of an event with either identifier. Returns 1 with its position and number, or 0 if the
 * journal has none. A failure to read a line is an error, never 0. */
struct original {
    struct position position;
    uint64_t seq;
    const char *line; /* including the line break; valid until the next call */
    size_t length;
};
int dedup_find(struct dedup *dedup, const struct event *event, struct original *original,
               const struct deadline *deadline, struct reason *reason);

/* Starts reading ahead what dedup_find() will need. */
void dedup_prefetch(struct dedup *dedup, const struct event *event);

/* dedup_add() indexes a line appended at `position`; after the last one, dedup_reach() records that the index
 * reaches the end of the tail. If either fails, the lines are kept, and the next dedup_begin() indexes
 * them. */
int dedup_add(struct dedup *dedup, const struct event *event, struct position position,
              struct reason *reason);
void dedup_reach(struct dedup *dedup, const struct tail *tail);

/* The end of the newest indexed line; after dedup_begin(), the end of the journal. */
struct position dedup_end(const struct dedup *dedup);

/* For rejected/: finds the line with this signature (returns 1 with its position, or 0), and indexes one. */
int dedup_find_rejected(struct dedup *dedup, const char *signature, struct position *position,
                        struct reason *reason);
void dedup_add_rejected(struct dedup *dedup, const char *signature, struct position position,
                        struct position end);

/* Runs a step of the index's checkpoint; call it after answering. An error affects no answer. Takes and
 * releases the lock itself. */
int dedup_upkeep(struct dedup *dedup, struct directory *directory, const struct deadline *deadline,
                 struct reason *reason);

/* Discards a damaged index. */
int dedup_discard(struct dedup *dedup, struct reason *reason);

#endif
