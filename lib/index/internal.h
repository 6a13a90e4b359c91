/* Shared by the files of this directory: tables (table.c), the state (state.c), and an open index. */
#ifndef DOORPOST_INDEX_INTERNAL_H
#define DOORPOST_INDEX_INTERNAL_H

#include "index.h"

#include <sodium.h>
#include <sys/stat.h>

#ifndef FIRST_BUCKETS /* test builds use a small value */
#define FIRST_BUCKETS 4096
#endif
#define MIN_BUCKETS 64 /* of the first table, if the disk is nearly full */
#define FULL 19        /* mean slots used per bucket of a full table */
#define OVERFULL 25    /* the same if the table cannot grow */
#define CACHED 256     /* buckets; a power of two */
#define TABLES_MAX 10  /* each four times as large as the one before */
#define NO_TABLE UINT32_MAX

/* ---- tables ---- */

#define TABLE_SLOTS 31

struct slot {
    uint64_t fingerprint;
    uint64_t position; /* packed position: day << 48 | offset */
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

/* Returns ERROR_SYSTEM with a reason from errno. */
int table_error(const char *doing, struct reason *reason);

/* The home bucket of a fingerprint, and the file offset of a bucket. */
uint32_t table_home(const struct table *table, uint64_t fingerprint);
off_t table_offset(uint32_t number);

/* Reads and verifies a bucket. Returns 0, ERROR_SYSTEM or ERROR_DAMAGED, with a reason. */
int table_read(const struct table *table, uint32_t number, struct bucket *bucket, struct reason *reason);

/* Sets the checksum of a bucket and writes it to the offset of its number. Returns 0 or ERROR_SYSTEM. */
int table_write(const struct table *table, struct bucket *bucket, struct reason *reason);

/* Writes empty buckets from `first` up to but not including `last`. Returns 0 or ERROR_SYSTEM. */
int table_clear(const struct table *table, uint32_t first, uint32_t last, struct reason *reason);

/* ---- the state ---- */

/* A mark (mark.h), packed. */
struct packed_mark {
    uint64_t position;
    uint64_t seq;
    char chain[CHAIN_SIZE - 1]; /* all zero: "" */
};

/* The content of the index at a mark. */
struct checkpoint {
    struct packed_mark mark;
    uint64_t used;   /* slots used in the newest table */
    uint64_t before; /* and in all tables before it */
    uint32_t tables;
    uint32_t losses; /* state.losses then: if it differs now, later writes may be lost */
};

struct state {
    uint64_t magic;
    uint64_t generation;
    unsigned char key[IDENTIFIERS][crypto_shorthash_KEYBYTES];
    uint64_t boot;                /* a hash of the writer's boot id */
    uint64_t file;                /* inode numbers: of the state file, */
    uint64_t table[TABLES_MAX];   /* and of the tables, including the one in preparation */
    struct packed_mark reached;   /* every line before it is in the index */
    struct checkpoint checkpoint; /* the last durable checkpoint */
    struct checkpoint round;      /* the next checkpoint, in progress (checkpoint.c) */
    uint64_t last_seq;            /* the highest number assigned in this boot */
    int64_t listed;               /* modification time of the journal's directory when its days were listed */
    uint64_t checked, rejected;   /* packed positions (struct reach) */
    uint64_t used;                /* slots used in the newest table, approximate if writers were killed */
    uint64_t before;              /* slots used in all tables before it */
    uint32_t first_buckets;
    uint32_t tables;
    uint32_t losses;                     /* how often unsynced data was given up */
    uint32_t prepared;                   /* buckets of the next table already written */
    int32_t newest;                      /* the newest day when the directory was listed */
    uint32_t unsynced;                   /* inserts since the last checkpoint step */
    uint32_t round_table, round_stretch; /* the next to sync; NO_TABLE: no round in progress */
    uint64_t checksum;                   /* must be last: covers everything before it */
};

/* Reads the newest valid slot. Returns 0, ERROR_SYSTEM, or ERROR_DAMAGED if neither is valid or the index
 * is a copy. */
int state_read(int fd, struct state *state, struct reason *reason);

/* Writes `state` as the next generation. Returns 0 or ERROR_SYSTEM. */
int state_write(int fd, struct state *state, struct reason *reason);

struct index {
    int journal;        /* the caller's directory */
    int fd;             /* seen/state; -1: not open */
    struct stat status; /* of seen/state */
    uint32_t first_buckets;
    uint64_t boot; /* a hash of the boot id; 0: not yet known */
    bool checkpoint_requested;
    bool shared; /* with processes of other boots: the lock is held during whole steps */
    /* The current step: its round (no tables: no step), and what it syncs. */
    struct checkpoint target;
    uint32_t round_table, round_stretch;
    bool whole;
    struct state state;
    struct table table[TABLES_MAX]; /* including the one in preparation */
    /* Buckets of the newest table read since the lock was taken, by number: an identifier that is not
     * found will be stored there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of an older table */
};

/* The number of buckets of a table. */
uint32_t index_buckets(const struct state *state, uint32_t number);

/* Writes the buckets of the next table up to but not including `until`, ahead of its use. */
int index_prepare(struct index *index, uint32_t until, struct reason *reason);

#endif
