#include "lag.h"

#include "waiting.h"

static void count_waiting(void *context, const struct item *item) {
    struct lag *lag = context;
    lag->waiting++;
    lag->retrying += item->attempts > 0;
    if (lag->first.day == 0 || item->position.day < lag->first.day ||
        (item->position.day == lag->first.day && item->position.offset < lag->first.offset))
        lag->first = item->position;
}

/* Counts the events after the position that the consumer has not finished. */
static int count_rest(struct lines *lines, const struct cursor *cursor, bool forwards, struct lag *lag) {
    const struct filter all = {.since = INT64_MIN, .until = INT64_MAX};
    int result;
    bool again = forwards && !lag->resume.holds;
    struct position from = {0};
    if (!again)
        from = lag->resume.mark.position;
    lines_start(lines, from);
    while (!lines->empty && (result = lines_next(lines, &all)) != 0) {
        if (result < 0)
            return STATUS_PROBLEM;
        if (!forwards && (!resume_is_new(&lag->resume, &lines->record, lines->position.day) ||
                          (!lag->resume.reused && cursor_has_done(cursor, lines->record.seq))))
            continue;
        if (lag->events++ == 0 || lag->since == 0)
            lag->since = lines->received_at;
    }
    return STATUS_DONE;
}

int lag_measure(struct lines *lines, const char *name, const struct cursor *cursor, bool forwards,
                struct lag *lag) {
    const struct filter all = {.since = INT64_MIN, .until = INT64_MAX};
    struct reason reason = {""};
    *lag = (struct lag){.position = cursor->mark.position};
    if (resume_find(lines->directory.fd, cursor, &lag->resume, &reason) != 0 ||
        waiting_each(lines->directory.fd, name, count_waiting, lag, &reason) < 0)
        return problem("%s", reason.text);
    if (lag->position.offset == 0 && lag->position.day < lag->resume.first) /* before the first line */
        lag->position.day = lag->resume.first;
    lag->events = lag->waiting;
    lag->retrying += cursor->retry_count;
    if (lag->waiting > 0 && (lines_start(lines, lag->first), lines_next(lines, &all)) > 0)
        lag->since = lines->received_at;
    int status = count_rest(lines, cursor, forwards, lag);
    lag->seconds = lag->since > 0 ? (timestamp_now() - lag->since) / SECOND : 0;
    return status;
}
