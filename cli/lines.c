/* A filtered walk through the journal, or the events of the stream. The last lines of a journal are found by
 * reading back from the end in growing windows, so that a long journal is not read in full. */
#include "lines.h"

#include "events.h"
#include "hole.h"
#include "lines_stream.h"
#include "segment.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAMAGE_REPORTS 3 /* damaged lines */
#define WINDOW 65536

void filter_start(struct filter *filter) {
    int64_t now = timestamp_now();
    filter->since = INT64_MIN;
    filter->until = INT64_MAX;
    if (filter->since_text != NULL && when_parse(filter->since_text, filter->utc, now, &filter->since) != 0)
        usage_error("--since must be a time such as \"2026-11-23 08:00\", yesterday, \"2 hours ago\" or 8d, "
                    "not \"%s\"",
                    filter->since_text);
    if (filter->until_text != NULL && when_parse(filter->until_text, filter->utc, now, &filter->until) != 0)
        usage_error("--until must be a time such as \"2026-11-23 08:00\", yesterday, \"2 hours ago\" or 8d, "
                    "not \"%s\"",
                    filter->until_text);
    if (filter->since >= filter->until)
        usage_error("--since must be before --until");
}

static bool wanted(const struct filter *filter, const struct lines *lines) {
    const struct event *event = &lines->event;
    return lines->received_at >= filter->since && lines->received_at < filter->until &&
           list_has(&filter->devices, event->device) && list_has(&filter->accounts, event->account) &&
           list_has(&filter->types, event->type);
}

static struct lines *new_lines(void) {
    struct lines *lines = calloc(1, sizeof *lines);
    struct event_parser *parser = event_parser_new();
    if (lines == NULL || parser == NULL) {
        problem("out of memory");
        free(lines);
        event_parser_free(parser);
        return NULL;
    }
    lines->parser = parser;
    lines->walk.fd = lines->directory.fd = -1;
    return lines;
}

struct lines *lines_open(const char *path) {
    struct reason reason = {""};
    struct lines *lines = new_lines();
    if (lines == NULL)
        return NULL;
    lines->where = path;
    directory_start(&lines->directory, path);
    if (directory_open(&lines->directory, &reason) != 0) {
        problem("%s", reason.text);
        lines_close(lines);
        return NULL;
    }
    if (lines_refresh(lines) != 0) {
        lines_close(lines);
        return NULL;
    }
    return lines;
}

struct lines *lines_open_from(const struct settings *settings, const struct filter *filter, bool follow,
                              struct config *config) {
    struct lines *lines;
    if (settings->from == NULL) {
        if (settings_load(settings, NEED_JOURNAL, config) != STATUS_DONE)
            return NULL;
        lines = lines_open(config->journal);
        if (lines != NULL && follow)
            follow_start(&lines->follow, config->journal);
        if (lines != NULL)
            lines->following = follow;
        return lines;
    }
    if (settings->journal != NULL)
        usage_error("--from and --journal cannot be combined");
    lines = new_lines();
    if (lines != NULL && stream_open(lines, settings->from, filter, follow) != STATUS_DONE) {
        lines_close(lines);
        return NULL;
    }
    return lines;
}

void lines_close(struct lines *lines) {
    if (lines == NULL)
        return;
    if (lines->stream == NULL && lines->following)
        follow_end(&lines->follow);
    events_free(lines->stream);
    walk_end(&lines->walk);
    directory_close(&lines->directory);
    event_parser_free(lines->parser);
    free(lines);
}

int lines_refresh(struct lines *lines) {
    struct reason reason = {""};
    struct stat status;
    if (lines->stream != NULL)
        return stream_refresh(lines);
    if (fstat(lines->directory.fd, &status) == 0 && status.st_nlink == 0)
        return problem("the journal directory %s was deleted", lines->directory.path);
    int found = segment_range(lines->directory.fd, 0, DAY_MAX, &lines->first, &lines->last, &reason);
    if (found < 0)
        return problem("%s", reason.text);
    lines->empty = found == 0;
    if (!lines->empty)
        walk_until(&lines->walk, lines->last);
    return STATUS_DONE;
}

void lines_wait(struct lines *lines) {
    if (lines->stream != NULL)
        stream_wait(lines);
    else
        follow_wait(&lines->follow, -1);
}

void lines_start(struct lines *lines, struct position position) {
    lines->done = 0;
    lines->position = position;
    if (lines->stream != NULL) {
        events_start(lines->stream, (int64_t)position.offset);
        return;
    }
    walk_end(&lines->walk);
    walk_start(&lines->walk, lines->directory.fd, position, (struct chain_state){.known = false});
    walk_until(&lines->walk, lines->last);
}

static void report_damage(struct lines *lines) {
    char name[SEGMENT_NAME_SIZE];
    if (++lines->damaged > DAMAGE_REPORTS)
        return;
    if (lines->stream != NULL) {
        problem("event %" PRIu64
                " of the stream: skipped, because it is damaged; see `doorpost check --from`",
                lines->position.offset);
        return;
    }
    segment_name(lines->position.day, name);
    problem("%s, byte %" PRIu64 ": skipped a damaged line; see `doorpost check`", name,
            lines->position.offset);
}

static int journal_next(struct lines *lines, bool *damaged) {
    struct reason reason = {""};
    enum scan scan;
    int result = walk_next(&lines->walk, &scan, &lines->record, &lines->position, &reason);
    if (result <= 0)
        return result == 0 ? 0 : (problem("%s", reason.text), -1);
    *damaged = scan == SCAN_DAMAGED ||
               timestamp_parse(lines->record.received_at, TIMESTAMP_SIZE - 1, &lines->received_at) != 0;
    lines->done += *damaged ? 0 : lines->record.length + 1;
    return 1;
}

int lines_next(struct lines *lines, const struct filter *filter) {
    bool damaged;
    int result;
    while ((result = lines->stream != NULL ? stream_next(lines, &damaged) : journal_next(lines, &damaged)) >
           0) {
        const struct record *record = &lines->record;
        bool timely = lines->received_at >= filter->since && lines->received_at < filter->until;
        if (!damaged && !timely)
            continue;
        if (damaged ||
            event_parse(lines->parser, record->event, record->event_length, &lines->event, NULL) != 0) {
            report_damage(lines);
            continue;
        }
        if (wanted(filter, lines)) {
            lines->passed++;
            return 1;
        }
    }
    return result;
}

void lines_explain_empty(struct lines *lines) {
    char first[DAY_SIZE], last[DAY_SIZE];
    if (lines->passed > 0 || lines->damaged > 0)
        return;
    if (lines->stream != NULL) {
        stream_explain_empty(lines);
        return;
    }
    if (lines->empty) {
        explain_empty("No events in %s yet: send a test event with `doorpost doctor --url URL`.",
                      lines->directory.path);
        return;
    }
    day_format(lines->first, first);
    day_format(lines->last, last);
    explain_empty("No event matches; %s has events from %s to %s.", lines->directory.path, first, last);
}

int lines_since(struct lines *lines, const struct filter *filter, struct position *position) {
    if (lines->stream != NULL)
        return stream_since(lines, position);
    /* A line is never in a segment of an earlier day than it was received on. */
    int32_t day = filter->since < 0 ? 0 : timestamp_day(filter->since);
    *position = (struct position){.day = day > lines->first ? day : lines->first};
    return STATUS_DONE;
}

static uint64_t segment_size(const struct lines *lines, int32_t day) {
    char name[SEGMENT_NAME_SIZE];
    struct stat status;
    segment_name(day, name);
    return fstatat(lines->directory.fd, name, &status, 0) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t lines_length(const struct lines *lines, struct position from) {
    uint64_t size = 0;
    if (lines->stream != NULL)
        return (uint64_t)(events_last(lines->stream) + 1) - from.offset;
    for (int32_t day = from.day; !lines->empty && day <= lines->last; day++)
        size += segment_size(lines, day);
    return size;
}

int lines_size(struct lines *lines, uint64_t *bytes) {
    if (lines->stream != NULL)
        return stream_size(lines, bytes);
    *bytes = lines_length(lines, (struct position){.day = lines->first});
    return STATUS_DONE;
}

/* Returns the start of the first line at or after `offset`: the byte after a line break. */
static uint64_t line_start(const struct lines *lines, int32_t day, uint64_t offset) {
    char bytes[4096];
    if (offset == 0)
        return 0;
    int fd = segment_open(lines->directory.fd, day, false, NULL);
    ssize_t got = 0;
    const char *line_break = NULL;
    for (offset--; fd >= 0 && line_break == NULL; offset += (uint64_t)got) {
        offset = hole_end(fd, offset);
        got = pread(fd, bytes, sizeof bytes, (off_t)offset);
        if (got <= 0)
            break;
        line_break = memchr(bytes, '\n', (size_t)got);
        if (line_break != NULL)
            got = line_break + 1 - bytes;
    }
    if (fd >= 0)
        close(fd);
    return offset;
}

/* Counts the lines that pass the filter in one day, from offset `from` on; `ring` keeps the offsets of the
 * last `count` of them. */
static int count_in(struct lines *lines, const struct filter *filter, int32_t day, uint64_t from,
                    uint64_t *ring, uint64_t count, uint64_t *found) {
    int32_t last = lines->last;
    int result;
    *found = 0;
    lines->last = day;
    lines_start(lines, (struct position){.day = day, .offset = from});
    while ((result = lines_next(lines, filter)) > 0)
        if (count > 0)
            ring[(*found)++ % count] = lines->position.offset;
    lines->last = last;
    return result;
}

int lines_from_end(struct lines *lines, const struct filter *filter, int64_t wanted_count,
                   struct position *position) {
    uint64_t left = (uint64_t)wanted_count, found;
    struct position since;
    if (lines->stream != NULL)
        return stream_from_end(lines, left, position);
    (void)lines_since(lines, filter, &since);
    uint64_t *ring = calloc(left > 0 ? left : 1, sizeof *ring);
    uint64_t damaged = lines->damaged;
    int result = 0;
    if (ring == NULL)
        return problem("--lines %" PRId64 " is more than fits in memory", wanted_count);
    *position = since;
    lines->damaged = DAMAGE_REPORTS; /* these are reported when they are printed */
    for (int32_t day = lines->last; (left > 0 || day == lines->last) && day >= since.day && result == 0;
         day--) {
        uint64_t size = segment_size(lines, day);
        found = 0;
        for (uint64_t window = WINDOW; size > 0 && result == 0; window *= 8) {
            uint64_t from = line_start(lines, day, window < size ? size - window : 0);
            result = count_in(lines, filter, day, from, ring, left, &found);
            if (found >= left || from == 0)
                break;
        }
        if (day == lines->last) /* after the last line that is complete now */
            *position = size > 0 ? walk_position(&lines->walk) : (struct position){.day = day};
        if (left > 0 && found > 0) {
            *position = (struct position){.day = day, .offset = found >= left ? ring[found % left] : ring[0]};
            left -= found < left ? found : left;
        }
    }
    lines->damaged = damaged;
    free(ring);
    return result == 0 ? STATUS_DONE : STATUS_PROBLEM;
}
