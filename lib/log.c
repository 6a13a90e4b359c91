/* logfmt: key=value pairs, values quoted unless plain. Each line is one write of at most PIPE_BUF bytes,
 * so lines of several processes do not mix.
 *
 * Standard error is whatever the web server made it. A file may have been rotated, so its name is looked
 * up again. A pipe, socket or terminal may have no reader, so it is polled before each write, and a write
 * that still blocks, because other processes write there too, is interrupted. O_NONBLOCK is no option: all
 * sharers of the description would be affected. */
#define _GNU_SOURCE
#include "log.h"

#include "interrupt.h"
#include "quote.h"
#include "timestamp.h"
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINE_SIZE 4096
#define VALUE_SIZE 640 /* bytes of one quoted value */
#define CAUSES 16      /* counted separately; when full, the oldest count is written early */

struct line {
    char text[LINE_SIZE];
    size_t used;
};

/* Held by the public functions: the door page's threads share what follows. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- standard error ---- */

static struct {
    enum { TARGET_UNKNOWN, TARGET_NOWHERE, TARGET_FILE, TARGET_STREAM } kind;
    char name[PATH_MAX]; /* of a TARGET_FILE, or "" */
    struct stat status;
    unsigned long dropped;
} target;

static char held[LOG_HELD];
static size_t held_length;

static void classify_standard_error(void) {
    bool known = fstat(STDERR_FILENO, &target.status) == 0;
    bool is_null =
        known && S_ISCHR(target.status.st_mode) && target.status.st_rdev == makedev(1, 3); /* /dev/null */
    target.kind = !known || is_null                ? TARGET_NOWHERE
                  : S_ISREG(target.status.st_mode) ? TARGET_FILE
                                                   : TARGET_STREAM;
    ssize_t length =
        target.kind != TARGET_FILE ? 0 : readlink("/proc/self/fd/2", target.name, sizeof target.name - 1);
    target.name[length > 0 && target.name[0] == '/' ? length : 0] = '\0';
}

/* After logrotate, the name refers to another file, which is now the log. A missing file is ignored, and
 * root does not follow a name that another user could have created. */
static void follow_name(void) {
    struct stat now;
    if (target.name[0] == '\0' || lstat(target.name, &now) != 0 || !S_ISREG(now.st_mode) ||
        (now.st_ino == target.status.st_ino && now.st_dev == target.status.st_dev) ||
        (geteuid() == 0 && trust_path(target.name, 0, NULL) != 0))
        return;
    int fd = open(target.name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &now) == 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO)
        target.status = now;
    close(fd);
}

static bool write_stream(const char *text, size_t length) {
    struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&stream, 1, 0) != 1 || !(stream.revents & POLLOUT))
        return false;
    interrupt_start();
    ssize_t written = write(STDERR_FILENO, text, length);
    interrupt_stop();
    return written > 0;
}

static bool hold(const char *text, size_t length) {
    if (held_length + length > sizeof held)
        return false;
    memcpy(held + held_length, text, length);
    held_length += length;
    return true;
}

static bool deliver(const char *text, size_t length) {
    if (target.kind == TARGET_UNKNOWN)
        classify_standard_error();
    switch (target.kind) {
    case TARGET_FILE:
        follow_name();
        return write(STDERR_FILENO, text, length) > 0;
    case TARGET_STREAM:
        return write_stream(text, length);
    case TARGET_NOWHERE:
    case TARGET_UNKNOWN:
        break;
    }
    return hold(text, length);
}

size_t log_take(char *out, size_t size) {
    pthread_mutex_lock(&mutex);
    size_t length = held_length < size ? held_length : size;
    if (length < held_length) {
        const char *line_break = memrchr(held, '\n', length);
        length = line_break != NULL ? (size_t)(line_break + 1 - held) : 0;
    }
    memcpy(out, held, length);
    held_length -= length;
    memmove(held, held + length, held_length);
    pthread_mutex_unlock(&mutex);
    return length;
}

/* ---- lines ---- */

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < sizeof line->text - line->used)
        line->used += (size_t)length;
}

static void add_value(struct line *line, const char *name, const char *value) {
    char quoted[VALUE_SIZE];
    if (value == NULL || value[0] == '\0')
        return;
    quote(quoted, sizeof quoted, value, strlen(value));
    add(line, " %s=%s", name, quoted);
}

static void start(struct line *line, const char *level) {
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    line->used = 0;
    add(line, "doorpost time=%s level=%s", now, level);
}

/* A delivery is not refused because the log cannot be written. */
static void finish(struct line *line) {
    struct line note;
    line->text[line->used++] = '\n';
    if (target.dropped > 0) {
        start(&note, "warning");
        add(&note, " cause=\"standard error was not read: lines were dropped\" dropped=%lu\n",
            target.dropped);
        if (!deliver(note.text, note.used)) {
            target.dropped++;
            return;
        }
        target.dropped = 0;
    }
    target.dropped += !deliver(line->text, line->used);
}

/* ---- repeated lines ---- */

/* One line per second, in bursts of up to this many. */
#define BURST 3

static struct repeated {
    int status; /* 0: a warning */
    char cause[128];
    int64_t used_until;  /* each written line uses up one second */
    unsigned long count; /* lines counted but not written */
} causes[CAUSES];

static const char *level_of(int status) {
    return status == 0 || (status >= 400 && status <= 499) ? "warning" : status > 499 ? "error" : "info";
}

static void write_count(struct repeated *repeated) {
    struct line line;
    if (repeated->count == 0)
        return;
    start(&line, level_of(repeated->status));
    if (repeated->status != 0)
        add(&line, " status=%d", repeated->status);
    add_value(&line, "cause", repeated->cause);
    add(&line, " repeated=%lu", repeated->count);
    repeated->count = 0;
    finish(&line);
}

static bool may_write(const struct repeated *repeated, int64_t now) {
    return repeated->used_until - now <= (BURST - 1) * SECOND;
}

static struct repeated *find_cause(int status, const char *cause) {
    struct repeated *found = &causes[0];
    for (size_t i = 0; i < CAUSES; i++) {
        if (causes[i].status == status && strncmp(causes[i].cause, cause, sizeof found->cause - 1) == 0)
            return &causes[i];
        if (causes[i].used_until < found->used_until)
            found = &causes[i];
    }
    write_count(found);
    *found = (struct repeated){.status = status};
    snprintf(found->cause, sizeof found->cause, "%s", cause);
    return found;
}

/* Returns true if the line must not be written: it was counted instead. */
static bool is_suppressed(int status, const char *cause) {
    int64_t now = monotonic_now();
    struct repeated *repeated = find_cause(status, cause);
    bool write = may_write(repeated, now);
    if (!write || repeated->count > 0)
        repeated->count++;
    if (!write)
        return true;
    repeated->used_until = (repeated->used_until > now ? repeated->used_until : now) + SECOND;
    bool counted = repeated->count > 0;
    write_count(repeated);
    return counted;
}

int64_t log_summarize(bool all) {
    int64_t now = monotonic_now(), next = INT64_MAX;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < CAUSES; i++) {
        struct repeated *repeated = &causes[i];
        if (repeated->count == 0)
            continue;
        int64_t due = repeated->used_until - (BURST - 1) * SECOND;
        if (all || due <= now) {
            repeated->used_until += SECOND;
            write_count(repeated);
        } else if (due < next) {
            next = due;
        }
    }
    pthread_mutex_unlock(&mutex);
    return next;
}

static void write_answer(const struct log_answer *answer, bool is_problem) {
    struct line line;
    if (is_problem && (answer->key == NULL || answer->key[0] == '\0') && answer->cause != NULL &&
        is_suppressed(answer->status, answer->cause))
        return;
    start(&line, level_of(answer->status));
    add(&line, " status=%d verdict=%s", answer->status, answer->disposition);
    add_value(&line, "cause", answer->cause);
    add_value(&line, "client", answer->client);
    if (answer->event != NULL) {
        add_value(&line, "event_id", answer->event->id);
        add_value(&line, "type", answer->event->type);
        add_value(&line, "device", answer->event->device);
        add_value(&line, "account", answer->event->account);
    }
    add_value(&line, "key", answer->key);
    if (answer->seq != 0)
        add(&line, " seq=%llu", (unsigned long long)answer->seq);
    add(&line, " batch=%zu us=%lld", answer->batch, (long long)answer->duration);
    finish(&line);
}

void log_answer(enum log_level level, const struct log_answer *answer) {
    bool is_problem = answer->status < 200 || answer->status > 299;
    if (level == LOG_OFF || (level == LOG_PROBLEMS && !is_problem))
        return;
    pthread_mutex_lock(&mutex);
    write_answer(answer, is_problem);
    pthread_mutex_unlock(&mutex);
}

static void write_message(const char *level, const char *cause) {
    struct line line;
    start(&line, level);
    add_value(&line, "cause", cause);
    finish(&line);
}

void log_warning(enum log_level level, const char *cause) {
    if (level == LOG_OFF)
        return;
    pthread_mutex_lock(&mutex);
    if (!is_suppressed(0, cause))
        write_message("warning", cause);
    pthread_mutex_unlock(&mutex);
}

void log_error(const char *cause) {
    pthread_mutex_lock(&mutex);
    write_message("error", cause);
    pthread_mutex_unlock(&mutex);
}
