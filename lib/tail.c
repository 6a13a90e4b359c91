/* A writer may have been killed at any time, the machine may have crashed, or a person may have edited the
 * file. So the end is examined again whenever the file's size or time differs from what this process left,
 * or another process knows of more lines. Usually that is one read of the last two lines. */
#define _GNU_SOURCE /* memrchr */
#include "tail.h"

#include "append.h"
#include "directory.h"
#include "event.h"
#include "hole.h"
#include "reader.h"
#include "regular.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_READ 4096 /* bytes read first from the end of a segment: usually more than two lines */
#define LINE_START "{\"seq\":"
#define DAMAGED "damaged"
#define COPY_SIZE 65536 /* bytes per call */
#define KEPT_MAX 1000   /* files kept from one offset */

/* The end of a segment while it is examined. */
struct end {
    int directory, fd;
    int32_t day;
    bool read_only;
    uint64_t size;
    char *text; /* the last `length` bytes of the segment, with room for one more */
    size_t length;
    uint64_t at;          /* the end of the last complete line */
    struct mark readable; /* the last readable line */
    struct chain_state chain;
};

static int read_end(struct end *end, size_t length, struct reason *reason) {
    end->length = length < end->size ? length : (size_t)end->size;
    char *text = realloc(end->text, end->length + 1);
    if (text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to read the journal");
    end->text = text;
    for (size_t filled = 0; filled < end->length;) {
        ssize_t got =
            pread(end->fd, text + filled, end->length - filled, (off_t)(end->size - end->length + filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FAIL(reason, ERROR_SYSTEM, "cannot read the end of the journal: %s",
                        got < 0 ? strerror(errno) : "the file is shorter than its size");
        filled += (size_t)got;
    }
    return 0;
}

/* Returns the index in the text at which the last line but one starts; 0 at the start of the segment; or
 * -1 if the text does not reach back that far. */
static ptrdiff_t start_of_scan(const struct end *end) {
    const char *at = end->text + end->length;
    for (int breaks = 0; breaks < 3; breaks++) {
        at = memrchr(end->text, '\n', (size_t)(at - end->text));
        if (at == NULL)
            return end->length == end->size ? 0 : -1;
    }
    return at + 1 - end->text;
}

/* Records a line that ends at `offset`, if it is readable. */
static void note_line(struct end *end, enum scan scan, const struct record *record, uint64_t offset) {
    if (scan != SCAN_RECORD && scan != SCAN_UNCHAINED)
        return;
    end->readable = (struct mark){.position = {.day = end->day, .offset = offset}, .seq = record->seq};
    memcpy(end->readable.chain, record->chain, CHAIN_SIZE - 1);
}

/* Scans the lines starting at index `start` of the text. */
static void scan_lines(struct end *end, size_t start) {
    struct record record;
    size_t used;
    enum scan scan;
    while ((scan = record_scan(end->text + start, end->length - start, &end->chain, &record, &used)) !=
           SCAN_INCOMPLETE) {
        start += used;
        note_line(end, scan, &record, end->size - end->length + start);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the text is freed with the end */
    end->at = end->size - end->length + start;
}

/* Reads the whole segment, up to its last line break, if the end is too damaged for a short read. */
static int scan_segment(struct end *end, struct reason *reason) {
    struct reader *reader = malloc(sizeof *reader);
    if (reader == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to read the journal");
    enum scan scan;
    struct record record;
    uint64_t offset;
    int result = append_end(end->fd, end->size, &end->at, reason);
    reader_start(reader, end->fd, 0, (struct chain_state){.known = false});
    while (result == 0 && reader_offset(reader) < end->at) {
        int got = reader_next(reader, &scan, &record, &offset, reason);
        if (got > 0)
            note_line(end, scan, &record, reader_offset(reader));
        else
            result = got < 0 ? got : FAIL(reason, ERROR_SYSTEM, "a segment changed while being read");
    }
    end->chain = reader_chain(reader);
    free(reader);
    return result;
}

/* Finds the end of the last complete line, and the chain state there. */
static int find_end(struct end *end, struct reason *reason) {
    struct stat status;
    ptrdiff_t start = -1;
    if (fstat(end->fd, &status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot stat a segment: %s", strerror(errno));
    end->size = (uint64_t)status.st_size;
    for (size_t length = FIRST_READ; start < 0; length *= 4) {
        int result = read_end(end, length, reason);
        if (result != 0)
            return result;
        start = start_of_scan(end);
        if (start < 0 && end->length > 3 * RECORD_LIMIT)
            break;
    }
    if (start >= 0)
        scan_lines(end, (size_t)start);
    return start < 0 || (start > 0 && !end->chain.known) ? scan_segment(end, reason) : 0;
}

/* Returns true if the record has a complete event; that of a truncated line ends early. */
static bool holds_event(const struct record *record) {
    static struct event event;
    struct event_parser *parser = event_parser_new();
    bool whole =
        parser != NULL && event_parse(parser, record->event, record->event_length, &event, NULL) == 0;
    event_parser_free(parser);
    return whole;
}

/* Returns the end of the last complete line after the last line break, or 0 if there is none, and advances
 * end->chain over it. Usually it is the only one and lacks only its line break. */
static size_t find_whole(struct end *end, char *rest, size_t length) {
    struct chain_state chain = end->chain;
    struct record record;
    size_t whole = 0;
    rest[length] = '\n';
    for (size_t start = 0, used; start < length; start += used) {
        enum scan scan = record_scan(rest + start, length + 1 - start, &chain, &record, &used);
        if ((scan == SCAN_RECORD || scan == SCAN_UNCHAINED) && holds_event(&record)) {
            whole = (size_t)(record.line + record.length - rest);
            end->chain = chain;
        }
    }
    return whole;
}

bool tail_is_torn(const char *rest, size_t length) {
    size_t start = sizeof LINE_START - 1;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)rest[i] < ' ' && rest[i] != '\t')
            return false;
    return memcmp(rest, LINE_START, length < start ? length : start) == 0;
}

/* Copies the bytes to be cut off to a new file, or compares them with an existing one. Returns 1; 0 if the
 * file holds something else; or -1. */
static int copy_rest(const struct end *end, int to, bool is_new) {
    static char bytes[COPY_SIZE], kept[COPY_SIZE];
    struct stat status;
    ssize_t got = 0, have;
    if (fstat(to, &status) != 0)
        return -1;
    if ((uint64_t)status.st_size > end->size - end->at)
        return 0;
    for (uint64_t at = end->at; (at = hole_end(end->fd, at)) < end->size; at += (uint64_t)got) {
        got = pread(end->fd, bytes, sizeof bytes, (off_t)at);
        have = is_new ? 0 : pread(to, kept, sizeof kept, (off_t)(at - end->at));
        if (got <= 0 || have < 0)
            return -1;
        if (memcmp(bytes, kept, (size_t)(have < got ? have : got)) != 0)
            return 0;
        is_new |= have < got; /* an earlier attempt stopped here */
        if (have < got && pwrite(to, bytes, (size_t)got, (off_t)(at - end->at)) != got)
            return -1;
    }
    /* The copy may end with a hole. */
    return ftruncate(to, (off_t)(end->size - end->at)) == 0 && fsync(to) == 0 ? 1 : -1;
}

/* Saves the bytes to be cut off under a name made of day and offset and, if other bytes were saved from
 * there before, a number. */
static int save_as(const struct end *end, int directory, char *name, size_t size) {
    char day[DAY_SIZE];
    int result = 0;
    day_format(end->day, day);
    for (int times = 1; result == 0 && times <= KEPT_MAX; times++) {
        int length = snprintf(name, size, "%s-%" PRIu64, day, end->at);
        if (times > 1)
            snprintf(name + length, size - (size_t)length, ".%d", times);
        int fd = regular_open(directory, name, O_RDWR | O_CREAT | O_EXCL, NULL);
        bool is_new = fd >= 0;
        if (!is_new && errno == EEXIST)
            fd = regular_open(directory, name, O_RDWR, NULL);
        if (fd < 0 && errno != EACCES) /* EACCES: the file is another user's */
            return -1;
        result = fd >= 0 ? copy_rest(end, fd, is_new) : 0;
        if (fd >= 0)
            close(fd);
    }
    return result > 0 ? 0 : -1;
}

static int save_rest(const struct end *end, struct reason *warning, struct reason *reason) {
    char day[DAY_SIZE], name[DAY_SIZE + 32] = "";
    day_format(end->day, day);
    int directory = directory_open_subdirectory(end->directory, DAMAGED, true, reason);
    if (directory < 0)
        return directory;
    bool kept = save_as(end, directory, name, sizeof name) == 0 && fsync(directory) == 0 &&
                fsync(end->directory) == 0;
    int result =
        kept ? 0
             : FAIL(reason, ERROR_SYSTEM, "cannot save the damaged end of the journal as " DAMAGED "/%s: %s",
                    name, strerror(errno));
    close(directory);
    explain(warning,
            "%s.jsonl: %" PRIu64 " bytes at its end are not a complete line, and were moved to " DAMAGED
            "/%s; run `doorpost check`",
            day, end->size - end->at, name);
    return result;
}

/* Returns true if the last complete line is the last known one and has the highest known number: then
 * nothing after it was acknowledged. */
static bool is_last_known(const struct end *end, const struct mark *known) {
    if (known == NULL || known->position.day == 0 || known->seq > end->chain.seq + end->chain.damaged)
        return false;
    return known->position.day == end->day ? known->position.offset == end->at
                                           : known->position.day < end->day && end->at == 0;
}

/* Completes, saves or cuts off what follows the last complete line. */
static int repair_tail(struct end *end, const struct mark *known, struct reason *warning,
                       struct reason *reason) {
    uint64_t rest = end->size - end->at;
    char *text = rest <= end->length ? end->text + end->length - rest : NULL;
    if (rest == 0 || end->read_only)
        return 0;
    bool torn = text != NULL && is_last_known(end, known) && tail_is_torn(text, (size_t)rest);
    size_t whole = text != NULL ? find_whole(end, text, (size_t)rest) : 0;
    bool only_break = whole > 0 && rest - whole <= 1; /* the line break is missing or altered */
    end->at += whole;
    int result = only_break || (torn && whole == 0) ? 0 : save_rest(end, warning, reason);
    if (result == 0 && ftruncate(end->fd, (off_t)end->at) != 0)
        result =
            FAIL(reason, ERROR_SYSTEM, "cannot truncate the torn end of the journal: %s", strerror(errno));
    if (result == 0 && whole > 0 && pwrite(end->fd, "\n", 1, (off_t)end->at++) != 1)
        result =
            FAIL(reason, ERROR_SYSTEM, "cannot complete the last line of the journal: %s", strerror(errno));
    return result;
}

/* Finds the end of a segment and repairs it. A day without a readable line continues the chain of earlier
 * days. */
static int find_and_repair(struct end *end, const struct mark *known, struct reason *warning,
                           struct reason *reason) {
    int result = find_end(end, reason);
    if (result == 0 && !end->chain.known) {
        uint64_t damaged = end->chain.damaged;
        result = tail_chain_before(end->directory, end->day, &end->chain, warning, reason);
        end->chain.damaged += damaged;
    }
    return result == 0 ? repair_tail(end, known, warning, reason) : result;
}

int tail_chain_before(int directory, int32_t day, struct chain_state *chain, struct reason *warning,
                      struct reason *reason) {
    struct end end = {.directory = directory};
    int32_t first;
    int found = day > 0 ? segment_range(directory, 0, day - 1, &first, &end.day, reason) : 0;
    *chain = chain_start();
    if (found <= 0)
        return found;
    end.fd = segment_open_either(directory, end.day, &end.read_only, reason);
    if (end.fd < 0)
        return ERROR_SYSTEM;
    int result = find_and_repair(&end, NULL, warning, reason);
    close(end.fd);
    free(end.text);
    *chain = end.chain;
    return result;
}

int tail_mark(int directory, int32_t day, struct mark *mark, struct reason *reason) {
    struct end end = {.directory = directory, .day = day};
    end.fd = segment_open(directory, day, false, reason);
    if (end.fd < 0)
        return end.fd == ERROR_INVALID ? 0 : end.fd;
    int result = find_end(&end, reason);
    *mark = end.readable;
    mark->position.day = day;
    close(end.fd);
    free(end.text);
    return result == 0 ? 1 : result;
}

/* Visits one file. Its first bytes show whether it is a torn line. */
static int visit_damaged(int directory, const char *name,
                         void (*visit)(void *context, const char *name, uint64_t bytes, bool torn),
                         void *context) {
    char text[512];
    struct stat status;
    int fd = regular_open(directory, name, O_RDONLY, NULL);
    ssize_t got = fd >= 0 && fstat(fd, &status) == 0 ? pread(fd, text, sizeof text, 0) : -1;
    if (got >= 0)
        visit(context, name, (uint64_t)status.st_size, tail_is_torn(text, (size_t)got));
    if (fd >= 0)
        close(fd);
    return got >= 0;
}

int tail_each_damaged(int directory,
                      void (*visit)(void *context, const char *name, uint64_t bytes, bool torn),
                      void *context, struct reason *reason) {
    int count = 0;
    const struct dirent *entry;
    DIR *stream = directory_list(directory, DAMAGED);
    if (stream == NULL)
        return errno == ENOENT ? 0
                               : FAIL(reason, ERROR_SYSTEM, "cannot open " DAMAGED "/: %s", strerror(errno));
    while ((entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.')
            count += visit_damaged(dirfd(stream), entry->d_name, visit, context);
    closedir(stream);
    return count;
}

/* ---- the newest segment ---- */

void tail_close(struct tail *tail) {
    if (tail->fd >= 0)
        close(tail->fd);
    tail->fd = -1;
}

static int examine(struct tail *tail, int directory, const struct mark *known, struct reason *reason) {
    struct end end = {.directory = directory, .fd = tail->fd, .day = tail->day, .read_only = tail->read_only};
    uint64_t known_end = known->position.day == tail->day ? known->position.offset : 0;
    int result = find_and_repair(&end, known, &tail->warning, reason);
    free(end.text);
    if (result != 0)
        return result;
    uint64_t given = end.chain.seq + end.chain.damaged;
    if (known->seq > given) {
        char day[DAY_SIZE];
        day_format(tail->day, day);
        if (tail->warning.text[0] == '\0' && known_end > end.at)
            explain(&tail->warning,
                    "%s.jsonl: stored lines, up to number %" PRIu64
                    ", are missing at its end; their numbers are not reused",
                    day, known->seq);
        end.chain.damaged = known->seq - end.chain.seq;
    }
    tail->end = end.at;
    tail->chain = end.chain;
    return 0;
}

/* Opens the segment that has the name now. */
static int open_tail(struct tail *tail, int directory, int32_t day, struct reason *reason) {
    tail_close(tail);
    int fd = segment_open_either(directory, day, &tail->read_only, reason);
    if (fd < 0)
        return fd;
    tail->fd = fd;
    tail->day = day;
    tail->end = UINT64_MAX;
    if (fstat(fd, &tail->status) == 0)
        return 0;
    return FAIL(reason, ERROR_SYSTEM, "cannot stat the newest segment: %s", strerror(errno));
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Returns true if the file was not written to since it was examined: size and time are unchanged, and the
 * last known line is the one this process found there. (The file may have been cut and have grown again
 * within one clock tick.) */
static bool is_as_left(const struct tail *tail, const struct stat *now, const struct mark *known) {
    return same_time(&now->st_mtim, &tail->status.st_mtim) && (uint64_t)now->st_size == tail->end &&
           known->seq <= tail->chain.seq + tail->chain.damaged &&
           (known->position.day == 0 ||
            (known->position.day == tail->day && known->position.offset == tail->end &&
             memcmp(known->chain, tail->chain.recorded, CHAIN_SIZE) == 0));
}

int tail_find(struct tail *tail, int directory, int32_t day, const struct mark *known,
              struct reason *reason) {
    struct stat named;
    char name[SEGMENT_NAME_SIZE];
    int result = 0;
    segment_name(day, name);
    tail->warning.text[0] = '\0';
    bool same = tail->fd >= 0 && tail->day == day && fstatat(directory, name, &named, 0) == 0 &&
                named.st_ino == tail->status.st_ino && named.st_dev == tail->status.st_dev;
    if (!same)
        result = open_tail(tail, directory, day, reason);
    else if (!is_as_left(tail, &named, known)) {
        tail->status = named;
        tail->end = UINT64_MAX;
    }
    if (result == 0 && tail->end == UINT64_MAX)
        result = examine(tail, directory, known, reason);
    if (result != 0)
        tail_close(tail);
    return result;
}
