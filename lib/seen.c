/* On disk, seen/ is a few hash tables (levels.h); this file is what they are for. The young table's header
 * says how far into the journal the index reaches (every line before that place is in it), and up to where it
 * has been synced (the checkpoint).
 *
 * Nothing here is synced before an answer, and nothing has to be: after a crash of a process the header tells
 * from where to read on, and after a crash of the machine (the boot id differs) everything since the
 * checkpoint is read again. All of it can be deleted and is then made anew from the journal.
 *
 * A table that is synced as a whole is a stall: its inserts are all over it. So the checkpoint goes round in
 * steps: every so many inserts one stretch of the young table is synced, a megabyte at most, with what was
 * merged meanwhile; and when all stretches have had their turn, everything that was inserted before the round
 * began is on the disk. Where the round stands is noted beside the young table's header (struct round). */
#include "seen.h"

#include "event.h"
#include "levels.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUND_AT 512      /* in the header area */
#ifndef STRETCH           /* a test build makes these small */
#define STRETCH (1 << 20) /* bytes; whole pages */
/* Inserts from one step to the next. Half as many lines as two rounds have inserts are read again after a
 * reboot at most: 8192 for each megabyte of the young and the sealed table. */
#define STEP_EVERY 8192
#endif
#define CACHED 256 /* buckets; a power of two */
#define NONE UINT32_MAX

_Static_assert(sizeof(struct header) <= ROUND_AT, "a round is noted behind the header");

/* The checkpoint in the making. */
struct round {
    uint64_t place;          /* packed: how far the index reached when the round began */
    uint32_t table, stretch; /* whose turn it is; the last table is the young one */
    char boot[BOOT_ID_SIZE]; /* a round that a crash of the machine cut short begins anew */
    unsigned char checksum[crypto_shorthash_BYTES];
};

struct seen {
    struct levels levels;
    bool pretended_boot;
    bool finishing;  /* between seen_step_begin() and seen_step_end(): the merge was done but for its syncs */
    bool stepping;   /* between these two, with the same tables open */
    uint32_t synced; /* the young table at the last seen_sync(); NONE: none since the tables were opened */
    struct round round;
    /* Buckets of the young table that were read under this hold of the lock, by number: who looks for an
     * identifier and does not find it will store it there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of another table */
};

struct seen *seen_new(unsigned first_buckets) {
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen != NULL)
        levels_init(&seen->levels, first_buckets);
    return seen;
}

static uint64_t pack(struct place place) {
    return (uint64_t)place.day << 48 | place.offset;
}

static struct place unpack(uint64_t packed) {
    return (struct place){.day = (int32_t)(packed >> 48), .offset = packed & 0xffffffffffff};
}

void seen_close(struct seen *seen) {
    levels_close(&seen->levels);
    seen->synced = NONE;
    seen->stepping = false;
}

void seen_free(struct seen *seen) {
    if (seen != NULL)
        seen_close(seen);
    free(seen);
}

void seen_set_boot(struct seen *seen, const char *boot) {
    seen->pretended_boot = boot != NULL;
    memset(seen->levels.boot, 0, sizeof seen->levels.boot);
    if (boot != NULL)
        snprintf(seen->levels.boot, sizeof seen->levels.boot, "%s", boot);
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

static bool is_this_boot(const struct seen *seen, const char boot[BOOT_ID_SIZE]) {
    return memcmp(boot, seen->levels.boot, BOOT_ID_SIZE) == 0;
}

static void forget_buckets(struct seen *seen) {
    memset(seen->cached, 0, sizeof seen->cached);
}

int seen_begin(struct seen *seen, int journal, struct reason *reason) {
    struct header *header = &seen->levels.header;
    bool first = seen->levels.young.file < 0;
    forget_buckets(seen);
    if (!levels_are_current(&seen->levels)) {
        seen_close(seen);
        if (first && !seen->pretended_boot)
            read_boot_id(seen->levels.boot);
        int result = levels_open(&seen->levels, journal, reason);
        if (result != 0)
            return result;
    }
    if (!is_this_boot(seen, header->boot)) {
        memcpy(header->boot, seen->levels.boot, BOOT_ID_SIZE);
        header->reached = header->checkpoint;
        header->settled = 0;
    }
    return 0;
}

bool seen_exists(int journal) {
    return faccessat(journal, "seen/young.0", F_OK, 0) == 0;
}

int seen_remove(int directory, const char *path, struct reason *reason) {
    return levels_remove(directory, path, reason);
}

int seen_discard(struct seen *seen, struct reason *reason) {
    seen_close(seen);
    return levels_remove(seen->levels.journal, "seen", reason);
}

/* ---- how far it reaches ---- */

bool seen_reached(const struct seen *seen, struct place *place, bool *settled) {
    *place = unpack(seen->levels.header.reached);
    *settled = seen->levels.header.settled != 0;
    return seen->levels.header.reached != NOWHERE;
}

int seen_reach(struct seen *seen, struct place place, bool settled, struct reason *reason) {
    struct header *header = &seen->levels.header;
    header->reached = pack(place);
    header->settled = settled;
    /* A crash of the machine can leave a journal that is shorter than what was indexed of it. */
    if (header->checkpoint != NOWHERE && header->checkpoint > header->reached)
        header->checkpoint = header->reached;
    return levels_write_header(&seen->levels, reason);
}

uint64_t seen_count(const struct seen *seen) {
    return levels_used(&seen->levels);
}

/* ---- looking up ---- */

uint64_t seen_fingerprint(const struct seen *seen, enum identifier kind, const char *text, size_t length) {
    uint64_t fingerprint;
    crypto_shorthash((unsigned char *)&fingerprint, (const unsigned char *)text, length,
                     seen->levels.header.key[kind]);
    return fingerprint;
}

void seen_prefetch(struct seen *seen, uint64_t fingerprint) {
    struct levels *levels = &seen->levels;
    uint32_t slice = table_slice(fingerprint);
    if (levels_open_old(levels, slice, NULL) != 0 || levels->old[slice].file < 0)
        return;
    table_prefetch(&levels->old[slice], fingerprint);
    table_prefetch(&levels->middle, fingerprint);
    table_prefetch(&levels->young, fingerprint);
}

/* A bucket; of the young table from the cache, where it is there. *bucket is good until the next call. */
static int get_bucket(struct seen *seen, const struct table *table, uint32_t number, struct bucket **bucket,
                      struct reason *reason) {
    if (table != &seen->levels.young) {
        *bucket = &seen->scratch;
        return table_read(table, number, 1, *bucket, reason);
    }
    uint32_t index = number & (CACHED - 1);
    *bucket = &seen->cache[index];
    if (seen->cached[index] && (*bucket)->number == number)
        return 0;
    int result = table_read(table, number, 1, *bucket, reason);
    seen->cached[index] = result == 0;
    return result;
}

static int find_in_table(struct seen *seen, const struct table *table, uint64_t fingerprint,
                         int (*visit)(void *context, struct place place), void *context,
                         struct reason *reason) {
    uint32_t end = table->buckets + TABLE_TAIL;
    for (uint32_t number = table_home(table, fingerprint); number < end; number++) {
        struct bucket *bucket;
        int result = get_bucket(seen, table, number, &bucket, reason);
        for (uint32_t s = 0; result == 0 && s < bucket->used; s++)
            if (bucket->slot[s].fingerprint == fingerprint)
                result = visit(context, unpack(bucket->slot[s].place));
        if (result != 0 || bucket->used < TABLE_SLOTS)
            return result;
    }
    return 0;
}

int seen_find(struct seen *seen, uint64_t fingerprint, int (*visit)(void *context, struct place place),
              void *context, struct reason *reason) {
    struct levels *levels = &seen->levels;
    uint32_t slice = table_slice(fingerprint);
    int result = levels_open_old(levels, slice, reason);
    /* A repetition comes soon: newest first. */
    const struct table *const tables[] = {&levels->young, &levels->sealed, &levels->middle,
                                          &levels->old[slice]};
    for (unsigned i = 0; i < 4 && result == 0; i++)
        if (tables[i]->file >= 0)
            result = find_in_table(seen, tables[i], fingerprint, visit, context, reason);
    return result;
}

static int same_place(void *context, struct place place) {
    const struct place *wanted = context;
    return place.day == wanted->day && place.offset == wanted->offset;
}

int seen_holds(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    return seen_find(seen, fingerprint, same_place, &place, reason);
}

static int visit_table(struct seen *seen, const struct table *table,
                       int (*visit)(void *context, uint64_t fingerprint, struct place place), void *context,
                       struct reason *reason) {
    struct bucket *bucket = &seen->scratch;
    for (uint32_t number = 0; number < table->buckets + TABLE_TAIL; number++) {
        int result = ERROR_DAMAGED;
        /* A bucket that is being written can be seen half done; once more, and it is whole. */
        for (int tries = 0; tries < 10 && result == ERROR_DAMAGED; tries++)
            result = table_read(table, number, 1, bucket, reason);
        for (uint32_t s = 0; s < bucket->used && result == 0; s++)
            result = visit(context, bucket->slot[s].fingerprint, unpack(bucket->slot[s].place));
        if (result != 0)
            return result;
    }
    return 0;
}

bool seen_unchanged(const struct seen *seen) {
    return levels_unchanged(&seen->levels);
}

int seen_each(struct seen *seen, int (*visit)(void *context, uint64_t fingerprint, struct place place),
              void *context, struct reason *reason) {
    struct levels *levels = &seen->levels;
    const struct table *tables[3 + SLICES] = {&levels->young, &levels->sealed, &levels->middle};
    int result = 0;
    for (uint32_t slice = 0; slice < SLICES && result == 0; slice++) {
        result = levels_open_old(levels, slice, reason);
        tables[3 + slice] = &levels->old[slice];
    }
    for (unsigned i = 0; i < 3 + SLICES && result == 0; i++)
        if (tables[i]->file >= 0)
            result = visit_table(seen, tables[i], visit, context, reason);
    return result;
}

/* ---- inserting ---- */

static int add_slot(struct seen *seen, struct bucket *bucket, struct slot slot, struct reason *reason) {
    bucket->slot[bucket->used++] = slot;
    int result = table_write(&seen->levels.young, bucket->number, 1, bucket, reason);
    if (result != 0) {
        forget_buckets(seen);
        return result;
    }
    seen->levels.header.used[table_slice(slot.fingerprint)]++;
    seen->levels.header.unsynced++;
    return 0;
}

int seen_insert(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    const struct table *young = &seen->levels.young;
    uint32_t before = young->number;
    int result = levels_make_room(&seen->levels, reason);
    if (young->number != before)
        forget_buckets(seen);
    uint32_t end = young->buckets + TABLE_TAIL;
    for (uint32_t number = table_home(young, fingerprint); result == 0 && number < end; number++) {
        struct bucket *bucket;
        result = get_bucket(seen, young, number, &bucket, reason);
        if (result == 0 && bucket->used < TABLE_SLOTS)
            return add_slot(seen, bucket, (struct slot){.fingerprint = fingerprint, .place = pack(place)},
                            reason);
    }
    return result != 0 ? result : fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is overfull");
}

/* ---- the checkpoint ---- */

static uint32_t stretches(const struct table *table) {
    return (uint32_t)((table_size(table->buckets) + STRETCH - 1) / STRETCH);
}

bool seen_step_due(const struct seen *seen) {
    const struct levels *levels = &seen->levels;
    return levels->young.file >= 0 && (levels->header.unsynced >= STEP_EVERY || levels_merged(levels));
}

static int write_round(struct seen *seen, struct reason *reason) {
    table_checksum(&seen->round, offsetof(struct round, checksum), seen->round.checksum);
    if (pwrite(seen->levels.young.file, &seen->round, sizeof seen->round, ROUND_AT) !=
        (ssize_t)sizeof seen->round)
        return table_trouble("write", reason);
    return 0;
}

static const struct table *table_in_turn(const struct seen *seen, const struct round *round) {
    return round->table == seen->levels.young.number ? &seen->levels.young : &seen->levels.sealed;
}

static int start_round(struct seen *seen, struct reason *reason) {
    memset(&seen->round, 0, sizeof seen->round);
    seen->round.place = seen->levels.header.reached;
    seen->round.table = seen->levels.young.number;
    if (seen->levels.sealed.file >= 0 && seen->levels.header.unsynced_from < seen->levels.young.number)
        seen->round.table = seen->levels.sealed.number;
    memcpy(seen->round.boot, seen->levels.boot, sizeof seen->round.boot);
    return write_round(seen, reason);
}

/* Reads where the round stands. Returns false where none is under way: there was none, or the machine
 * crashed.
 */
static bool read_round(const struct seen *seen, struct round *round) {
    unsigned char checksum[crypto_shorthash_BYTES];
    if (pread(seen->levels.young.file, round, sizeof *round, ROUND_AT) != (ssize_t)sizeof *round)
        return false;
    table_checksum(round, offsetof(struct round, checksum), checksum);
    if (memcmp(checksum, round->checksum, sizeof checksum) != 0 || !is_this_boot(seen, round->boot))
        return false;
    if (round->table != seen->levels.young.number &&
        seen->levels.sealed.file < 0) { /* merged since, and so on the disk */
        round->table = seen->levels.young.number;
        round->stretch = 0;
    }
    return true;
}

int seen_step_begin(struct seen *seen, struct reason *reason) {
    seen->stepping = false;
    int result = levels_look_at_next(&seen->levels, reason);
    if (result != 0 || !seen_step_due(seen) || seen->levels.header.reached == NOWHERE)
        return result;
    if (!read_round(seen, &seen->round))
        result = start_round(seen, reason);
    seen->finishing = levels_merged(&seen->levels);
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
    const struct table *table = table_in_turn(seen, &seen->round);
    off_t offset = (off_t)seen->round.stretch * STRETCH;
    off_t left = table_size(table->buckets) - offset;
    if (sync_part(table->file, offset, left < STRETCH ? (size_t)left : STRETCH) == 0 &&
        levels_sync_next(&seen->levels) == 0)
        return 0;
    seen->stepping = false;
    return table_not_synced(reason);
}

/* Notes that a stretch is synced. */
static int advance_round(struct seen *seen, struct reason *reason) {
    struct round *round = &seen->round;
    seen->levels.header.unsynced = 0;
    if (++round->stretch == stretches(table_in_turn(seen, round))) {
        round->stretch = 0;
        round->table++;
    }
    if (round->table <= seen->levels.young.number) {
        int result = write_round(seen, reason);
        return result == 0 ? levels_write_header(&seen->levels, reason) : result;
    }
    seen->levels.header.checkpoint = round->place;
    seen->levels.header.unsynced_from = seen->levels.young.number;
    int result = levels_write_header(&seen->levels, reason);
    return result == 0 ? start_round(seen, reason) : result;
}

int seen_step_end(struct seen *seen, struct reason *reason) {
    struct round now;
    int result = 0;
    if (!seen->stepping) /* others have sealed or merged a table meanwhile */
        return 0;
    seen->stepping = false;
    /* Another process may have done the same step, and more. */
    if (read_round(seen, &now) && memcmp(&now, &seen->round, sizeof now) == 0)
        result = advance_round(seen, reason);
    return result == 0 && seen->finishing ? levels_finish(&seen->levels, reason) : result;
}

int seen_sync(struct seen *seen, struct reason *reason) {
    if ((seen->levels.sealed.file >= 0 && fdatasync(seen->levels.sealed.file) != 0) ||
        fdatasync(seen->levels.young.file) != 0)
        return table_trouble("sync", reason);
    seen->synced = seen->levels.young.number;
    return 0;
}

int seen_checkpoint(struct seen *seen, struct place place, struct reason *reason) {
    if (seen->synced == NONE)
        return 0; /* the index was made anew in the meantime */
    seen->levels.header.checkpoint = pack(place);
    seen->levels.header.unsynced = 0;
    seen->levels.header.unsynced_from = seen->synced;
    return levels_write_header(&seen->levels, reason);
}
