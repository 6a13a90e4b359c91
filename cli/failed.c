/* The list is short, or something is very wrong: it is read whole, and replaced as a whole. */
#include "failed.h"

#include "cursor.h"
#include "quote.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILED_PATH_SIZE (CURSOR_NAME_SIZE + 32)
#define OUTPUT_LIMIT 1024

static void path_of(const char *name, const char *suffix, char out[FAILED_PATH_SIZE]) {
    snprintf(out, FAILED_PATH_SIZE, "cursors/%s.failed%s", name, suffix);
}

/* Reads the list; a NUL is put behind it. *text is NULL where there is none. */
static int load(int directory, const char *name, char **text, size_t *length, struct reason *reason) {
    char path[FAILED_PATH_SIZE];
    struct stat status;
    *text = NULL;
    *length = 0;
    path_of(name, "", path);
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : fail(reason, ERROR_TROUBLE, "cannot read %s: %s", path, strerror(errno));
    if (fstat(file, &status) == 0 && (*text = malloc((size_t)status.st_size + 1)) != NULL) {
        ssize_t got = 0;
        while (*length < (size_t)status.st_size &&
               (got = read(file, *text + *length, (size_t)status.st_size - *length)) > 0)
            *length += (size_t)got;
        (*text)[*length] = '\0';
    }
    close(file);
    return *text != NULL ? 0 : fail(reason, ERROR_TROUBLE, "no memory for %s", path);
}

static int replace(int directory, const char *name, const char *text, size_t length, struct reason *reason) {
    char path[FAILED_PATH_SIZE], beside[FAILED_PATH_SIZE];
    path_of(name, "", path);
    path_of(name, ".new", beside);
    int file = openat(directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int cursors = openat(directory, "cursors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool written = file >= 0 && cursors >= 0 && write(file, text, length) == (ssize_t)length &&
                   fsync(file) == 0 && renameat(directory, beside, directory, path) == 0 &&
                   fsync(cursors) == 0;
    int result = written ? 0 : fail(reason, ERROR_TROUBLE, "cannot write %s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    if (cursors >= 0)
        close(cursors);
    return result;
}

/* The line of an event on the list, with its line break; NULL where it is not there. */
static char *find(char *text, uint64_t seq, size_t *length) {
    char start[40];
    size_t start_length = (size_t)snprintf(start, sizeof start, "{\"seq\":%" PRIu64 ",", seq);
    for (char *line = text; line != NULL && *line != '\0';) {
        char *line_break = strchr(line, '\n');
        if (strncmp(line, start, start_length) == 0) {
            *length = line_break != NULL ? (size_t)(line_break + 1 - line) : strlen(line);
            return line;
        }
        line = line_break != NULL ? line_break + 1 : NULL;
    }
    return NULL;
}

static size_t compose(const struct failure *failure, char *out, size_t size) {
    char day[DAY_SIZE], at[TIMESTAMP_SIZE], id[QUOTE_SIZE(512)], how[QUOTE_SIZE(64)],
        output[QUOTE_SIZE(OUTPUT_LIMIT)];
    day_format(failure->place.day, day);
    timestamp_format(failure->at, at);
    quote(id, sizeof id, failure->event_id, strlen(failure->event_id));
    quote(how, sizeof how, failure->how, strlen(failure->how));
    quote(output, sizeof output, failure->output, failure->output_length);
    return (size_t)snprintf(out, size,
                            "{\"seq\":%" PRIu64 ",\"day\":\"%s\",\"offset\":%" PRIu64
                            ",\"event_id\":%s,\"at\":\"%s\",\"attempts\":%d,\"how\":%s,\"output\":%s}\n",
                            failure->seq, day, failure->place.offset, id, at, failure->attempts, how, output);
}

/* Takes the event off the list, and puts `failure` on it where it is not NULL. */
static int change(int directory, int lock, const char *name, uint64_t seq, const struct failure *failure,
                  struct reason *reason) {
    char line[QUOTE_SIZE(512) + QUOTE_SIZE(64) + QUOTE_SIZE(OUTPUT_LIMIT) + 256];
    char *text;
    size_t length, old_length = 0;
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    result = load(directory, name, &text, &length, reason);
    size_t added = failure != NULL ? compose(failure, line, sizeof line) : 0;
    char *list = result == 0 ? malloc(length + added + 1) : NULL;
    if (result == 0 && list == NULL)
        result = fail(reason, ERROR_TROUBLE, "no memory for the list of failed events");
    if (result == 0) {
        const char *old = text != NULL ? find(text, seq, &old_length) : NULL;
        size_t before = old != NULL ? (size_t)(old - text) : length;
        if (text != NULL)
            memcpy(list, text, before);
        if (old != NULL)
            memcpy(list + before, old + old_length, length - before - old_length);
        memcpy(list + length - old_length, line, added);
        result = replace(directory, name, list, length - old_length + added, reason);
    }
    free(list);
    free(text);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    return result;
}

int failed_add(int directory, int lock, const char *name, const struct failure *failure,
               struct reason *reason) {
    return change(directory, lock, name, failure->seq, failure, reason);
}

int failed_remove(int directory, int lock, const char *name, uint64_t seq, struct reason *reason) {
    return change(directory, lock, name, seq, NULL, reason);
}

static const char *text_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) ? json_object_get_string(value) : "";
}

static void visit_line(struct json_object *line, void (*visit)(void *, const struct failure *),
                       void *context) {
    struct json_object *seq, *offset;
    struct failure failure = {
        .event_id = text_of(line, "event_id"), .how = text_of(line, "how"), .output = ""};
    const char *day = text_of(line, "day");
    if (!json_object_object_get_ex(line, "seq", &seq) ||
        !json_object_object_get_ex(line, "offset", &offset) ||
        day_parse(day, strlen(day), &failure.place.day) != 0)
        return;
    failure.seq = (uint64_t)json_object_get_int64(seq);
    failure.place.offset = (uint64_t)json_object_get_int64(offset);
    visit(context, &failure);
}

int failed_each(int directory, int lock, const char *name,
                void (*visit)(void *context, const struct failure *failure), void *context,
                struct reason *reason) {
    char *text;
    size_t length;
    int count = 0;
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    result = load(directory, name, &text, &length, reason);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    for (char *line = text, *next; result == 0 && line != NULL && *line != '\0'; line = next) {
        char *line_break = strchr(line, '\n');
        next = line_break != NULL ? line_break + 1 : NULL;
        if (line_break != NULL)
            *line_break = '\0';
        struct json_object *parsed = json_tokener_parse(line);
        if (parsed != NULL && visit != NULL)
            visit_line(parsed, visit, context);
        count++;
        json_object_put(parsed);
    }
    free(text);
    return result != 0 ? result : count;
}
