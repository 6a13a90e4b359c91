/* rejected/: whole deliveries that were signed but are not usable events, one JSON object per line. */
#ifndef DOORPOST_REJECTED_H
#define DOORPOST_REJECTED_H

#include "entry.h"
#include "walk.h"

/* The lines of a batch being written. */
struct rejected {
    int fd;
    uint64_t at;
    char *text;
    size_t length;
};

/* Appends the entries to rejected/DAY.jsonl in `directory` with one write, and sets offset[] to the start
 * of each line. The caller holds the append lock. Returns 0 or ERROR_SYSTEM with a reason.
 * rejected_finish() must follow in either case. */
int rejected_write(struct rejected *rejected, int directory, int32_t day, struct entry *const entries[],
                   size_t count, uint64_t offset[], struct reason *reason);

/* If `result`, that of the steps so far, is 0, makes the lines durable (outside the lock). Frees resources
 * in any case. Returns 0 or ERROR_SYSTEM with a reason. */
int rejected_finish(struct rejected *rejected, int result, struct reason *reason);

/* Returns 1 if the line at `position` has that signature, 0 if not, or ERROR_SYSTEM with a reason. */
int rejected_holds(int directory, struct position position, const char *signature, struct reason *reason);

/* Rewrites the line at `position` in place, so that the next sync covers it even if an earlier one failed.
 * Returns the file's descriptor, which the caller syncs and closes, or ERROR_SYSTEM with a reason. */
int rejected_open(int directory, struct position position, struct reason *reason);

/* Calls visit with the signature of each line starting at *from, and moves *from past each, until it
 * returns nonzero, which is then the result. Returns 0 or an error with a reason. */
int rejected_scan(int directory, struct position *from,
                  int (*visit)(void *context, const char *signature, struct position position), void *context,
                  struct reason *reason);

/* A parsed line of rejected/. Text fields end with NUL; `body` is decoded. */
struct rejection {
    int32_t day;   /* of its file */
    uint64_t line; /* in that file, from 1 */
    int64_t received_at;
    const char *key, *signature, *reason;
    const char *body;
    size_t length;
};

/* Calls visit for each line received from `since` until before `until` (microseconds), until it returns
 * nonzero, which is then the result. An unreadable line is visited with a NULL `signature`, no body, and
 * the error as its reason. Returns 0, also if there is no rejected/, or ERROR_SYSTEM with a reason. */
int rejected_each(int directory, int64_t since, int64_t until,
                  int (*visit)(void *context, const struct rejection *rejection), void *context,
                  struct reason *reason);

#endif
