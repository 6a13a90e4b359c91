/* On disk, seen/ is a chain of hash tables in files 00, 01, 02, ... A table has a fixed size; when it is five
 * eighths full, it is sealed and a new one begins, four times as large. So nothing is ever rehashed, no
 * insert stalls, and a lookup costs one small read a table; there are six at thirty million events.
 *
 * A table is a header (struct header, in the first 4096 bytes) and buckets of 512 bytes, each with a checksum
 * and up to 31 slots: a fingerprint and a place. A bucket that is full spills into the next one. A bucket of
 * zeros was never written. The newest table's header says how far into the journal the index reaches (every
 * line before that place is in it), and up to where it has been synced (the checkpoint).
 *
 * Nothing here is synced before an answer, and nothing has to be: after a crash of a process the header tells
 * from where to read on, and after a crash of the machine (the boot id differs) everything since the
 * checkpoint is read again. All of it can be deleted and is then made anew from the journal. Numbers are in
 * the host's byte order; a host of the other kind finds the magic number wrong and makes the index anew.
 *
 * A large table that is synced as a whole is a long stall: its inserts are all over it. So the checkpoint
 * goes round in steps: every so many inserts one stretch is synced, a megabyte at most, and when all
 * stretches have had their turn, everything that was inserted before the round began is on the disk. Where
 * the round stands is noted beside the newest table's header (struct round). */
#define _GNU_SOURCE /* fallocate */
#include "seen.h"

#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x31306e6565735044) /* "DPseen01" */
#define HEADER_AREA 4096
#define ROUND_AT 512  /* in the header area */
#ifndef FIRST_BUCKETS /* a test build makes these small */
#define FIRST_BUCKETS 4096
#define STRETCH (1 << 20) /* bytes; whole pages */
/* Inserts: a step comes after so many, or earlier where a round would take more than ROUND_WITHIN. Half as
 * many lines as two rounds have inserts are read again after a reboot at most; more in an index that is so
 * large that each batch has more inserts than a step waits for. */
#define STEP_EVERY 8192
#define ROUND_WITHIN (1 << 17)
#endif
#define GROWTH 4      /* times; the more, the fewer tables, and the more room is taken in advance */
#define TABLES_MAX 24 /* a chain that was begun with less growth may be longer */
#define SLOTS 31
#define FULL (SLOTS * 5 / 8) /* mean slots used in a table that is full */
#define BOOT_ID_SIZE 40
#define CACHED 256 /* buckets; a power of two */
#define NAME_SIZE 16
#define NOWHERE UINT64_MAX

struct header {
    uint64_t magic;
    uint32_t number; /* of the table in the chain */
    uint32_t buckets;
    uint64_t used;                                   /* slots, give or take those of a killed writer */
    uint64_t unsynced;                               /* inserts since the last step to a checkpoint */
    unsigned char key[2][crypto_shorthash_KEYBYTES]; /* by enum identifier; the same in all tables */
    uint64_t reached, checkpoint;                    /* packed places, or NOWHERE */
    uint32_t unsynced_from; /* the oldest table that was written to since the checkpoint */
    uint32_t settled;
    uint32_t sealed;
    uint32_t unused;
    char boot[BOOT_ID_SIZE];
    unsigned char checksum[crypto_shorthash_BYTES]; /* last: over everything before it */
};

/* The checkpoint in the making. */
struct round {
    uint64_t place;          /* packed: how far the index reached when the round began */
    uint32_t table, stretch; /* whose turn it is */
    uint32_t last;           /* the newest table when the round began */
    uint32_t unused;
    char boot[BOOT_ID_SIZE]; /* a round that a crash of the machine cut short begins anew */
    unsigned char checksum[crypto_shorthash_BYTES];
};

struct slot {
    uint64_t fingerprint;
    uint64_t place; /* packed */
};

struct bucket {
    uint64_t checksum; /* over everything after it */
    uint32_t number;
    uint32_t used;
    struct slot slot[SLOTS];
};

_Static_assert(sizeof(struct bucket) == 512, "a bucket is one sector");
_Static_assert(sizeof(struct header) <= ROUND_AT && ROUND_AT + sizeof(struct round) <= HEADER_AREA,
               "both fit before the buckets");

struct table {
    int file;
    uint32_t buckets;
};

struct seen {
    int journal; /* the caller's directory, as given to seen_begin() */
    unsigned first_buckets;
    struct table table[TABLES_MAX];
    unsigned tables;
    unsigned
        synced; /* the newest table at the last seen_sync(); TABLES_MAX: none since the tables were opened */
    bool stepping; /* between seen_step_begin() and seen_step_end(), with the same tables open */
    struct round round;
    struct header header; /* of the newest table */
    char boot[BOOT_ID_SIZE];
    bool pretended_boot;
    /* Buckets of the newest table that were read under this hold of the lock, by number: who looks for an
     * identifier and does not find it will store it there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of an older table */
};

struct seen *seen_new(unsigned first_buckets) {
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen != NULL)
        seen->first_buckets = first_buckets != 0 ? first_buckets : FIRST_BUCKETS;
    return seen;
}

static uint64_t pack(struct place place) {
    return (uint64_t)place.day << 48 | place.offset;
}

static struct place unpack(uint64_t packed) {
    return (struct place){.day = (int32_t)(packed >> 48), .offset = packed & 0xffffffffffff};
}

void seen_close(struct seen *seen) {
    while (seen->tables > 0)
        close(seen->table[--seen->tables].file);
    seen->synced = TABLES_MAX;
    seen->stepping = false;
}

void seen_free(struct seen *seen) {
    if (seen != NULL)
        seen_close(seen);
    free(seen);
}

void seen_set_boot(struct seen *seen, const char *boot) {
    seen->pretended_boot = boot != NULL;
    memset(seen->boot, 0, sizeof seen->boot);
    if (boot != NULL)
        snprintf(seen->boot, sizeof seen->boot, "%s", boot);
}

/* Linux says which boot this is. Where it does not, no boot is the same as any other, and the checkpoint
 * counts. */
static void read_boot_id(char out[BOOT_ID_SIZE]) {
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    memset(out, 0, BOOT_ID_SIZE);
    if (file < 0 || read(file, out, BOOT_ID_SIZE - 1) <= 0)
        randombytes_buf(out, BOOT_ID_SIZE - 1);
    if (file >= 0)
        close(file);
}

static void make_checksum(const void *bytes, size_t length, unsigned char out[crypto_shorthash_BYTES]) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost header";
    crypto_shorthash(out, bytes, length, key);
}

static bool header_is_valid(const struct header *header, unsigned number) {
    unsigned char checksum[crypto_shorthash_BYTES];
    make_checksum(header, offsetof(struct header, checksum), checksum);
    /* A sealed table without buckets is what earlier versions made of one that was out of date. */
    return header->magic == MAGIC && header->number == number && (header->buckets > 0 || header->sealed) &&
           (header->buckets & (header->buckets - 1)) == 0 &&
           memcmp(checksum, header->checksum, sizeof checksum) == 0;
}

static int trouble(const char *doing, struct reason *reason) {
    return fail(reason, ERROR_TROUBLE, "cannot %s the index in seen/: %s", doing, strerror(errno));
}

static int write_header(int file, struct header *header, struct reason *reason) {
    make_checksum(header, offsetof(struct header, checksum), header->checksum);
    if (pwrite(file, header, sizeof *header, 0) != (ssize_t)sizeof *header)
        return trouble("write", reason);
    return 0;
}

static off_t bucket_offset(uint32_t number) {
    return HEADER_AREA + (off_t)number * (off_t)sizeof(struct bucket);
}

/* Reads and checks the header of a table. ERROR_INVALID: its file was deleted. */
static int read_header(int file, unsigned number, struct header *header, struct reason *reason) {
    struct stat status;
    ssize_t got = pread(file, header, sizeof *header, 0);
    if (got < 0 || fstat(file, &status) != 0)
        return trouble("read", reason);
    if (status.st_nlink == 0)
        return ERROR_INVALID; /* deleted under our hands */
    if (got != (ssize_t)sizeof *header || !header_is_valid(header, number) ||
        status.st_size != bucket_offset(header->buckets))
        return fail(reason, ERROR_DAMAGED, "the index in seen/ is damaged");
    return 0;
}

static void table_name(unsigned number, char out[NAME_SIZE]) {
    snprintf(out, NAME_SIZE, "seen/%02u", number);
}

/* Opens the table after the last open one, and makes it the newest. Returns 1, 0 where there is none, or an
 * error. */
static int open_next(struct seen *seen, struct reason *reason) {
    char name[NAME_SIZE];
    struct header header;
    if (seen->tables == TABLES_MAX)
        return fail(reason, ERROR_DAMAGED, "the index in seen/ has too many tables");
    table_name(seen->tables, name);
    int file = openat(seen->journal, name, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : trouble("open", reason);
    int result = read_header(file, seen->tables, &header, reason);
    if (result == 0 && seen->tables > 0 && memcmp(header.key, seen->header.key, sizeof header.key) != 0)
        result = fail(reason, ERROR_DAMAGED, "the tables in seen/ do not belong together");
    if (result != 0) {
        close(file);
        return result;
    }
    seen->table[seen->tables++] = (struct table){.file = file, .buckets = header.buckets};
    seen->header = header;
    return 1;
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

/* Makes table file `header->number`, over whatever a killed writer left in its place. Returns its descriptor.
 */
static int create_table(int journal, struct header *header, struct reason *reason) {
    char name[NAME_SIZE];
    table_name(header->number, name);
    if (mkdirat(journal, "seen", 0700) != 0 && errno != EEXIST)
        return trouble("make", reason);
    int file = openat(journal, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return trouble("make", reason);
    int result = allocate(file, bucket_offset(header->buckets)) == 0 ? write_header(file, header, reason)
                                                                     : trouble("make", reason);
    if (result != 0) {
        close(file);
        return result;
    }
    return file;
}

static void forget_buckets(struct seen *seen) {
    memset(seen->cached, 0, sizeof seen->cached);
}

static int push_table(struct seen *seen, struct header *header, struct reason *reason) {
    int file = create_table(seen->journal, header, reason);
    if (file < 0)
        return file;
    seen->table[seen->tables++] = (struct table){.file = file, .buckets = header->buckets};
    seen->header = *header;
    forget_buckets(seen);
    return 0;
}

static int create_first(struct seen *seen, struct reason *reason) {
    struct header header;
    memset(&header, 0, sizeof header); /* padding too: the checksum covers it */
    header.magic = MAGIC;
    header.buckets = seen->first_buckets;
    header.reached = header.checkpoint = NOWHERE;
    randombytes_buf(header.key, sizeof header.key);
    memcpy(header.boot, seen->boot, sizeof header.boot);
    return push_table(seen, &header, reason);
}

/* Seals the newest table and begins a larger one. The new one is complete before the old one points to it. */
static int grow(struct seen *seen, struct reason *reason) {
    struct header sealed = seen->header;
    struct header header = seen->header;
    if (seen->tables == TABLES_MAX || header.buckets > UINT32_MAX / GROWTH)
        return fail(reason, ERROR_TROUBLE, "the index in seen/ is full: delete seen/ to make it anew");
    header.number++;
    header.buckets *= GROWTH;
    header.used = 0;
    int result = push_table(seen, &header, reason);
    if (result != 0)
        return result;
    sealed.sealed = 1;
    result = write_header(seen->table[seen->tables - 2].file, &sealed, reason);
    if (result != 0) {
        close(seen->table[--seen->tables].file);
        seen->header = sealed;
        seen->header.sealed = 0;
    }
    return result;
}

/* Opens the tables that are not open yet, and makes the first one where there is none. */
static int open_tables(struct seen *seen, struct reason *reason) {
    int result = 1;
    while (result >= 0 && (seen->tables == 0 || seen->header.sealed)) {
        result = open_next(seen, reason);
        if (result == 0 && seen->tables > 0)
            return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is missing");
        if (result == 0)
            result = create_first(seen, reason);
    }
    return result;
}

int seen_begin(struct seen *seen, int journal, struct reason *reason) {
    int result = 1;
    seen->journal = journal;
    forget_buckets(seen);
    if (seen->tables > 0)
        result = read_header(seen->table[seen->tables - 1].file, seen->tables - 1, &seen->header, reason);
    else if (!seen->pretended_boot)
        read_boot_id(seen->boot);
    if (result == ERROR_INVALID) {
        seen_close(seen);
        result = 1;
    }
    if (result >= 0)
        result = open_tables(seen, reason);
    if (result < 0)
        return result;
    if (memcmp(seen->header.boot, seen->boot, BOOT_ID_SIZE) != 0) {
        memcpy(seen->header.boot, seen->boot, BOOT_ID_SIZE);
        seen->header.reached = seen->header.checkpoint;
        seen->header.settled = 0;
    }
    return 0;
}

bool seen_reached(const struct seen *seen, struct place *place, bool *settled) {
    *place = unpack(seen->header.reached);
    *settled = seen->header.settled != 0;
    return seen->header.reached != NOWHERE;
}

int seen_reach(struct seen *seen, struct place place, bool settled, struct reason *reason) {
    seen->header.reached = pack(place);
    seen->header.settled = settled;
    /* A crash of the machine can leave a journal that is shorter than what was indexed of it. */
    if (seen->header.checkpoint != NOWHERE && seen->header.checkpoint > seen->header.reached)
        seen->header.checkpoint = seen->header.reached;
    return write_header(seen->table[seen->tables - 1].file, &seen->header, reason);
}

uint64_t seen_fingerprint(const struct seen *seen, enum identifier kind, const char *text, size_t length) {
    uint64_t fingerprint;
    crypto_shorthash((unsigned char *)&fingerprint, (const unsigned char *)text, length,
                     seen->header.key[kind]);
    return fingerprint;
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

static int read_bucket(const struct table *table, uint32_t number, struct bucket *bucket,
                       struct reason *reason) {
    ssize_t got = pread(table->file, bucket, sizeof *bucket, bucket_offset(number));
    if (got < 0)
        return trouble("read", reason);
    if (got != (ssize_t)sizeof *bucket)
        return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is cut off");
    if (bucket->checksum == 0 && bucket->used == 0 && bucket->number == 0) {
        bucket->number = number; /* never written: it begins here */
        return 0;
    }
    if (bucket->number != number || bucket->used == 0 || bucket->used > SLOTS ||
        bucket->checksum != bucket_checksum(bucket))
        return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is damaged");
    return 0;
}

/* The bucket of that number in a table; of the newest one from the cache, where it is there. *bucket is good
 * until the next call. */
static int get_bucket(struct seen *seen, unsigned table, uint32_t number, struct bucket **bucket,
                      struct reason *reason) {
    if (table != seen->tables - 1) {
        *bucket = &seen->scratch;
        return read_bucket(&seen->table[table], number, *bucket, reason);
    }
    uint32_t index = number & (CACHED - 1);
    *bucket = &seen->cache[index];
    if (seen->cached[index] && (*bucket)->number == number)
        return 0;
    int result = read_bucket(&seen->table[table], number, *bucket, reason);
    seen->cached[index] = result == 0;
    return result;
}

static uint32_t home_bucket(const struct table *table, uint64_t fingerprint) {
    return (uint32_t)(fingerprint & (table->buckets - 1));
}

static int find_in_table(struct seen *seen, unsigned table, uint64_t fingerprint,
                         int (*visit)(void *context, struct place place), void *context,
                         struct reason *reason) {
    uint32_t buckets = seen->table[table].buckets;
    uint32_t number = home_bucket(&seen->table[table], fingerprint);
    for (uint32_t i = 0; i < buckets; i++, number = (number + 1) & (buckets - 1)) {
        struct bucket *bucket;
        int result = get_bucket(seen, table, number, &bucket, reason);
        for (uint32_t s = 0; result == 0 && s < bucket->used; s++)
            if (bucket->slot[s].fingerprint == fingerprint)
                result = visit(context, unpack(bucket->slot[s].place));
        if (result != 0 || bucket->used < SLOTS)
            return result;
    }
    return 0;
}

int seen_find(struct seen *seen, uint64_t fingerprint, int (*visit)(void *context, struct place place),
              void *context, struct reason *reason) {
    for (unsigned i = seen->tables; i > 0; i--) { /* a repetition comes soon: newest first */
        int result = find_in_table(seen, i - 1, fingerprint, visit, context, reason);
        if (result != 0)
            return result;
    }
    return 0;
}

static int same_place(void *context, struct place place) {
    const struct place *wanted = context;
    return place.day == wanted->day && place.offset == wanted->offset;
}

int seen_holds(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    return seen_find(seen, fingerprint, same_place, &place, reason);
}

static int add_slot(struct seen *seen, struct bucket *bucket, struct slot slot, struct reason *reason) {
    int file = seen->table[seen->tables - 1].file;
    bucket->slot[bucket->used++] = slot;
    bucket->checksum = bucket_checksum(bucket);
    if (pwrite(file, bucket, sizeof *bucket, bucket_offset(bucket->number)) != (ssize_t)sizeof *bucket) {
        forget_buckets(seen);
        return trouble("write", reason);
    }
    seen->header.used++;
    seen->header.unsynced++;
    return 0;
}

int seen_insert(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    if (seen->header.used >= (uint64_t)seen->header.buckets * FULL) {
        int result = grow(seen, reason);
        if (result != 0)
            return result;
    }
    unsigned newest = seen->tables - 1;
    uint32_t buckets = seen->table[newest].buckets;
    uint32_t number = home_bucket(&seen->table[newest], fingerprint);
    for (uint32_t i = 0; i < buckets; i++, number = (number + 1) & (buckets - 1)) {
        struct bucket *bucket;
        int result = get_bucket(seen, newest, number, &bucket, reason);
        if (result != 0)
            return result;
        if (bucket->used < SLOTS)
            return add_slot(seen, bucket, (struct slot){.fingerprint = fingerprint, .place = pack(place)},
                            reason);
    }
    return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is overfull");
}

uint64_t seen_count(const struct seen *seen) {
    uint64_t count = seen->header.used;
    for (unsigned i = 0; i + 1 < seen->tables; i++)
        count += (uint64_t)seen->table[i].buckets * FULL;
    return count;
}

int seen_each(struct seen *seen, int (*visit)(void *context, uint64_t fingerprint, struct place place),
              void *context, struct reason *reason) {
    for (unsigned i = 0; i < seen->tables; i++) {
        struct bucket *bucket = &seen->scratch;
        for (uint32_t number = 0; number < seen->table[i].buckets; number++) {
            int result = ERROR_DAMAGED;
            /* A bucket that is being written can be seen half done; once more, and it is whole. */
            for (int tries = 0; tries < 10 && result == ERROR_DAMAGED; tries++)
                result = read_bucket(&seen->table[i], number, bucket, reason);
            for (uint32_t s = 0; s < bucket->used && result == 0; s++)
                result = visit(context, bucket->slot[s].fingerprint, unpack(bucket->slot[s].place));
            if (result != 0)
                return result;
        }
    }
    return 0;
}

int seen_discard(struct seen *seen, struct reason *reason) {
    char name[NAME_SIZE];
    seen_close(seen);
    for (unsigned number = TABLES_MAX; number > 0;
         number--) { /* so that table 00, the first looked for, goes last */
        table_name(number - 1, name);
        if (unlinkat(seen->journal, name, 0) != 0 && errno != ENOENT)
            return trouble("remove", reason);
    }
    return 0;
}

static uint32_t stretches(const struct table *table) {
    return (uint32_t)((bucket_offset(table->buckets) + STRETCH - 1) / STRETCH);
}

bool seen_step_due(const struct seen *seen) {
    if (seen->tables == 0)
        return false;
    uint32_t by_round = ROUND_WITHIN / stretches(&seen->table[seen->tables - 1]);
    return seen->header.unsynced >= (by_round < STEP_EVERY ? by_round : STEP_EVERY);
}

static int write_round(struct seen *seen, struct reason *reason) {
    make_checksum(&seen->round, offsetof(struct round, checksum), seen->round.checksum);
    if (pwrite(seen->table[seen->tables - 1].file, &seen->round, sizeof seen->round, ROUND_AT) !=
        (ssize_t)sizeof seen->round)
        return trouble("write", reason);
    return 0;
}

static int start_round(struct seen *seen, struct reason *reason) {
    memset(&seen->round, 0, sizeof seen->round);
    seen->round.place = seen->header.reached;
    seen->round.table = seen->header.unsynced_from;
    seen->round.last = seen->tables - 1;
    memcpy(seen->round.boot, seen->boot, sizeof seen->round.boot);
    return write_round(seen, reason);
}

/* Reads where the round stands. Returns false where none is under way: there was none, or the machine
 * crashed, or a newer table has begun since. */
static bool read_round(const struct seen *seen, struct round *round) {
    unsigned char checksum[crypto_shorthash_BYTES];
    if (pread(seen->table[seen->tables - 1].file, round, sizeof *round, ROUND_AT) != (ssize_t)sizeof *round)
        return false;
    make_checksum(round, offsetof(struct round, checksum), checksum);
    return memcmp(checksum, round->checksum, sizeof checksum) == 0 &&
           memcmp(round->boot, seen->boot, sizeof round->boot) == 0 && round->table <= round->last &&
           round->last < seen->tables && round->stretch < stretches(&seen->table[round->table]);
}

int seen_step_begin(struct seen *seen, struct reason *reason) {
    seen->stepping = false;
    if (!seen_step_due(seen) || seen->header.reached == NOWHERE)
        return 0;
    int result = read_round(seen, &seen->round) ? 0 : start_round(seen, reason);
    seen->stepping = result == 0;
    return result;
}

/* What fdatasync(2) does, for a part of a file: msync(2) syncs what was written to it in whichever way. */
static int sync_part(int file, off_t offset, size_t length) {
    void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, file, offset);
    if (mapping == MAP_FAILED)
        return fdatasync(file);
    int result = msync(mapping, length, MS_SYNC);
    int saved = errno;
    munmap(mapping, length);
    errno = saved;
    return result;
}

int seen_step_sync(struct seen *seen, struct reason *reason) {
    if (!seen->stepping)
        return 0;
    const struct table *table = &seen->table[seen->round.table];
    off_t offset = (off_t)seen->round.stretch * STRETCH;
    off_t left = bucket_offset(table->buckets) - offset;
    if (sync_part(table->file, offset, left < STRETCH ? (size_t)left : STRETCH) == 0)
        return 0;
    seen->stepping = false;
    return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
}

static int finish_round(struct seen *seen, struct reason *reason) {
    seen->header.checkpoint = seen->round.place;
    seen->header.unsynced_from = seen->round.last;
    int result = write_header(seen->table[seen->tables - 1].file, &seen->header, reason);
    return result == 0 ? start_round(seen, reason) : result;
}

int seen_step_end(struct seen *seen, struct reason *reason) {
    struct round now;
    bool stepping = seen->stepping;
    seen->stepping = false;
    /* Another process may have done the same step, and more. */
    if (!stepping || !read_round(seen, &now) || memcmp(&now, &seen->round, sizeof now) != 0)
        return 0;
    seen->header.unsynced = 0;
    if (++seen->round.stretch == stretches(&seen->table[seen->round.table])) {
        seen->round.stretch = 0;
        seen->round.table++;
    }
    if (seen->round.table > seen->round.last)
        return finish_round(seen, reason);
    int result = write_round(seen, reason);
    return result == 0 ? write_header(seen->table[seen->tables - 1].file, &seen->header, reason) : result;
}

int seen_sync(struct seen *seen, struct reason *reason) {
    for (unsigned i = seen->header.unsynced_from; i < seen->tables; i++)
        if (fdatasync(seen->table[i].file) != 0)
            return trouble("sync", reason);
    seen->synced = seen->tables - 1;
    return 0;
}

int seen_checkpoint(struct seen *seen, struct place place, struct reason *reason) {
    if (seen->synced == TABLES_MAX)
        return 0; /* the index was made anew in the meantime */
    seen->header.checkpoint = pack(place);
    seen->header.unsynced = 0;
    seen->header.unsynced_from = seen->synced;
    return write_header(seen->table[seen->tables - 1].file, &seen->header, reason);
}
