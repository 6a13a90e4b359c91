/* One hash table of the index, in a file: from fingerprints to places in the journal.
 *
 * The file is buckets of 512 bytes and nothing else; how many there are is known to the state file (state.h).
 * A bucket has a checksum, its number, and up to 31 slots. A fingerprint's home is one bucket; a bucket that
 * is full spills into the next one, the last into the first. Every bucket is written when the file is made,
 * so one of zeros is damage. The checksum begins with a secret of the index, so a bucket of another index is
 * damage too. Numbers are in the host's byte order. */
#ifndef DOORPOST_INDEX_TABLE_H
#define DOORPOST_INDEX_TABLE_H

#include "error.h"

#include <stdint.h>
#include <sys/types.h>

#define TABLE_SLOTS 31

struct slot {
    uint64_t fingerprint;
    uint64_t place; /* packed (state.h) */
};

struct bucket {
    uint64_t checksum; /* over everything after it */
    uint32_t number;
    uint32_t used;
    struct slot slot[TABLE_SLOTS];
};

/* An open table. */
struct table {
    int file;
    uint32_t buckets;
    uint64_t secret;
};

/* The disk or the file system refused; errno says why. */
int table_trouble(const char *doing, struct reason *reason);

/* The bucket in which a fingerprint is looked for first. */
uint32_t table_home(const struct table *table, uint64_t fingerprint);

/* Where a bucket begins in the file. */
off_t table_offset(uint32_t number);

/* Reads and checks a bucket. Returns 0, ERROR_TROUBLE or ERROR_DAMAGED, with a reason. */
int table_read(const struct table *table, uint32_t number, struct bucket *bucket, struct reason *reason);

/* Writes a bucket under its number with its checksum. Returns 0 or ERROR_TROUBLE. */
int table_write(const struct table *table, struct bucket *bucket, struct reason *reason);

/* Writes empty buckets from `first` up to, not with, `last`. Returns 0 or ERROR_TROUBLE. */
int table_clear(const struct table *table, uint32_t first, uint32_t last, struct reason *reason);

/* Has the kernel begin to read the home of a fingerprint. */
void table_prefetch(const struct table *table, uint64_t fingerprint);

#endif
