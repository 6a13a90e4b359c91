#include "deliveries.h"

#include "reader.h"
#include "segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t clock_now = DAY_ONE;

static int64_t test_clock(void) {
    return clock_now;
}

int start_journal(void **state) {
    reset_disk();
    clock_now = DAY_ONE;
    return make_directory(state);
}

struct deadline distant_deadline(void) {
    return (struct deadline){.at = monotonic_now() + 60 * SECOND};
}

struct journal *open_journal(const char *path) {
    struct journal *journal = journal_new(path, FEW);
    assert_non_null(journal);
    journal_set_clock(journal, test_clock);
    return journal;
}

void append_pairs(struct journal *journal, const char *const pairs[][2], size_t count,
                  struct entry *entries) {
    static struct event events[JOURNAL_BATCH];
    static char bodies[JOURNAL_BATCH][512];
    struct entry *pointers[JOURNAL_BATCH];
    for (size_t i = 0; i < count; i++) {
        memset(&events[i], 0, sizeof events[i]);
        snprintf(events[i].request_id, EVENT_FIELD_SIZE, "%s", pairs[i][0]);
        snprintf(events[i].id, EVENT_FIELD_SIZE, "%s", pairs[i][1]);
        int length = snprintf(bodies[i], sizeof bodies[i],
                              "{\"meta\":{\"request_id\":\"%s\"},\"data\":{\"id\":\"%s\",\"type\":\"test\"}}",
                              pairs[i][0], pairs[i][1]);
        entries[i] = (struct entry){.body = bodies[i],
                                    .length = (size_t)length,
                                    .key = "9f86d081",
                                    .signature = SIGNATURE,
                                    .received_at = clock_now,
                                    .event = &events[i]};
        pointers[i] = &entries[i];
    }
    struct deadline deadline = distant_deadline();
    journal_append(journal, pointers, count, &deadline);
}

struct entry append_one(struct journal *journal, const char *request, const char *id) {
    struct entry entry;
    append_pairs(journal, (const char *const[][2]){{request, id}}, 1, &entry);
    return entry;
}

struct entry append_number(struct journal *journal, unsigned number) {
    char request[32], id[32];
    snprintf(request, sizeof request, "request-%u", number);
    snprintf(id, sizeof id, "event-%u", number);
    return append_one(journal, request, id);
}

void check_entry(struct entry entry, enum disposition disposition, uint64_t seq, const char *file, int line) {
    bool numbered = disposition == DISPOSITION_STORED || disposition == DISPOSITION_DUPLICATE;
    if (entry.disposition == disposition && (!numbered || entry.seq == seq))
        return;
    print_error("disposition %d, not %d; seq %llu, not %llu; %s\n", entry.disposition, disposition,
                (unsigned long long)entry.seq, (unsigned long long)seq, entry.reason.text);
    _fail(file, line);
}

void check_by_another(const char *path, unsigned number, enum disposition disposition, uint64_t seq) {
    struct journal *journal = open_journal(path);
    check(append_number(journal, number), disposition, seq);
    journal_free(journal);
}

void check_known(struct journal *journal, unsigned from, unsigned to) {
    for (unsigned i = from; i <= to; i++)
        check(append_number(journal, i), DISPOSITION_DUPLICATE, i);
}

/* ---- reading back ---- */

#define READ_MAX 20000 /* lines */

static struct taken {
    char *text[2 * READ_MAX];
    size_t count;
    uint64_t seq[READ_MAX];
} taken;

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Records the number and the identifiers of a line. */
static void take(struct event_parser *parser, const struct record *record, struct contents *contents) {
    static struct event event;
    unsigned number;
    char text[EVENT_FIELD_SIZE + 4];
    assert_true(taken.count < 2 * READ_MAX);
    if (event_parse(parser, record->event, record->event_length, &event, NULL) != 0) {
        contents->damaged++;
        return;
    }
    taken.seq[taken.count / 2] = record->seq;
    contents->lines++;
    contents->last = record->seq > contents->last ? record->seq : contents->last;
    if (sscanf(event.request_id, "request-%u", &number) == 1 && number < 64)
        contents->seq_of[number] = record->seq;
    snprintf(text, sizeof text, "r %s", event.request_id);
    taken.text[taken.count++] = strdup(text);
    snprintf(text, sizeof text, "e %s", event.id);
    taken.text[taken.count++] = strdup(text);
}

static void check_nothing_twice(void) {
    qsort(taken.text, taken.count, sizeof *taken.text, by_text);
    qsort(taken.seq, taken.count / 2, sizeof *taken.seq, by_number);
    for (size_t i = 1; i < taken.count; i++)
        if (strcmp(taken.text[i - 1], taken.text[i]) == 0)
            fail_msg("the identifier %s is in the journal twice", taken.text[i]);
    for (size_t i = 1; i < taken.count / 2; i++)
        if (taken.seq[i - 1] == taken.seq[i])
            fail_msg("the number %llu is in the journal twice", (unsigned long long)taken.seq[i]);
    for (size_t i = 0; i < taken.count; i++)
        free(taken.text[i]);
}

static void read_day(struct reader *reader, int fd, struct event_parser *parser, struct contents *contents) {
    enum scan scan;
    struct record record;
    uint64_t offset;
    reader_start(reader, fd, 0, reader_chain(reader));
    while (reader_next(reader, &scan, &record, &offset, NULL) == 1) {
        contents->damaged += scan == SCAN_DAMAGED;
        contents->unchained += scan == SCAN_UNCHAINED;
        if (scan == SCAN_DAMAGED)
            continue;
        take(parser, &record, contents);
    }
    while (reader_rest(reader, &scan, &record, &offset) == 1)
        if (scan != SCAN_DAMAGED)
            take(parser, &record, contents);
}

struct contents read_journal(const char *path) {
    struct reader *reader = malloc(sizeof *reader);
    struct event_parser *parser = event_parser_new();
    struct contents contents = {0};
    int directory = open(path, O_RDONLY | O_DIRECTORY);
    int32_t first = 0, last = -1;
    assert_non_null(reader);
    taken.count = 0;
    reader_start(reader, -1, 0, chain_start());
    assert_true(segment_range(directory, 0, DAY_MAX, &first, &last, NULL) >= 0);
    for (int32_t day = first; day <= last; day++) {
        int fd = segment_open(directory, day, false, NULL);
        if (fd >= 0)
            read_day(reader, fd, parser, &contents);
        if (fd >= 0)
            close(fd);
    }
    close(directory);
    event_parser_free(parser);
    free(reader);
    check_nothing_twice();
    return contents;
}

unsigned verify(const char *path) {
    struct contents contents = read_journal(path);
    assert_int_equal(contents.damaged, 0);
    assert_int_equal(contents.unchained, 0);
    return contents.lines;
}

/* ---- files ---- */

size_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (size_t)status.st_size : 0;
}

void add_bytes(const char *path, const void *bytes, size_t length) {
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

void run(const char *format, ...) {
    char command[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0)
        fail_msg("%s", command);
}

void erase_lines(const char *path, unsigned from, unsigned to) {
    size_t length;
    char *text = read_file(path, &length), *start = text;
    for (unsigned i = 0; i < from; i++)
        start = strchr(start, '\n') + 1;
    char *end = start;
    for (unsigned i = from; i <= to; i++)
        end = strchr(end, '\n') + 1;
    memmove(start, end, (size_t)(text + length - end));
    write_file(path, text, length - (size_t)(end - start), 0600);
    free(text);
}
