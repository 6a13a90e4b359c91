#include "state.h"

#include "table.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x34306e6565735044) /* "DPseen04" */
#define SECTOR 512
#define SLOT_DISTANCE 4096

_Static_assert(sizeof(struct state) <= SECTOR, "a slot is in one sector");

uint64_t place_pack(struct place place) {
    return (uint64_t)place.day << 48 | place.offset;
}

struct place place_unpack(uint64_t packed) {
    return (struct place){.day = (int32_t)(packed >> 48), .offset = packed & 0xffffffffffff};
}

struct packed_mark mark_pack(const struct mark *mark) {
    struct packed_mark packed = {.place = place_pack(mark->place), .seq = mark->seq};
    memcpy(packed.chain, mark->chain, sizeof packed.chain);
    return packed;
}

struct mark mark_unpack(const struct packed_mark *packed) {
    struct mark mark = {.place = place_unpack(packed->place), .seq = packed->seq};
    memcpy(mark.chain, packed->chain, sizeof packed->chain);
    return mark;
}

static void make_checksum(const struct state *state, unsigned char out[crypto_shorthash_BYTES]) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost state";
    crypto_shorthash(out, (const unsigned char *)state, offsetof(struct state, checksum), key);
}

static bool is_valid(const struct state *state) {
    unsigned char checksum[crypto_shorthash_BYTES];
    make_checksum(state, checksum);
    return state->magic == MAGIC && memcmp(checksum, state->checksum, sizeof checksum) == 0;
}

int state_read(int file, struct state *state, struct reason *reason) {
    unsigned char bytes[SLOT_DISTANCE + SECTOR];
    struct state slot;
    struct stat status;
    memset(bytes, 0, sizeof bytes);
    if (pread(file, bytes, sizeof bytes, 0) < 0 || fstat(file, &status) != 0)
        return table_trouble("read", reason);
    memcpy(state, bytes, sizeof *state);
    memcpy(&slot, bytes + SLOT_DISTANCE, sizeof slot);
    bool second = slot.generation > state->generation;
    const struct state *newer = second ? &slot : state, *older = second ? state : &slot;
    if (!is_valid(newer)) /* half written, and then the other one counts */
        newer = is_valid(older) ? older : NULL;
    if (newer == NULL)
        return fail(reason, ERROR_DAMAGED, "the state of the index in seen/ is damaged");
    if (newer != state)
        *state = slot;
    if (state->file != (uint64_t)status.st_ino)
        return fail(reason, ERROR_DAMAGED, "the index in seen/ is a copy");
    return 0;
}

int state_write(int file, struct state *state, struct reason *reason) {
    state->magic = MAGIC;
    state->generation++;
    make_checksum(state, state->checksum);
    off_t at = (off_t)(state->generation % 2) * SLOT_DISTANCE;
    ssize_t written = pwrite(file, state, sizeof *state, at);
    if (written == (ssize_t)sizeof *state)
        return 0;
    state->generation--; /* the next attempt goes to the same slot, and leaves the valid one alone */
    errno = written >= 0 ? ENOSPC : errno;
    return table_trouble("write", reason);
}
