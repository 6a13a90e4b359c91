#define _GNU_SOURCE /* fallocate */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x33306e6565735044) /* "DPseen03" */

_Static_assert(sizeof(struct bucket) == 512, "a bucket is one sector");
_Static_assert(sizeof(struct header) <= 512, "a header is in one sector");

static int damaged(struct reason *reason) {
    return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is damaged");
}

void table_checksum(const void *bytes, size_t length, unsigned char out[crypto_shorthash_BYTES]) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost header";
    crypto_shorthash(out, bytes, length, key);
}

static bool is_zeros(const void *bytes, size_t length) {
    static const unsigned char zeros[sizeof(struct header)];
    return memcmp(bytes, zeros, length) == 0;
}

int table_read_header(int file, struct header *header, struct reason *reason) {
    unsigned char checksum[crypto_shorthash_BYTES];
    ssize_t got = pread(file, header, sizeof *header, 0);
    if (got < 0)
        return table_trouble("read", reason);
    if (got == 0 || (got == (ssize_t)sizeof *header && is_zeros(header, sizeof *header)))
        return ERROR_INVALID;
    table_checksum(header, offsetof(struct header, checksum), checksum);
    if (got != (ssize_t)sizeof *header || header->magic != MAGIC || header->buckets == 0 ||
        memcmp(checksum, header->checksum, sizeof checksum) != 0)
        return damaged(reason);
    return 0;
}

int table_write_header(int file, struct header *header, struct reason *reason) {
    header->magic = MAGIC;
    table_checksum(header, offsetof(struct header, checksum), header->checksum);
    if (pwrite(file, header, sizeof *header, 0) != (ssize_t)sizeof *header)
        return table_trouble("write", reason);
    return 0;
}

int table_open(int directory, const char *name, struct header *header, struct reason *reason) {
    int file = openat(directory, name, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? ERROR_INVALID : table_trouble("open", reason);
    int result = table_read_header(file, header, reason);
    if (result == 0)
        return file;
    close(file);
    return result;
}

/* Gives a file its size, and blocks on the disk at once: to find one for each page that is written first, all
 * over a large file, made single inserts wait for a tenth of a second. Where the file system cannot do that,
 * or has not so much room, the file is sparse, and nothing is kept from the journal. */
static int allocate(int file, off_t size) {
    if (ftruncate(file, size) != 0)
        return -1;
    if (fallocate(file, 0, 0, size) == 0)
        return 0;
    return ftruncate(file, 0) == 0 ? ftruncate(file, size) : -1;
}

int table_create(int directory, const char *name, struct header *header, struct reason *reason) {
    int file = openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return table_trouble("make", reason);
    int result = allocate(file, table_size(header->buckets)) == 0 ? table_write_header(file, header, reason)
                                                                  : table_trouble("make", reason);
    if (result == 0)
        return file;
    close(file);
    return result;
}

static off_t offset_of(uint32_t number) {
    return TABLE_HEADER_AREA + (off_t)number * (off_t)sizeof(struct bucket);
}

off_t table_size(uint32_t buckets) {
    return offset_of(buckets + TABLE_TAIL);
}

static unsigned slice_bits(const struct table *table) {
    return table->sliced ? SLICE_BITS : 0;
}

uint32_t table_home(const struct table *table, uint64_t fingerprint) {
    return (uint32_t)((fingerprint << slice_bits(table) >> 32) * table->buckets >> 32);
}

uint64_t table_first(const struct table *table, uint32_t number) {
    uint64_t base = table->sliced ? (uint64_t)(table->number % SLICES) << (64 - SLICE_BITS) : 0;
    uint64_t first = (((uint64_t)number << 32) + table->buckets - 1) / table->buckets;
    return base + (first << (32 - slice_bits(table)));
}

static uint64_t bucket_checksum(const struct bucket *bucket) {
    /* Damage is what it must show, not malice: a multiplicative mix over the words is enough, and ten times
     * as fast as a hash that would resist an attacker, who could as well write a right checksum. */
    uint64_t words[sizeof *bucket / sizeof(uint64_t)];
    uint64_t sum = UINT64_C(0x9e3779b97f4a7c15);
    memcpy(words, bucket, sizeof words);
    for (size_t i = 1; i < sizeof words / sizeof *words; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        sum ^= sum >> 32;
    }
    return sum;
}

static bool is_valid(const struct bucket *bucket, uint32_t number) {
    return bucket->number == number && bucket->used <= TABLE_SLOTS &&
           bucket->checksum == bucket_checksum(bucket);
}

int table_read(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
               struct reason *reason) {
    size_t length = count * sizeof *buckets;
    ssize_t got = pread(table->file, buckets, length, offset_of(number));
    if (got < 0)
        return table_trouble("read", reason);
    if (got != (ssize_t)length)
        return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is cut off");
    for (uint32_t i = 0; i < count; i++) {
        if (!table->written && buckets[i].checksum == 0 && buckets[i].used == 0 && buckets[i].number == 0)
            buckets[i].number = number + i; /* it begins here */
        else if (!is_valid(&buckets[i], number + i))
            return damaged(reason);
    }
    return 0;
}

void table_prefetch(const struct table *table, uint64_t fingerprint) {
    posix_fadvise(table->file, offset_of(table_home(table, fingerprint)), sizeof(struct bucket),
                  POSIX_FADV_WILLNEED);
}

int table_write(const struct table *table, uint32_t number, uint32_t count, struct bucket *buckets,
                struct reason *reason) {
    size_t length = count * sizeof *buckets;
    for (uint32_t i = 0; i < count; i++) {
        buckets[i].number = number + i;
        buckets[i].checksum = bucket_checksum(&buckets[i]);
    }
    ssize_t written = pwrite(table->file, buckets, length, offset_of(number));
    if (written >= 0 && written != (ssize_t)length)
        errno = ENOSPC;
    return written == (ssize_t)length ? 0 : table_trouble("write", reason);
}
