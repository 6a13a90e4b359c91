/* What the files of this directory share: tables (table.c), the state (state.c), and an open index. */
#ifndef DOORPOST_INDEX_INTERNAL_H
#define DOORPOST_INDEX_INTERNAL_H

#include "index.h"

#include <sodium.h>
#include <sys/stat.h>

#ifndef FIRST_BUCKETS /* a test build makes it small */
#define FIRST_BUCKETS 4096
#endif
#define MIN_BUCKETS 64 /* of the first table, if the disk is nearly full */
#define FULL 19        /* mean slots used in a bucket of a table that is full */
#define OVERFULL 25    /* the same of one that cannot grow */
#define CACHED 256     /* buckets; a power of two */
#define TABLES_MAX 10  /* each four times as large as the one before */
#define NO_TABLE UINT32_MAX

/* ---- tables ---- */

#define TABLE_SLOTS 31

struct slot {
    uint64_t fingerprint;
    uint64_t place; /* day << 48 | offset */
};

struct bucket {
    uint64_t checksum; /* over everything after it */
    uint32_t number;
    uint32_t used;
    struct slot slot[TABLE_SLOTS];
};

struct table {
    int fd; /* -1: not open */
    uint32_t buckets;
    uint64_t inode;
    uint64_t secret;
};

/* The disk or the file system refused; errno says why. */
int table_error(const char *doing, struct reason *reason);

/* The bucket in which a fingerprint is looked for first, and where a bucket begins in the file. */
uint32_t table_home(const struct table *table, uint64_t fingerprint);
off_t table_offset(uint32_t number);

/* Reads and checks a bucket. Returns 0, ERROR_TROUBLE or ERROR_DAMAGED, with a reason. */
int table_read(const struct table *table, uint32_t number, struct bucket *bucket, struct reason *reason);

/* Writes a bucket under its number with its checksum. Returns 0 or ERROR_TROUBLE. */
int table_write(const struct table *table, struct bucket *bucket, struct reason *reason);

/* Writes empty buckets from `first` up to, not with, `last`. Returns 0 or ERROR_TROUBLE. */
int table_clear(const struct table *table, uint32_t first, uint32_t last, struct reason *reason);

/* ---- the state ---- */

/* A mark (mark.h), packed. */
struct packed_mark {
    uint64_t place;
    uint64_t seq;
    char chain[CHAIN_SIZE - 1]; /* all zero: "" */
};

/* What the index held when it reached a mark. */
struct checkpoint {
    struct packed_mark mark;
    uint64_t used;   /* slots of the newest table */
    uint64_t before; /* and of all tables before it */
    uint32_t tables;
    uint32_t losses; /* state.falls then: if it is another now, what was written since may be gone */
};

struct state {
    uint64_t magic;
    uint64_t generation;
    unsigned char key[IDENTIFIERS][crypto_shorthash_KEYBYTES];
    uint64_t boot;                /* a hash of the boot id of the writer */
    uint64_t file;                /* inode numbers: of the state file, */
    uint64_t table[TABLES_MAX];   /* and of the tables, the one that is being prepared included */
    struct packed_mark reached;   /* every line before it is in the index */
    struct checkpoint checkpoint; /* the same, and it is on the disk */
    struct checkpoint round;      /* the next checkpoint, in the making (checkpoint.c) */
    uint64_t last_seq;            /* the highest number that a line was given in this boot */
    int64_t listed; /* the modification time of the journal's directory when its days were listed */
    uint64_t checked, rejected; /* packed places (struct reach) */
    uint64_t used;              /* slots of the newest table, give or take those of killed writers */
    uint64_t before;            /* slots of all tables before that one */
    uint32_t first_buckets;
    uint32_t tables;
    uint32_t losses;                     /* how often what was not synced was given up */
    uint32_t prepared;                   /* buckets of the next table that are written already */
    int32_t newest;                      /* the newest day when the directory was listed */
    uint32_t unsynced;                   /* inserts since the last step to a checkpoint */
    uint32_t round_table, round_stretch; /* whose turn it is; NO_TABLE: no round is under way */
    uint64_t checksum;                   /* last: over everything before it */
};

/* Reads the newest valid slot. Returns 0, ERROR_TROUBLE, or ERROR_DAMAGED: none is, or it is a copy. */
int state_read(int fd, struct state *state, struct reason *reason);

/* Writes `state` as the next generation. Returns 0 or ERROR_TROUBLE. */
int state_write(int fd, struct state *state, struct reason *reason);

struct index {
    int journal;        /* the caller's directory */
    int fd;             /* seen/state; -1: not open */
    struct stat status; /* of it */
    uint32_t first_buckets;
    uint64_t boot; /* a hash of the boot id; 0: not known yet */
    bool checkpoint_requested;
    bool shared; /* with processes of other boots: a step is made with the lock held throughout */
    /* The step under way: the round that it is part of (no tables: there is no step), and what it syncs. */
    struct checkpoint target;
    uint32_t round_table, round_stretch;
    bool whole;
    struct state state;
    struct table table[TABLES_MAX]; /* the one that is being prepared included */
    /* Buckets of the newest table that were read under this hold of the lock, by number: an identifier that
     * is looked for and not found will be stored there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of an older table */
};

/* The size of a table in buckets, by its number. */
uint32_t index_buckets(const struct state *state, uint32_t number);

/* Writes the buckets of the next table up to, not with, `until`: it is to be ready when it is needed. */
int index_prepare(struct index *index, uint32_t until, struct reason *reason);

#endif
