/* cursors/NAME.failed: the events that a consumer has given up, one JSON object per line; if a crash caused
 * one to be given up twice, the later line counts. cursors/NAME.recent holds the newest failures of events
 * that will be retried, in the same form; it is a hint for people, and may be missing. */
#ifndef DOORPOST_FAILED_H
#define DOORPOST_FAILED_H

#include "walk.h"

struct failure {
    uint64_t seq;
    struct position position;
    const char *event_id, *how; /* `how`: "exit status 3", for example */
    const char *output;
    size_t output_length;
    int attempts;
    int64_t at; /* microseconds since 1970 */
};

/* `lock` is the descriptor of the consumer's lock file. Functions that take it hold the list's lock while
 * they use the list. */

/* Appends a failure durably, without rewriting the list. Returns 0 or an error with a reason. */
int failed_add(int directory, int lock, const char *name, const struct failure *failure,
               struct reason *reason);

/* Replaces an event's entry on the list. */
int failed_replace(int directory, int lock, const char *name, const struct failure *failure,
                   struct reason *reason);

/* Reserves the disk space to replace the list by a shorter one: see replace_reserve(). */
int failed_reserve(int directory, int lock, const char *name, struct reason *reason);

/* Removes an event from the list. */
int failed_remove(int directory, int lock, const char *name, uint64_t seq, struct reason *reason);

/* Calls visit() for each readable entry; its text is valid only during the call. Returns the number of lines,
 * or an error with a reason. */
int failed_each(int directory, int lock, const char *name,
                void (*visit)(void *context, const struct failure *failure), void *context,
                struct reason *reason);

/* Records a recent failure of an event that will be retried. Errors are ignored: nothing depends on it. */
void failed_note(int directory, const char *name, const struct failure *failure);

/* Like failed_each(), for the recent failures, oldest first. */
int failed_each_recent(int directory, const char *name,
                       void (*visit)(void *context, const struct failure *failure), void *context,
                       struct reason *reason);

#endif
