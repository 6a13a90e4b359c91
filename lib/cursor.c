/* cursors/NAME is one JSON object:
 *
 *   {"day":"2026-11-23","offset":8123,"seq":17,"chain":"<32 digits>",
 *    "received_at":"2026-11-23T12:00:00.123456Z",
 *    "done":[[19,24],[26,26]],"retry":[[18,2,1795420800]]}
 *
 * "seq", "chain" and "received_at" are those of the line that ends at the position, and validate it; cursors
 * from earlier releases have only "seq". Each "retry" has the number, the attempts so far, and when the next
 * one is due (seconds since 1970). "highest" is present if the journal has lost finished lines.
 *
 * The file is replaced atomically by renaming cursors/NAME.spare. cursors/NAME.lock is locked by the one
 * process that runs the consumer. */
#include "cursor.h"

#include "append.h"
#include "regular.h"
#include "replace.h"
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
#define RANGE_TEXT 48 /* upper bounds on each element's size in the file */
#define RETRY_TEXT 72
#define FIXED_TEXT 256
#define CURSOR_TEXT_LIMIT (CURSOR_RANGES * RANGE_TEXT + CURSOR_RETRIES * RETRY_TEXT + FIXED_TEXT)
#define NUMBER_LIMIT INT64_C(1000000000000000000) /* line numbers have at most 18 digits */

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

uint64_t cursor_highest(const struct cursor *cursor) {
    uint64_t highest = cursor->highest > cursor->mark.seq ? cursor->highest : cursor->mark.seq;
    for (size_t i = 0; i < cursor->done_count; i++)
        highest = cursor->done[i].last > highest ? cursor->done[i].last : highest;
    return highest;
}

static void path_of(const char *name, const char *suffix, char out[CURSOR_PATH_SIZE]) {
    snprintf(out, CURSOR_PATH_SIZE, "cursors/%s%s", name, suffix);
}

/* ---- reading ---- */

/* Reads an integer from `minimum` to NUMBER_LIMIT - 1. Returns false on anything else, which is damage. */
static bool take_number(struct json_object *value, int64_t minimum, uint64_t *out) {
    int64_t number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
    *out = (uint64_t)number;
    return number >= minimum && number < NUMBER_LIMIT;
}

/* Reads item `index` of an inner list. */
static bool take_item(struct json_object *list, size_t index, int64_t minimum, uint64_t *out) {
    return json_object_is_type(list, json_type_array) &&
           take_number(json_object_array_get_idx(list, index), minimum, out);
}

static bool is_text(struct json_object *value, size_t length) {
    return json_object_is_type(value, json_type_string) &&
           (size_t)json_object_get_string_len(value) == length;
}

static bool take_mark(struct json_object *text, struct mark *mark) {
    struct json_object *value;
    int64_t at;
    if (!json_object_object_get_ex(text, "day", &value) || !is_text(value, DAY_SIZE - 1) ||
        day_parse(json_object_get_string(value), DAY_SIZE - 1, &mark->position.day) != 0 ||
        !json_object_object_get_ex(text, "offset", &value) ||
        !take_number(value, 0, &mark->position.offset) || !json_object_object_get_ex(text, "seq", &value) ||
        !take_number(value, 0, &mark->seq))
        return false;
    if (json_object_object_get_ex(text, "chain", &value)) {
        if (!is_text(value, CHAIN_SIZE - 1) ||
            strspn(json_object_get_string(value), "0123456789abcdef") != CHAIN_SIZE - 1)
            return false;
        memcpy(mark->chain, json_object_get_string(value), CHAIN_SIZE);
    }
    if (json_object_object_get_ex(text, "received_at", &value)) {
        if (!is_text(value, TIMESTAMP_SIZE - 1) ||
            timestamp_parse(json_object_get_string(value), TIMESTAMP_SIZE - 1, &at) != 0)
            return false;
        memcpy(mark->received_at, json_object_get_string(value), TIMESTAMP_SIZE);
    }
    return true;
}

static bool take_lists(struct json_object *done, struct json_object *retry, struct cursor *cursor) {
    uint64_t attempts, due;
    cursor->done_count = json_object_array_length(done);
    cursor->retry_count = json_object_array_length(retry);
    if (cursor->done_count > CURSOR_RANGES || cursor->retry_count > CURSOR_RETRIES)
        return false;
    for (size_t i = 0; i < cursor->done_count; i++) {
        struct json_object *range = json_object_array_get_idx(done, i);
        if (!take_item(range, 0, 0, &cursor->done[i].first) ||
            !take_item(range, 1, (int64_t)cursor->done[i].first, &cursor->done[i].last))
            return false;
    }
    for (size_t i = 0; i < cursor->retry_count; i++) {
        struct json_object *entry = json_object_array_get_idx(retry, i);
        if (!take_item(entry, 0, 1, &cursor->retry[i].seq) || !take_item(entry, 1, 1, &attempts) ||
            attempts > INT32_MAX || !take_item(entry, 2, 0, &due))
            return false;
        cursor->retry[i].attempts = (int64_t)attempts;
        cursor->retry[i].due = (int64_t)due;
    }
    return true;
}

static bool parse_members(struct json_object *text, struct cursor *cursor) {
    struct json_object *done, *retry, *highest;
    return json_object_is_type(text, json_type_object) && take_mark(text, &cursor->mark) &&
           (!json_object_object_get_ex(text, "highest", &highest) ||
            take_number(highest, 0, &cursor->highest)) &&
           json_object_object_get_ex(text, "done", &done) && json_object_is_type(done, json_type_array) &&
           json_object_object_get_ex(text, "retry", &retry) && json_object_is_type(retry, json_type_array) &&
           take_lists(done, retry, cursor);
}

static bool parse(const char *text, size_t length, struct cursor *cursor) {
    struct json_tokener *tokener = length < CURSOR_TEXT_LIMIT ? json_tokener_new() : NULL;
    if (tokener == NULL)
        return false;
    struct json_object *parsed = json_tokener_parse_ex(tokener, text, (int)length);
    size_t end = json_tokener_get_parse_end(tokener);
    bool valid =
        parsed != NULL && end + strspn(text + end, " \t\r\n") == length && parse_members(parsed, cursor);
    json_object_put(parsed);
    json_tokener_free(tokener);
    return valid;
}

int cursor_read(int directory, const char *name, struct cursor *cursor, struct reason *reason) {
    char path[CURSOR_PATH_SIZE], *text;
    size_t length;
    memset(cursor, 0, sizeof *cursor);
    path_of(name, "", path);
    int result = replace_read(directory, path, &text, &length, reason);
    if (result > 0 && !parse(text, length, cursor))
        result = FAIL(reason, ERROR_DAMAGED,
                      "%s is damaged: delete it, and choose where to start again with --from", path);
    free(text);
    return result;
}

int cursor_each(int directory, int (*visit)(void *context, const char *name), void *context,
                struct reason *reason) {
    DIR *stream = directory_list(directory, "cursors");
    if (stream == NULL)
        return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot open cursors/: %s", strerror(errno));
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (errno = 0, entry = readdir(stream)) != NULL)
        if (cursor_name_is_good(entry->d_name))
            result = visit(context, entry->d_name);
    if (result == 0 && errno != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot list cursors/: %s", strerror(errno));
    closedir(stream);
    return result;
}

/* ---- writing ---- */

/* Writes `,"NAME":"TEXT"`, or nothing if the text is empty. */
static size_t compose_text(char *out, size_t size, const char *name, const char *text) {
    return text[0] != '\0' ? (size_t)snprintf(out, size, ",\"%s\":\"%s\"", name, text) : 0;
}

static size_t compose(const struct cursor *cursor, char *out, size_t size) {
    char day[DAY_SIZE];
    const struct mark *mark = &cursor->mark;
    day_format(mark->position.day, day);
    size_t used = (size_t)snprintf(out, size, "{\"day\":\"%s\",\"offset\":%" PRIu64 ",\"seq\":%" PRIu64, day,
                                   mark->position.offset, mark->seq);
    used += compose_text(out + used, size - used, "chain", mark->chain);
    used += compose_text(out + used, size - used, "received_at", mark->received_at);
    if (cursor->highest > mark->seq)
        used += (size_t)snprintf(out + used, size - used, ",\"highest\":%" PRIu64, cursor->highest);
    used += (size_t)snprintf(out + used, size - used, ",\"done\":[");
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

/* Replaces the cursor, using the temporary file NAME.SUFFIX. */
static int replace(int directory, const char *name, const char *suffix, const struct cursor *cursor,
                   struct reason *reason) {
    char path[CURSOR_PATH_SIZE], spare[CURSOR_PATH_SIZE];
    char *text = malloc(CURSOR_TEXT_LIMIT);
    if (text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for a cursor");
    path_of(name, "", path);
    path_of(name, suffix, spare);
    int result = replace_prepare(directory, reason);
    if (result == 0)
        result =
            replace_write(directory, spare, path, text, compose(cursor, text, CURSOR_TEXT_LIMIT), reason);
    free(text);
    return result;
}

int cursor_reserve(int directory, const char *name, const struct cursor *cursor, size_t more,
                   struct reason *reason) {
    char spare[CURSOR_PATH_SIZE];
    path_of(name, ".spare", spare);
    int result = replace_prepare(directory, reason);
    if (result == 0)
        result = replace_reserve(directory, spare,
                                 FIXED_TEXT + (cursor->done_count + more) * RANGE_TEXT +
                                     (cursor->retry_count + more) * RETRY_TEXT,
                                 reason);
    return result;
}

int cursor_write(int directory, const char *name, const struct cursor *cursor, struct reason *reason) {
    return replace(directory, name, ".spare", cursor, reason);
}

void cursor_release(int directory, const char *name) {
    char spare[CURSOR_PATH_SIZE];
    path_of(name, ".spare", spare);
    unlinkat(directory, spare, 0);
}

/* ---- creating ---- */

int cursor_end_of_day(int directory, int32_t day, struct position *end, struct reason *reason) {
    struct stat status;
    end->day = day;
    int fd = segment_open(directory, day, false, reason);
    if (fd < 0)
        return ERROR_SYSTEM;
    int result = fstat(fd, &status) == 0
                     ? append_end(fd, (uint64_t)status.st_size, &end->offset, reason)
                     : FAIL(reason, ERROR_SYSTEM, "cannot stat a segment: %s", strerror(errno));
    close(fd);
    return result;
}

static int find_end(int directory, struct position *end, struct reason *reason) {
    int32_t first, last;
    int result = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    if (result > 0 && cursor_end_of_day(directory, last, end, reason) != 0)
        return ERROR_SYSTEM;
    return result;
}

int cursor_end(struct directory *directory, struct position *end, const struct deadline *deadline,
               struct reason *reason) {
    int result = directory_lock(directory, deadline, reason);
    if (result < 0)
        return result;
    result = find_end(directory->fd, end, reason);
    directory_unlock(directory);
    return result;
}

/* Returns 1, 0 or ERROR_SYSTEM. */
static int exists(int directory, const char *name, struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    struct stat status;
    path_of(name, "", path);
    if (fstatat(directory, path, &status, 0) == 0)
        return 1;
    return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot stat %s: %s", path, strerror(errno));
}

/* Called with the append lock, so that of two concurrent creators the second finds the first's cursor. */
static int create(int directory, const char *name, const struct cursor *start, struct reason *reason) {
    struct position end = {0}; /* kept if there is no segment: every later line is after it */
    int result = exists(directory, name, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    struct cursor *cursor = calloc(1, sizeof *cursor);
    if (cursor == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for a cursor");
    if (start != NULL)
        *cursor = *start;
    else if ((result = find_end(directory, &end, reason)) >= 0)
        result = mark_read(directory, end, &cursor->mark, reason);
    if (result >= 0)
        result = replace(directory, name, ".new", cursor, reason);
    if (result == 0 && fsync(directory) != 0) /* the creator of cursors/ may not have synced it */
        result = FAIL(reason, ERROR_SYSTEM, "cannot sync the journal directory after creating cursors/: %s",
                      strerror(errno));
    free(cursor);
    return result;
}

int cursor_create(struct directory *directory, const char *name, const struct cursor *start,
                  const struct deadline *deadline, struct reason *reason) {
    int result = directory->fd >= 0 ? exists(directory->fd, name, reason) : 0;
    if (result != 0)
        return result < 0 ? result : 0;
    result = directory_lock(directory, deadline, reason);
    if (result < 0)
        return result;
    result = create(directory->fd, name, start, reason);
    directory_unlock(directory);
    return result;
}

/* ---- locks ---- */

int cursor_open_lock(int directory, const char *name, struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    int result = replace_prepare(directory, reason);
    if (result != 0)
        return result;
    path_of(name, ".lock", path);
    int fd = regular_open(directory, path, O_RDWR | O_CREAT, reason);
    return fd < 0 ? ERROR_SYSTEM : fd;
}

int cursor_lock_is_current(int directory, const char *name, int fd, struct reason *reason) {
    char path[CURSOR_PATH_SIZE];
    struct stat ours, named;
    path_of(name, ".lock", path);
    if (fstatat(directory, path, &named, 0) != 0)
        return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot stat %s: %s", path, strerror(errno));
    return fstat(fd, &ours) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static struct flock byte_lock(short type, enum cursor_lock which) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1};
}

int cursor_lock(int fd, enum cursor_lock which, bool wait, struct reason *reason) {
    struct flock lock = byte_lock(F_WRLCK, which);
    int result;
    do
        result = fcntl(fd, wait ? F_SETLKW : F_SETLK, &lock);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return 0;
    if (!wait && (errno == EACCES || errno == EAGAIN))
        return FAIL(reason, ERROR_TIMEOUT, "another process holds the lock");
    return FAIL(reason, ERROR_SYSTEM, "cannot lock the cursor: %s", strerror(errno));
}

void cursor_unlock(int fd, enum cursor_lock which) {
    struct flock lock = byte_lock(F_UNLCK, which);
    (void)fcntl(fd, F_SETLK, &lock);
}

int cursor_holder(int fd, enum cursor_lock which) {
    struct flock lock = byte_lock(F_WRLCK, which);
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? (lock.l_pid > 0 ? lock.l_pid : 1) : 0;
}
