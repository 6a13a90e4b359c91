/* Checkpoints: which part of the index is durable.
 *
 * Syncing a whole table stalls, because its dirty pages are scattered. So a checkpoint advances in steps:
 * after a number of inserts, one stretch of a table, at most a megabyte, is synced. Once all stretches are
 * synced, the round is complete, and everything inserted before it began is on the disk. */
#include "internal.h"

#include "directory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef STRETCH           /* test builds use small values */
#define STRETCH (1 << 20) /* bytes; whole pages */
/* Inserts per step, fewer if a round would take more than ROUND_WITHIN inserts. After a reboot, at most
 * half as many lines are read again as two rounds have inserts. */
#define STEP_EVERY 8192
#define ROUND_WITHIN (1 << 17)
#endif

static uint32_t stretches(const struct state *state, uint32_t table) {
    return (uint32_t)((table_offset(index_buckets(state, table)) + STRETCH - 1) / STRETCH);
}

bool index_step_due(const struct index *index) {
    const struct state *state = &index->state;
    uint32_t by_round = state->tables > 0 ? ROUND_WITHIN / stretches(state, state->tables - 1) : STEP_EVERY;
    return index->checkpoint_requested || state->unsynced >= (by_round < STEP_EVERY ? by_round : STEP_EVERY);
}

void index_request_checkpoint(struct index *index) {
    index->checkpoint_requested = true;
}

/* A round covers what the tables hold now. */
static void start_round(struct state *state) {
    state->round = (struct checkpoint){.mark = state->reached,
                                       .used = state->used,
                                       .before = state->before,
                                       .tables = state->tables,
                                       .losses = state->losses};
    state->round_table = state->checkpoint.tables > 0 ? state->checkpoint.tables - 1 : 0;
    state->round_stretch = 0;
}

/* Prepares the next table in step with the inserts into the second half of the newest, so that it is ready
 * when that one is full. */
static int prepare_ahead(struct index *index, struct reason *reason) {
    const struct state *state = &index->state;
    uint64_t half = (uint64_t)index_buckets(state, state->tables - 1) * FULL / 2;
    if (state->tables == TABLES_MAX || state->used <= half)
        return 0;
    uint64_t buckets = index_buckets(state, state->tables);
    uint64_t due = (state->used - half) * buckets / half + 1;
    return index_prepare(index, (uint32_t)(due < buckets ? due : buckets), reason);
}

int index_step_begin(struct index *index, bool held, struct reason *reason) {
    struct state *state = &index->state;
    index->target.tables = 0;
    if (!index_step_due(index))
        return 0;
    int result = prepare_ahead(index, reason);
    if (result != 0)
        return result;
    if (index->checkpoint_requested || state->round_table == NO_TABLE)
        start_round(state);
    result = state_write(index->fd, state, reason);
    if (result != 0)
        return result;
    index->whole = index->checkpoint_requested;
    index->target = state->round;
    index->round_table = state->round_table;
    index->round_stretch = state->round_stretch;
    if (!held && !index->shared)
        return 0;
    result = index_step_sync(index, reason);
    return result == 0 ? index_step_end(index, reason) : result;
}

/* Like fdatasync(2), for a part of a file: msync(2) syncs data however it was written. */
static int sync_range(int fd, off_t offset, size_t length) {
    void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, offset);
    if (mapping == MAP_FAILED)
        return fdatasync(fd);
    int result = msync(mapping, length, MS_SYNC), saved = errno;
    munmap(mapping, length);
    errno = saved;
    return result;
}

static int sync_tables(const struct index *index) {
    const struct table *table = &index->table[index->round_table];
    off_t offset = (off_t)index->round_stretch * STRETCH, left = table_offset(table->buckets) - offset;
    if (!index->whole)
        return sync_range(table->fd, offset, left < STRETCH ? (size_t)left : STRETCH);
    int result = 0;
    for (uint32_t i = index->round_table; i < index->target.tables && result == 0; i++)
        result = fdatasync(index->table[i].fd);
    return result;
}

int index_step_sync(struct index *index, struct reason *reason) {
    if (index->target.tables == 0)
        return 0;
    bool may_be_new = index->round_stretch == 0;
    if ((!may_be_new || directory_sync(index->journal, "seen") == 0) && sync_tables(index) == 0)
        return 0;
    index->target.tables = 0;
    return FAIL(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
}

int index_step_end(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    struct checkpoint point = index->target;
    index->target.tables = 0;
    if (point.tables == 0)
        return 0;
    index->shared |= point.losses != state->losses;
    if (state->round_table == NO_TABLE || memcmp(&point, &state->round, sizeof point) != 0)
        return 0; /* the round has ended or was dropped; a full checkpoint is repeated */
    if (index->whole) {
        index->checkpoint_requested = false;
        state->round_table = point.tables;
    } else if (index->round_table != state->round_table || index->round_stretch != state->round_stretch)
        return 0; /* another process has done this step or more */
    else if (++state->round_stretch == stretches(state, state->round_table)) {
        state->round_stretch = 0;
        state->round_table++;
    }
    if (state->round_table == point.tables) {
        state->checkpoint = point;
        start_round(state);
    }
    state->unsynced = 0;
    return state_write(index->fd, state, reason);
}
