/* rejected/: deliveries that were signed but are no usable events, whole, one JSON object a line. */
#ifndef DOORPOST_REJECTED_H
#define DOORPOST_REJECTED_H

#include "entry.h"
#include "walk.h"

/* The lines of a batch on their way to the disk. */
struct rejected {
    int fd;
    uint64_t at;
    char *text;
    size_t length;
};

/* Appends the entries to rejected/DAY.jsonl in `directory` with one write, and says in offset[] where each
 * line begins. The caller holds the append lock. Returns 0 or ERROR_TROUBLE with a reason; rejected_finish()
 * follows in either case. */
int rejected_write(struct rejected *rejected, int directory, int32_t day, struct entry *const entries[],
                   size_t count, uint64_t offset[], struct reason *reason);

/* Makes them durable (outside the lock) if `result` of what came before is 0, and frees what was taken.
 * Returns 0 or ERROR_TROUBLE with a reason. */
int rejected_finish(struct rejected *rejected, int result, struct reason *reason);

/* Returns 1 if the line that begins at `place` holds that signature, 0 if not, or ERROR_TROUBLE with a
 * reason. */
int rejected_holds(int directory, struct position position, const char *signature, struct reason *reason);

/* Writes the line at `place` again, over itself, so that the sync to come covers it even if an earlier one
 * failed. Returns the descriptor of its file, to be synced and closed, or ERROR_TROUBLE with a reason. */
int rejected_open(int directory, struct position position, struct reason *reason);

/* Calls visit with the signature of each line from *from on, until it returns something other than 0, which
 * is then the result, and steps *from past each. Returns 0 or an error with a reason. */
int rejected_scan(int directory, struct position *from,
                  int (*visit)(void *context, const char *signature, struct position position), void *context,
                  struct reason *reason);

/* A line of rejected/, read back. The text fields end with NUL; `body` is its bytes again. */
struct rejection {
    int32_t day;   /* of its file */
    uint64_t line; /* in that file, from 1 */
    int64_t received_at;
    const char *key, *signature, *reason;
    const char *body;
    size_t length;
};

/* Calls visit for each that was received from `since` until before `until` (microseconds), until it returns
 * something other than 0, which is then the result. Lines that cannot be read are visited with a `signature`
 * of NULL and what is wrong as their reason, and no body. Returns 0, also where there is no rejected/, or
 * ERROR_TROUBLE with a reason. */
int rejected_each(int directory, int64_t since, int64_t until,
                  int (*visit)(void *context, const struct rejection *rejection), void *context,
                  struct reason *reason);

#endif
