/* The index is only a hint: an entry counts only after the line itself has been read. So a day's file may be
 * edited, replaced, renamed or restored at any time:
 *
 * - A mark (mark.h) records how far the index reaches. If it no longer holds, indexing resumes after the
 *   newest earlier day whose last line is indexed at its position: lines are indexed in order, so all
 *   lines before that one are indexed too.
 * - If days appeared or vanished (the directory's modification time changed), each day's last line is looked
 *   up in the same way, and a day that is not indexed is read again.
 * - A stale position (no line with that identifier begins there) does not prove absence: the day is searched
 *   for the event. */
#include "dedup.h"

#include "cursor.h"
#include "indexer.h"
#include "rejected.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* After indexing more lines than this, request a checkpoint, so that the next process need not repeat it. */
#define CHECKPOINT_LINES 512
/* A directory that changed within this time may change again with the same timestamp, whose resolution is the
 * kernel's tick or a whole second. */
#define MTIME_RESOLUTION (SECOND / 10)
#define COARSE_MTIME_RESOLUTION (2 * SECOND)

struct dedup {
    struct index *index;
    struct event_parser *parser;
    int journal;
    const struct tail *tail;
    int64_t stop_at;    /* monotonic_now() at which long work must stop */
    struct reach reach; /* as of the last dedup_begin() */
    struct event event; /* of the line being examined */
    char line[RECORD_LIMIT + 1];
    struct indexer indexer;
};

struct dedup *dedup_new(unsigned first_buckets) {
    struct dedup *dedup = calloc(1, sizeof *dedup);
    if (dedup == NULL)
        return NULL;
    dedup->index = index_new(first_buckets);
    dedup->parser = event_parser_new();
    if (dedup->index == NULL || dedup->parser == NULL) {
        dedup_free(dedup);
        return NULL;
    }
    indexer_start(&dedup->indexer, dedup->parser);
    return dedup;
}

void dedup_free(struct dedup *dedup) {
    if (dedup == NULL)
        return;
    index_free(dedup->index);
    event_parser_free(dedup->parser);
    free(dedup);
}

void dedup_close(struct dedup *dedup) {
    index_close(dedup->index);
}

int dedup_discard(struct dedup *dedup, struct reason *reason) {
    return index_discard(dedup->index, reason);
}

void dedup_prefetch(struct dedup *dedup, const struct event *event) {
    struct identity identity = indexer_identify(dedup->index, event);
    index_prefetch(dedup->index, identity.request);
    index_prefetch(dedup->index, identity.event);
}

/* ---- extending the index to the end of the journal ---- */

/* Returns 1 if the index holds the line that ends at `mark` at its position, 0 if not, or an error. A line's
 * identifiers are inserted together, so one of them is enough. */
static int holds_line(struct dedup *dedup, const struct mark *mark, struct reason *reason) {
    struct line line;
    struct record record;
    int result = mark_line(dedup->journal, mark->position, dedup->line, &line, reason);
    if (result <= 0)
        return result;
    if (record_parse(line.text, line.length, &record) != 0 ||
        event_parse(dedup->parser, record.event, record.event_length, &dedup->event, NULL) != 0)
        return 0;
    struct position position = {mark->position.day, line.offset};
    return index_holds(dedup->index, indexer_identify(dedup->index, &dedup->event).request, position, reason);
}

/* Returns 1 if the index holds the last line of a day, 0 if not, or an error. Sets *mark to the end of that
 * line; its seq is 0 if there is no readable line. */
static int holds_last_line(struct dedup *dedup, int32_t day, struct mark *mark, struct reason *reason) {
    *mark = (struct mark){.seq = 0};
    int result = tail_mark(dedup->journal, day, mark, reason);
    return result > 0 ? holds_line(dedup, mark, reason) : result;
}

/* Sets *mark to the last line of the newest day before `day` that the index holds. Returns 1, 0 if there is
 * none, or an error. */
static int find_last_indexed(struct dedup *dedup, int32_t first, int32_t day, struct mark *mark,
                             struct reason *reason) {
    int result = 0;
    while (result == 0 && day-- > first)
        result = holds_last_line(dedup, day, mark, reason);
    return result;
}

/* Verifies that the index reaches its mark, or moves the mark to where it does reach. */
static int verify_reach(struct dedup *dedup, int32_t first, struct reason *reason) {
    struct mark *mark = &dedup->reach.mark;
    if (mark->seq == 0) { /* nothing is indexed */
        *mark = (struct mark){.position = {.day = first}};
        return 0;
    }
    int result = mark_check(dedup->journal, mark, reason);
    if (result == 0)
        result = find_last_indexed(dedup, first, mark->position.day, mark, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    result = index_discard(dedup->index, reason); /* of another history, or of days that are all gone */
    if (result == 0)
        result = index_begin(dedup->index, dedup->journal, reason);
    *mark = (struct mark){.position = {.day = first}};
    dedup->reach.rejected = (struct position){0};
    return result;
}

/* Indexes days that were renamed or restored. Progress is kept if the deadline passes. */
static int check_days(struct dedup *dedup, int32_t first, const struct deadline *deadline,
                      struct reason *reason) {
    struct position *checked = &dedup->reach.checked;
    if (checked->day < first)
        *checked = (struct position){.day = first};
    while (checked->day < dedup->reach.mark.position.day) {
        struct mark mark;
        int result = holds_last_line(dedup, checked->day, &mark, reason);
        if (result == 0 && mark.seq != 0) {
            mark = (struct mark){.position = *checked};
            result = indexer_run(&dedup->indexer, dedup->index, dedup->journal, &mark, checked->day, true,
                                 deadline, reason);
            *checked = mark.position;
        }
        if (result < 0)
            return result;
        *checked = (struct position){.day = checked->day + 1};
    }
    return 0;
}

/* Indexes from the mark to the end. */
static int catch_up(struct dedup *dedup, int32_t newest, const struct deadline *deadline,
                    struct reason *reason) {
    struct mark *mark = &dedup->reach.mark;
    uint64_t before = mark->seq;
    int result =
        indexer_run(&dedup->indexer, dedup->index, dedup->journal, mark, newest, true, deadline, reason);
    if (mark->seq > before + CHECKPOINT_LINES)
        index_request_checkpoint(dedup->index);
    return result;
}

/* Raises last_seq to the highest number that a consumer has run. Those lines were on the disk, so their
 * numbers are not reused, even if a line is gone. */
static int raise_last_seq(void *context, const char *name) {
    struct dedup *dedup = context;
    static struct cursor cursor;
    if (cursor_read(dedup->journal, name, &cursor, NULL) > 0 &&
        cursor_highest(&cursor) > dedup->reach.last_seq)
        dedup->reach.last_seq = cursor_highest(&cursor);
    return 0;
}

/* Returns true if any later change of the directory must change its modification time. */
static bool is_settled(const struct directory *directory) {
    int64_t age = timestamp_now() - directory->mtime_ns / 1000;
    bool fractions = directory->mtime_ns % (1000 * SECOND) != 0;
    return age < 0 || age > (fractions ? MTIME_RESOLUTION : COARSE_MTIME_RESOLUTION);
}

/* Finds the newest segment. Returns 1, 0 if there is none, or an error. Sets *changed if days may have
 * appeared or vanished. */
static int find_newest(struct dedup *dedup, const struct directory *directory, int32_t *first,
                       int32_t *newest, bool *changed, struct reason *reason) {
    bool settled = is_settled(directory);
    *changed = dedup->reach.listed != directory->mtime_ns &&
               (settled || dedup->reach.listed != -directory->mtime_ns);
    *newest = dedup->reach.newest;
    *first = *newest;
    if (!*changed && *newest > 0 && settled)
        return 1;
    return segment_range(directory->fd, 0, DAY_MAX, first, newest, reason);
}

static bool is_up_to_date(const struct dedup *dedup, const struct tail *tail) {
    const struct mark *mark = &dedup->reach.mark;
    return mark->position.day == tail->day && mark->position.offset == tail->end && mark->seq != 0 &&
           memcmp(mark->chain, tail->chain.recorded, CHAIN_SIZE) == 0;
}

/* Records how far the index reaches now, also after a timeout: the next call continues from there. */
static int note_reach(struct dedup *dedup, int result, struct reason *reason) {
    int written = index_set_reach(dedup->index, &dedup->reach, result == 0 ? reason : NULL);
    return result != 0 ? result : written;
}

static int update(struct dedup *dedup, const struct directory *directory, struct tail *tail,
                  const struct deadline *deadline, struct reason *reason) {
    int32_t first, newest;
    bool changed;
    int found = find_newest(dedup, directory, &first, &newest, &changed, reason);
    if (found <= 0) {
        tail_close(tail);
        return found;
    }
    bool known = dedup->reach.last_seq != 0;
    /* After a reboot, numbers that consumers have seen are not reused either. The reach itself stays unknown.
     */
    if (!known)
        found = cursor_each(directory->fd, raise_last_seq, dedup, reason);
    struct mark last = dedup->reach.mark;
    last.seq = dedup->reach.last_seq;
    if (!known)
        last.position = (struct position){0};
    int result = found < 0 ? found : tail_find(tail, directory->fd, newest, &last, reason);
    if (result != 0)
        return result;
    if (!changed && known && is_up_to_date(dedup, tail))
        return 0;
    if (first == newest && !changed) /* find_newest() did not list the directory */
        result = segment_range(directory->fd, 0, DAY_MAX, &first, &newest, reason) < 0 ? ERROR_SYSTEM : 0;
    if (!known)
        dedup->reach.last_seq = 0;
    if (result == 0)
        result = verify_reach(dedup, first, reason);
    if (result == 0 && changed)
        result = check_days(dedup, first, deadline, reason);
    if (result == 0)
        result = catch_up(dedup, newest, deadline, reason);
    if (result != 0 && result != ERROR_TIMEOUT)
        return result;
    /* The name of a renamed or restored day may not be durable yet, but an answer promises that it is. */
    if (result == 0 && changed && fsync(directory->fd) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot sync the journal directory: %s", strerror(errno));
    if (result == 0) {
        dedup->reach.newest = newest;
        dedup->reach.listed = is_settled(directory) ? directory->mtime_ns : -directory->mtime_ns;
        dedup->reach.checked = (struct position){0};
    }
    /* The last line may not have the highest number, if its file was put there by hand. */
    uint64_t highest = indexer_highest(&dedup->indexer);
    if (highest > tail->chain.seq + tail->chain.damaged)
        tail->chain.damaged = highest - tail->chain.seq;
    dedup->reach.last_seq = tail->chain.seq + tail->chain.damaged;
    return note_reach(dedup, result, reason);
}

int dedup_begin(struct dedup *dedup, const struct directory *directory, struct tail *tail,
                const struct deadline *deadline, struct reason *reason) {
    dedup->journal = directory->fd;
    dedup->tail = tail;
    dedup->stop_at = deadline->at - SECOND / 2;
    for (int attempts = 0;; attempts++) {
        int result = index_begin(dedup->index, directory->fd, reason);
        if (result == 0) {
            index_reach(dedup->index, &dedup->reach);
            result = update(dedup, directory, tail, deadline, reason);
        }
        if (attempts == 2 || (result != ERROR_DAMAGED && result != ERROR_INVALID))
            return result == ERROR_DAMAGED || result == ERROR_INVALID ? ERROR_SYSTEM : result;
        /* If the index is damaged, discard it; if a known segment is gone, list the directory again. */
        dedup->reach.listed = 0;
        if (result == ERROR_DAMAGED && index_discard(dedup->index, reason) != 0)
            return ERROR_SYSTEM;
        if (result == ERROR_INVALID)
            (void)index_set_reach(dedup->index, &dedup->reach, NULL);
    }
}

int dedup_made_day(struct dedup *dedup, struct directory *directory, int32_t day, struct reason *reason) {
    bool listed = dedup->reach.listed == directory->mtime_ns;
    directory_refresh_mtime(directory);
    if (listed) {
        dedup->reach.newest = day;
        dedup->reach.listed = directory->mtime_ns;
    }
    return index_set_reach(dedup->index, &dedup->reach, reason);
}

/* ---- lookup ---- */

struct search {
    struct dedup *dedup;
    const struct event *event;
    struct original *original;
    struct reason *reason;
    uint64_t fingerprint;
    /* Days with a stale position are searched in order: the last day searched, and the next one; -1: none. */
    int32_t searched, next;
};

/* Opens the segment of `position`. Sets *owned if the caller must close it. Returns ERROR_INVALID if there is
 * none. */
static int open_position(const struct dedup *dedup, struct position position, bool *owned,
                         struct reason *reason) {
    *owned = dedup->tail->fd < 0 || position.day != dedup->tail->day;
    return *owned ? segment_open(dedup->journal, position.day, false, reason) : dedup->tail->fd;
}

/* Reads the line at `offset` into dedup->line, with its line break, which is added if missing at the end of
 * the file. Returns its length, 0 if there is no line, or ERROR_SYSTEM. */
static int read_line(struct dedup *dedup, int fd, uint64_t offset, struct reason *reason) {
    size_t filled = 0;
    for (size_t wanted = 4096; filled < RECORD_LIMIT; wanted = RECORD_LIMIT) {
        ssize_t got = pread(fd, dedup->line + filled, wanted - filled, (off_t)(offset + filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL(reason, ERROR_SYSTEM, "cannot read the line of the original event: %s",
                        strerror(errno));
        const char *line_break = memchr(dedup->line + filled, '\n', (size_t)got);
        filled += (size_t)got;
        if (line_break != NULL)
            return (int)(line_break - dedup->line) + 1;
        if (got == 0) {
            dedup->line[filled] = '\n';
            return filled > 0 ? (int)filled + 1 : 0;
        }
    }
    return 0;
}

/* Reads and compares the line at `position`. Returns 1 if it is the wanted event; 0 if it is another one;
 * ERROR_INVALID if no line begins there or its file is gone (*gone); or another error. */
static int compare(struct search *search, struct position position, bool *gone) {
    struct dedup *dedup = search->dedup;
    struct record record;
    bool owned;
    int fd = open_position(dedup, position, &owned, search->reason);
    *gone = fd == ERROR_INVALID;
    if (fd < 0)
        return fd;
    int length = read_line(dedup, fd, position.offset, search->reason);
    if (owned)
        close(fd);
    if (length < 0)
        return length;
    struct chain_state chain = chain_start(); /* not this position's, so that joined lines are split */
    size_t used = 0;
    enum scan scan =
        length > 0 ? record_scan(dedup->line, (size_t)length, &chain, &record, &used) : SCAN_DAMAGED;
    if (scan == SCAN_DAMAGED || scan == SCAN_INCOMPLETE)
        return ERROR_INVALID;
    int result = event_parse(dedup->parser, record.event, record.event_length, &dedup->event, search->reason);
    if (result != 0)
        return result;
    if (strcmp(dedup->event.request_id, search->event->request_id) != 0 &&
        strcmp(dedup->event.id, search->event->id) != 0) {
        struct identity identity = indexer_identify(dedup->index, &dedup->event);
        return identity.request == search->fingerprint || identity.event == search->fingerprint
                   ? 0
                   : ERROR_INVALID;
    }
    *search->original = (struct original){.position = position,
                                          .seq = record.seq,
                                          .line = record.line,
                                          .length = (size_t)(dedup->line + used - record.line)};
    search->original->position.offset += (uint64_t)(record.line - dedup->line);
    return 1;
}

static int visit(void *context, struct position position) {
    struct search *search = context;
    bool gone;
    int result = compare(search, position, &gone);
    if (result != ERROR_INVALID)
        return result;
    if (!gone && position.day > search->searched && (search->next < 0 || position.day < search->next))
        search->next = position.day;
    return 0;
}

/* Searches a day for the event after a stale position. */
static int search_day(struct search *search, int32_t day, const struct deadline *deadline) {
    struct dedup *dedup = search->dedup;
    struct position position = {.day = day};
    bool gone;
    int result =
        indexer_search(&dedup->indexer, dedup->journal, search->event, &position, deadline, search->reason);
    if (result <= 0)
        return result;
    result = indexer_put(dedup->index, search->event, position, index_insert_once, search->reason);
    if (result == 0)
        result = compare(search, position, &gone);
    return result == ERROR_INVALID ? 0 : result; /* it has the identifiers, but is no longer an event */
}

int dedup_find(struct dedup *dedup, const struct event *event, struct original *original,
               const struct deadline *deadline, struct reason *reason) {
    struct search search = {
        .dedup = dedup, .event = event, .original = original, .reason = reason, .next = -1};
    struct identity identity = indexer_identify(dedup->index, event);
    const uint64_t fingerprints[] = {identity.request, identity.event};
    int result = 0;
    do {
        search.searched = search.next;
        search.next = -1;
        for (int i = 0; i < 2 && result == 0; i++) {
            search.fingerprint = fingerprints[i];
            result = index_find(dedup->index, search.fingerprint, visit, &search, reason);
        }
        if (result == 0 && search.next >= 0)
            result = search_day(&search, search.next, deadline);
    } while (result == 0 && search.next >= 0);
    return result;
}

int dedup_add(struct dedup *dedup, const struct event *event, struct position position,
              struct reason *reason) {
    return indexer_put(dedup->index, event, position, index_insert, reason);
}

void dedup_reach(struct dedup *dedup, const struct tail *tail) {
    struct mark *mark = &dedup->reach.mark;
    *mark = (struct mark){.position = {.day = tail->day, .offset = tail->end}, .seq = tail->chain.seq};
    memcpy(mark->chain, tail->chain.recorded, CHAIN_SIZE);
    dedup->reach.last_seq = tail->chain.seq;
    (void)index_set_reach(dedup->index, &dedup->reach, NULL);
}

struct position dedup_end(const struct dedup *dedup) {
    return dedup->reach.mark.position;
}

/* ---- rejected/ ---- */

static uint64_t fingerprint_of(const struct dedup *dedup, const char *signature) {
    return index_fingerprint(dedup->index, IDENTIFIER_SIGNATURE, signature, strlen(signature));
}

static int add_rejected(const struct dedup *dedup, const char *signature, struct position position,
                        struct reason *reason) {
    position.offset |= POSITION_IN_REJECTED;
    return index_insert_once(dedup->index, fingerprint_of(dedup, signature), position, reason);
}

struct rejected_search {
    const struct dedup *dedup;
    const char *signature;
    struct position *position;
    struct reason *reason;
};

/* Indexes a line of rejected/. Progress is kept if the deadline passes: the next delivery continues. */
static int index_rejected(void *context, const char *signature, struct position position) {
    const struct rejected_search *search = context;
    if (monotonic_now() > search->dedup->stop_at)
        return FAIL(search->reason, ERROR_TIMEOUT, "the index is catching up with rejected/: please wait");
    return add_rejected(search->dedup, signature, position, search->reason);
}

static int compare_rejected(void *context, struct position position) {
    struct rejected_search *search = context;
    position.offset &= ~POSITION_IN_REJECTED;
    *search->position = position;
    return rejected_holds(search->dedup->journal, position, search->signature, search->reason);
}

int dedup_find_rejected(struct dedup *dedup, const char *signature, struct position *position,
                        struct reason *reason) {
    struct rejected_search search = {
        .dedup = dedup, .signature = signature, .position = position, .reason = reason};
    struct position before = dedup->reach.rejected;
    int result = rejected_scan(dedup->journal, &dedup->reach.rejected, index_rejected, &search, reason);
    if (before.day != dedup->reach.rejected.day || before.offset != dedup->reach.rejected.offset)
        result = note_reach(dedup, result, reason);
    return result != 0 ? result
                       : index_find(dedup->index, fingerprint_of(dedup, signature), compare_rejected, &search,
                                    reason);
}

void dedup_add_rejected(struct dedup *dedup, const char *signature, struct position position,
                        struct position end) {
    if (add_rejected(dedup, signature, position, NULL) != 0)
        return;
    dedup->reach.rejected = end;
    (void)index_set_reach(dedup->index, &dedup->reach, NULL);
}

/* ---- the checkpoint ---- */

static int lock(struct dedup *dedup, struct directory *directory, const struct deadline *deadline,
                struct reason *reason) {
    int result = directory_lock(directory, deadline, reason);
    if (result > 0)
        index_close(dedup->index); /* it belongs to the previous directory */
    return result >= 0 ? index_begin(dedup->index, directory->fd, reason) : result;
}

static int unlock(struct dedup *dedup, struct directory *directory, int result) {
    if (result == ERROR_DAMAGED)
        (void)index_discard(dedup->index, NULL);
    if (directory->remote) /* no files may stay open without the lock */
        index_close(dedup->index);
    directory_unlock(directory);
    return result;
}

int dedup_upkeep(struct dedup *dedup, struct directory *directory, const struct deadline *deadline,
                 struct reason *reason) {
    if (!index_step_due(dedup->index))
        return 0;
    int result = lock(dedup, directory, deadline, reason);
    if (result == 0)
        result = index_step_begin(dedup->index, directory->remote, reason);
    result = unlock(dedup, directory, result);
    if (result != 0 || directory->remote)
        return result;
    int synced = index_step_sync(dedup->index, reason);
    result = lock(dedup, directory, deadline, synced == 0 ? reason : NULL);
    if (result == 0)
        result = synced == 0 ? index_step_end(dedup->index, reason) : synced;
    return unlock(dedup, directory, result);
}
