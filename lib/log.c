/* logfmt: key=value pairs, values quoted unless they are plain. A line is written with one call, so that the
 * lines of several processes do not mix; it is as long as a pipe takes whole (PIPE_BUF) at most. */
#include "log.h"

#include "quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 4096
#define VALUE_SIZE 640 /* of one quoted value */

struct line {
    char text[LINE_SIZE];
    size_t used;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int wide = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
    va_end(arguments);
    if (wide > 0 && (size_t)wide < sizeof line->text - line->used)
        line->used += (size_t)wide;
}

static void add_value(struct line *line, const char *name, const char *value) {
    char quoted[VALUE_SIZE];
    if (value == NULL || value[0] == '\0')
        return;
    quote(quoted, sizeof quoted, value, strlen(value));
    add(line, " %s=%s", name, quoted);
}

static void finish(struct line *line) {
    line->text[line->used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line->text, line->used);
    (void)written; /* a log that cannot be written is no reason to refuse a delivery */
}

void log_answer(enum log_level level, const struct log_answer *answer) {
    struct line line = {.used = 0};
    int is_problem = answer->status < 200 || answer->status > 299;
    if (level == LOG_OFF || (level == LOG_PROBLEMS && !is_problem))
        return;
    add(&line, "doorpost level=%s status=%d verdict=%s", is_problem ? "problem" : "info", answer->status,
        answer->verdict);
    add_value(&line, "cause", answer->cause);
    if (answer->event != NULL) {
        add_value(&line, "event_id", answer->event->id);
        add_value(&line, "type", answer->event->type);
        add_value(&line, "device", answer->event->device);
        add_value(&line, "account", answer->event->account);
    }
    add_value(&line, "key", answer->key);
    if (answer->seq != 0)
        add(&line, " seq=%llu", (unsigned long long)answer->seq);
    add(&line, " batch=%zu us=%lld", answer->batch, (long long)answer->spent);
    finish(&line);
}

void log_warning(enum log_level level, const char *cause) {
    struct line line = {.used = 0};
    if (level == LOG_OFF)
        return;
    add(&line, "doorpost level=warning");
    add_value(&line, "cause", cause);
    finish(&line);
}
