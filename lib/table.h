/* One hash table of the idempotency index (seen.c), in a file: from fingerprints to places in the journal.
 *
 * The file is a header (struct header, in the first 4096 bytes) and buckets of 512 bytes, each with a
 * checksum and up to 31 slots. The upper bits of a fingerprint say which bucket is its home, so that buckets
 * are in the order of fingerprints, and tables can be merged from end to end. A bucket that is full spills
 * into the next one; behind the last home there are TABLE_TAIL more. A table is for all fingerprints or for
 * one slice of them. Numbers are in the host's byte order; a host of the other kind finds the magic number
 * wrong. */
#ifndef DOORPOST_TABLE_H
#define DOORPOST_TABLE_H

#include "error.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define TABLE_HEADER_AREA 4096
#define TABLE_SLOTS 31
#define TABLE_TAIL 32 /* buckets */
#define SLICE_BITS 3
#define SLICES (1 << SLICE_BITS)
#define BOOT_ID_SIZE 40
#define NOWHERE UINT64_MAX /* in place of a packed place */

struct header {
    uint64_t magic;
    uint32_t number;
    uint32_t buckets;      /* that are homes */
    uint64_t used[SLICES]; /* slots, by slice; give or take those of killed writers */
    unsigned char key[2][crypto_shorthash_KEYBYTES]; /* by enum identifier; the same in all tables */
    char boot[BOOT_ID_SIZE];

    /* Of a young table. */
    uint64_t reached, checkpoint; /* packed places, or NOWHERE */
    uint64_t unsynced;            /* inserts since the last step to a checkpoint */
    uint64_t before;              /* slots used in all tables before this one */
    uint32_t unsynced_from;       /* the oldest table that was written to since the checkpoint */
    uint32_t settled;
    uint32_t sealed;
    uint32_t middle; /* the number of the middle table in use; 0: none */

    /* Of a middle table. */
    uint64_t begun;  /* slots used in the young table when the merge began */
    uint32_t merged; /* homes that are done, of the old table and then of this one */
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
    bool sliced;  /* it is for the slice number % SLICES alone */
    uint32_t number, buckets;
    uint64_t used[SLICES]; /* when it was opened */
};

/* The disk or the file system refused; errno says why. */
static inline int table_trouble(const char *doing, struct reason *reason) {
    return fail(reason, ERROR_TROUBLE, "cannot %s the index in seen/: %s", doing, strerror(errno));
}

/* The same of a sync, after which nobody knows what the disk holds. */
static inline int table_not_synced(struct reason *reason) {
    return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
}

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

/* To which slice a fingerprint belongs. */
static inline uint32_t table_slice(uint64_t fingerprint) {
    return (uint32_t)(fingerprint >> (64 - SLICE_BITS));
}

/* In which bucket the search for a fingerprint begins. */
uint32_t table_home(const struct table *table, uint64_t fingerprint);

/* The lowest fingerprint whose home is that bucket or a later one; its lower half is zeros. For number ==
 * buckets this is one more than the highest of the table, or 0 where that is the highest of all. */
uint64_t table_first(const struct table *table, uint32_t number);

/* Reads and checks `count` buckets. Returns 0 or an error. */
int table_read(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
               struct reason *reason);

/* Has the kernel begin to read the bucket in which the search for a fingerprint begins. */
void table_prefetch(const struct table *table, uint64_t fingerprint);

/* Writes `count` buckets from `number` on, with their numbers and checksums. Returns 0 or an error. */
int table_write(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
                struct reason *reason);

#endif
