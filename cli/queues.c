/* The first item of each queue is found by order in a hash table and, unless it is running, by due time in a
 * heap. */
#include "queues.h"

#include <stdlib.h>

#define NONE SIZE_MAX
#define FEWEST 1024 /* slots; a power of two */

struct slot {
    struct item item;
    bool used, changed;
    size_t next;  /* in the same queue, or in the list of free slots */
    size_t last;  /* slot of the queue; set in its first item only */
    size_t chain; /* the first item of another queue with the same hash */
};

struct queues {
    struct slot *slot;
    size_t *heap, *bucket, *changed;
    size_t size, count, free, heap_count, changed_count;
    int64_t looked_at;
};

struct queues *queues_new(void) {
    struct queues *queues = calloc(1, sizeof *queues);
    if (queues != NULL)
        queues->free = NONE;
    return queues;
}

void queues_clear(struct queues *queues) {
    free(queues->slot);
    free(queues->heap);
    free(queues->bucket);
    free(queues->changed);
    *queues = (struct queues){.free = NONE};
}

void queues_free(struct queues *queues) {
    if (queues != NULL)
        queues_clear(queues);
    free(queues);
}

/* ---- by order ---- */

static size_t *bucket_of(const struct queues *queues, uint64_t order) {
    return &queues->bucket[order & (queues->size - 1)];
}

/* Where the number of the order's first slot is stored; the value is NONE if it has no slot. */
static size_t *first_of(const struct queues *queues, uint64_t order) {
    size_t *first = bucket_of(queues, order);
    while (*first != NONE && queues->slot[*first].item.order != order)
        first = &queues->slot[*first].chain;
    return first;
}

static void link_first(struct queues *queues, size_t slot) {
    size_t *bucket = bucket_of(queues, queues->slot[slot].item.order);
    queues->slot[slot].chain = *bucket;
    *bucket = slot;
}

/* ---- by time ---- */

static int64_t due_of(const struct queues *queues, size_t index) {
    return queues->slot[queues->heap[index]].item.due;
}

static void swap(size_t *a, size_t *b) {
    size_t kept = *a;
    *a = *b;
    *b = kept;
}

static void push(struct queues *queues, size_t slot) {
    size_t index = queues->heap_count++;
    queues->heap[index] = slot;
    for (; index > 0 && due_of(queues, index) < due_of(queues, (index - 1) / 2); index = (index - 1) / 2)
        swap(&queues->heap[index], &queues->heap[(index - 1) / 2]);
}

static size_t pop(struct queues *queues) {
    size_t top = queues->heap[0];
    queues->heap[0] = queues->heap[--queues->heap_count];
    for (size_t index = 0, least = 0;; index = least) {
        for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < queues->heap_count; child++)
            if (due_of(queues, child) < due_of(queues, least))
                least = child;
        if (least == index)
            return top;
        swap(&queues->heap[index], &queues->heap[least]);
    }
}

/* Restores the heap after times have changed. */
static void arrange(struct queues *queues) {
    size_t count = queues->heap_count;
    queues->heap_count = 0;
    for (size_t i = 0; i < count; i++) /* push() writes no further than what was read */
        push(queues, queues->heap[i]);
}

static void limit_due(struct item *item, int64_t now) {
    int64_t left = item_time_left(item, now);
    if (left > 0)
        item->due = now + left;
}

/* Without this, all items would wait too long after the clock was set back. */
static void check_clock(struct queues *queues, int64_t now) {
    bool back = now < queues->looked_at;
    queues->looked_at = now;
    for (size_t i = 0; back && i < queues->heap_count; i++)
        limit_due(&queues->slot[queues->heap[i]].item, now);
    if (back)
        arrange(queues);
}

int64_t queues_wait(struct queues *queues, int64_t now) {
    check_clock(queues, now);
    if (queues->heap_count == 0)
        return -1;
    return due_of(queues, 0) > now ? due_of(queues, 0) - now : 0;
}

struct item *queues_next(struct queues *queues, int64_t now) {
    if (queues_wait(queues, now) != 0)
        return NULL;
    struct item *item = &queues->slot[pop(queues)].item;
    item->state = ITEM_RUNNING;
    item->attempts++;
    item->started = now;
    return item;
}

/* ---- the slots ---- */

static bool resize(size_t **list, size_t size) {
    size_t *larger = realloc(*list, size * sizeof **list);
    if (larger == NULL)
        return false;
    *list = larger;
    return true;
}

static bool grow(struct queues *queues, size_t size) {
    struct slot *slot = realloc(queues->slot, size * sizeof *slot);
    if (slot == NULL)
        return false;
    queues->slot = slot;
    if (!resize(&queues->heap, size) || !resize(&queues->changed, size) || !resize(&queues->bucket, size))
        return false;
    for (size_t i = size; i-- > queues->size;) {
        slot[i] = (struct slot){.next = queues->free};
        queues->free = i;
    }
    /* The first of each queue are relinked; until then, their buckets identify them. */
    size_t firsts = NONE;
    for (size_t i = 0; i < queues->size; i++)
        for (size_t first = queues->bucket[i], next; first != NONE; first = next) {
            next = slot[first].chain;
            slot[first].chain = firsts;
            firsts = first;
        }
    for (size_t i = 0; i < size; i++)
        queues->bucket[i] = NONE;
    queues->size = size;
    for (size_t next; firsts != NONE; firsts = next) {
        next = slot[firsts].chain;
        link_first(queues, firsts);
    }
    return true;
}

bool queues_reserve(struct queues *queues, size_t more) {
    size_t size = queues->size > 0 ? queues->size : FEWEST;
    while (size < queues->count + more)
        size *= 2;
    return size == queues->size || grow(queues, size);
}

static void note_change(struct queues *queues, size_t slot) {
    if (!queues->slot[slot].changed)
        queues->changed[queues->changed_count++] = slot;
    queues->slot[slot].changed = true;
}

static size_t number_of(const struct queues *queues, const struct item *item) {
    return (size_t)((const struct slot *)(const void *)item - queues->slot);
}

void queues_add(struct queues *queues, const struct item *item, int64_t now) {
    size_t number = queues->free, first = *first_of(queues, item->order);
    struct slot *slot = &queues->slot[number];
    queues->free = slot->next;
    queues->count++;
    slot->item = *item;
    slot->item.deferred = slot->used = true;
    slot->next = NONE;
    slot->last = number;
    limit_due(&slot->item, now);
    note_change(queues, number);
    if (first != NONE) {
        queues->slot[queues->slot[first].last].next = number;
        queues->slot[first].last = number;
        return;
    }
    link_first(queues, number);
    if (item->state == ITEM_WAITING)
        push(queues, number);
}

bool queues_have(const struct queues *queues, uint64_t order) {
    return queues->count > 0 && *first_of(queues, order) != NONE;
}

static bool is_same(const struct item *a, const struct item *b) {
    return a->seq == b->seq && a->identity == b->identity;
}

/* Nearly always it is the first, or later than the last and so absent: long queues are rarely walked. */
struct item *queues_find(struct queues *queues, const struct item *item) {
    struct slot *slot = queues->slot;
    size_t number = queues->count > 0 ? *first_of(queues, item->order) : NONE;
    if (number != NONE && !is_same(&slot[number].item, item) && slot[slot[number].last].item.seq < item->seq)
        return NULL;
    while (number != NONE && !is_same(&slot[number].item, item))
        number = slot[number].next;
    return number != NONE ? &slot[number].item : NULL;
}

void queues_put_back(struct queues *queues, struct item *item) {
    item->state = ITEM_WAITING;
    push(queues, number_of(queues, item));
    note_change(queues, number_of(queues, item));
}

void queues_remove(struct queues *queues, struct item *item) {
    size_t number = number_of(queues, item), *first = first_of(queues, item->order);
    struct slot *slot = &queues->slot[number];
    size_t next = slot->next;
    *first = slot->chain;
    if (next != NONE) {
        queues->slot[next].last = slot->last;
        link_first(queues, next);
        push(queues, next);
    }
    slot->used = false;
    slot->next = queues->free;
    queues->free = number;
    queues->count--;
    note_change(queues, number);
}

struct item *queues_take(struct queues *queues, uint64_t seq) {
    size_t index = 0;
    while (index < queues->heap_count && queues->slot[queues->heap[index]].item.seq != seq)
        index++;
    if (index == queues->heap_count)
        return NULL;
    queues->slot[queues->heap[index]].item.due = INT64_MIN;
    arrange(queues);
    return &queues->slot[pop(queues)].item;
}

size_t queues_count(const struct queues *queues) {
    return queues->count;
}

size_t queues_size(const struct queues *queues) {
    return queues->size;
}

const struct item *queues_at(const struct queues *queues, size_t slot) {
    return queues->slot[slot].used ? &queues->slot[slot].item : NULL;
}

bool queues_take_changed(struct queues *queues, size_t *slot) {
    if (queues->changed_count == 0)
        return false;
    *slot = queues->changed[--queues->changed_count];
    queues->slot[*slot].changed = false;
    return true;
}

bool queues_are_changed(const struct queues *queues) {
    return queues->changed_count > 0;
}
