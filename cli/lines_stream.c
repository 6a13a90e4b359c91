/* Positions in a stream are numbers. While following, a problem with the database is a pause. */
#include "lines_stream.h"

#include "events.h"
#include "terminal.h"

#include <inttypes.h>

#define LOOK_EVERY SECOND /* a standby does not notify */
#define LONGEST_DELAY (5 * SECOND)

int stream_open(struct lines *lines, const char *where, const struct filter *filter, bool follow) {
    const struct selection selection = {
        .devices = filter->devices.item,
        .device_count = filter->devices.count,
        .accounts = filter->accounts.item,
        .account_count = filter->accounts.count,
        .types = filter->types.item,
        .type_count = filter->types.count,
        .since = filter->since,
        .until = filter->until,
    };
    struct reason reason = {""};
    lines->where = where;
    lines->stream = events_new(where, follow, &selection, &reason);
    if (lines->stream == NULL)
        usage_error("%s", reason.text);
    int status = stream_refresh(lines);
    lines->following = follow;
    lines->backoff.longest = LONGEST_DELAY;
    return status;
}

/* Returns `pause`, or prints the reason and returns STATUS_PROBLEM if not following. */
static int fail(struct lines *lines, const struct reason *reason, int pause) {
    if (!lines->following)
        return problem("%s", reason->text);
    backoff_start(&lines->backoff, reason, "; trying again");
    return pause;
}

int stream_refresh(struct lines *lines) {
    struct reason reason = {""};
    if (events_refresh(lines->stream, &reason) != 0)
        return fail(lines, &reason, STATUS_DONE);
    backoff_end(&lines->backoff);
    lines->empty = events_last(lines->stream) == 0;
    return STATUS_DONE;
}

void stream_wait(struct lines *lines) {
    struct reason reason = {""};
    int64_t pause = lines->backoff.again > 0 ? lines->backoff.again - monotonic_now() : LOOK_EVERY;
    if (events_wait(lines->stream, pause, &reason) == 0)
        return;
    (void)fail(lines, &reason, STATUS_DONE);
    (void)events_wait(lines->stream, lines->backoff.again - monotonic_now(), &reason);
}

int stream_next(struct lines *lines, bool *damaged) {
    struct reason reason = {""};
    struct stored stored;
    int result = events_next(lines->stream, &stored, &reason);
    if (result < 0)
        return fail(lines, &reason, 0) == 0 ? 0 : -1;
    if (result == 0)
        return 0;
    lines->done += (uint64_t)stored.number - lines->position.offset;
    lines->position = (struct position){.offset = (uint64_t)stored.number};
    lines->received_at = stored.received_at;
    lines->record = (struct record){
        .seq = (uint64_t)stored.seq,
        .key = stored.key,
        .signature = stored.signature,
        .event = stored.body,
        .event_length = stored.length,
        .verbatim = stored.verbatim,
    };
    *damaged = stored.received_at < 0 || stored.received_at / 1000 >= TIMESTAMP_END;
    return 1;
}

int stream_since(struct lines *lines, struct position *position) {
    struct reason reason = {""};
    int64_t first;
    if (events_range(lines->stream, &first, &reason) != 0)
        return problem("%s", reason.text);
    *position = (struct position){.offset = (uint64_t)first};
    return STATUS_DONE;
}

int stream_from_end(struct lines *lines, uint64_t count, struct position *position) {
    struct reason reason = {""};
    int64_t number;
    if (events_from_end(lines->stream, count, &number, &reason) != 0)
        return problem("%s", reason.text);
    *position = (struct position){.offset = (uint64_t)number};
    return STATUS_DONE;
}

void stream_explain_empty(struct lines *lines) {
    struct reason reason = {""};
    char first_day[DAY_SIZE], last_day[DAY_SIZE];
    int64_t first, last;
    if (lines->empty)
        explain_empty("No events in %s yet: doorpost forward, on each node, sends them there.", lines->where);
    else if (events_times(lines->stream, &first, &last, &reason) == 0) {
        day_format(timestamp_day(first), first_day);
        day_format(timestamp_day(last), last_day);
        explain_empty("No event matches; %s has events from %s to %s.", lines->where, first_day, last_day);
    }
}

int stream_size(struct lines *lines, uint64_t *bytes) {
    struct reason reason = {""};
    return events_size(lines->stream, bytes, &reason) == 0 ? STATUS_DONE : problem("%s", reason.text);
}
