/* Reads without the append lock: a line is only read once its line break is there.
 *
 * Events are read back from the end, line by line, because a page wants the newest few. */
#include "feed.h"

#include "directory.h"
#include "follow.h"
#include "mark.h"
#include "segment.h"
#include "tail.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct feed {
    const char *journal;
    pthread_mutex_t mutex; /* for all that follows */
    pthread_cond_t grown;
    struct directory directory;
    struct timespec listed; /* the directory's modification time when `last` was found */
    int32_t last;           /* the newest day; 0: none */
    uint64_t size;          /* of its segment */
    struct mark end;        /* of its last readable line; seq 0: none */
    struct event_parser *parser;
    char text[RECORD_LIMIT + 1];
};

struct feed *feed_new(const char *journal) {
    struct feed *feed = calloc(1, sizeof *feed);
    pthread_condattr_t attributes;
    if (feed == NULL || (feed->parser = event_parser_new()) == NULL) {
        free(feed);
        return NULL;
    }
    feed->journal = journal;
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->grown, &attributes);
    pthread_condattr_destroy(&attributes);
    directory_start(&feed->directory, journal);
    return feed;
}

void feed_free(struct feed *feed) {
    if (feed == NULL)
        return;
    directory_close(&feed->directory);
    event_parser_free(feed->parser);
    pthread_cond_destroy(&feed->grown);
    pthread_mutex_destroy(&feed->mutex);
    free(feed);
}

/* ---- the end of the journal ---- */

/* Opens the directory that has the name now. */
static int open_directory(struct feed *feed, struct stat *status, struct reason *reason) {
    if (stat(feed->journal, status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot open journal %.150s: %s", feed->journal, strerror(errno));
    if (feed->directory.fd >= 0 && feed->directory.status.st_dev == status->st_dev &&
        feed->directory.status.st_ino == status->st_ino)
        return 0;
    directory_close(&feed->directory);
    directory_start(&feed->directory, feed->journal);
    feed->last = 0;
    feed->listed = (struct timespec){0};
    feed->end = (struct mark){.seq = 0};
    return directory_open(&feed->directory, reason);
}

static int find_last_day(struct feed *feed, const struct stat *status, struct reason *reason) {
    int32_t first;
    if (feed->last != 0 && feed->listed.tv_sec == status->st_mtim.tv_sec &&
        feed->listed.tv_nsec == status->st_mtim.tv_nsec)
        return 0;
    int found = segment_range(feed->directory.fd, 0, DAY_MAX, &first, &feed->last, reason);
    if (found <= 0)
        feed->last = 0;
    feed->listed = status->st_mtim;
    feed->size = UINT64_MAX;
    return found < 0 ? found : 0;
}

/* A new day's segment may still be empty: then the last line is in one before it. */
static int find_last_line(struct feed *feed, struct reason *reason) {
    struct mark end = {.seq = 0};
    int32_t first, day = feed->last;
    int result = 1;
    while (result > 0) {
        result = tail_mark(feed->directory.fd, day, &end, reason);
        if (result > 0 && end.seq > 0) {
            feed->end = end;
            return 0;
        }
        if (result >= 0)
            result = segment_range(feed->directory.fd, 0, day - 1, &first, &day, reason);
    }
    return result;
}

static int find_end(struct feed *feed, struct reason *reason) {
    struct stat status;
    char name[SEGMENT_NAME_SIZE];
    int result = open_directory(feed, &status, reason);
    if (result == 0)
        result = find_last_day(feed, &status, reason);
    if (result != 0 || feed->last == 0)
        return result;
    segment_name(feed->last, name);
    if (fstatat(feed->directory.fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        if ((uint64_t)status.st_size == feed->size)
            return 0;
        feed->size = (uint64_t)status.st_size;
    }
    return find_last_line(feed, reason);
}

int feed_refresh(struct feed *feed, struct reason *reason) {
    pthread_mutex_lock(&feed->mutex);
    uint64_t before = feed->end.seq;
    int result = find_end(feed, reason);
    if (feed->end.seq != before)
        pthread_cond_broadcast(&feed->grown);
    pthread_mutex_unlock(&feed->mutex);
    return result;
}

void feed_follow(struct feed *feed, const atomic_bool *ending) {
    struct follow follow;
    struct reason ignored; /* a request that needs the journal reports it */
    follow_start(&follow, feed->journal);
    while (!atomic_load(ending)) {
        if (feed_refresh(feed, &ignored) == 0 && follow.notify < 0)
            follow_start(&follow, feed->journal); /* it may have been missing */
        follow_wait(&follow, -1);
    }
    follow_end(&follow);
    pthread_mutex_lock(&feed->mutex);
    pthread_cond_broadcast(&feed->grown);
    pthread_mutex_unlock(&feed->mutex);
}

uint64_t feed_end(struct feed *feed) {
    pthread_mutex_lock(&feed->mutex);
    uint64_t seq = feed->end.seq;
    pthread_mutex_unlock(&feed->mutex);
    return seq;
}

uint64_t feed_wait(struct feed *feed, uint64_t seq, int64_t deadline, const atomic_bool *ending) {
    struct timespec until = {.tv_sec = deadline / SECOND, .tv_nsec = deadline % SECOND * 1000};
    pthread_mutex_lock(&feed->mutex);
    while (feed->end.seq <= seq && !atomic_load(ending) &&
           pthread_cond_timedwait(&feed->grown, &feed->mutex, &until) == 0)
        continue;
    uint64_t end = feed->end.seq;
    pthread_mutex_unlock(&feed->mutex);
    return end;
}

/* ---- reading ---- */

/* Moves to the end of the nearest day before that has lines. Returns 1, 0 if there is none, or an error. */
static int go_to_day_before(struct feed *feed, struct position *position, struct reason *reason) {
    int32_t first, last;
    struct mark end = {.seq = 0};
    int result = segment_range(feed->directory.fd, 0, position->day - 1, &first, &last, reason);
    if (result > 0)
        result = tail_mark(feed->directory.fd, last, &end, reason);
    if (result > 0)
        *position = end.position;
    return result;
}

/* Reads the line before *position, and moves there. Returns 1 with the record, 0 at the start of the journal,
 * or ERROR_SYSTEM. */
static int read_back(struct feed *feed, struct position *position, struct record *record,
                     struct reason *reason) {
    struct line line;
    for (;;) {
        int result = mark_line(feed->directory.fd, *position, feed->text, &line, reason);
        if (result < 0)
            return result;
        if (result ==
            0) { /* the start of the day, or damage without line breaks, which hides what is before */
            position->offset = 0;
            if ((result = go_to_day_before(feed, position, reason)) <= 0)
                return result;
            continue;
        }
        position->offset = line.offset;
        if (record_parse(line.text, line.length, record) == 0)
            return 1;
    }
}

static int read_locked(struct feed *feed, uint64_t after, const struct feed_reader *reader,
                       struct reason *reason) {
    struct position position = feed->end.position;
    struct record record;
    struct event event;
    if (feed->end.seq <= after)
        return 0;
    for (int lines = 0; lines < FEED_LINES; lines++) {
        int result = read_back(feed, &position, &record, reason);
        if (result <= 0 || record.seq <= after)
            return result < 0 ? result : 0;
        if ((reader->wanted == NULL || reader->wanted(reader->context, &record)) &&
            event_parse(feed->parser, record.event, record.event_length, &event, NULL) == 0 &&
            !reader->visit(reader->context, &record, &event))
            return 0;
    }
    return 0;
}

int feed_read(struct feed *feed, uint64_t after, const struct feed_reader *reader, uint64_t *end,
              struct reason *reason) {
    pthread_mutex_lock(&feed->mutex);
    *end = feed->end.seq > after ? feed->end.seq : after;
    int result = read_locked(feed, after, reader, reason);
    pthread_mutex_unlock(&feed->mutex);
    return result;
}

struct search {
    uint64_t seq;
    struct event *event;
    bool found;
};

static bool is_sought(void *context, const struct record *record) {
    const struct search *search = context;
    return record->seq == search->seq;
}

static bool take_found(void *context, const struct record *record, const struct event *event) {
    struct search *search = context;
    (void)record;
    *search->event = *event;
    search->found = true;
    return false;
}

int feed_find(struct feed *feed, uint64_t seq, struct event *event, struct reason *reason) {
    struct search search = {.seq = seq, .event = event};
    const struct feed_reader reader = {is_sought, take_found, &search};
    uint64_t end;
    int result = seq == 0 ? 0 : feed_read(feed, seq - 1, &reader, &end, reason);
    return result < 0 ? result : search.found;
}
