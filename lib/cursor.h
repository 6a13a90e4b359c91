/* A consumer's place in the journal: what it has finished, and what it still has to try again. */
#ifndef DOORPOST_CURSOR_H
#define DOORPOST_CURSOR_H

#include "directory.h"
#include "mark.h"

#include <stdbool.h>

#define CURSOR_NAME_SIZE 65 /* letters, digits, - and _ */
#define CURSOR_RANGES 8192
#define CURSOR_RETRIES 1024
#define CURSOR_ON_EVENT "on-event" /* the consumer that the handler itself starts */

/* Everything before the mark is finished, and of what follows the lines whose numbers are in `done`. */
struct cursor {
    struct mark mark;
    uint64_t highest; /* number that a line before the mark has had, if the mark had to be moved back; or 0 */
    size_t done_count;
    struct {
        uint64_t first, last;
    } done[CURSOR_RANGES];
    size_t retry_count;
    struct {
        uint64_t seq;
        int64_t attempts;
        int64_t due; /* seconds since 1970 */
    } retry[CURSOR_RETRIES];
};

/* May a consumer be called so? */
bool cursor_name_is_good(const char *name);

/* Is the line of that number, after the mark, finished? */
bool cursor_has_done(const struct cursor *cursor, uint64_t seq);

/* The highest number of a line that the consumer has finished; 0: none. The next line must have a higher one,
 * even if the journal has lost that line since. */
uint64_t cursor_highest(const struct cursor *cursor);

/* Reads cursors/NAME in the journal `directory` (a descriptor). Returns 1; 0 if there is none; ERROR_DAMAGED
 * or, if it is there but cannot be read, ERROR_TROUBLE with a reason. */
int cursor_read(int directory, const char *name, struct cursor *cursor, struct reason *reason);

/* Calls visit with the name of each consumer that has a cursor, until it returns something other than 0,
 * which is then the result. Returns 0, also if there are none, or ERROR_TROUBLE with a reason. */
int cursor_each(int directory, int (*visit)(void *context, const char *name), void *context,
                struct reason *reason);

/* Makes sure that there is room for a cursor_write() that tells of `more` events than this cursor does; see
 * replace_reserve(). Only the process that holds the consumer's lock reserves, writes and releases. */
int cursor_reserve(int directory, const char *name, const struct cursor *cursor, size_t more,
                   struct reason *reason);

/* Writes it durably, into the room that was reserved: a reader finds the old place or the new one. */
int cursor_write(int directory, const char *name, const struct cursor *cursor, struct reason *reason);

/* Gives the room back. */
void cursor_release(int directory, const char *name);

/* Makes a cursor with the place of `start`, or if that is NULL at the end of the journal, unless there is one
 * of that name: what is appended after this has returned is after its place. Takes the append lock for a
 * moment. Returns 0 or an error with a reason. */
int cursor_create(struct directory *directory, const char *name, const struct cursor *start,
                  const struct deadline *deadline, struct reason *reason);

/* The end of the last whole line of a day; only what a writer may still take back follows. Returns 0 or an
 * error. */
int cursor_end_of_day(int directory, int32_t day, struct position *end, struct reason *reason);

/* The same of the newest day. Returns 1, 0 if there is no segment, or an error. Takes the append lock for a
 * moment. */
int cursor_end(struct directory *directory, struct position *end, const struct deadline *deadline,
               struct reason *reason);

/* Opens cursors/NAME.lock. Locks on it are of single bytes, and last until the descriptor is closed; a
 * process opens it once. */
int cursor_open_lock(int directory, const char *name, struct reason *reason);

/* Is the lock file still the one that others find under its name? Returns 1, 0 or an error with a reason. */
int cursor_lock_is_current(int directory, const char *name, int fd, struct reason *reason);

enum cursor_lock { CURSOR_LOCK_RUNNER, CURSOR_LOCK_FAILED, CURSOR_LOCK_RETRYING };

/* Takes or waits for a lock. Returns 0, ERROR_TIMEOUT if it is held and `wait` is false, or an error. */
int cursor_lock(int fd, enum cursor_lock which, bool wait, struct reason *reason);
void cursor_unlock(int fd, enum cursor_lock which);

/* Which process holds it? 0: none does. */
int cursor_holder(int fd, enum cursor_lock which);

#endif
