/* cursors/NAME is one JSON object:
 *
 *   {"day":"2026-11-23","offset":8123,"seq":17,"done":[[19,24],[26,26]],"retry":[[18,2,1795420800]]}
 *
 * "retry" has number, attempts so far, and when the next one is due in seconds since 1970. The file is
 * replaced as a whole. cursors/NAME.lock has a lock for the one process that runs the consumer. */
#include "cursor.h"

#include "append.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CURSOR_PATH_SIZE (CURSOR_NAME_SIZE + 32)
#define CURSOR_TEXT_LIMIT (CURSOR_RANGES * 48 + CURSOR_RETRIES * 72 + 256)

bool cursor_name_is_good(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && length < CURSOR_NAME_SIZE && name[length] == '\0';
}

bool cursor_has_done(const struct cursor *cursor, uint64_t seq) {
    for (size_t i = 0; i < cursor->done_count; i++)
        if (seq >= cursor->done[i].first && seq <= cursor->done[i].last)
            return true;
    return false;
}

static void path_of(const char *name, const char *suffix, char out[CURSOR_PATH_SIZE]) {
    snprintf(out, CURSOR_PATH_SIZE, "cursors/%s%s", name, suffix);
}

/* ---- reading ---- */

static int64_t number_of(struct json_object *object, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(object, name, &value) ? json_object_get_int64(value) : 0;
}

static int64_t at(struct json_object *list, size_t index) {
    return json_object_get_int64(json_object_array_get_idx(list, index));
}

static bool take(struct json_object *text, struct cursor *cursor) {
    struct json_object *day, *done, *retry;
    if (!json_object_is_type(text, json_type_object) || !json_object_object_get_ex(text, "day", &day) ||
        day_parse(json_object_get_string(day), strlen(json_object_get_string(day)), &cursor->place.day) !=
            0 ||
        !json_object_object_get_ex(text, "done", &done) || !json_object_is_type(done, json_type_array) ||
        !json_object_object_get_ex(text, "retry", &retry) || !json_object_is_type(retry, json_type_array))
        return false;
    cursor->place.offset = (uint64_t)number_of(text, "offset");
    cursor->seq = (uint64_t)number_of(text, "seq");
    for (size_t i = 0; i < json_object_array_length(done) && cursor->done_count < CURSOR_RANGES; i++) {
        struct json_object *range = json_object_array_get_idx(done, i);
        if (!json_object_is_type(range, json_type_array))
            return false;
        cursor->done[cursor->done_count].first = (uint64_t)at(range, 0);
        cursor->done[cursor->done_count++].last = (uint64_t)at(range, 1);
    }
    for (size_t i = 0; i < json_object_array_length(retry) && cursor->retry_count < CURSOR_RETRIES; i++) {
        struct json_object *one = json_object_array_get_idx(retry, i);
        if (!json_object_is_type(one, json_type_array))
            return false;
        cursor->retry[cursor->retry_count].seq = (uint64_t)at(one, 0);
        cursor->retry[cursor->retry_count].attempts = at(one, 1);
        cursor->retry[cursor->retry_count++].due = at(one, 2);
    }
    return true;
}

int cursor_read(int directory, const char *name, struct cursor *cursor, struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    memset(cursor, 0, sizeof *cursor);
    path_of(name, "", path);
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : fail(reason, ERROR_TROUBLE, "cannot read %s: %s", path, strerror(errno));
    char *text = malloc(CURSOR_TEXT_LIMIT);
    ssize_t got = text != NULL ? read(file, text, CURSOR_TEXT_LIMIT - 1) : -1;
    struct json_object *parsed = NULL;
    if (got >= 0) {
        text[got] = '\0';
        parsed = json_tokener_parse(text);
    }
    bool good = parsed != NULL && take(parsed, cursor);
    json_object_put(parsed);
    free(text);
    close(file);
    return good ? 1
                : fail(reason, ERROR_DAMAGED,
                       "%s is damaged: delete it, and say with --from where to begin again", path);
}

int cursor_each(int directory, int (*visit)(void *context, const char *name), void *context,
                struct reason *reason) {
    int file = openat(directory, "cursors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : fail(reason, ERROR_TROUBLE, "cannot open cursors/: %s", strerror(errno));
    DIR *stream = fdopendir(file);
    if (stream == NULL) {
        close(file);
        return fail(reason, ERROR_TROUBLE, "cannot list cursors/: %s", strerror(errno));
    }
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = readdir(stream)) != NULL)
        if (cursor_name_is_good(entry->d_name))
            result = visit(context, entry->d_name);
    closedir(stream);
    return result;
}

/* ---- writing ---- */

static size_t compose(const struct cursor *cursor, char *out, size_t size) {
    char day[DAY_SIZE];
    day_format(cursor->place.day, day);
    size_t used =
        (size_t)snprintf(out, size, "{\"day\":\"%s\",\"offset\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"done\":[",
                         day, cursor->place.offset, cursor->seq);
    for (size_t i = 0; i < cursor->done_count; i++)
        used += (size_t)snprintf(out + used, size - used, "%s[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "",
                                 cursor->done[i].first, cursor->done[i].last);
    used += (size_t)snprintf(out + used, size - used, "],\"retry\":[");
    for (size_t i = 0; i < cursor->retry_count; i++)
        used += (size_t)snprintf(out + used, size - used, "%s[%" PRIu64 ",%" PRId64 ",%" PRId64 "]",
                                 i > 0 ? "," : "", cursor->retry[i].seq, cursor->retry[i].attempts,
                                 cursor->retry[i].due);
    return used + (size_t)snprintf(out + used, size - used, "]}\n");
}

static int make_directory(int directory, struct reason *reason) {
    if (mkdirat(directory, "cursors", 0700) == 0)
        return fsync(directory) == 0
                   ? 0
                   : fail(reason, ERROR_TROUBLE, "cannot make cursors/ durable: %s", strerror(errno));
    return errno == EEXIST ? 0 : fail(reason, ERROR_TROUBLE, "cannot make cursors/: %s", strerror(errno));
}

static bool sync_directory(int directory) {
    int file = openat(directory, "cursors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = file >= 0 && fsync(file) == 0;
    if (file >= 0)
        close(file);
    return synced;
}

static int write_text(int directory, const char *beside, const char *text, size_t length) {
    int file = openat(directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = file >= 0 && write(file, text, length) == (ssize_t)length && fdatasync(file) == 0;
    int error = errno;
    if (file >= 0)
        close(file);
    errno = error;
    return written ? 0 : -1;
}

/* Writes it under another name, and gives it its own: over the old one, or only where there is none. */
static int put(int directory, const char *name, const struct cursor *cursor, bool replace,
               struct reason *reason) {
    char path[CURSOR_PATH_SIZE], beside[CURSOR_PATH_SIZE], suffix[24];
    char *text = malloc(CURSOR_TEXT_LIMIT);
    path_of(name, "", path);
    snprintf(suffix, sizeof suffix, ".%ld.new", (long)getpid());
    path_of(name, suffix, beside);
    int result = text != NULL ? make_directory(directory, reason)
                              : fail(reason, ERROR_TROUBLE, "no memory for a cursor");
    if (result == 0 && write_text(directory, beside, text, compose(cursor, text, CURSOR_TEXT_LIMIT)) != 0)
        result = fail(reason, ERROR_TROUBLE, "cannot write %s: %s", path, strerror(errno));
    free(text);
    if (result != 0)
        return result;
    bool named = replace ? renameat(directory, beside, directory, path) == 0
                         : linkat(directory, beside, directory, path, 0) == 0 || errno == EEXIST;
    if (!named || !sync_directory(directory))
        result = fail(reason, ERROR_TROUBLE, "cannot write %s: %s", path, strerror(errno));
    if (!replace || !named)
        unlinkat(directory, beside, 0);
    return result;
}

int cursor_write(int directory, const char *name, const struct cursor *cursor, struct reason *reason) {
    return put(directory, name, cursor, true, reason);
}

/* ---- where to begin ---- */

/* Behind the last whole line of the newest segment: what follows it is a torn tail, and will be cut off. */
static int find_end(int directory, struct place *end, struct reason *reason) {
    int32_t first;
    struct stat status;
    int found = segment_range(directory, 0, DAY_MAX, &first, &end->day, reason);
    if (found <= 0)
        return found;
    int file = segment_open(directory, end->day, false, reason);
    if (file < 0)
        return ERROR_TROUBLE;
    int result = fstat(file, &status) == 0
                     ? append_end(file, (uint64_t)status.st_size, &end->offset, reason)
                     : fail(reason, ERROR_TROUBLE, "cannot examine the newest segment: %s", strerror(errno));
    close(file);
    return result == 0 ? 1 : result;
}

int cursor_end(struct directory *directory, struct place *end, const struct deadline *deadline,
               struct reason *reason) {
    int result = directory_lock(directory, deadline, reason);
    if (result < 0)
        return result;
    result = find_end(directory->file, end, reason);
    directory_unlock(directory);
    return result;
}

int cursor_create(struct directory *directory, const char *name, const struct deadline *deadline,
                  struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    path_of(name, "", path);
    if (directory->file >= 0 && faccessat(directory->file, path, F_OK, 0) == 0)
        return 0;
    struct cursor *cursor = calloc(1, sizeof *cursor);
    if (cursor == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory for a cursor");
    int result = cursor_end(directory, &cursor->place, deadline, reason);
    if (result == 0) /* no segment yet: whatever comes is behind the first day */
        cursor->place = (struct place){0};
    if (result >= 0)
        result = put(directory->file, name, cursor, false, reason);
    free(cursor);
    return result;
}

/* ---- locks ---- */

int cursor_open_lock(int directory, const char *name, struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    int result = make_directory(directory, reason);
    if (result != 0)
        return result;
    path_of(name, ".lock", path);
    int file = openat(directory, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return file >= 0 ? file : fail(reason, ERROR_TROUBLE, "cannot open %s: %s", path, strerror(errno));
}

static struct flock byte(short type, enum cursor_lock which) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1};
}

int cursor_lock(int file, enum cursor_lock which, bool wait, struct reason *reason) {
    struct flock lock = byte(F_WRLCK, which);
    int result;
    do
        result = fcntl(file, wait ? F_SETLKW : F_SETLK, &lock);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return 0;
    if (!wait && (errno == EACCES || errno == EAGAIN))
        return fail(reason, ERROR_TIMEOUT, "another process holds the lock");
    return fail(reason, ERROR_TROUBLE, "cannot lock a cursor: %s", strerror(errno));
}

void cursor_unlock(int file, enum cursor_lock which) {
    struct flock lock = byte(F_UNLCK, which);
    (void)fcntl(file, F_SETLK, &lock);
}

int cursor_holder(int file, enum cursor_lock which) {
    struct flock lock = byte(F_WRLCK, which);
    return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? (lock.l_pid > 0 ? lock.l_pid : 1) : 0;
}
