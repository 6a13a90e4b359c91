/* One hash table of the idempotency index (seen.c), in a file: from fingerprints to places in the journal.
 *
 * The file is a header (struct header, in the first 4096 bytes) and buckets of 512 bytes, each with a
 * checksum and up to 31 slots. The upper half of a fingerprint says which bucket is its home, so that buckets
 * are in the order of fingerprints and two tables can be merged from end to end. A bucket that is full spills
 * into the next one; behind the last home there are TABLE_TAIL more. Numbers are in the host's byte order; a
 * host of the other kind finds the magic number wrong. */
#ifndef DOORPOST_TABLE_H
#define DOORPOST_TABLE_H

#include "error.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TABLE_HEADER_AREA 4096
#define TABLE_SLOTS 31
#define TABLE_FULL (TABLE_SLOTS * 5 / 8) /* mean slots used in a table that is full */
#ifndef TABLE_TAIL                       /* a test build makes it small */
#define TABLE_TAIL 32                    /* buckets */
#endif
#define BOOT_ID_SIZE 40

struct header {
    uint64_t magic;
    uint32_t number;
    uint32_t buckets;                                /* that are homes */
    uint64_t used;                                   /* slots, give or take those of a killed writer */
    unsigned char key[2][crypto_shorthash_KEYBYTES]; /* by enum identifier; the same in all tables */
    char boot[BOOT_ID_SIZE];

    /* Of a young table. */
    uint64_t reached, checkpoint; /* packed places, or NOWHERE */
    uint64_t unsynced;            /* inserts since the last step to a checkpoint */
    uint32_t unsynced_from;       /* the oldest table that was written to since the checkpoint */
    uint32_t settled;
    uint32_t sealed;
    uint32_t old; /* the number of the old table in use; 0: none */

    /* Of an old table. */
    uint64_t begun;  /* slots used in the young table when the merge began */
    uint32_t merged; /* homes that are done */
    uint32_t whole;  /* done, and on the disk */

    unsigned char checksum[crypto_shorthash_BYTES]; /* last: over everything before it */
};

struct slot {
    uint64_t fingerprint;
    uint64_t place; /* packed */
};

struct bucket {
    uint64_t checksum; /* over everything after it */
    uint32_t number;
    uint32_t used;
    struct slot slot[TABLE_SLOTS];
};

/* An open table. */
struct table {
    int file;     /* -1: none */
    bool written; /* every bucket was, so one of zeros is damage */
    uint32_t number, buckets;
    uint64_t used; /* when it was opened */
};

/* Where a result is said to be an error, it is ERROR_TROUBLE (the disk or the file system refused) or
 * ERROR_DAMAGED, with a reason. */

/* Opens a table and reads its header. Returns its descriptor, or an error; ERROR_INVALID: there is none, or
 * one that a killed writer has not finished. */
int table_open(int directory, const char *name, struct header *header, struct reason *reason);

/* Makes an empty table in place of what was there, with blocks on the disk where the file system has them.
 * Returns its descriptor, or an error. */
int table_create(int directory, const char *name, struct header *header, struct reason *reason);

/* Reads and checks a header. Returns 0 or an error; ERROR_INVALID: there is none (yet, or any more). */
int table_read_header(int file, struct header *header, struct reason *reason);

/* Writes a header with its checksum. Returns 0 or an error. */
int table_write_header(int file, struct header *header, struct reason *reason);

/* A checksum for headers and what stands beside them. */
void table_checksum(const void *bytes, size_t length, unsigned char out[crypto_shorthash_BYTES]);

/* The size of the file in bytes. */
off_t table_size(uint32_t buckets);

/* In which bucket the search for a fingerprint begins, in a table of so many. */
uint32_t table_home(uint32_t buckets, uint64_t fingerprint);

/* The lowest fingerprint whose home is that bucket or a later one; its lower half is zeros. For number ==
 * buckets the result is 0, one more than the highest. */
uint64_t table_first(uint32_t buckets, uint32_t number);

/* Reads and checks `count` buckets. Returns 0 or an error. */
int table_read(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
               struct reason *reason);

/* Writes `count` buckets from `number` on, with their numbers and checksums. Returns 0 or an error. */
int table_write(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
                struct reason *reason);

#endif
