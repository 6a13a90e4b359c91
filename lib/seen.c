/* On disk, seen/ is three hash tables at most (table.c). Inserts go to the *young* one. When it is full it is
 * sealed, a new one begins, and while that fills, the sealed one is merged with the *old* table into a new
 * old table, from end to end, a piece after every so many inserts. So a lookup costs three small reads,
 * however many events there are, and no insert stalls. A young table has a sixteenth of the old one's size:
 * an insert dirties a page at random only there, and all else is written in order. Each file is used in turns
 * with another, by the number of the table: young.0 and young.1, old.0 and old.1; nothing is renamed. Young
 * tables are numbered from 0; old table n holds what young tables 0 to n - 1 held.
 *
 * The young table's header says how far into the journal the index reaches (every line before that place is
 * in it), and up to where it has been synced (the checkpoint).
 *
 * Nothing here is synced before an answer, and nothing has to be: after a crash of a process the header tells
 * from where to read on, and after a crash of the machine (the boot id differs) everything since the
 * checkpoint is read again. All of it can be deleted and is then made anew from the journal. Whatever a crash
 * may leave, either the numbers of the tables fit together, or the index is damaged and made anew. An old
 * table is synced before it counts, and only then the tables that went into it are given up.
 *
 * A table that is synced as a whole is a long stall: its inserts are all over it. So the checkpoint goes
 * round in steps: every so many inserts one stretch of the young table is synced, a megabyte at most, with
 * what was merged meanwhile; and when all stretches have had their turn, everything that was inserted before
 * the round began is on the disk. Where the round stands is noted beside the young table's header (struct
 * round). */
#include "seen.h"

#include "event.h"
#include "merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUND_AT 512  /* in the header area */
#ifndef FIRST_BUCKETS /* a test build makes these small */
#define FIRST_BUCKETS 4096
#define STRETCH (1 << 20) /* bytes; whole pages */
/* Inserts from one step to the next. Half as many lines as two rounds have inserts are read again after a
 * reboot at most: 8192 for each megabyte of the young table. */
#define STEP_EVERY 8192
#endif
#define YOUNG 16         /* the old table is so many times as large */
#define OVERFULL 25      /* mean slots used in a young table that cannot wait for the merge any more */
#define SHRINK (8 << 20) /* bytes of a spent table that are given up at once; more would be a stall */
#define CACHED 256       /* buckets; a power of two */
#define NAME_SIZE 16
#define NOWHERE UINT64_MAX

_Static_assert(sizeof(struct header) <= ROUND_AT, "a round is noted behind the header");

/* The checkpoint in the making. */
struct round {
    uint64_t place;          /* packed: how far the index reached when the round began */
    uint32_t table, stretch; /* whose turn it is; the last table is the young one */
    char boot[BOOT_ID_SIZE]; /* a round that a crash of the machine cut short begins anew */
    unsigned char checksum[crypto_shorthash_BYTES];
};

struct seen {
    int journal; /* the caller's directory, as given to seen_begin() */
    uint32_t first_buckets;
    struct table young;
    struct table sealed; /* the young table before, while it is being merged */
    struct table old;
    struct table next; /* the old table that is being made */
    bool next_known;   /* next_header was read under this hold of the lock */
    bool finishing;    /* between seen_step_begin() and seen_step_end(): the merge is done but for its sync */
    bool stepping;     /* between these two, with the same tables open */
    uint32_t synced;   /* the young table at the last seen_sync(); NONE: none since the tables were opened */
    struct round round;
    struct header header;      /* of the young table */
    struct header next_header; /* of the old table that is being made */
    char boot[BOOT_ID_SIZE];
    bool pretended_boot;
    /* Buckets of the young table that were read under this hold of the lock, by number: who looks for an
     * identifier and does not find it will store it there. */
    bool cached[CACHED];
    struct bucket cache[CACHED];
    struct bucket scratch; /* of another table */
    struct merge merge;
};

#define NONE UINT32_MAX
static const struct table no_table = {.file = -1};

struct seen *seen_new(unsigned first_buckets) {
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    seen->first_buckets = first_buckets != 0 ? first_buckets : FIRST_BUCKETS;
    seen->young = seen->sealed = seen->old = seen->next = no_table;
    return seen;
}

static uint64_t pack(struct place place) {
    return (uint64_t)place.day << 48 | place.offset;
}

static struct place unpack(uint64_t packed) {
    return (struct place){.day = (int32_t)(packed >> 48), .offset = packed & 0xffffffffffff};
}

static void close_table(struct table *table) {
    if (table->file >= 0)
        close(table->file);
    *table = no_table;
}

void seen_close(struct seen *seen) {
    close_table(&seen->young);
    close_table(&seen->sealed);
    close_table(&seen->old);
    close_table(&seen->next);
    seen->next_known = false;
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

static bool is_this_boot(const struct seen *seen, const char boot[BOOT_ID_SIZE]) {
    return memcmp(boot, seen->boot, BOOT_ID_SIZE) == 0;
}

static int trouble(const char *doing, struct reason *reason) {
    return fail(reason, ERROR_TROUBLE, "cannot %s the index in seen/: %s", doing, strerror(errno));
}

static int write_header(struct seen *seen, struct reason *reason) {
    return table_write_header(seen->young.file, &seen->header, reason);
}

static void forget_buckets(struct seen *seen) {
    memset(seen->cached, 0, sizeof seen->cached);
}

/* ---- opening the tables ---- */

static void table_name(const char *kind, uint32_t number, char out[NAME_SIZE]) {
    snprintf(out, NAME_SIZE, "seen/%s.%u", kind, number & 1);
}

static struct table table_of(int file, const struct header *header, bool written) {
    return (struct table){.file = file,
                          .written = written,
                          .number = header->number,
                          .buckets = header->buckets,
                          .used = header->used};
}

/* Opens the file that table `number` of a kind would be in. Returns its descriptor, or an error;
 * ERROR_INVALID: that table is not there. */
static int open_numbered(const struct seen *seen, const char *kind, uint32_t number, struct header *header,
                         struct reason *reason) {
    char name[NAME_SIZE];
    table_name(kind, number, name);
    int file = table_open(seen->journal, name, header, reason);
    if (file >= 0 && header->number != number) {
        close(file);
        return ERROR_INVALID;
    }
    return file;
}

static int do_not_fit(struct reason *reason) {
    return fail(reason, ERROR_DAMAGED, "the tables in seen/ do not belong together");
}

/* The newer of two young tables is the young one, unless the older is not sealed: then a killed writer has
 * not finished it. */
static unsigned choose_young(const int file[2], const struct header header[2]) {
    if (file[0] < 0 || file[1] < 0)
        return file[0] < 0;
    unsigned newer = header[1].number > header[0].number;
    return header[!newer].number + 1 == header[newer].number && !header[!newer].sealed ? !newer : newer;
}

/* Opens the young table and the one before it, if it is still there. Returns 1, 0 where there is none, or an
 * error. */
static int open_young(struct seen *seen, struct reason *reason) {
    static const char *const name[2] = {"seen/young.0", "seen/young.1"};
    struct header header[2];
    int file[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        file[i] = table_open(seen->journal, name[i], &header[i], reason);
        if (file[i] < 0 && file[i] != ERROR_INVALID) {
            if (i > 0 && file[0] >= 0)
                close(file[0]);
            return file[i];
        }
        if (file[i] >= 0 && header[i].number == 0 && !header[i].sealed)
            break; /* the first: there are no others */
    }
    unsigned young = choose_young(file, header);
    if (file[young] < 0)
        return 0;
    seen->header = header[young];
    seen->young = table_of(file[young], &header[young], false);
    if (file[!young] >= 0)
        seen->sealed = table_of(file[!young], &header[!young], false);
    if (header[young].number == 0 || seen->sealed.number != header[young].number - 1 ||
        (file[!young] >= 0 && memcmp(header[0].key, header[1].key, sizeof header[0].key) != 0))
        close_table(&seen->sealed);
    return 1;
}

/* Opens old table `number` where it is whole. Returns 1, 0 or an error. */
static int open_whole(struct seen *seen, uint32_t number, struct reason *reason) {
    struct header header;
    int file = open_numbered(seen, "old", number, &header, reason);
    if (file < 0)
        return file == ERROR_TROUBLE ? file : 0;
    if (!header.whole || memcmp(header.key, seen->header.key, sizeof header.key) != 0) {
        close(file);
        return 0;
    }
    seen->old = table_of(file, &header, true);
    return 1;
}

/* Opens the old table that belongs to the young one: either everything before that is in it, or everything
 * but the sealed table. */
static int open_old(struct seen *seen, struct reason *reason) {
    uint32_t number = seen->young.number;
    int result = number == 0 ? 1 : open_whole(seen, number, reason);
    if (result > 0)
        close_table(&seen->sealed);
    if (result == 0 && seen->sealed.file >= 0)
        result = number == 1 ? 1 : open_whole(seen, number - 1, reason);
    if (result == 0)
        return do_not_fit(reason);
    return result < 0 ? result : 0;
}

static int create_young(const struct seen *seen, struct header *header, struct reason *reason) {
    char name[NAME_SIZE];
    uint32_t buckets = seen->old.buckets / YOUNG;
    header->buckets = buckets > seen->first_buckets ? buckets : seen->first_buckets;
    header->used = 0;
    header->sealed = 0;
    table_name("young", header->number, name);
    return table_create(seen->journal, name, header, reason);
}

static int create_first(struct seen *seen, struct reason *reason) {
    struct header header;
    int result = seen_remove(seen->journal, "seen", reason);
    if (result != 0)
        return result;
    if (mkdirat(seen->journal, "seen", 0700) != 0 && errno != EEXIST)
        return trouble("make", reason);
    memset(&header, 0, sizeof header); /* padding too: the checksum covers it */
    header.reached = header.checkpoint = NOWHERE;
    randombytes_buf(header.key, sizeof header.key);
    memcpy(header.boot, seen->boot, sizeof header.boot);
    int file = create_young(seen, &header, reason);
    if (file < 0)
        return file;
    seen->header = header;
    seen->young = table_of(file, &header, false);
    return 0;
}

/* Begins a new young table. It is complete before the one before is sealed. */
static int seal(struct seen *seen, struct reason *reason) {
    struct header sealed = seen->header, header = seen->header;
    header.number++;
    int file = create_young(seen, &header, reason);
    if (file < 0)
        return file;
    sealed.sealed = 1;
    int result = table_write_header(seen->young.file, &sealed, reason);
    if (result != 0) {
        close(file);
        return result;
    }
    seen->sealed = table_of(seen->young.file, &sealed, false);
    seen->young = table_of(file, &header, false);
    seen->header = header;
    seen->next_known = false;
    close_table(&seen->next);
    forget_buckets(seen);
    return 0;
}

/* Notes which old table is in use, once that is sure to be on the disk. */
static int use_old(struct seen *seen, struct reason *reason) {
    if (seen->old.file >= 0 && fdatasync(seen->old.file) != 0)
        return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
    seen->header.old = seen->old.number;
    return write_header(seen, reason);
}

static int open_tables(struct seen *seen, struct reason *reason) {
    int result = open_young(seen, reason);
    if (result == 0)
        return create_first(seen, reason);
    if (result > 0)
        result = open_old(seen, reason);
    /* A crash of the machine can leave a sealed table without the one after it. */
    if (result == 0 && seen->header.sealed)
        result = seen->sealed.file < 0 ? seal(seen, reason) : do_not_fit(reason);
    if (result == 0 && seen->header.old != seen->old.number)
        result = use_old(seen, reason);
    return result;
}

/* Are the tables that are open those in use? Reads the young one's header. */
static bool is_current(struct seen *seen) {
    struct header header;
    struct stat status;
    if (seen->young.file < 0 || fstat(seen->young.file, &status) != 0 || status.st_nlink == 0 ||
        table_read_header(seen->young.file, &header, NULL) != 0 || header.number != seen->young.number ||
        header.sealed || header.old != seen->old.number)
        return false;
    seen->header = header;
    return true;
}

int seen_begin(struct seen *seen, int journal, struct reason *reason) {
    bool first = seen->young.file < 0;
    seen->journal = journal;
    seen->next_known = false;
    forget_buckets(seen);
    if (!is_current(seen)) {
        seen_close(seen);
        if (first && !seen->pretended_boot)
            read_boot_id(seen->boot);
        int result = open_tables(seen, reason);
        if (result != 0) {
            seen_close(seen);
            return result;
        }
    }
    if (!is_this_boot(seen, seen->header.boot)) {
        memcpy(seen->header.boot, seen->boot, BOOT_ID_SIZE);
        seen->header.reached = seen->header.checkpoint;
        seen->header.settled = 0;
    }
    return 0;
}

bool seen_exists(int journal) {
    return faccessat(journal, "seen/young.0", F_OK, 0) == 0;
}

int seen_remove(int directory, const char *path, struct reason *reason) {
    static const char *const names[] = {"old.0", "old.1", "young.0", "young.1"};
    char name[64];
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        if (unlinkat(directory, name, 0) != 0 && errno != ENOENT)
            return trouble("remove", reason);
    }
    for (unsigned i = 0; i < 24; i++) { /* of earlier versions */
        snprintf(name, sizeof name, "%s/%02u", path, i);
        unlinkat(directory, name, 0);
    }
    return 0;
}

int seen_discard(struct seen *seen, struct reason *reason) {
    seen_close(seen);
    return seen_remove(seen->journal, "seen", reason);
}

/* ---- how far it reaches ---- */

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
    return write_header(seen, reason);
}

uint64_t seen_count(const struct seen *seen) {
    return seen->header.used + seen->sealed.used + seen->old.used;
}

/* ---- looking up ---- */

uint64_t seen_fingerprint(const struct seen *seen, enum identifier kind, const char *text, size_t length) {
    uint64_t fingerprint;
    crypto_shorthash((unsigned char *)&fingerprint, (const unsigned char *)text, length,
                     seen->header.key[kind]);
    return fingerprint;
}

/* A bucket; of the young table from the cache, where it is there. *bucket is good until the next call. */
static int get_bucket(struct seen *seen, const struct table *table, uint32_t number, struct bucket **bucket,
                      struct reason *reason) {
    if (table != &seen->young) {
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
    for (uint32_t number = table_home(table->buckets, fingerprint); number < end; number++) {
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
    /* A repetition comes soon: newest first. */
    const struct table *const tables[] = {&seen->young, &seen->sealed, &seen->old};
    int result = 0;
    for (unsigned i = 0; i < 3 && result == 0; i++)
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

static bool is_still(const struct table *table) {
    struct header header;
    return table->file < 0 ||
           (table_read_header(table->file, &header, NULL) == 0 && header.number == table->number);
}

bool seen_unchanged(const struct seen *seen) {
    return is_still(&seen->young) && is_still(&seen->sealed) && is_still(&seen->old);
}

int seen_each(struct seen *seen, int (*visit)(void *context, uint64_t fingerprint, struct place place),
              void *context, struct reason *reason) {
    const struct table *const tables[] = {&seen->old, &seen->sealed, &seen->young};
    int result = 0;
    for (unsigned i = 0; i < 3 && result == 0; i++)
        if (tables[i]->file >= 0)
            result = visit_table(seen, tables[i], visit, context, reason);
    return result;
}

/* ---- the next old table ---- */

/* Its name has to be on the disk before the tables that go into it are given up. */
static int sync_directory(const struct seen *seen, struct reason *reason) {
    int file = openat(seen->journal, "seen", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = file < 0 || fsync(file) != 0 ? trouble("sync", reason) : 0;
    if (file >= 0)
        close(file);
    return result;
}

/* Begins it in the file of the one before the last, whose blocks it takes over. */
static int start_next(struct seen *seen, struct reason *reason) {
    struct header *header = &seen->next_header;
    struct stat status;
    char name[NAME_SIZE];
    memset(header, 0, sizeof *header);
    header->number = seen->young.number;
    header->buckets = (uint32_t)((seen->old.used + seen->sealed.used) / TABLE_FULL) + 1;
    header->begun = seen->header.used;
    memcpy(header->key, seen->header.key, sizeof header->key);
    memcpy(header->boot, seen->boot, sizeof header->boot);
    close_table(&seen->next);
    table_name("old", header->number, name);
    int file = openat(seen->journal, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return trouble("make", reason);
    seen->next = table_of(file, header, true);
    if (fstat(file, &status) != 0 ||
        (status.st_size < table_size(header->buckets) && ftruncate(file, table_size(header->buckets)) != 0))
        return trouble("make", reason);
    int result = sync_directory(seen, reason);
    return result == 0 ? table_write_header(file, header, reason) : result;
}

/* The merge is done and synced: the next old table is the old table, and what went into it is spent. */
static int finish_next(struct seen *seen, struct reason *reason) {
    seen->next_header.whole = 1;
    int result = table_write_header(seen->next.file, &seen->next_header, reason);
    if (result != 0)
        return result;
    close_table(&seen->old);
    close_table(&seen->sealed);
    seen->old = table_of(seen->next.file, &seen->next_header, true);
    seen->next = no_table;
    return use_old(seen, reason);
}

/* Takes up how far others have come with it; begins it where there is none, or a crash of the machine has cut
 * it short. There is a sealed table, and afterwards there may be none. */
static int look_at_next(struct seen *seen, struct reason *reason) {
    struct header *header = &seen->next_header;
    int result = 0;
    if (seen->next_known)
        return 0;
    if (seen->next.file >= 0) {
        result = table_read_header(seen->next.file, header, reason);
    } else {
        int file = open_numbered(seen, "old", seen->young.number, header, reason);
        result = file < 0 ? file : 0;
        if (file >= 0)
            seen->next = table_of(file, header, true);
    }
    if (result == ERROR_TROUBLE)
        return result;
    if (result != 0 || header->number != seen->young.number || !is_this_boot(seen, header->boot) ||
        memcmp(header->key, seen->header.key, sizeof header->key) != 0)
        result = start_next(seen, reason);
    else if (header->whole) /* whoever made it was killed before it was in use */
        result = finish_next(seen, reason);
    seen->next_known = result == 0;
    return result;
}

static bool next_is_merged(const struct seen *seen) {
    return seen->sealed.file >= 0 && seen->next_known &&
           seen->next_header.merged == seen->next_header.buckets;
}

static uint32_t piece_end(const struct header *next) {
    uint32_t left = next->buckets - next->merged;
    return next->merged + (left < MERGE_HOMES ? left : MERGE_HOMES);
}

static int merge_on(struct seen *seen, struct reason *reason) {
    struct header *next = &seen->next_header;
    struct table from[2] = {seen->old, seen->sealed};
    uint32_t end = piece_end(next);
    int result = merge_piece(&seen->merge, &seen->next, from, next->merged, end, &next->used, reason);
    if (result != 0)
        return result;
    next->merged = end;
    return table_write_header(seen->next.file, next, reason);
}

/* Is a piece due? So that the merge is done when the young table is three quarters full; but never so fast
 * that it would be a stall. */
static bool piece_is_due(const struct seen *seen) {
    const struct header *next = &seen->next_header;
    uint64_t capacity = (uint64_t)seen->young.buckets * TABLE_FULL;
    uint64_t until = capacity * 3 / 4, least = capacity / 8;
    uint64_t room = until > next->begun + least ? until - next->begun : least;
    uint64_t inserted = seen->header.used > next->begun ? seen->header.used - next->begun : 0;
    return next->merged < next->buckets && inserted * next->buckets >= room * piece_end(next);
}

static int merge_as_due(struct seen *seen, struct reason *reason) {
    int result = look_at_next(seen, reason);
    if (result == 0 && seen->sealed.file >= 0 && piece_is_due(seen))
        result = merge_on(seen, reason);
    return result;
}

static int merge_the_rest(struct seen *seen, struct reason *reason) {
    int result = look_at_next(seen, reason);
    while (result == 0 && seen->sealed.file >= 0 && !next_is_merged(seen))
        result = merge_on(seen, reason);
    if (result != 0 || seen->sealed.file < 0)
        return result;
    if (fdatasync(seen->next.file) != 0)
        return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
    return finish_next(seen, reason);
}

/* ---- inserting ---- */

/* Nothing of this has to succeed as long as there is room: with the disk full, say, the young table goes on
 * to be filled. */
static int make_room(struct seen *seen, struct reason *reason) {
    uint64_t used = seen->header.used, buckets = seen->young.buckets;
    bool overfull = used >= buckets * OVERFULL;
    int result = 0;
    if (seen->sealed.file >= 0)
        result = overfull ? merge_the_rest(seen, reason) : merge_as_due(seen, reason);
    if (result == 0 && seen->sealed.file < 0 && used >= buckets * TABLE_FULL)
        result = seal(seen, reason);
    return overfull || result == ERROR_DAMAGED ? result : 0;
}

static int add_slot(struct seen *seen, struct bucket *bucket, struct slot slot, struct reason *reason) {
    bucket->slot[bucket->used++] = slot;
    int result = table_write(&seen->young, bucket->number, 1, bucket, reason);
    if (result != 0) {
        forget_buckets(seen);
        return result;
    }
    seen->header.used++;
    seen->header.unsynced++;
    return 0;
}

int seen_insert(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    int result = make_room(seen, reason);
    uint32_t end = seen->young.buckets + TABLE_TAIL;
    for (uint32_t number = table_home(seen->young.buckets, fingerprint); result == 0 && number < end;
         number++) {
        struct bucket *bucket;
        result = get_bucket(seen, &seen->young, number, &bucket, reason);
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
    return seen->young.file >= 0 && (seen->header.unsynced >= STEP_EVERY || next_is_merged(seen));
}

static int write_round(struct seen *seen, struct reason *reason) {
    table_checksum(&seen->round, offsetof(struct round, checksum), seen->round.checksum);
    if (pwrite(seen->young.file, &seen->round, sizeof seen->round, ROUND_AT) != (ssize_t)sizeof seen->round)
        return trouble("write", reason);
    return 0;
}

static const struct table *table_in_turn(const struct seen *seen, const struct round *round) {
    return round->table == seen->young.number ? &seen->young : &seen->sealed;
}

static int start_round(struct seen *seen, struct reason *reason) {
    memset(&seen->round, 0, sizeof seen->round);
    seen->round.place = seen->header.reached;
    seen->round.table = seen->young.number;
    if (seen->sealed.file >= 0 && seen->header.unsynced_from < seen->young.number)
        seen->round.table = seen->sealed.number;
    memcpy(seen->round.boot, seen->boot, sizeof seen->round.boot);
    return write_round(seen, reason);
}

/* Reads where the round stands. Returns false where none is under way: there was none, or the machine
 * crashed.
 */
static bool read_round(const struct seen *seen, struct round *round) {
    unsigned char checksum[crypto_shorthash_BYTES];
    if (pread(seen->young.file, round, sizeof *round, ROUND_AT) != (ssize_t)sizeof *round)
        return false;
    table_checksum(round, offsetof(struct round, checksum), checksum);
    if (memcmp(checksum, round->checksum, sizeof checksum) != 0 || !is_this_boot(seen, round->boot))
        return false;
    if (round->table != seen->young.number && seen->sealed.file < 0) { /* merged since, and so on the disk */
        round->table = seen->young.number;
        round->stretch = 0;
    }
    return true;
}

/* Gives up a table that was merged, a part at a time. */
static int shrink_spent(const struct seen *seen, struct reason *reason) {
    char name[NAME_SIZE];
    struct stat status;
    table_name("young", seen->young.number + 1, name);
    int file = openat(seen->journal, name, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : trouble("open", reason);
    int result = fstat(file, &status);
    if (result == 0 && status.st_size > 0)
        result = ftruncate(file, status.st_size > SHRINK ? status.st_size - SHRINK : 0);
    if (result != 0)
        result = trouble("shrink", reason);
    close(file);
    return result;
}

int seen_step_begin(struct seen *seen, struct reason *reason) {
    seen->stepping = false;
    int result = seen->sealed.file >= 0 ? look_at_next(seen, reason) : 0;
    if (result != 0 || !seen_step_due(seen) || seen->header.reached == NOWHERE)
        return result;
    if (seen->sealed.file < 0)
        result = shrink_spent(seen, reason);
    if (result == 0 && !read_round(seen, &seen->round))
        result = start_round(seen, reason);
    seen->finishing = next_is_merged(seen);
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
        (seen->sealed.file < 0 || fdatasync(seen->next.file) == 0))
        return 0;
    seen->stepping = false;
    return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
}

/* Notes that a stretch is synced. */
static int advance_round(struct seen *seen, struct reason *reason) {
    struct round *round = &seen->round;
    seen->header.unsynced = 0;
    if (++round->stretch == stretches(table_in_turn(seen, round))) {
        round->stretch = 0;
        round->table++;
    }
    if (round->table <= seen->young.number) {
        int result = write_round(seen, reason);
        return result == 0 ? write_header(seen, reason) : result;
    }
    seen->header.checkpoint = round->place;
    seen->header.unsynced_from = seen->young.number;
    int result = write_header(seen, reason);
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
    return result == 0 && seen->finishing ? finish_next(seen, reason) : result;
}

int seen_sync(struct seen *seen, struct reason *reason) {
    if ((seen->sealed.file >= 0 && fdatasync(seen->sealed.file) != 0) || fdatasync(seen->young.file) != 0)
        return trouble("sync", reason);
    seen->synced = seen->young.number;
    return 0;
}

int seen_checkpoint(struct seen *seen, struct place place, struct reason *reason) {
    if (seen->synced == NONE)
        return 0; /* the index was made anew in the meantime */
    seen->header.checkpoint = pack(place);
    seen->header.unsynced = 0;
    seen->header.unsynced_from = seen->synced;
    return write_header(seen, reason);
}
