/* A consumer's place in the journal: what it has finished, and what it still has to try again. */
#ifndef DOORPOST_CURSOR_H
#define DOORPOST_CURSOR_H

#include "directory.h"
#include "walk.h"

#include <stdbool.h>

#define CURSOR_NAME_SIZE 65 /* letters, digits, - and _ */
#define CURSOR_RANGES 8192
#define CURSOR_RETRIES 1024
#define CURSOR_ON_EVENT "on-event" /* the consumer that the handler itself starts */

/* Everything before `place` is finished, and of what follows the lines whose numbers are in `done`. */
struct cursor {
    struct place place;
    uint64_t seq; /* of the last line before `place`, or 0: not known */
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

/* Is the line of that number, behind the place, finished? */
bool cursor_has_done(const struct cursor *cursor, uint64_t seq);

/* Reads cursors/NAME in the journal `directory` (a descriptor). Returns 1; 0 where there is none; or an error
 * with a reason. */
int cursor_read(int directory, const char *name, struct cursor *cursor, struct reason *reason);

/* Calls visit with the name of each consumer that has a cursor, until it returns something other than 0,
 * which is then the result. Returns 0, also where there are none, or ERROR_TROUBLE with a reason. */
int cursor_each(int directory, int (*visit)(void *context, const char *name), void *context,
                struct reason *reason);

/* Writes it durably: whoever reads it finds the old place or the new one. */
int cursor_write(int directory, const char *name, const struct cursor *cursor, struct reason *reason);

/* Makes a cursor at the end of the journal, if there is none of that name: what is appended after this has
 * returned is behind it. Returns 0 or an error with a reason. */
int cursor_create(struct directory *directory, const char *name, const struct deadline *deadline,
                  struct reason *reason);

/* The end of the last whole line, behind which there is only what a writer may still take back. Returns 1, 0
 * where there is no segment, or an error. Takes the append lock for a moment. */
int cursor_end(struct directory *directory, struct place *end, const struct deadline *deadline,
               struct reason *reason);

/* Opens cursors/NAME.lock. Locks on it are of single bytes, and last until the descriptor is closed; a
 * process opens it once. */
int cursor_open_lock(int directory, const char *name, struct reason *reason);

enum cursor_lock { CURSOR_LOCK_RUNNER, CURSOR_LOCK_FAILED, CURSOR_LOCK_RETRYING };

/* Takes or waits for a lock. Returns 0, ERROR_TIMEOUT where it is held and `wait` is false, or an error. */
int cursor_lock(int file, enum cursor_lock which, bool wait, struct reason *reason);
void cursor_unlock(int file, enum cursor_lock which);

/* Which process holds it? 0: none does. */
int cursor_holder(int file, enum cursor_lock which);

#endif
