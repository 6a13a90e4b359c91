/* A consumer's progress in the journal: what it has finished, and what it must retry. */
#ifndef DOORPOST_CURSOR_H
#define DOORPOST_CURSOR_H

#include "directory.h"
#include "mark.h"

#include <stdbool.h>

#define CURSOR_NAME_SIZE 65 /* letters, digits, - and _ */
#define CURSOR_RANGES 8192
#define CURSOR_RETRIES 1024
#define CURSOR_ON_EVENT "on-event" /* the consumer that the handler starts */

/* Everything before the mark is finished; after it, only the lines whose numbers are in `done`. */
struct cursor {
    struct mark mark;
    uint64_t highest; /* number of a line finished before the mark was moved back, or 0 */
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

/* Returns true if a consumer may have this name. */
bool cursor_name_is_good(const char *name);

/* Returns true if the line with that number, after the mark, is finished. */
bool cursor_has_done(const struct cursor *cursor, uint64_t seq);

/* The highest line number that the consumer has finished; 0: none. The next line must have a higher number,
 * even if the journal has since lost that line. */
uint64_t cursor_highest(const struct cursor *cursor);

/* Reads cursors/NAME in the journal `directory` (a descriptor). Returns 1; 0 if there is none; ERROR_DAMAGED,
 * or ERROR_SYSTEM if it exists but cannot be read, with a reason. */
int cursor_read(int directory, const char *name, struct cursor *cursor, struct reason *reason);

/* Calls visit with the name of each consumer that has a cursor, until it returns nonzero, which becomes the
 * result. Returns 0 (also if there are none), or ERROR_SYSTEM with a reason. */
int cursor_each(int directory, int (*visit)(void *context, const char *name), void *context,
                struct reason *reason);

/* Reserves disk space for a cursor_write() with `more` events than this cursor has; see replace_reserve().
 * Only the process that holds the consumer's lock reserves, writes and releases. */
int cursor_reserve(int directory, const char *name, const struct cursor *cursor, size_t more,
                   struct reason *reason);

/* Writes the cursor durably into the reserved space. Readers see either the old cursor or the new one. */
int cursor_write(int directory, const char *name, const struct cursor *cursor, struct reason *reason);

/* Frees the reserved space. */
void cursor_release(int directory, const char *name);

/* Creates a cursor with the position of `start`, or at the end of the journal if NULL, unless the cursor
 * exists. Lines appended after the return are after its position. Takes the append lock briefly. Returns 0 or
 * an error with a reason. */
int cursor_create(struct directory *directory, const char *name, const struct cursor *start,
                  const struct deadline *deadline, struct reason *reason);

/* The end of the last complete line of a day; a writer may still truncate anything after it. Returns 0 or an
 * error. */
int cursor_end_of_day(int directory, int32_t day, struct position *end, struct reason *reason);

/* The same for the newest day. Returns 1, 0 if there is no segment, or an error. Takes the append lock
 * briefly. */
int cursor_end(struct directory *directory, struct position *end, const struct deadline *deadline,
               struct reason *reason);

/* Opens cursors/NAME.lock. Each lock covers one byte and is held until any descriptor of the file is closed,
 * so a process opens it only once. */
int cursor_open_lock(int directory, const char *name, struct reason *reason);

/* Returns 1 if the lock file's name still refers to `fd`, 0 if not, or an error with a reason. */
int cursor_lock_is_current(int directory, const char *name, int fd, struct reason *reason);

enum cursor_lock { CURSOR_LOCK_RUNNER, CURSOR_LOCK_FAILED, CURSOR_LOCK_RETRYING };

/* Takes a lock, waiting if `wait`. Returns 0, ERROR_TIMEOUT if it is held and not `wait`, or an error. */
int cursor_lock(int fd, enum cursor_lock which, bool wait, struct reason *reason);
void cursor_unlock(int fd, enum cursor_lock which);

/* Returns the PID of the process that holds the lock (1 if unknown), or 0. */
int cursor_holder(int fd, enum cursor_lock which);

#endif
