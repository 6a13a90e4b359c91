#include "merge.h"

#include <string.h>

/* What merge_piece() works on. */
struct piece {
    struct merge *merge;
    const struct table *into;
    uint32_t first, last;
    uint64_t used[SLICES];
};

static int put(struct piece *piece, const struct slot *slot, struct reason *reason) {
    uint32_t at = table_home(piece->into, slot->fingerprint) - piece->first;
    for (; at < piece->last - piece->first + TABLE_TAIL; at++) {
        struct bucket *bucket = &piece->merge->window[at];
        for (uint32_t i = 0; i < bucket->used; i++)
            if (bucket->slot[i].fingerprint == slot->fingerprint && bucket->slot[i].place == slot->place)
                return 0;
        if (bucket->used < TABLE_SLOTS) {
            bucket->slot[bucket->used++] = *slot;
            piece->used[table_slice(slot->fingerprint)]++;
            return 0;
        }
    }
    return fail(reason, ERROR_DAMAGED, "a table of the index in seen/ is overfull");
}

/* Has the slot its home in the piece? */
static bool belongs(const struct piece *piece, const struct slot *slot) {
    bool in_slice = table_slice(slot->fingerprint) == piece->into->number % SLICES;
    uint32_t home = table_home(piece->into, slot->fingerprint);
    return in_slice == piece->into->sliced && home >= piece->first && home < piece->last;
}

static int put_bucket(struct piece *piece, const struct bucket *bucket, struct reason *reason) {
    int result = 0;
    for (uint32_t i = 0; i < bucket->used && result == 0; i++)
        if (belongs(piece, &bucket->slot[i]))
            result = put(piece, &bucket->slot[i], reason);
    return result;
}

/* Puts in what one table has: from the home of the piece's first fingerprint to that of its last, and on
 * through the buckets into which those spill, up to the first that is not full. */
static int put_table(struct piece *piece, const struct table *from, struct reason *reason) {
    uint32_t end = from->buckets + TABLE_TAIL;
    uint32_t at = table_home(from, table_first(piece->into, piece->first));
    uint32_t last = table_home(from, table_first(piece->into, piece->last) - 1);
    for (uint32_t count; at < end; at += count) {
        struct bucket *input = piece->merge->input;
        count = at <= last ? last - at + 1 : 1;
        count = count < MERGE_INPUT ? count : MERGE_INPUT;
        int result = table_read(from, at, count, input, reason);
        for (uint32_t i = 0; i < count && result == 0; i++)
            result = put_bucket(piece, &input[i], reason);
        if (result != 0)
            return result;
        if (at + count > last && input[count - 1].used < TABLE_SLOTS)
            break;
    }
    return 0;
}

/* What the piece before this one has spilled into it, and nothing else: beyond that the file may hold an old
 * table that it is written over. */
static int start_window(const struct piece *piece, struct reason *reason) {
    struct bucket *window = piece->merge->window;
    memset(window, 0, sizeof piece->merge->window);
    return piece->first == 0 ? 0 : table_read(piece->into, piece->first, TABLE_TAIL, window, reason);
}

int merge_piece(struct merge *merge, const struct table *into, const struct table *const from[MERGE_FROM],
                uint32_t first, uint32_t last, uint64_t used[SLICES], struct reason *reason) {
    struct piece piece = {.merge = merge, .into = into, .first = first, .last = last};
    int result = start_window(&piece, reason);
    for (int i = 0; i < MERGE_FROM && result == 0; i++)
        if (from[i]->file >= 0)
            result = put_table(&piece, from[i], reason);
    if (result == 0)
        result = table_write(into, first, last - first + TABLE_TAIL, merge->window, reason);
    for (int i = 0; i < SLICES && result == 0; i++)
        used[i] += piece.used[i];
    return result;
}
