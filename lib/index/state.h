/* seen/state: all that the index knows of itself, in one place.
 *
 * The file has two slots of 512 bytes, at 0 and at 4096, so that no single write of a page can tear both.
 * Each carries a generation and a checksum; the valid slot of the higher generation is the truth, and a new
 * state is always written over the other one. Nothing is inferred from the tables: a table exists if the
 * state says so.
 *
 * The order of writes is: buckets, then the state that speaks of them. A process that is killed in between
 * leaves buckets that the state does not know of yet, and what they hold is inserted again, once. After a
 * crash of the machine (another boot) buckets may be gone that the state speaks of; so then only its
 * checkpoint counts, which was written after the tables had been synced up to there.
 *
 * The state names the files it was written for by inode number, its own included. An index that was copied,
 * in whole or in part, is not believed: nobody can tell whether the parts are of one moment. It is rebuilt.
 */
#ifndef DOORPOST_INDEX_STATE_H
#define DOORPOST_INDEX_STATE_H

#include "index.h"

#include <sodium.h>

#define TABLES_MAX 10 /* each four times as large as the one before */
#define NO_TABLE UINT32_MAX

/* A mark (mark.h), packed. */
struct packed_mark {
    uint64_t place; /* day << 48 | offset */
    uint64_t seq;
    char chain[CHAIN_SIZE - 1]; /* all zero: "" */
};

/* What the index held when it reached a mark. */
struct point {
    struct packed_mark mark;
    uint64_t used;   /* slots of the newest table */
    uint64_t before; /* and of all tables before it */
    uint32_t tables;
    uint32_t cuts; /* state.cuts then: if it is another now, tables were begun again since */
};

struct state {
    uint64_t magic;
    uint64_t generation;
    unsigned char key[IDENTIFIERS][crypto_shorthash_KEYBYTES];
    uint64_t boot;              /* a hash of the boot id of the writer */
    uint64_t file;              /* inode numbers: of the state file, */
    uint64_t table[TABLES_MAX]; /* and of the tables, the one that is being prepared included */
    struct packed_mark reached; /* every line before it is in the index */
    struct point checkpoint;    /* the same, and it is on the disk */
    struct point round;         /* the next checkpoint, in the making (checkpoint.c) */
    uint64_t last_seq;          /* the highest number that a line was given in this boot */
    int64_t listed; /* the modification time of the journal's directory when its days were listed */
    uint64_t checked, rejected; /* packed places (struct reach) */
    uint64_t used;              /* slots of the newest table, give or take those of killed writers */
    uint64_t before;            /* slots of all tables before that one */
    uint32_t first_buckets;
    uint32_t tables;
    uint32_t cuts;                                  /* how often there were fewer tables after a reboot */
    uint32_t prepared;                              /* buckets of the next table that are written already */
    int32_t newest;                                 /* the newest day when the directory was listed */
    uint32_t unsynced;                              /* inserts since the last step to a checkpoint */
    uint32_t round_table, round_stretch;            /* whose turn it is; NO_TABLE: no round is under way */
    unsigned char checksum[crypto_shorthash_BYTES]; /* last: over everything before it */
};

uint64_t place_pack(struct place place);
struct place place_unpack(uint64_t packed);
struct packed_mark mark_pack(const struct mark *mark);
struct mark mark_unpack(const struct packed_mark *packed);

/* Reads the newest valid slot. Returns 0; ERROR_DAMAGED if there is none, or it was written for another file;
 * or ERROR_TROUBLE, with a reason. */
int state_read(int file, struct state *state, struct reason *reason);

/* Writes `state` as the next generation. Returns 0 or ERROR_TROUBLE. */
int state_write(int file, struct state *state, struct reason *reason);

#endif
