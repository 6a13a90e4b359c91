/* Each line is one slot of LINE bytes, blanks if it is empty, or
 *
 *   [18,"2026-11-23",8123,"<hash of the event's id>","<hash of its device>",2,1795420800]
 *
 * with number, place, attempts so far, and when the next one is due in seconds since 1970. A slot is written
 * over in place, which needs no room on the disk: what becomes of an event that was set aside can always be
 * kept. A line never crosses a sector. */
#include "waiting.h"

#include "cursor.h"
#include "options.h"
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 128
#define PATH_SIZE (CURSOR_NAME_SIZE + 32)

static void path_of(const char *name, const char *suffix, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "cursors/%s.waiting%s", name, suffix);
}

static void compose(const struct item *item, char out[LINE + 1]) {
    char text[LINE] = "", day[DAY_SIZE];
    if (item != NULL) {
        day_format(item->place.day, day);
        snprintf(text, sizeof text,
                 "[%" PRIu64 ",\"%s\",%" PRIu64 ",\"%016" PRIx64 "\",\"%016" PRIx64 "\",%d,%" PRId64 "]",
                 item->seq, day, item->place.offset, item->identity, item->order, item_tried(item),
                 item->due > 0 ? item->due / SECOND : 0);
    }
    memset(out, ' ', LINE);
    memcpy(out, text, strlen(text));
    out[LINE - 1] = '\n';
    out[LINE] = '\0';
}

/* Takes a line without its line break. */
static bool parse(const char *text, struct item *item) {
    char day[DAY_SIZE] = "";
    int used = 0;
    memset(item, 0, sizeof *item);
    int fields = sscanf(text,
                        "[%18" SCNu64 ",\"%10[0-9-]\",%18" SCNu64 ",\"%16" SCNx64 "\",\"%16" SCNx64
                        "\",%9d,%12" SCNd64 "]%n",
                        &item->seq, day, &item->place.offset, &item->identity, &item->order, &item->attempts,
                        &item->due, &used);
    item->due = item->due > 0 ? item->due * SECOND : 0;
    return fields == 7 && used > 0 && text[used + (int)strspn(text + used, " ")] == '\0' && item->seq > 0 &&
           item->attempts >= 0 && day_parse(day, strlen(day), &item->place.day) == 0;
}

/* Reads the line that begins at `at`. Returns 1, 0 if the slot is empty, or ERROR_DAMAGED. */
static int take(const char *text, size_t length, size_t at, struct item *item) {
    char line[LINE + 1];
    size_t size = length - at < LINE ? length - at : LINE;
    memcpy(line, text + at, size);
    line[size == LINE && line[LINE - 1] == '\n' ? LINE - 1 : size] = '\0';
    if (line[strspn(line, " ")] == '\0')
        return 0;
    return parse(line, item) ? 1 : ERROR_DAMAGED;
}

int waiting_each(int directory, const char *name, void (*visit)(void *context, const struct item *item),
                 void *context, struct reason *reason) {
    char path[PATH_SIZE], *text;
    size_t length;
    struct item item;
    int damaged = 0;
    path_of(name, "", path);
    int result = replace_read(directory, path, &text, &length, reason);
    for (size_t at = 0; result > 0 && at < length; at += LINE) {
        int found = take(text, length, at, &item);
        if (found > 0)
            visit(context, &item);
        damaged += found < 0;
    }
    free(text);
    return result < 0 ? result : damaged;
}

/* ---- what a runner keeps ---- */

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
        result = fail(reason, ERROR_TROUBLE, "no memory for cursors/%s.waiting", name);
    if (result == 0 && damaged > 0)
        problem("cursors/%s.waiting: %d damaged lines, whose events are not run; doorpost log shows them",
                name, damaged);
    if (result == 0 && all.count > 0) {
        qsort(all.item, all.count, sizeof *all.item, by_number);
        for (size_t i = 0; i < all.count; i++)
            queues_add(queues, &all.item[i], now);
    }
    free(all.item);
    return result;
}

static int write_slot(int fd, const struct queues *queues, size_t slot) {
    char line[LINE + 1];
    compose(queues_at(queues, slot), line);
    return pwrite(fd, line, LINE, (off_t)(slot * LINE)) == LINE ? 0 : -1;
}

/* Returns 0, or -1 with errno set. */
static int write_changed(int directory, const char *path, struct queues *queues) {
    size_t slot;
    int result = 0;
    int fd = openat(directory, path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    errno = ENOSPC; /* if a write is short */
    while (result == 0 && queues_take_changed(queues, &slot))
        result = write_slot(fd, queues, slot);
    if (result == 0)
        result = fdatasync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int write_all(int directory, const char *name, const char *path, struct queues *queues,
                     struct reason *reason) {
    char spare[PATH_SIZE];
    size_t size = queues_size(queues), slot;
    while (size > 0 && queues_at(queues, size - 1) == NULL)
        size--;
    char *text = malloc(size * LINE + 1);
    if (text == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory for %s", path);
    while (queues_take_changed(queues, &slot))
        continue;
    for (slot = 0; slot < size; slot++)
        compose(queues_at(queues, slot), text + slot * LINE);
    path_of(name, ".new", spare);
    int result = replace_prepare(directory, reason);
    if (result == 0)
        result = replace_write(directory, spare, path, text, size * LINE, reason);
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
    if (waiting->known && queues_count(queues) == 0) /* if that is lost in a crash, all slots are empty */
        unlinkat(directory, path, 0);
    return waiting->known ? 0 : ERROR_TROUBLE;
}
