/* Inserts go to the newest table. When it is full, the next one begins, four times as large, so entries
 * are never moved or rehashed, and a lookup reads one bucket of each table: six at thirty million events.
 * The next table is written empty, piece by piece, while the newest fills: no insert waits for a large
 * file to be created, or for the blocks of a sparse one to be allocated. */
#include "internal.h"

#include "directory.h"
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_NAME "seen/state"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static void close_file(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

struct index *index_new(unsigned first_buckets) {
    struct index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    index->fd = -1;
    for (uint32_t i = 0; i < TABLES_MAX; i++)
        index->table[i].fd = -1;
    index->first_buckets = first_buckets != 0 ? first_buckets : FIRST_BUCKETS;
    return index;
}

void index_close(struct index *index) {
    for (uint32_t i = 0; i < TABLES_MAX; i++)
        close_file(&index->table[i].fd);
    close_file(&index->fd);
    index->state.generation = 0;
    index->target.tables = 0;
}

void index_free(struct index *index) {
    if (index != NULL)
        index_close(index);
    free(index);
}

/* ---- the tables ---- */

uint32_t index_buckets(const struct state *state, uint32_t number) {
    return state->first_buckets << (2 * number);
}

/* Returns true if the file that the state refers to is open. */
static bool is_open(const struct index *index, uint32_t number) {
    const struct table *table = &index->table[number];
    return table->fd >= 0 && table->inode == index->state.table[number];
}

/* Opens a table that the state refers to, or creates a new one. */
static int open_table(struct index *index, uint32_t number, bool is_new, struct reason *reason) {
    struct table *table = &index->table[number];
    char name[sizeof "seen/4294967295"];
    struct stat status;
    int result = 0;
    close_file(&table->fd);
    snprintf(name, sizeof name, "seen/%02u", number);
    int fd = regular_open(index->journal, name, O_RDWR | (is_new ? O_CREAT | O_TRUNC : 0), NULL);
    bool there = fd >= 0 && fstat(fd, &status) == 0;
    if (!there && (is_new || (fd != ERROR_INVALID && fd != ERROR_DAMAGED)))
        result = table_error("open", reason);
    else if (!there || (!is_new && (uint64_t)status.st_ino != index->state.table[number]))
        result = FAIL(reason, ERROR_DAMAGED, "an index table in seen/ is missing or is a copy");
    if (result != 0) {
        close_file(&fd);
        return result;
    }
    *table = (struct table){
        .fd = fd, .buckets = index_buckets(&index->state, number), .inode = (uint64_t)status.st_ino};
    memcpy(&table->secret, index->state.key, sizeof table->secret);
    index->state.table[number] = table->inode;
    return 0;
}

int index_prepare(struct index *index, uint32_t until, struct reason *reason) {
    struct state *state = &index->state;
    int result = 0;
    if (state->prepared == 0 || !is_open(index, state->tables))
        result = open_table(index, state->tables, state->prepared == 0, reason);
    if (result == 0)
        result = table_clear(&index->table[state->tables], state->prepared, until, reason);
    if (result == 0 && until > state->prepared)
        state->prepared = until;
    return result;
}

/* Begins the next table. */
static int grow(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    if (state->tables == TABLES_MAX)
        return FAIL(
            reason, ERROR_SYSTEM,
            "the index in seen/ is full: run `doorpost prune`, then `doorpost check --rebuild-index`");
    int result = index_prepare(index, index_buckets(state, state->tables), reason);
    if (result != 0)
        return result;
    memset(index->cached, 0, sizeof index->cached);
    state->tables++;
    state->before += state->used;
    state->used = state->prepared = 0;
    return state_write(index->fd, state, reason);
}

/* ---- the files as a whole ---- */

int index_discard(struct index *index, struct reason *reason) {
    index_close(index);
    return directory_clear(index->journal, "seen", reason);
}

bool index_exists(int journal) {
    return faccessat(journal, STATE_NAME, F_OK, 0) == 0;
}

/* Creates an empty index, replacing whatever is there, such as an index of an earlier version. */
static int create(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    int result = directory_clear(index->journal, "seen", reason);
    if (result != 0)
        return result;
    if (mkdirat(index->journal, "seen", 0700) == 0 ? fsync(index->journal) != 0 : errno != EEXIST)
        return table_error("make", reason);
    index->fd = regular_open(index->journal, STATE_NAME, O_RDWR | O_CREAT | O_EXCL, NULL);
    if (index->fd < 0 || fstat(index->fd, &index->status) != 0)
        return table_error("make", reason);
    memset(state, 0, sizeof *state); /* padding too: the checksum covers it */
    randombytes_buf(state->key, sizeof state->key);
    state->boot = index->boot;
    state->file = (uint64_t)index->status.st_ino;
    state->first_buckets = index->first_buckets;
    state->round_table = NO_TABLE;
    result = index_prepare(index, state->first_buckets, reason);
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT) && state->first_buckets > MIN_BUCKETS) {
        state->first_buckets = MIN_BUCKETS; /* leave the remaining space to the journal */
        result = index_prepare(index, state->first_buckets, reason);
    }
    return result == 0 ? grow(index, reason) : result;
}

/* ---- changes by other processes ---- */

/* If the boot id is unknown, treat every process as one of a different boot. */
static void find_boot(struct index *index) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost boot";
    unsigned char text[64];
    int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text) : -1;
    close_file(&fd);
    if (got > 0)
        crypto_shorthash((unsigned char *)&index->boot, text, (size_t)got, key);
    else
        randombytes_buf(&index->boot, sizeof index->boot);
    index->shared = got <= 0;
}

/* After a reboot, drops what was never synced. If the boot id is unknown, each worker chooses one of its own,
 * and so takes what another has not synced yet for lost; the lines are indexed again.
 *
 * The reach goes back to the checkpoint, and so do the tables. What is noted about the journal's files
 * (checked, rejected, listed, last_seq) starts over: the reboot may have undone what it was about. */
static void fall_back(struct index *index) {
    struct state *state = &index->state;
    state->boot = index->boot;
    state->reached = state->checkpoint.mark;
    if (state->checkpoint.tables > 0 && state->checkpoint.tables < state->tables) {
        state->tables = state->checkpoint.tables;
        state->used = state->checkpoint.used;
        state->before = state->checkpoint.before;
    }
    state->losses++;
    state->prepared = 0;
    state->round_table = NO_TABLE;
    state->last_seq = 0;
    state->checked = state->rejected = 0;
    state->listed = 0;
}

bool index_is_current(const struct index *index) {
    struct stat status;
    return fstatat(index->journal, STATE_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_ino == index->status.st_ino && status.st_dev == index->status.st_dev;
}

static int open_state(struct index *index, struct reason *reason) {
    if (index->boot == 0)
        find_boot(index);
    index->fd = regular_open(index->journal, STATE_NAME, O_RDWR, NULL);
    if (index->fd == ERROR_DAMAGED)
        return FAIL(reason, ERROR_DAMAGED, STATE_NAME " is not a regular file");
    if (index->fd < 0)
        return errno == ENOENT ? create(index, reason) : table_error("open", reason);
    return fstat(index->fd, &index->status) == 0 ? 0 : table_error("open", reason);
}

int index_begin(struct index *index, int journal, struct reason *reason) {
    struct state *state = &index->state;
    index->journal = journal;
    memset(index->cached, 0, sizeof index->cached);
    if (index->fd >= 0 && !index_is_current(index))
        index_close(index);
    int result = index->fd >= 0 ? 0 : open_state(index, reason);
    uint64_t generation = state->generation;
    if (result == 0)
        result = state_read(index->fd, state, reason);
    if (result == 0 && state->generation < generation)
        result = FAIL(reason, ERROR_DAMAGED, "an older index state was restored in seen/");
    if (result == 0 && state->boot != index->boot)
        fall_back(index);
    for (uint32_t i = 0; result == 0 && i < state->tables; i++)
        result = is_open(index, i) ? 0 : open_table(index, i, false, reason);
    if (result != 0)
        index_close(index);
    return result;
}

/* ---- reach ---- */

static uint64_t position_pack(struct position position) {
    return (uint64_t)position.day << 48 | position.offset;
}

static struct position position_unpack(uint64_t packed) {
    return (struct position){.day = (int32_t)(packed >> 48), .offset = packed & 0xffffffffffff};
}

void index_reach(const struct index *index, struct reach *reach) {
    const struct state *state = &index->state;
    *reach = (struct reach){
        .mark = {.position = position_unpack(state->reached.position), .seq = state->reached.seq},
        .last_seq = state->last_seq,
        .newest = state->newest,
        .listed = state->listed,
        .checked = position_unpack(state->checked),
        .rejected = position_unpack(state->rejected)};
    memcpy(reach->mark.chain, state->reached.chain, sizeof state->reached.chain);
}

int index_set_reach(struct index *index, const struct reach *reach, struct reason *reason) {
    struct state *state = &index->state;
    state->reached.position = position_pack(reach->mark.position);
    state->reached.seq = reach->mark.seq;
    memcpy(state->reached.chain, reach->mark.chain, sizeof state->reached.chain);
    state->last_seq = reach->last_seq;
    state->newest = reach->newest;
    state->listed = reach->listed;
    state->checked = position_pack(reach->checked);
    state->rejected = position_pack(reach->rejected);
    /* A mark that did not hold, of the checkpoint or of the current round, is dropped with everything
     * after it. */
    if (state->checkpoint.mark.position > state->reached.position)
        state->checkpoint.mark = state->reached;
    if (state->round.mark.position > state->reached.position)
        state->round_table = NO_TABLE;
    return state_write(index->fd, state, reason);
}

uint64_t index_count(const struct index *index) {
    return index->state.before + index->state.used;
}

/* ---- lookup and insertion ---- */

uint64_t index_fingerprint(const struct index *index, enum identifier kind, const char *text, size_t length) {
    uint64_t fingerprint;
    crypto_shorthash((unsigned char *)&fingerprint, (const unsigned char *)text, length,
                     index->state.key[kind]);
    return fingerprint;
}

void index_prefetch(struct index *index, uint64_t fingerprint) {
    for (uint32_t i = 0; i < index->state.tables; i++)
        posix_fadvise(index->table[i].fd, table_offset(table_home(&index->table[i], fingerprint)),
                      sizeof(struct bucket), POSIX_FADV_WILLNEED);
}

/* Gets a bucket, of the newest table from the cache if present. *bucket is valid until the next call. */
static int get_bucket(struct index *index, uint32_t table, uint32_t number, struct bucket **bucket,
                      struct reason *reason) {
    uint32_t at = number & (CACHED - 1);
    bool newest = table == index->state.tables - 1;
    *bucket = newest ? &index->cache[at] : &index->scratch;
    if (newest && index->cached[at] && (*bucket)->number == number)
        return 0;
    int result = table_read(&index->table[table], number, *bucket, reason);
    if (newest)
        index->cached[at] = result == 0;
    return result;
}

/* Searches the buckets from a fingerprint's home to the first that is not full. */
static int find_in_table(struct index *index, uint32_t table, uint64_t fingerprint,
                         int (*visit)(void *context, struct position position), void *context,
                         struct reason *reason) {
    uint32_t buckets = index->table[table].buckets, number = table_home(&index->table[table], fingerprint);
    for (uint32_t i = 0; i < buckets; i++, number = number + 1 < buckets ? number + 1 : 0) {
        struct bucket *bucket;
        int result = get_bucket(index, table, number, &bucket, reason);
        bool last = result != 0 || bucket->used < TABLE_SLOTS;
        for (uint32_t slot = 0; result == 0 && slot < bucket->used; slot++)
            if (bucket->slot[slot].fingerprint == fingerprint)
                result = visit(context, position_unpack(bucket->slot[slot].position));
        if (result != 0 || last)
            return result;
    }
    return 0;
}

int index_find(struct index *index, uint64_t fingerprint,
               int (*visit)(void *context, struct position position), void *context, struct reason *reason) {
    int result = 0;
    /* Duplicates arrive soon: search the newest table first. */
    for (uint32_t table = index->state.tables; table > 0 && result == 0; table--)
        result = find_in_table(index, table - 1, fingerprint, visit, context, reason);
    return result;
}

static int same_position(void *context, struct position position) {
    const uint64_t *wanted = context;
    return position_pack(position) == *wanted;
}

int index_holds(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason) {
    uint64_t wanted = position_pack(position);
    return index_find(index, fingerprint, same_position, &wanted, reason);
}

int index_each(struct index *index,
               int (*visit)(void *context, uint64_t fingerprint, struct position position), void *context,
               struct reason *reason) {
    struct bucket *bucket = &index->scratch;
    int result = 0;
    for (uint32_t i = 0; i < index->state.tables; i++)
        for (uint32_t number = 0; number < index->table[i].buckets && result == 0; number++) {
            result = table_read(&index->table[i], number, bucket, reason);
            for (uint32_t s = 0; s < bucket->used && result == 0; s++)
                result =
                    visit(context, bucket->slot[s].fingerprint, position_unpack(bucket->slot[s].position));
        }
    return result;
}

int index_insert(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason) {
    struct state *state = &index->state;
    uint64_t room = index_buckets(state, state->tables - 1);
    int result = state->used >= room * FULL ? grow(index, reason) : 0;
    if (result == ERROR_SYSTEM && state->used < room * OVERFULL)
        result = 0; /* growing can wait, for example while the disk is full */
    const struct table *table = &index->table[state->tables - 1];
    uint32_t number = table_home(table, fingerprint);
    for (uint32_t left = table->buckets; result == 0 && left > 0; left--) {
        struct bucket *bucket;
        result = get_bucket(index, state->tables - 1, number, &bucket, reason);
        if (result == 0 && bucket->used < TABLE_SLOTS) {
            bucket->slot[bucket->used++] = (struct slot){fingerprint, position_pack(position)};
            state->used++;
            state->unsynced++;
            result = table_write(table, bucket, reason);
            if (result != 0)
                memset(index->cached, 0, sizeof index->cached);
            return result;
        }
        number = number + 1 < table->buckets ? number + 1 : 0;
    }
    return result != 0 ? result : FAIL(reason, ERROR_DAMAGED, "an index table in seen/ is overfull");
}

int index_insert_once(struct index *index, uint64_t fingerprint, struct position position,
                      struct reason *reason) {
    int held = index_holds(index, fingerprint, position, reason);
    return held == 0 ? index_insert(index, fingerprint, position, reason) : held < 0 ? held : 0;
}
