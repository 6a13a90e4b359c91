/* cursors/NAME.failed: the events that a consumer has given up, one JSON object a line; if a crash had one
 * given up twice, the later line counts. cursors/NAME.recent has the same of the newest failures of events
 * that are tried again; it is a hint for people, and may be missing. */
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

/* All take the descriptor of the consumer's lock file, and the lock for the list while they look at it. */

/* Puts one on the list, durably, however long that is. Returns 0 or an error with a reason. */
int failed_add(int directory, int lock, const char *name, const struct failure *failure,
               struct reason *reason);

/* Replaces one that is on the list. */
int failed_replace(int directory, int lock, const char *name, const struct failure *failure,
                   struct reason *reason);

/* Makes sure that there is room to replace the list by a shorter one: see replace_reserve(). */
int failed_reserve(int directory, int lock, const char *name, struct reason *reason);

/* Takes one off the list. */
int failed_remove(int directory, int lock, const char *name, uint64_t seq, struct reason *reason);

/* Calls visit for each that can be read, whose text lasts as long as the call. Returns how many lines there
 * are, or an error with a reason. */
int failed_each(int directory, int lock, const char *name,
                void (*visit)(void *context, const struct failure *failure), void *context,
                struct reason *reason);

/* Notes a failure of an event that is tried again. If that fails, nothing depends on it. */
void failed_note(int directory, const char *name, const struct failure *failure);

/* The same of those: the oldest first. */
int failed_each_recent(int directory, const char *name,
                       void (*visit)(void *context, const struct failure *failure), void *context,
                       struct reason *reason);

#endif
