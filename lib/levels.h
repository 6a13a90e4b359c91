/* The tables of the idempotency index (seen.c): which there are, and how each comes out of those before it.
 * This is a log-structured merge tree (O'Neil et al., 1996) with its rolling merge, made of hash tables.
 *
 * Inserts go to the *young* table. When it is full it is sealed, a new one begins, and while that fills, the
 * sealed one is merged into the *middle* table, in a new file, from end to end, a piece after every so many
 * inserts. There is a middle table because a young one must be small: its inserts change a page at random
 * each, and what the kernel does not write back piece by piece it writes back at once, with every sync queued
 * behind it. The *old* tables hold most, each a slice of the fingerprints. With each merge one slice, in
 * turns, goes from the middle table into its old table, in a new file too. So every merge takes the same
 * work, and a lookup is four small reads, however many events there are.
 *
 * Young tables are numbered from 0. Middle table n holds what young tables 0 to n - 1 held, but for what has
 * gone into the old ones; with it the old table of slice n % SLICES was made, and has the same number. Files
 * are used in turns, by number, and nothing is renamed.
 *
 * Whatever a crash may leave, either the numbers of the tables fit together or the index is damaged and made
 * anew. What was merged is synced before it counts, and only then the tables that went into it are given up.
 */
#ifndef DOORPOST_LEVELS_H
#define DOORPOST_LEVELS_H

#include "merge.h"

/* The header is the caller's to change and to write, all else belongs to levels.c. */
struct levels {
    int journal; /* the caller's directory, as given to levels_open() */
    uint32_t first_buckets;
    char boot[BOOT_ID_SIZE]; /* of the machine; before levels_open() */
    struct header header;    /* of the young table */
    struct table young;
    struct table sealed;      /* the young table before, while it is being merged */
    struct table middle;      /* a file of -1: none yet */
    struct table old[SLICES]; /* opened when they are wanted */
    struct table next_middle, next_old;
    struct header next; /* of the next middle table */
    bool next_known;    /* it was read under this hold of the lock */
    struct merge merge;
};

/* `first_buckets` is the size of the first table (0: the usual one). */
void levels_init(struct levels *levels, unsigned first_buckets);
void levels_close(struct levels *levels);

/* All that follow want the append lock held, and return 0, ERROR_TROUBLE or ERROR_DAMAGED with a reason where
 * they do not say otherwise. */

/* Are the tables that are open those in use? Reads the header again. */
bool levels_are_current(struct levels *levels);

/* Opens the tables that are in use; makes the first where there is none. None is open before, nor after an
 * error. */
int levels_open(struct levels *levels, int journal, struct reason *reason);

/* Do the open tables still hold what they held? Wants no lock. */
bool levels_unchanged(const struct levels *levels);

/* Opens the old table of a slice, where there is one: old[slice]. */
int levels_open_old(struct levels *levels, uint32_t slice, struct reason *reason);

int levels_write_header(struct levels *levels, struct reason *reason);

/* Slots used in all tables. */
uint64_t levels_used(const struct levels *levels);

/* Before an insert: merges a piece where one is due, and seals the young table where it is full and the one
 * before it is merged. With a full disk, say, that can wait, and the young table goes on to be filled: it
 * fails only when there is no more room. */
int levels_make_room(struct levels *levels, struct reason *reason);

/* Takes up how far others have come with the merge. */
int levels_look_at_next(struct levels *levels, struct reason *reason);

/* Is the merge done but for its syncs? */
bool levels_merged(const struct levels *levels);

/* Syncs what has been merged. Wants no lock. Returns -1 with errno where the disk failed. */
int levels_sync_next(const struct levels *levels);

/* After each of the two syncs of a merge that is done: what was merged is marked as whole; and when that is
 * on the disk too, it is in use, and what went into it is spent. */
int levels_finish(struct levels *levels, struct reason *reason);

/* Removes the files at `path` in a directory, such as "seen". */
int levels_remove(int directory, const char *path, struct reason *reason);

#endif
