/* One hash table of the index, in a file: from fingerprints to positions in the journal.
 *
 * The file consists of buckets of 512 bytes; the state file (state.c) has their number. A bucket has a
 * checksum, its number, and up to 31 slots. Each fingerprint has one home bucket; a full bucket overflows
 * into the next one, and the last into the first. Every bucket is written when the file is created, so a
 * bucket of zeros is damage. The checksum is seeded with a secret of the index, so a bucket of another
 * index counts as damage too. Numbers are in host byte order. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CLEARED 64 /* buckets per write */

_Static_assert(sizeof(struct bucket) == 512, "a bucket is one sector");

int table_error(const char *doing, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "cannot %s the index in seen/: %s", doing, strerror(errno));
}

uint32_t table_home(const struct table *table, uint64_t fingerprint) {
    return (uint32_t)((fingerprint >> 32) * table->buckets >> 32);
}

off_t table_offset(uint32_t number) {
    return (off_t)number * (off_t)sizeof(struct bucket);
}

/* The checksum detects damage, not malice: a multiplicative mix over the words suffices. It is ten times
 * as fast as a cryptographic hash, and an attacker could write a correct checksum anyway. */
static uint64_t checksum_of(const struct bucket *bucket, uint64_t secret) {
    uint64_t words[sizeof *bucket / sizeof(uint64_t)];
    uint64_t sum = secret;
    memcpy(words, bucket, sizeof words);
    for (size_t i = 1; i < sizeof words / sizeof *words; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        sum ^= sum >> 32;
    }
    return sum;
}

int table_read(const struct table *table, uint32_t number, struct bucket *bucket, struct reason *reason) {
    /* Without the lock, a bucket may be read while it is half written: read it again. */
    for (int tries = 0; tries < 10; tries++) {
        ssize_t got = pread(table->fd, bucket, sizeof *bucket, table_offset(number));
        if (got < 0)
            return table_error("read", reason);
        if (got == (ssize_t)sizeof *bucket && bucket->number == number && bucket->used <= TABLE_SLOTS &&
            bucket->checksum == checksum_of(bucket, table->secret))
            return 0;
    }
    return FAIL(reason, ERROR_DAMAGED, "an index table in seen/ is damaged");
}

static int write_all(const struct table *table, const struct bucket *buckets, uint32_t count,
                     struct reason *reason) {
    size_t length = count * sizeof *buckets;
    ssize_t written = pwrite(table->fd, buckets, length, table_offset(buckets->number));
    if (written >= 0 && written != (ssize_t)length)
        errno = ENOSPC;
    return written == (ssize_t)length ? 0 : table_error("write", reason);
}

int table_write(const struct table *table, struct bucket *bucket, struct reason *reason) {
    bucket->checksum = checksum_of(bucket, table->secret);
    return write_all(table, bucket, 1, reason);
}

int table_clear(const struct table *table, uint32_t first, uint32_t last, struct reason *reason) {
    struct bucket buckets[CLEARED];
    int result = 0;
    memset(buckets, 0, sizeof buckets);
    for (uint32_t count; first < last && result == 0; first += count) {
        count = last - first < CLEARED ? last - first : CLEARED;
        for (uint32_t i = 0; i < count; i++) {
            buckets[i].number = first + i;
            buckets[i].checksum = checksum_of(&buckets[i], table->secret);
        }
        result = write_all(table, buckets, count, reason);
    }
    return result;
}
