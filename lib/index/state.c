/* seen/state: everything the index knows about itself. A table exists if the state says so.
 *
 * The file has two slots of 512 bytes, at 0 and at 4096, so that no single page write can tear both. Each
 * carries a generation and a checksum. The valid slot with the higher generation counts; a new state
 * always overwrites the other one.
 *
 * The order of writes: first the buckets, then the state that refers to them. A process killed in between
 * leaves buckets that the state does not cover yet; their content is inserted a second time. After a crash
 * of the machine (a different boot), buckets that the state refers to may be gone: then only its
 * checkpoint counts, which was written after the tables had been synced up to there.
 *
 * The state records the inode numbers of its own file and of the tables. An index that was copied, in
 * whole or in part, is rebuilt, because its parts may be of different times. */
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x34306e6565735044) /* "DPseen04" */
#define SECTOR 512
#define SLOT_DISTANCE 4096

_Static_assert(sizeof(struct state) <= SECTOR, "a slot is in one sector");

struct slots {
    struct state first;
    char gap[SLOT_DISTANCE - sizeof(struct state)];
    struct state second;
};

static uint64_t checksum_of(const struct state *state) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost state";
    uint64_t sum;
    crypto_shorthash((unsigned char *)&sum, (const unsigned char *)state, offsetof(struct state, checksum),
                     key);
    return sum;
}

static bool is_valid(const struct state *state) {
    return state->magic == MAGIC && state->checksum == checksum_of(state);
}

int state_read(int fd, struct state *state, struct reason *reason) {
    struct slots slots;
    struct stat status;
    memset(&slots, 0, sizeof slots);
    if (pread(fd, &slots, sizeof slots, 0) < 0 || fstat(fd, &status) != 0)
        return table_error("read", reason);
    bool second = slots.second.generation > slots.first.generation;
    const struct state *newer = second ? &slots.second : &slots.first;
    const struct state *older = second ? &slots.first : &slots.second;
    if (is_valid(newer))
        *state = *newer;
    else if (is_valid(older)) /* the newer one was half written */
        *state = *older;
    else
        return FAIL(reason, ERROR_DAMAGED, "the index state in seen/ is damaged");
    if (state->file != (uint64_t)status.st_ino)
        return FAIL(reason, ERROR_DAMAGED, "the index in seen/ is a copy");
    return 0;
}

int state_write(int fd, struct state *state, struct reason *reason) {
    state->magic = MAGIC;
    state->generation++;
    state->checksum = checksum_of(state);
    off_t at = (off_t)(state->generation % 2) * SLOT_DISTANCE;
    ssize_t written = pwrite(fd, state, sizeof *state, at);
    if (written == (ssize_t)sizeof *state)
        return 0;
    state->generation--; /* the next attempt must use the same slot and preserve the valid one */
    errno = written >= 0 ? ENOSPC : errno;
    return table_error("write", reason);
}
