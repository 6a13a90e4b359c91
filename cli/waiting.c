/* Each line is one slot of LINE bytes, blank if it is empty, or
 *
 *   [18,"2026-11-23",8123,"<hash of the event's id>","<hash of its device>",2,1795420800]
 *
 * with number, position, attempts so far, and the time of the next one in seconds since 1970. Slots are
 * overwritten in place, which needs no disk space: the result of a deferred event can always be saved. A line
 * never crosses a sector. */
#include "waiting.h"

#include "cursor.h"
#include "hole.h"
#include "options.h"
#include "regular.h"
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 128
#define LATEST INT64_C(253402300799) /* end of the year 9999, in seconds */
#define SLOTS 512                    /* read per call */
#define PATH_SIZE (CURSOR_NAME_SIZE + 32)

static void path_of(const char *name, const char *suffix, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "cursors/%s.waiting%s", name, suffix);
}

static void compose(const struct item *item, char out[LINE + 1]) {
    char text[LINE] = "", day[DAY_SIZE];
    if (item != NULL) {
        day_format(item->position.day, day);
        snprintf(text, sizeof text,
                 "[%" PRIu64 ",\"%s\",%" PRIu64 ",\"%016" PRIx64 "\",\"%016" PRIx64 "\",%d,%" PRId64 "]",
                 item->seq, day, item->position.offset, item->identity, item->order, item_tried(item),
                 item->due > 0 ? item->due / SECOND : 0);
    }
    memset(out, ' ', LINE);
    memcpy(out, text, strlen(text));
    out[LINE - 1] = '\n';
    out[LINE] = '\0';
}

/* Returns 0, or -1 with errno set. */
static int write_slot(int fd, const struct item *item, uint64_t at) {
    char line[LINE + 1];
    compose(item, line);
    errno = ENOSPC; /* for a short write */
    return pwrite(fd, line, LINE, (off_t)at) == LINE ? 0 : -1;
}

/* Parses a line, with or without its line break. Accepts only what would be written for that item. */
static bool parse(const char *text, size_t length, struct item *item) {
    char day[DAY_SIZE] = "", again[LINE + 1];
    memset(item, 0, sizeof *item);
    int fields = sscanf(
        text,
        "[%18" SCNu64 ",\"%10[0-9-]\",%18" SCNu64 ",\"%16" SCNx64 "\",\"%16" SCNx64 "\",%9d,%12" SCNd64 "]",
        &item->seq, day, &item->position.offset, &item->identity, &item->order, &item->attempts, &item->due);
    if (fields != 7 || memchr(text, ']', length) == NULL || item->seq == 0 || item->attempts < 0 ||
        item->due > LATEST || day_parse(day, strlen(day), &item->position.day) != 0)
        return false;
    item->due *= SECOND;
    compose(item, again);
    return memcmp(again, text, length) == 0;
}

/* Parses a line of `length` bytes. Returns 1, 0 if the slot is empty, or ERROR_DAMAGED. */
static int read_slot(const char *text, size_t length, struct item *item) {
    char line[LINE + 1] = "";
    memcpy(line, text, length);
    if (strspn(line, " \n") == length)
        return 0;
    return parse(line, length, item) ? 1 : ERROR_DAMAGED;
}

/* A buffered reader of slots. Initialise with zeros and the descriptor. */
struct slots {
    int fd;
    uint64_t at; /* file offset of the buffered text */
    size_t length, used;
    char text[SLOTS * LINE];
};

/* Reads the next part of the file. Holes are empty slots. */
static int fill(struct slots *slots, struct reason *reason) {
    uint64_t at = slots->at + slots->length, data = hole_end(slots->fd, at);
    ssize_t got;
    slots->at = data > at + LINE ? data - data % LINE : at;
    slots->length = slots->used = 0;
    do {
        got = pread(slots->fd, slots->text + slots->length, sizeof slots->text - slots->length,
                    (off_t)(slots->at + slots->length));
        slots->length += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    return got == 0 ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot read the deferred events: %s", strerror(errno));
}

/* Reads the next slot that is not empty. Returns 1 with the item and its file offset; ERROR_DAMAGED; 0 at the
 * end; or ERROR_SYSTEM with a reason. */
static int next(struct slots *slots, struct item *item, uint64_t *at, struct reason *reason) {
    int found = 0;
    while (found == 0) {
        if (slots->used == slots->length && fill(slots, reason) != 0)
            return ERROR_SYSTEM;
        size_t left = slots->length - slots->used, length = left < LINE ? left : LINE;
        if (length == 0)
            return 0;
        *at = slots->at + slots->used;
        found = read_slot(slots->text + slots->used, length, item);
        slots->used += length;
    }
    return found;
}

/* Returns 1 with slots->fd, 0 if there is no such file, or an error. */
static int open_slots(int directory, const char *name, int flags, struct slots *slots,
                      struct reason *reason) {
    char path[PATH_SIZE];
    struct reason why;
    path_of(name, "", path);
    *slots = (struct slots){.fd = regular_open(directory, path, flags, &why)};
    if (slots->fd < 0 && slots->fd != ERROR_INVALID)
        explain(reason, "%s", why.text);
    return slots->fd >= 0 ? 1 : slots->fd == ERROR_INVALID ? 0 : slots->fd;
}

int waiting_each(int directory, const char *name, void (*visit)(void *context, const struct item *item),
                 void *context, struct reason *reason) {
    struct slots slots;
    struct item item;
    uint64_t at;
    int damaged = 0, result = open_slots(directory, name, O_RDONLY, &slots, reason);
    if (result <= 0)
        return result;
    while ((result = next(&slots, &item, &at, reason)) == 1 || result == ERROR_DAMAGED)
        if (result > 0)
            visit(context, &item);
        else
            damaged++;
    close(slots.fd);
    return result < 0 ? result : damaged;
}

/* ---- the runner's state ---- */

struct list_of_items {
    struct item *item;
    size_t count, size;
    bool no_memory;
};

static void collect(void *context, const struct item *item) {
    struct list_of_items *all = context;
    if (all->count == all->size) {
        size_t size = all->size > 0 ? 2 * all->size : 1024;
        struct item *larger = realloc(all->item, size * sizeof *larger);
        all->no_memory |= larger == NULL;
        if (larger == NULL)
            return;
        all->item = larger;
        all->size = size;
    }
    all->item[all->count++] = *item;
}

static int by_number(const void *a, const void *b) {
    uint64_t one = ((const struct item *)a)->seq, other = ((const struct item *)b)->seq;
    return (one > other) - (one < other);
}

int waiting_load(int directory, const char *name, struct queues *queues, int64_t now, struct reason *reason) {
    struct list_of_items all = {0};
    queues_clear(queues);
    int damaged = waiting_each(directory, name, collect, &all, reason);
    int result = damaged < 0 ? damaged : 0;
    if (result == 0 && (all.no_memory || !queues_reserve(queues, all.count)))
        result = FAIL(reason, ERROR_SYSTEM, "out of memory for cursors/%s.waiting", name);
    if (result == 0 && damaged > 0)
        problem("cursors/%s.waiting: %d damaged lines, whose events are not run; see them with doorpost log",
                name, damaged);
    if (result == 0 && all.count > 0) {
        qsort(all.item, all.count, sizeof *all.item, by_number);
        for (size_t i = 0; i < all.count; i++)
            queues_add(queues, &all.item[i], now);
    }
    free(all.item);
    return result;
}

/* Returns 0, or -1 with errno set. */
static int write_changed(int directory, const char *path, struct queues *queues) {
    size_t slot;
    int result = 0;
    int fd = regular_open(directory, path, O_WRONLY, NULL);
    if (fd < 0)
        return -1;
    while (result == 0 && queues_take_changed(queues, &slot))
        result = write_slot(fd, queues_at(queues, slot), slot * LINE);
    if (result == 0)
        result = fdatasync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int write_all(int directory, const char *name, const char *path, struct queues *queues,
                     struct reason *reason) {
    char temporary[PATH_SIZE];
    size_t size = queues_size(queues), slot;
    while (size > 0 && queues_at(queues, size - 1) == NULL)
        size--;
    char *text = malloc(size * LINE + 1);
    if (text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "out of memory for %s", path);
    while (queues_take_changed(queues, &slot))
        continue;
    for (slot = 0; slot < size; slot++)
        compose(queues_at(queues, slot), text + slot * LINE);
    path_of(name, ".new", temporary);
    int result = replace_prepare(directory, reason);
    if (result == 0)
        result = replace_write(directory, temporary, path, text, size * LINE, reason);
    free(text);
    return result;
}

int waiting_save(struct waiting *waiting, int directory, const char *name, struct queues *queues,
                 struct reason *reason) {
    char path[PATH_SIZE];
    bool known = waiting->known;
    path_of(name, "", path);
    if (known && !queues_are_changed(queues))
        return 0;
    waiting->known = (known && write_changed(directory, path, queues) == 0) ||
                     (!known && queues_count(queues) == 0) ||
                     write_all(directory, name, path, queues, reason) == 0;
    if (waiting->known && queues_count(queues) == 0) /* if a crash loses the removal, all slots are empty */
        unlinkat(directory, path, 0);
    return waiting->known ? 0 : ERROR_SYSTEM;
}
