/* Inserts go to the newest table. When it is full, the next one begins, four
 * times as large, so nothing is ever moved or hashed again, and a lookup reads
 * one bucket of each table: six at thirty million events. The next table is
 * written empty, piece by piece, while the newest fills: no insert waits for a
 * large file to be made, and none for the blocks of a sparse one. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_NAME "seen/state"
#define TABLE_NAME_SIZE 16
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static const struct table no_table = {.file = -1};

struct index *index_new(unsigned first_buckets) {
    struct index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    index->file = -1;
    index->next = no_table;
    index->first_buckets = first_buckets != 0 ? first_buckets : FIRST_BUCKETS;
    return index;
}

static void close_table(struct table *table) {
    if (table->file >= 0)
        close(table->file);
    *table = no_table;
}

void index_close(struct index *index) {
    while (index->open > 0)
        close_table(&index->table[--index->open]);
    close_table(&index->next);
    if (index->file >= 0)
        close(index->file);
    index->file = -1;
    index->step = STEP_NONE;
}

void index_free(struct index *index) {
    if (index != NULL)
        index_close(index);
    free(index);
}

/* ---- the boot ---- */

/* If Linux does not say which boot this is, no other process is known to be of the same one. */
static void find_boot(struct index *index) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost boot";
    unsigned char text[64];
    int file = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text, sizeof text) : -1;
    if (file >= 0)
        close(file);
    if (got > 0)
        crypto_shorthash((unsigned char *)&index->boot, text, (size_t)got, key);
    else
        randombytes_buf(&index->boot, sizeof index->boot);
}

/* ---- the files ---- */

static void table_name(uint32_t number, char out[TABLE_NAME_SIZE]) {
    snprintf(out, TABLE_NAME_SIZE, "seen/%02u", number);
}

uint32_t index_buckets(const struct state *state, uint32_t number) {
    return state->first_buckets << (2 * number);
}

static struct table table_of(const struct state *state, int file, uint32_t number) {
    struct table table = {.file = file, .buckets = index_buckets(state, number)};
    memcpy(&table.secret, state->key, sizeof table.secret);
    return table;
}

/* Opens a table that the state names. */
static int open_table(const struct index *index, uint32_t number, struct table *table,
                      struct reason *reason) {
    char name[TABLE_NAME_SIZE];
    struct stat status;
    table_name(number, name);
    int file = openat(index->journal, name, O_RDWR | O_CLOEXEC);
    if (file < 0 && errno != ENOENT)
        return table_trouble("open", reason);
    if (file >= 0 && fstat(file, &status) == 0 && (uint64_t)status.st_ino == index->state.table[number]) {
        *table = table_of(&index->state, file, number);
        return 0;
    }
    if (file >= 0)
        close(file);
    return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is missing, or is a copy");
}

int index_remove(int directory, const char *path, struct reason *reason) {
    int file = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : table_trouble("open", reason);
    DIR *stream = fdopendir(file);
    if (stream == NULL) {
        close(file);
        return table_trouble("list", reason);
    }
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (errno = 0, entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.' && unlinkat(dirfd(stream), entry->d_name, 0) != 0 && errno != ENOENT)
            result = table_trouble("remove", reason);
    /* What is made next must not come to the disk before this is gone from it. */
    if (result == 0 && (errno != 0 || fsync(dirfd(stream)) != 0))
        result = table_trouble("remove", reason);
    closedir(stream);
    return result;
}

int index_discard(struct index *index, struct reason *reason) {
    index_close(index);
    return index_remove(index->journal, "seen", reason);
}

bool index_exists(int journal) {
    return faccessat(journal, STATE_NAME, F_OK, 0) == 0;
}

/* Makes an empty index, in place of whatever is there: an index of an earlier
 * version, say. */
static int create(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    int result = index_remove(index->journal, "seen", reason);
    if (result != 0)
        return result;
    if (mkdirat(index->journal, "seen", 0700) == 0 ? fsync(index->journal) != 0 : errno != EEXIST)
        return table_trouble("make", reason);
    index->file = openat(index->journal, STATE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (index->file < 0 || fstat(index->file, &index->status) != 0)
        return table_trouble("make", reason);
    memset(state, 0, sizeof *state); /* padding too: the checksum covers it */
    randombytes_buf(state->key, sizeof state->key);
    state->boot = index->boot;
    state->file = (uint64_t)index->status.st_ino;
    state->first_buckets = index->first_buckets;
    state->round_table = NO_TABLE;
    result = index_prepare(index, state->first_buckets, reason);
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT) && state->first_buckets > LEAST_BUCKETS) {
        state->first_buckets = LEAST_BUCKETS; /* what room there is shall be the journal's */
        state->prepared = 0;
        result = index_prepare(index, state->first_buckets, reason);
    }
    if (result != 0)
        return result;
    index->table[index->open++] = index->next;
    index->next = no_table;
    state->tables = 1;
    state->prepared = 0;
    return state_write(index->file, state, reason);
}

/* ---- taking up what others have done ---- */

/* After a reboot: what was never synced is not believed. Where the boot is not
 * known, workers fall back in turn; what this one has synced itself counts
 * nevertheless, or else none of them would get any further. */
static void fall_back(struct index *index) {
    struct state *state = &index->state;
    if (index->step == STEP_SYNCED && index->point.cuts == state->cuts &&
        index->point.mark.place > state->checkpoint.mark.place)
        state->checkpoint = index->point;
    state->boot = index->boot;
    state->reached = state->checkpoint.mark;
    if (state->checkpoint.tables > 0 && state->checkpoint.tables < state->tables) {
        state->tables = state->checkpoint.tables;
        state->used = state->checkpoint.used;
        state->before = state->checkpoint.before;
        state->cuts++;
    }
    state->prepared = 0;
    state->round_table = NO_TABLE;
    state->last_seq = 0;
    state->checked = state->rejected = 0;
    state->listed = 0;
}

static bool is_still_there(const struct index *index) {
    struct stat status;
    return fstatat(index->journal, STATE_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_ino == index->status.st_ino && status.st_dev == index->status.st_dev;
}

static int open_state(struct index *index, struct reason *reason) {
    if (index->boot == 0)
        find_boot(index);
    index->file = openat(index->journal, STATE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (index->file < 0)
        return errno == ENOENT ? create(index, reason) : table_trouble("open", reason);
    return fstat(index->file, &index->status) == 0 ? 0 : table_trouble("open", reason);
}

static int take_up(struct index *index, struct reason *reason) {
    uint64_t generation = index->open > 0 ? index->state.generation : 0;
    int result = state_read(index->file, &index->state, reason);
    if (result == 0 && index->state.generation < generation)
        result = fail(reason, ERROR_DAMAGED, "an older state of the index in seen/ was put back");
    if (result != 0)
        return result;
    if (index->state.boot != index->boot)
        fall_back(index);
    while (index->open > index->state.tables)
        close_table(&index->table[--index->open]);
    if (index->open < index->state.tables)
        close_table(&index->next);
    for (; result == 0 && index->open < index->state.tables; index->open += result == 0)
        result = open_table(index, index->open, &index->table[index->open], reason);
    return result;
}

int index_begin(struct index *index, int journal, struct reason *reason) {
    index->journal = journal;
    memset(index->cached, 0, sizeof index->cached);
    if (index->file >= 0 && !is_still_there(index))
        index_close(index);
    int result = index->file >= 0 ? 0 : open_state(index, reason);
    if (result == 0)
        result = take_up(index, reason);
    if (result != 0)
        index_close(index);
    return result;
}

bool index_is_current(const struct index *index) {
    return is_still_there(index);
}

/* ---- how far it reaches ---- */

void index_reach(const struct index *index, struct reach *reach) {
    const struct state *state = &index->state;
    *reach = (struct reach){.mark = mark_unpack(&state->reached),
                            .last_seq = state->last_seq,
                            .newest = state->newest,
                            .listed = state->listed,
                            .checked = place_unpack(state->checked),
                            .rejected = place_unpack(state->rejected)};
}

int index_set_reach(struct index *index, const struct reach *reach, struct reason *reason) {
    struct state *state = &index->state;
    state->reached = mark_pack(&reach->mark);
    state->last_seq = reach->last_seq;
    state->newest = reach->newest;
    state->listed = reach->listed;
    state->checked = place_pack(reach->checked);
    state->rejected = place_pack(reach->rejected);
    /* A mark that did not hold, of the checkpoint or on the way to the next one,
     * is given up with what followed it. */
    if (state->checkpoint.mark.place > state->reached.place)
        state->checkpoint.mark = state->reached;
    if (state->round.mark.place > state->reached.place)
        state->round_table = NO_TABLE;
    return state_write(index->file, state, reason);
}

uint64_t index_count(const struct index *index) {
    return index->state.before + index->state.used;
}

struct point index_point(const struct index *index) {
    const struct state *state = &index->state;
    return (struct point){.mark = state->reached,
                          .used = state->used,
                          .before = state->before,
                          .tables = state->tables,
                          .cuts = state->cuts};
}

/* ---- looking up ---- */

uint64_t index_fingerprint(const struct index *index, enum identifier kind, const char *text, size_t length) {
    uint64_t fingerprint;
    crypto_shorthash((unsigned char *)&fingerprint, (const unsigned char *)text, length,
                     index->state.key[kind]);
    return fingerprint;
}

void index_prefetch(struct index *index, uint64_t fingerprint) {
    for (uint32_t i = 0; i < index->open; i++)
        table_prefetch(&index->table[i], fingerprint);
}

/* A bucket; of the newest table from the cache, if it is there. *bucket is good
 * until the next call. */
static int get_bucket(struct index *index, uint32_t table, uint32_t number, struct bucket **bucket,
                      struct reason *reason) {
    if (table != index->open - 1) {
        *bucket = &index->scratch;
        return table_read(&index->table[table], number, *bucket, reason);
    }
    uint32_t at = number & (CACHED - 1);
    *bucket = &index->cache[at];
    if (index->cached[at] && (*bucket)->number == number)
        return 0;
    int result = table_read(&index->table[table], number, *bucket, reason);
    index->cached[at] = result == 0;
    return result;
}

/* Writes a bucket that was changed. */
static int put_bucket(struct index *index, uint32_t table, struct bucket *bucket, struct reason *reason) {
    int result = table_write(&index->table[table], bucket, reason);
    if (result != 0)
        memset(index->cached, 0, sizeof index->cached);
    return result;
}

/* Calls `at` for each bucket of a table in which the fingerprint may be, up to
 * the first that is not full, until it returns something other than 0. */
static int each_bucket(struct index *index, uint32_t table, uint64_t fingerprint,
                       int (*at)(void *context, uint32_t table, struct bucket *bucket, struct reason *reason),
                       void *context, struct reason *reason) {
    uint32_t buckets = index->table[table].buckets, number = table_home(&index->table[table], fingerprint);
    for (uint32_t i = 0; i < buckets; i++, number = number + 1 < buckets ? number + 1 : 0) {
        struct bucket *bucket;
        int result = get_bucket(index, table, number, &bucket, reason);
        bool last = result == 0 && bucket->used < TABLE_SLOTS;
        if (result == 0)
            result = at(context, table, bucket, reason);
        if (result != 0 || last)
            return result;
    }
    return 0;
}

struct search {
    struct index *index;
    uint64_t fingerprint, place;
    int (*visit)(void *context, struct place place);
    void *context;
};

static int visit_bucket(void *context, uint32_t table, struct bucket *bucket, struct reason *reason) {
    struct search *search = context;
    int result = 0;
    (void)table;
    (void)reason;
    for (uint32_t i = 0; i < bucket->used && result == 0; i++)
        if (bucket->slot[i].fingerprint == search->fingerprint)
            result = search->visit(search->context, place_unpack(bucket->slot[i].place));
    return result;
}

static int look_through(struct search *search,
                        int (*at)(void *context, uint32_t table, struct bucket *bucket,
                                  struct reason *reason),
                        struct reason *reason) {
    int result = 0;
    for (uint32_t i = search->index->open; i > 0 && result == 0;
         i--) /* a repetition comes soon: newest first */
        result = each_bucket(search->index, i - 1, search->fingerprint, at, search, reason);
    return result;
}

int index_find(struct index *index, uint64_t fingerprint, int (*visit)(void *context, struct place place),
               void *context, struct reason *reason) {
    struct search search = {.index = index, .fingerprint = fingerprint, .visit = visit, .context = context};
    return look_through(&search, visit_bucket, reason);
}

static int same_place(void *context, struct place place) {
    const uint64_t *wanted = context;
    return place_pack(place) == *wanted;
}

int index_holds(struct index *index, uint64_t fingerprint, struct place place, struct reason *reason) {
    uint64_t wanted = place_pack(place);
    return index_find(index, fingerprint, same_place, &wanted, reason);
}

int index_each(struct index *index, int (*visit)(void *context, uint64_t fingerprint, struct place place),
               void *context, struct reason *reason) {
    struct bucket *bucket = &index->scratch;
    int result = 0;
    for (uint32_t i = 0; i < index->open; i++)
        for (uint32_t number = 0; number < index->table[i].buckets && result == 0; number++) {
            /* A bucket that is being written can be seen half done; read once more,
             * it is whole. */
            result = ERROR_DAMAGED;
            for (int tries = 0; tries < 10 && result == ERROR_DAMAGED; tries++)
                result = table_read(&index->table[i], number, bucket, reason);
            for (uint32_t s = 0; s < bucket->used && result == 0; s++)
                result = visit(context, bucket->slot[s].fingerprint, place_unpack(bucket->slot[s].place));
        }
    return result;
}

/* ---- inserting ---- */

/* Opens the file of the next table: a new one if nothing of it is written yet.
 */
static int open_next(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    char name[TABLE_NAME_SIZE];
    struct stat status;
    if (state->prepared > 0)
        return open_table(index, state->tables, &index->next, reason);
    table_name(state->tables, name);
    int file = openat(index->journal, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || fstat(file, &status) != 0) {
        int result = table_trouble("make", reason);
        if (file >= 0)
            close(file);
        return result;
    }
    state->table[state->tables] = (uint64_t)status.st_ino;
    index->next = table_of(state, file, state->tables);
    return 0;
}

int index_prepare(struct index *index, uint32_t until, struct reason *reason) {
    struct state *state = &index->state;
    int result = 0;
    if (state->tables == TABLES_MAX || until <= state->prepared)
        return 0;
    if (index->next.file < 0 || state->prepared == 0) {
        close_table(&index->next);
        result = open_next(index, reason);
    }
    if (result == 0)
        result = table_clear(&index->next, state->prepared, until, reason);
    if (result == 0)
        state->prepared = until;
    return result;
}

/* Begins the next table. */
static int grow(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    if (state->tables == TABLES_MAX)
        return fail(reason, ERROR_TROUBLE,
                    "the index in seen/ is full: prune the journal and rebuild the index");
    int result = index_prepare(index, index_buckets(state, state->tables), reason);
    if (result == 0 && index->next.file < 0)
        result = open_next(index, reason);
    if (result != 0)
        return result;
    index->table[index->open++] = index->next;
    index->next = no_table;
    memset(index->cached, 0, sizeof index->cached);
    state->tables++;
    state->before += state->used;
    state->used = state->prepared = 0;
    return state_write(index->file, state, reason);
}

static int insert_in(void *context, uint32_t table, struct bucket *bucket, struct reason *reason) {
    struct search *search = context;
    if (bucket->used == TABLE_SLOTS)
        return 0;
    bucket->slot[bucket->used++] = (struct slot){.fingerprint = search->fingerprint, .place = search->place};
    int result = put_bucket(search->index, table, bucket, reason);
    if (result != 0)
        return result;
    search->index->state.used++;
    search->index->state.unsynced++;
    return 1;
}

int index_insert(struct index *index, uint64_t fingerprint, struct place place, struct reason *reason) {
    struct search search = {.index = index, .fingerprint = fingerprint, .place = place_pack(place)};
    const struct state *state = &index->state;
    int result = 0;
    uint64_t buckets = index_buckets(state, state->tables - 1);
    if (state->used >= buckets * FULL)
        result = grow(index, reason);
    if (result == ERROR_TROUBLE && state->used < buckets * OVERFULL)
        result = 0; /* with a full disk, say, growing can wait */
    if (result == 0)
        result = each_bucket(index, index->open - 1, fingerprint, insert_in, &search, reason);
    if (result == 0)
        result = fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is overfull");
    return result < 0 ? result : 0;
}

int index_insert_once(struct index *index, uint64_t fingerprint, struct place place, struct reason *reason) {
    int held = index_holds(index, fingerprint, place, reason);
    return held == 0 ? index_insert(index, fingerprint, place, reason) : held < 0 ? held : 0;
}
