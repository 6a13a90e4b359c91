/* What the files of this directory share. */
#ifndef DOORPOST_INDEX_INTERNAL_H
#define DOORPOST_INDEX_INTERNAL_H

#include "state.h"
#include "table.h"

#include <sys/stat.h>

#ifndef FIRST_BUCKETS /* a test build makes it small */
#define FIRST_BUCKETS 4096
#endif
#define GROWTH 4 /* times; the more, the fewer tables to look into, and the more room is taken in advance */
#define LEAST_BUCKETS 64 /* of the first table, if the disk is nearly full */
#define OVERFULL 25      /* mean slots used in one that cannot grow */
#define FULL 19          /* mean slots used in a bucket of a table that is full */
#define CACHED 256       /* buckets; a power of two */

enum step { STEP_NONE, STEP_STRETCH, STEP_WHOLE, STEP_SYNCED /* STEP_WHOLE is */ };

struct index {
    int journal;        /* the caller's directory */
    int file;           /* seen/state; -1: not open */
    struct stat status; /* of it */
    uint32_t first_buckets;
    uint64_t boot; /* a hash of the boot id; 0: not known yet */
    bool hastened;
    bool insisting;     /* the next whole step is made with the lock held throughout */
    enum step step;     /* between index_step_begin() and index_step_end() */
    struct point point; /* what the step is about: the round, or all that the tables hold */
    uint32_t round_table, round_stretch;
    struct state state;
    uint32_t open; /* tables that are */
    struct table table[TABLES_MAX];
    struct table next; /* the table that is being prepared; a file of -1: not open */
    /* Buckets of the newest table that were read under this hold of the lock, by number: an identifier that
     * is looked for and not found will be stored there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of an older table */
};

/* The size of a table in buckets, by its number. */
uint32_t index_buckets(const struct state *state, uint32_t number);

/* What the index holds now. */
struct point index_point(const struct index *index);

/* Writes buckets of the next table up to, not with, `until`, so that it is ready when the newest one is full.
 */
int index_prepare(struct index *index, uint32_t until, struct reason *reason);

#endif
