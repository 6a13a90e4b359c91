/* The journal as a consumer reads it: only settled lines, which are complete and on disk. The end of the
 * journal is read under the append lock, so that no partial write is taken for lines, and synced, so that
 * nothing is done about a press that a power cut would undo. */
#ifndef DOORPOST_SETTLED_H
#define DOORPOST_SETTLED_H

#include "cursor.h"
#include "follow.h"

/* The fields are for reading, and directory, walk and follow for their own functions. It is large: allocate
 * it with malloc or statically. */
struct settled {
    const char *name; /* of the consumer */
    enum cursor_lock which;
    int lock; /* the consumer's lock file */
    struct directory directory;
    struct follow follow;
    struct walk walk;
    struct mark read;    /* the last readable line that was read */
    struct position end; /* lines before it are settled */
    int32_t first;       /* first day with a segment */
    bool any;            /* there is a segment */
    bool foreign;        /* the directory may have been replaced and its lock not be ours: save nothing */
};

/* Opens the journal, and takes the consumer's lock. `name` stays the caller's. Returns 0; ERROR_TIMEOUT if
 * another process holds the lock; or another error, each with a reason. Call settled_close() in any
 * case; it does nothing to a struct of zeros. */
int settled_open(struct settled *settled, const char *journal, const char *name, enum cursor_lock which,
                 struct reason *reason);
void settled_close(struct settled *settled);

/* Reads on after a mark; `first` is the first day with a segment, or 0 if unknown. */
void settled_start(struct settled *settled, const struct mark *after, int32_t first);

/* Finds the end of the journal, and syncs the journal up to it. Returns 0 or an error with a reason. */
int settled_find_end(struct settled *settled, struct reason *reason);

enum settled_state {
    SETTLED_SAME,     /* settled_next() continues after the last line read */
    SETTLED_LOST,     /* that line is gone: find another position, and call settled_start() */
    SETTLED_REPLACED, /* so was the directory or its cursors/, and the lock of the new one was taken.
                         `foreign` stays set until settled_start(): first look for a cursor in there */
    SETTLED_TAKEN     /* the same, but another process has that lock; with a reason */
};

/* Does the same, and checks that the directory, the lock and the last line read are still the ones there.
 * Returns an enum settled_state, or an error with a reason; then call settled_reopen() and try again later.
 */
int settled_check(struct settled *settled, struct reason *reason);

/* After an error, reopens by name whatever is open: an NFS handle may be stale. */
void settled_reopen(struct settled *settled);

/* Returns true if there are settled lines that have not been read. */
bool settled_has_more(const struct settled *settled);

struct settled_line {
    enum scan scan; /* if SCAN_DAMAGED, the record is meaningless */
    struct record record;
    struct position begin;
    struct mark end; /* after it; zeros if damaged */
};

/* Reads a line. Returns 1; 0 if there are no more; or an error with a reason. */
int settled_next(struct settled *settled, struct settled_line *line, struct reason *reason);

#endif
