/* Appending must stay fast however long the list is, because a device's command may always fail. The list is
 * read and replaced as a whole only when a person queries it or retries events. */
#include "failed.h"

#include "cursor.h"
#include "directory.h"
#include "options.h"
#include "quote.h"
#include "regular.h"
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILED_PATH_SIZE (CURSOR_NAME_SIZE + 32)
#define OUTPUT_LIMIT 1024
#define RECENT_LIMIT 65536 /* bytes */
#define LINE_SIZE (ID_SIZE + QUOTE_SIZE(64) + QUOTE_SIZE(OUTPUT_LIMIT) + 256)
#define ID_SIZE ((size_t)2 * QUOTE_SIZE(512)) /* an id may already have been quoted once */

static void path_of(const char *name, const char *suffix, char out[FAILED_PATH_SIZE]) {
    snprintf(out, FAILED_PATH_SIZE, "cursors/%s.%s", name, suffix);
}

/* Returns the end of the line at `line`, including its line break. */
static char *end_of(char *line, char *end) {
    char *line_break = memchr(line, '\n', (size_t)(end - line));
    return line_break != NULL ? line_break + 1 : end;
}

static const char *text_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* A command's output may contain NUL characters. */
static size_t length_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) && json_object_is_type(value, json_type_string)
               ? (size_t)json_object_get_string_len(value)
               : 0;
}

static int64_t number_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) && json_object_is_type(value, json_type_int)
               ? json_object_get_int64(value)
               : -1;
}

/* Returns false if the line is damaged. */
static bool visit_line(const char *text, size_t length, void (*visit)(void *, const struct failure *),
                       void *context) {
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *line = tokener != NULL ? json_tokener_parse_ex(tokener, text, (int)length) : NULL;
    const char *day = text_of(line, "day"), *at = text_of(line, "at");
    int64_t seq = number_of(line, "seq"), offset = number_of(line, "offset"),
            attempts = number_of(line, "attempts");
    struct failure failure = {.seq = (uint64_t)seq,
                              .position.offset = (uint64_t)offset,
                              .event_id = text_of(line, "event_id"),
                              .how = text_of(line, "how"),
                              .output = text_of(line, "output"),
                              .output_length = length_of(line, "output"),
                              .attempts = attempts > 0 && attempts <= INT32_MAX ? (int)attempts : 0};
    if (timestamp_parse(at, strlen(at), &failure.at) != 0)
        failure.at = 0;
    bool good = seq > 0 && offset >= 0 && day_parse(day, strlen(day), &failure.position.day) == 0;
    if (good)
        visit(context, &failure);
    json_object_put(line);
    if (tokener != NULL)
        json_tokener_free(tokener);
    return good;
}

static void ignore(void *context, const struct failure *failure) {
    (void)context, (void)failure;
}

struct numbered {
    uint64_t seq; /* 0: the line is damaged */
    char *line;
};

static int by_number(const void *a, const void *b) {
    const struct numbered *one = a, *other = b;
    if (one->seq != other->seq)
        return one->seq > other->seq ? 1 : -1;
    return (one->line > other->line) - (one->line < other->line);
}

static size_t count_lines(char *text, char *end) {
    size_t count = 0;
    for (char *line = text; line < end; line = end_of(line, end))
        count++;
    return count;
}

static struct numbered number_of_line(char *line, const char *next) {
    char *rest = line;
    bool whole = strncmp(line, "{\"seq\":", 7) == 0 && next - line > 2 && memcmp(next - 2, "}\n", 2) == 0;
    uint64_t seq = whole ? strtoull(line + 7, &rest, 10) : 0;
    return (struct numbered){strncmp(rest, ",\"day\":\"", 8) == 0 ? seq : 0, line};
}

static bool is_readable(char *line, char *end) {
    return visit_line(line, (size_t)(end_of(line, end) - line), ignore, NULL);
}

/* Removes empty lines, and lines whose number a later line repeats. */
static void forget_repeated(char *text, size_t *length) {
    char *end = text + *length;
    size_t count = 0, used = 0;
    struct numbered *lines = calloc(count_lines(text, end) + 1, sizeof *lines);
    for (char *line = text; lines != NULL && line < end; line = end_of(line, end))
        lines[count++] = number_of_line(line, end_of(line, end));
    if (lines != NULL)
        qsort(lines, count, sizeof *lines, by_number);
    for (size_t i = 0; i + 1 < count; i++)
        if (lines[i].seq != 0 && lines[i].seq == lines[i + 1].seq && is_readable(lines[i + 1].line, end))
            memset(lines[i].line, '\n', (size_t)(end_of(lines[i].line, end) - lines[i].line));
    free(lines);
    for (size_t i = 0; i < *length; i++)
        if (text[i] != '\n' || (used > 0 && text[used - 1] != '\n'))
            text[used++] = text[i];
    text[used] = '\0';
    *length = used;
}

static int load(int directory, const char *name, const char *suffix, char **text, size_t *length,
                struct reason *reason) {
    char path[FAILED_PATH_SIZE];
    path_of(name, suffix, path);
    int result = replace_read(directory, path, text, length, reason);
    if (result > 0)
        forget_repeated(*text, length);
    return result < 0 ? result : 0;
}

/* The same, and adds the last line break if an editor has left it out. */
static int load_list(int directory, const char *name, const char *suffix, char **text, size_t *length,
                     struct reason *reason) {
    int result = load(directory, name, suffix, text, length, reason);
    if (result == 0 && *length > 0 && (*text)[*length - 1] != '\n')
        (*text)[(*length)++] = '\n'; /* overwrites the NUL */
    return result;
}

static int replace(int directory, const char *name, const char *text, size_t length, struct reason *reason) {
    char path[FAILED_PATH_SIZE], temporary[FAILED_PATH_SIZE];
    path_of(name, "failed", path);
    path_of(name, "failed.new", temporary);
    return replace_write(directory, temporary, path, text, length, reason);
}

/* Returns an event's line on the list, including its line break; NULL if there is none. */
static char *find(char *text, char *end, uint64_t seq, size_t *length) {
    char start[40];
    size_t start_length = (size_t)snprintf(start, sizeof start, "{\"seq\":%" PRIu64 ",", seq);
    for (char *line = text, *next; line < end; line = next) {
        next = end_of(line, end);
        *length = (size_t)(next - line);
        if (*length >= start_length && memcmp(line, start, start_length) == 0)
            return line;
    }
    *length = 0;
    return NULL;
}

static size_t compose(const struct failure *failure, char *out, size_t size) {
    char day[DAY_SIZE], at[TIMESTAMP_SIZE], id[ID_SIZE], how[QUOTE_SIZE(64)],
        output[QUOTE_SIZE(OUTPUT_LIMIT)];
    day_format(failure->position.day, day);
    timestamp_format(failure->at, at);
    quote(id, sizeof id, failure->event_id, strlen(failure->event_id));
    quote(how, sizeof how, failure->how, strlen(failure->how));
    quote(output, sizeof output, failure->output, failure->output_length);
    return (size_t)snprintf(out, size,
                            "{\"seq\":%" PRIu64 ",\"day\":\"%s\",\"offset\":%" PRIu64
                            ",\"event_id\":%s,\"at\":\"%s\",\"attempts\":%d,\"how\":%s,\"output\":%s}\n",
                            failure->seq, day, failure->position.offset, id, at, failure->attempts, how,
                            output);
}

/* Appends a line to a list with room for it and one more byte: a damaged file may lack its last line break.
 * Returns the new length. */
static size_t add_line(char *list, size_t length, const char *line, size_t line_length) {
    if (length > 0 && line_length > 0 && list[length - 1] != '\n')
        list[length++] = '\n';
    memcpy(list + length, line, line_length);
    return length + line_length;
}

/* Removes the event from the list, then appends `failure` if not NULL. */
static int change(int directory, int lock, const char *name, uint64_t seq, const struct failure *failure,
                  struct reason *reason) {
    char line[LINE_SIZE];
    char *text;
    size_t length, old_length = 0;
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    result = load_list(directory, name, "failed", &text, &length, reason);
    size_t added = failure != NULL ? compose(failure, line, sizeof line) : 0;
    char *list = result == 0 ? malloc(length + added + 2) : NULL;
    if (result == 0 && list == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "out of memory for the list of failed events");
    if (result == 0) {
        const char *old = text != NULL ? find(text, text + length, seq, &old_length) : NULL;
        size_t before = old != NULL ? (size_t)(old - text) : length;
        if (text != NULL)
            memcpy(list, text, before);
        if (old != NULL)
            memcpy(list + before, old + old_length, length - before - old_length);
        result = replace(directory, name, list, add_line(list, length - old_length, line, added), reason);
    }
    free(list);
    free(text);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    return result;
}

int failed_replace(int directory, int lock, const char *name, const struct failure *failure,
                   struct reason *reason) {
    return change(directory, lock, name, failure->seq, failure, reason);
}

/* Returns 0, or -1 with errno set if nothing was added. */
static int append(int directory, int fd, const char *line, size_t length) {
    struct stat status;
    char last = '\n';
    if (fstat(fd, &status) != 0 || (status.st_size > 0 && pread(fd, &last, 1, status.st_size - 1) < 0))
        return -1;
    off_t at = status.st_size + (last != '\n'); /* a crash may have left part of a line */
    errno = ENOSPC;                             /* for a short write */
    if ((last != '\n' && pwrite(fd, "\n", 1, status.st_size) != 1) ||
        pwrite(fd, line, length, at) != (ssize_t)length || fdatasync(fd) != 0 ||
        (status.st_size == 0 && directory_sync(directory, "cursors") != 0)) {
        int error = errno, cut = ftruncate(fd, status.st_size);
        (void)cut;
        errno = error;
        return -1;
    }
    return 0;
}

int failed_add(int directory, int lock, const char *name, const struct failure *failure,
               struct reason *reason) {
    char line[LINE_SIZE], path[FAILED_PATH_SIZE];
    path_of(name, "failed", path);
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    int fd = regular_open(directory, path, O_RDWR | O_CREAT, NULL);
    if (fd < 0 || append(directory, fd, line, compose(failure, line, sizeof line)) != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    return result;
}

int failed_reserve(int directory, int lock, const char *name, struct reason *reason) {
    char *text, temporary[FAILED_PATH_SIZE];
    size_t length;
    path_of(name, "failed.new", temporary);
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    result = load(directory, name, "failed", &text, &length, reason);
    if (result == 0)
        result = replace_reserve(directory, temporary, length + 1, reason);
    free(text);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    return result;
}

int failed_remove(int directory, int lock, const char *name, uint64_t seq, struct reason *reason) {
    return change(directory, lock, name, seq, NULL, reason);
}

/* Returns the number of lines. */
static int visit_all(char *text, size_t length, const char *path,
                     void (*visit)(void *context, const struct failure *failure), void *context) {
    int count = 0;
    for (char *line = text, *next; line < text + length; line = next) {
        next = end_of(line, text + length);
        count++;
        if (visit != NULL && !visit_line(line, (size_t)(next - line), visit, context))
            problem("%s: line %d is damaged, and was left unchanged", path, count);
    }
    return count;
}

int failed_each(int directory, int lock, const char *name,
                void (*visit)(void *context, const struct failure *failure), void *context,
                struct reason *reason) {
    char *text, path[FAILED_PATH_SIZE];
    size_t length;
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    result = load(directory, name, "failed", &text, &length, reason);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    if (result != 0)
        return result;
    path_of(name, "failed", path);
    int count = visit_all(text, length, path, visit, context);
    free(text);
    return count;
}

/* ---- the newest failures ---- */

int failed_each_recent(int directory, const char *name,
                       void (*visit)(void *context, const struct failure *failure), void *context,
                       struct reason *reason) {
    char *text, path[FAILED_PATH_SIZE];
    size_t length;
    path_of(name, "recent", path);
    int result = load(directory, name, "recent", &text, &length, reason);
    if (result == 0)
        result = visit_all(text, length, path, visit, context);
    free(text);
    return result;
}

/* Not synced: it is only a hint. */
static void replace_recent(int directory, const char *name, const char *text, size_t length) {
    char path[FAILED_PATH_SIZE], temporary[FAILED_PATH_SIZE];
    path_of(name, "recent", path);
    path_of(name, "recent.new", temporary);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
                    0600);
    if (fd < 0)
        return;
    bool whole = write(fd, text, length) == (ssize_t)length;
    if (close(fd) != 0 || !whole || renameat(directory, temporary, directory, path) != 0)
        unlinkat(directory, temporary, 0);
}

void failed_note(int directory, const char *name, const struct failure *failure) {
    char *text, *line, added[LINE_SIZE];
    size_t length, old_length;
    struct reason reason = {""};
    if (load_list(directory, name, "recent", &text, &length, &reason) != 0)
        return;
    char *list = realloc(text, length + LINE_SIZE + 1);
    if (list == NULL) {
        free(text);
        return;
    }
    if ((line = find(list, list + length, failure->seq, &old_length)) != NULL) {
        memmove(line, line + old_length, (size_t)(list + length - line) - old_length);
        length -= old_length;
    }
    length = add_line(list, length, added, compose(failure, added, sizeof added));
    char *first = list;
    while (list + length - first > RECENT_LIMIT)
        first = end_of(first, list + length);
    replace_recent(directory, name, first, (size_t)(list + length - first));
    free(list);
}
