/* Telling new events from those that the journal holds. */
#ifndef DOORPOST_DEDUP_H
#define DOORPOST_DEDUP_H

#include "directory.h"
#include "event.h"
#include "tail.h"

#include "index/index.h"

struct dedup;

/* `first_buckets`: of the index, 0 for the usual size. NULL when there is no memory. */
struct dedup *dedup_new(unsigned first_buckets);
void dedup_free(struct dedup *dedup);

/* Closes the files: the next dedup_begin() opens what is there then. */
void dedup_close(struct dedup *dedup);

/* The functions below need the append lock. They return 0 (or what they say); ERROR_TROUBLE, or ERROR_TIMEOUT
 * if the deadline passed, with a reason. */

/* Opens the newest segment, finds its end, and brings the index up to it. Afterwards tail->file is -1 if
 * there is no segment yet. */
int dedup_begin(struct dedup *dedup, const struct directory *directory, struct tail *tail,
                const struct deadline *deadline, struct reason *reason);

/* Notes that this process has made the segment of `day`, the newest one now, so that the directory need not
 * be listed for that. */
int dedup_made_day(struct dedup *dedup, struct directory *directory, int32_t day, struct reason *reason);

/* Looks for the line of an event that has one of the two identifiers. Returns 1 with its place and number; 0
 * if there is none in the journal. An error on the way to a line is an error, never 0. */
struct original {
    struct position position;
    uint64_t seq;
    const char *line; /* its bytes, line break included; good until the next call */
    size_t length;
};
int dedup_find(struct dedup *dedup, const struct event *event, struct original *original,
               const struct deadline *deadline, struct reason *reason);

/* Has the disk begin to read what dedup_find() will need. */
void dedup_prefetch(struct dedup *dedup, const struct event *event);

/* Notes a line that was appended at `place`; and, after the last one, that the index reaches the end of the
 * tail. If one of these fails, the lines are beyond where the index reaches, and the next dedup_begin() reads
 * them: the lines are kept nevertheless. */
int dedup_add(struct dedup *dedup, const struct event *event, struct position position,
              struct reason *reason);
void dedup_reach(struct dedup *dedup, const struct tail *tail);

/* The end of the newest line that is in the index; after dedup_begin(), of the journal. */
struct position dedup_end(const struct dedup *dedup);

/* rejected/: returns 1 with the place of the line that holds this signature, 0 if there is none; and notes
 * one. */
int dedup_find_rejected(struct dedup *dedup, const char *signature, struct position *position,
                        struct reason *reason);
void dedup_add_rejected(struct dedup *dedup, const char *signature, struct position position,
                        struct position end);

/* What can wait until the answers are out: a step of the index's checkpoint. Trouble with it harms no answer.
 * Takes and releases the lock itself. */
int dedup_upkeep(struct dedup *dedup, struct directory *directory, const struct deadline *deadline,
                 struct reason *reason);

/* Drops the index, because it turned out to be damaged. */
int dedup_discard(struct dedup *dedup, struct reason *reason);

#endif
