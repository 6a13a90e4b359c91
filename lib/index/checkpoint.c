/* Checkpoints: what of the index is on the disk.
 *
 * Syncing a whole table stalls, because its dirty pages are scattered. So the checkpoint advances in steps:
 * every so many inserts one stretch of a table is synced, a megabyte at most, and when all stretches have had
 * their turn, everything that was inserted before the round began is on the disk. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef STRETCH           /* a test build makes these small */
#define STRETCH (1 << 20) /* bytes; whole pages */
/* Inserts from one step to the next, fewer if a round would take more than ROUND_WITHIN. After a reboot, as
 * many lines are read again as two rounds have inserts, halved, at most. */
#define STEP_EVERY 8192
#define ROUND_WITHIN (1 << 17)
#endif

static uint32_t stretches(const struct index *index, uint32_t table) {
    return (uint32_t)((table_offset(index->table[table].buckets) + STRETCH - 1) / STRETCH);
}

bool index_step_due(const struct index *index) {
    uint32_t by_round = index->open > 0 ? ROUND_WITHIN / stretches(index, index->open - 1) : STEP_EVERY;
    return index->hastened || index->state.unsynced >= (by_round < STEP_EVERY ? by_round : STEP_EVERY);
}

void index_hasten(struct index *index) {
    index->hastened = true;
}

static void start_round(struct state *state, struct point point) {
    state->round = point;
    state->round_table = state->checkpoint.tables > 0 ? state->checkpoint.tables - 1 : 0;
    state->round_stretch = 0;
}

/* The next table is to be ready when the newest is full: its second half pays for it. */
static int prepare_due(struct index *index, struct reason *reason) {
    const struct state *state = &index->state;
    if (state->tables == TABLES_MAX)
        return 0;
    uint64_t half = (uint64_t)index_buckets(state, state->tables - 1) * FULL / 2;
    uint64_t buckets = index_buckets(state, state->tables);
    uint64_t due = state->used > half ? (state->used - half) * buckets / half + 1 : 0;
    return index_prepare(index, (uint32_t)(due < buckets ? due : buckets), reason);
}

int index_step_begin(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    index->step = STEP_NONE;
    if (!index_step_due(index))
        return 0;
    int result = prepare_due(index, reason);
    if (result != 0)
        return result;
    if (state->round_table == NO_TABLE)
        start_round(state, index_point(index));
    index->step = index->hastened ? STEP_WHOLE : STEP_STRETCH;
    index->point = index->hastened ? index_point(index) : state->round;
    index->round_table = state->round_table;
    index->round_stretch = state->round_stretch;
    result = state_write(index->file, state, reason);
    if (result == 0 && index->insisting)
        result = index_step_sync(index, reason);
    return result == 0 && index->insisting ? index_step_end(index, reason) : result;
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

static int sync_names(const struct index *index) {
    int file = openat(index->journal, "seen", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = file >= 0 ? fsync(file) : -1;
    int saved = errno;
    if (file >= 0)
        close(file);
    errno = saved;
    return result;
}

static int sync_stretch(const struct index *index) {
    const struct state *state = &index->state;
    const struct table *table = &index->table[state->round_table];
    off_t offset = (off_t)state->round_stretch * STRETCH, left = table_offset(table->buckets) - offset;
    return sync_part(table->file, offset, left < STRETCH ? (size_t)left : STRETCH);
}

static int sync_whole(const struct index *index) {
    const struct state *state = &index->state;
    int result = 0;
    for (uint32_t i = state->checkpoint.tables > 0 ? state->checkpoint.tables - 1 : 0;
         i < index->open && result == 0; i++)
        result = fdatasync(index->table[i].file);
    return result;
}

int index_step_sync(struct index *index, struct reason *reason) {
    if (index->step == STEP_NONE)
        return 0;
    bool names = index->step == STEP_WHOLE || index->state.round_stretch == 0; /* a table may be new */
    if ((!names || sync_names(index) == 0) &&
        (index->step == STEP_WHOLE ? sync_whole(index) : sync_stretch(index)) == 0) {
        index->step = index->step == STEP_WHOLE ? STEP_SYNCED : index->step;
        return 0;
    }
    index->step = STEP_NONE;
    return fail(reason, ERROR_DAMAGED, "cannot sync the index in seen/: %s", strerror(errno));
}

int index_step_end(struct index *index, struct reason *reason) {
    struct state *state = &index->state;
    enum step step = index->step;
    index->step = STEP_NONE;
    if (step == STEP_SYNCED) {
        /* Another worker that does not know this boot may have taken the newest table away meanwhile. */
        index->hastened = index->insisting = index->point.cuts != state->cuts;
        if (!index->insisting && index->point.mark.place <=
                                     state->reached.place) /* else a mark before it did not hold meanwhile */
            state->checkpoint = index->point;
        state->round_table = NO_TABLE;
    } else if (step == STEP_NONE || index->round_table != state->round_table ||
               index->round_stretch != state->round_stretch ||
               memcmp(&index->point, &state->round, sizeof index->point) != 0)
        return 0; /* another process has done the same step, and more */
    else if (++state->round_stretch == stretches(index, state->round_table)) {
        state->round_stretch = 0;
        if (++state->round_table == state->round.tables) {
            state->checkpoint = state->round;
            start_round(state, index_point(index));
        }
    }
    state->unsynced = 0;
    return state_write(index->file, state, reason);
}
