/* The journal's directory has a segment a day (record.c tells what a line is), rejected/ (rejected.c), the
 * idempotency index in seen/ (seen.c), which is made anew where it is missing, and the append lock;
 * doorpost-journal(5) lists all of it.
 *
 * journal_write() and journal_sync() are the order of writes: lock, find the true end, bring the index up to
 * it, tell the new from the seen, write, index, unlock; sync. A process may be killed between any two of
 * these. What it had written then is found by the next one at the end of the newest segment, beyond where the
 * index reaches, and nobody had heard 200 for it. */
#include "journal.h"

#include "append.h"
#include "directory.h"
#include "indexer.h"
#include "rejected.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The newest segment as of the last append. While its size is still `end`, nobody has written since. */
struct newest {
    int file; /* -1: not open */
    bool read_only;
    int32_t day;
    uint64_t end;
    struct link link;
};

enum fate {
    FATE_NONE,
    FATE_FRESH,
    FATE_REPEATED,          /* of a line in the journal */
    FATE_REPEATED_IN_BATCH, /* of a fresh entry */
};

/* One batch on its way through journal_append(); arrays are by entry unless they say otherwise. */
struct batch {
    struct entry **entries;
    size_t count;
    const struct deadline *deadline;
    bool has_events, has_rejected;
    int events_result, rejected_result; /* of the writing */
    struct reason events_reason, rejected_reason;
    struct append append;
    struct rejected rejected;
    enum fate fate[JOURNAL_BATCH];
    size_t original[JOURNAL_BATCH]; /* of FATE_REPEATED_IN_BATCH: the fresh entry */
    int owned_file[JOURNAL_BATCH]; /* of FATE_REPEATED on an older day: that segment, to be synced; else -1 */
    uint64_t fingerprint[JOURNAL_BATCH][2]; /* by enum identifier */
    size_t fresh[JOURNAL_BATCH]; /* the fresh entries in order; the arrays below are by place in it */
    size_t fresh_count;
    uint64_t place[JOURNAL_BATCH];
    uint64_t end;
    char head[JOURNAL_BATCH][RECORD_HEAD_SIZE];
    struct iovec parts[3 * JOURNAL_BATCH];
};

struct journal {
    struct directory directory;
    struct newest newest;
    struct seen *seen;
    struct indexer *indexer; /* NULL until it is needed: most processes never do */
    struct event_parser *parser;
    int64_t (*now)(void);
    struct event event;      /* of a line that is looked at */
    char line[RECORD_LIMIT]; /* that line */
    struct batch batch;
};

struct journal *journal_new(const char *path) {
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return NULL;
    directory_start(&journal->directory, path);
    journal->newest.file = -1;
    journal->now = timestamp_now;
    journal->seen = seen_new(0);
    journal->parser = event_parser_new();
    if (journal->seen == NULL || journal->parser == NULL) {
        journal_free(journal);
        return NULL;
    }
    return journal;
}

static void close_file(int *file) {
    if (*file >= 0)
        close(*file);
    *file = -1;
}

void journal_free(struct journal *journal) {
    if (journal == NULL)
        return;
    directory_close(&journal->directory);
    close_file(&journal->newest.file);
    seen_free(journal->seen);
    indexer_free(journal->indexer);
    event_parser_free(journal->parser);
    free(journal);
}

void journal_set_clock(struct journal *journal, int64_t (*now)(void)) {
    journal->now = now != NULL ? now : timestamp_now;
}

int journal_set_first_buckets(struct journal *journal, unsigned first_buckets) {
    struct seen *seen = seen_new(first_buckets);
    if (seen == NULL)
        return ERROR_TROUBLE;
    seen_free(journal->seen);
    journal->seen = seen;
    return 0;
}

static int32_t today(const struct journal *journal) {
    int32_t day = timestamp_day(journal->now());
    return day < 0 ? 0 : day > DAY_MAX ? DAY_MAX : day;
}

/* ---- locking ---- */

static int take_lock(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    int result = directory_lock(&journal->directory, deadline, reason);
    if (result <= 0)
        return result;
    close_file(&journal->newest.file); /* of a directory that was there before */
    seen_close(journal->seen);
    return 0;
}

/* ---- the newest segment ---- */

/* Opens a segment; *read_only where it may not be written to, as it is right for an earlier day. */
static int open_segment(const struct journal *journal, int32_t day, bool *read_only, struct reason *reason) {
    int file = segment_open(journal->directory.file, day, true, reason);
    *read_only = file == ERROR_TROUBLE;
    return *read_only ? segment_open(journal->directory.file, day, false, reason) : file;
}

/* Where the chain stands before the first line of `day`: after the last line of the segments before it. */
static int link_before(const struct journal *journal, int32_t day, struct link *link, struct reason *reason) {
    uint64_t damaged = 0;
    int result = 0;
    for (*link = (struct link){.known = false}; !link->known && result == 0;) {
        int32_t first;
        int found = day > 0 ? segment_range(journal->directory.file, 0, day - 1, &first, &day, reason) : 0;
        if (found <= 0) {
            *link = link_start();
            result = found;
            break;
        }
        struct stat status;
        uint64_t end;
        bool read_only;
        int file = open_segment(journal, day, &read_only, reason);
        if (file < 0)
            return ERROR_TROUBLE;
        result = fstat(file, &status) == 0
                     ? segment_mend(file, (uint64_t)status.st_size, link, &end, reason)
                     : fail(reason, ERROR_TROUBLE, "cannot examine a segment: %s", strerror(errno));
        damaged += link->known ? 0 : link->damaged;
        close(file);
    }
    link->damaged += damaged;
    return result;
}

/* Takes up what others have appended to the newest segment. ERROR_INVALID: it was deleted. */
static int refresh_newest(struct journal *journal, struct reason *reason) {
    struct newest *newest = &journal->newest;
    struct stat status;
    if (fstat(newest->file, &status) != 0)
        return fail(reason, ERROR_TROUBLE, "cannot examine the newest segment: %s", strerror(errno));
    if (status.st_nlink == 0)
        return ERROR_INVALID;
    if ((uint64_t)status.st_size == newest->end)
        return 0;
    uint64_t end;
    struct link link;
    int result = segment_mend(newest->file, (uint64_t)status.st_size, &link, &end, reason);
    if (result == 0 && !link.known) {
        uint64_t damaged = link.damaged;
        result = link_before(journal, newest->day, &link, reason);
        link.damaged += damaged;
    }
    if (result != 0)
        return result;
    newest->end = end;
    newest->link = link;
    return 0;
}

static int open_newest(struct journal *journal, int32_t day, struct reason *reason) {
    struct newest *newest = &journal->newest;
    if (newest->file < 0 || newest->day != day) {
        close_file(&newest->file);
        newest->file = open_segment(journal, day, &newest->read_only, reason);
        if (newest->file < 0) {
            int result = newest->file;
            newest->file = -1;
            return result;
        }
        newest->day = day;
        newest->end = UINT64_MAX; /* no size is that: not known yet */
    }
    int result = refresh_newest(journal, reason);
    if (result != 0)
        close_file(&newest->file);
    return result;
}

/* ---- bringing the index up to the end of the journal ---- */

static int index_until(struct journal *journal, struct place place, int32_t newest,
                       const struct deadline *deadline, struct reason *reason) {
    if (journal->indexer == NULL)
        journal->indexer = indexer_new();
    if (journal->indexer == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory to index the journal");
    int result = indexer_run(journal->indexer, journal->seen, journal->directory.file, &place, newest,
                             deadline, reason);
    if (result != 0 && result != ERROR_TIMEOUT)
        return result;
    /* What was done counts, so that the next one goes on from here. */
    int written = seen_reach(journal->seen, place, result == 0, result == 0 ? reason : NULL);
    return result != 0 ? result : written;
}

/* Looks for the newest segment in the directory: *last, or `found` is 0. */
static int find_newest(struct journal *journal, struct place *place, bool reached, int32_t *last,
                       struct reason *reason) {
    int32_t first;
    int found = segment_range(journal->directory.file, 0, DAY_MAX, &first, last, reason);
    if (found > 0 && (!reached || place->day < first))
        *place = (struct place){.day = first};
    if (found > 0 && place->day > *last) /* that segment was named, and not made; all before it is indexed */
        *place = (struct place){.day = *last, .offset = UINT64_MAX};
    return found;
}

/* Opens the newest segment and brings the index up to its end. Afterwards newest.file is -1 where there is
 * none yet. */
static int catch_up(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    struct place place;
    bool settled;
    int result = seen_begin(journal->seen, journal->directory.file, reason);
    if (result != 0)
        return result;
    bool reached = seen_reached(journal->seen, &place, &settled);
    if (reached && settled) {
        result = open_newest(journal, place.day, reason);
        if (result == 0 && place.offset == journal->newest.end)
            return 0;
    }
    if (!reached || !settled || result == ERROR_INVALID) {
        int32_t last;
        int found = find_newest(journal, &place, reached, &last, reason);
        if (found <= 0) {
            close_file(&journal->newest.file);
            return found;
        }
        result = open_newest(journal, last, reason);
    }
    if (result != 0)
        return result == ERROR_INVALID ? fail(reason, ERROR_TROUBLE, "a segment was deleted just now")
                                       : result;
    struct newest *newest = &journal->newest;
    if (place.day == newest->day && place.offset > newest->end)
        place.offset = newest->end;
    return index_until(journal, place, newest->day, deadline, reason);
}

/* Begins today's segment where the newest one is of an earlier day. A clock that stepped back changes
 * nothing. The index names the new segment before it is made: whoever comes after a crash in between looks
 * for it, and finds it or searches the directory. */
static int roll(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    int32_t day = today(journal);
    if (journal->newest.file >= 0 && journal->newest.day >= day)
        return 0;
    int result = seen_reach(journal->seen, (struct place){.day = day}, true, reason);
    if (result != 0)
        return result;
    int file = segment_create(journal->directory.file, day, reason);
    if (file < 0)
        return file;
    close(file);
    return catch_up(journal, deadline, reason);
}

/* ---- telling the new from the seen ---- */

/* The segment at `place`, open; *owned where the caller has to close it. */
static int open_place(const struct journal *journal, struct place place, bool *owned) {
    *owned = place.day != journal->newest.day;
    if (!*owned)
        return journal->newest.file;
    bool read_only;
    return open_segment(journal, place.day, &read_only, NULL);
}

/* Reads the line at `offset`, line break included, into journal->line. Returns its length, or 0 where none is
 * there. */
static size_t read_line(struct journal *journal, int file, uint64_t offset) {
    size_t filled = 0;
    for (size_t wanted = 4096; filled < sizeof journal->line; wanted = sizeof journal->line) {
        ssize_t got = pread(file, journal->line + filled, wanted - filled, (off_t)(offset + filled));
        if (got <= 0)
            return 0;
        filled += (size_t)got;
        const char *line_break = memchr(journal->line, '\n', filled);
        if (line_break != NULL)
            return (size_t)(line_break - journal->line) + 1;
    }
    return 0;
}

/* What the search in the index for one entry has found. */
struct search {
    struct journal *journal;
    const struct event *event;
    struct place place;
    struct record record; /* leads into journal->line */
};

/* Is the line at `place` the event that is searched for? */
static int is_original(void *context, struct place place) {
    struct search *search = context;
    struct journal *journal = search->journal;
    bool owned;
    int file = open_place(journal, place, &owned);
    if (file < 0)
        return 0; /* pruned */
    size_t length = read_line(journal, file, place.offset);
    if (owned)
        close(file);
    if (length == 0 || record_parse(journal->line, length - 1, &search->record) != 0 ||
        event_parse(journal->parser, search->record.event, search->record.event_length, &journal->event,
                    NULL) != 0)
        return 0;
    search->place = place;
    return strcmp(journal->event.request_id, search->event->request_id) == 0 ||
           strcmp(journal->event.id, search->event->id) == 0;
}

/* The line that was found is written again in place: where an earlier sync failed, the kernel may hold it as
 * clean pages that are on no disk, and the sync to come would skip them. Leaves its segment open to be
 * synced. */
static int renew(struct batch *batch, size_t index, const struct search *search, struct reason *reason) {
    bool owned;
    int file = open_place(search->journal, search->place, &owned);
    if (file < 0)
        return fail(reason, ERROR_TROUBLE, "cannot open the segment of the first delivery: %s",
                    strerror(errno));
    size_t length = search->record.length + 1;
    ssize_t written = pwrite(file, search->journal->line, length, (off_t)search->place.offset);
    if (owned)
        batch->owned_file[index] = file;
    bool read_only = written < 0 && errno == EBADF; /* nobody may write to it: it was synced long ago */
    if (written != (ssize_t)length && !read_only)
        return fail(reason, ERROR_TROUBLE, "cannot write to the journal: %s", strerror(errno));
    return 0;
}

static bool repeats_fresh(struct batch *batch, size_t index) {
    const struct event *event = batch->entries[index]->event;
    for (size_t i = 0; i < batch->fresh_count; i++) {
        const struct event *other = batch->entries[batch->fresh[i]]->event;
        if (strcmp(event->request_id, other->request_id) == 0 || strcmp(event->id, other->id) == 0) {
            batch->original[index] = batch->fresh[i];
            return true;
        }
    }
    return false;
}

static void take_fingerprints(const struct journal *journal, struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct event *event = batch->entries[i]->event;
        if (event == NULL)
            continue;
        batch->fingerprint[i][IDENTIFIER_REQUEST] =
            seen_fingerprint(journal->seen, IDENTIFIER_REQUEST, event->request_id, strlen(event->request_id));
        batch->fingerprint[i][IDENTIFIER_EVENT] =
            seen_fingerprint(journal->seen, IDENTIFIER_EVENT, event->id, strlen(event->id));
    }
}

/* Decides one entry. Returns 0, or an error that concerns the whole batch. */
static int classify(struct journal *journal, struct batch *batch, size_t index, struct reason *reason) {
    struct entry *entry = batch->entries[index];
    struct search search = {.journal = journal, .event = entry->event};
    const uint64_t *fingerprint = batch->fingerprint[index];
    int found = seen_find(journal->seen, fingerprint[IDENTIFIER_REQUEST], is_original, &search, reason);
    if (found == 0)
        found = seen_find(journal->seen, fingerprint[IDENTIFIER_EVENT], is_original, &search, reason);
    if (found < 0)
        return found;
    if (found > 0) {
        batch->fate[index] = FATE_REPEATED;
        entry->seq = search.record.seq;
        return renew(batch, index, &search, reason);
    }
    if (repeats_fresh(batch, index)) {
        batch->fate[index] = FATE_REPEATED_IN_BATCH;
        return 0;
    }
    batch->fate[index] = FATE_FRESH;
    batch->fresh[batch->fresh_count++] = index;
    return 0;
}

/* Where the index is not in memory, each lookup waits for the disk, one after the other: then those to come
 * are read at once. */
static void prefetch(const struct journal *journal, const struct batch *batch, size_t from) {
    for (size_t i = from; i < batch->count; i++)
        for (int kind = 0; batch->entries[i]->event != NULL && kind < 2; kind++)
            seen_prefetch(journal->seen, batch->fingerprint[i][kind]);
}

static int classify_all(struct journal *journal, struct batch *batch, struct reason *reason) {
    batch->fresh_count = 0;
    int result = catch_up(journal, batch->deadline, reason);
    if (result == 0)
        result = roll(journal, batch->deadline, reason);
    if (result != 0)
        return result;
    take_fingerprints(journal, batch);
    int64_t started = monotonic_now();
    bool prefetched = false;
    for (size_t i = 0; i < batch->count && result == 0; i++) {
        close_file(&batch->owned_file[i]);
        if (batch->entries[i]->event != NULL)
            result = classify(journal, batch, i, reason);
        if (i % 4 == 3 && !prefetched && monotonic_now() - started > SECOND / 1000) {
            prefetch(journal, batch, i + 1);
            prefetched = true;
        }
    }
    return result;
}

/* ---- writing ---- */

/* Lays out the lines of the fresh entries after `link`, which it steps on. */
static void compose(struct journal *journal, struct batch *batch, struct link *link) {
    static char tail[] = RECORD_TAIL;
    uint64_t place = journal->newest.end;
    for (size_t i = 0; i < batch->fresh_count; i++) {
        struct entry *entry = batch->entries[batch->fresh[i]];
        bool verbatim = record_flatten(entry->body, entry->length);
        size_t head = record_head(link, entry->received_at, entry->key, entry->signature, verbatim,
                                  entry->body, entry->length, batch->head[i]);
        struct iovec *parts = &batch->parts[3 * i];
        parts[0] = (struct iovec){.iov_base = batch->head[i], .iov_len = head};
        parts[1] = (struct iovec){.iov_base = entry->body, .iov_len = entry->length};
        parts[2] = (struct iovec){.iov_base = tail, .iov_len = sizeof tail - 1};
        entry->seq = link->seq;
        batch->place[i] = place;
        place += head + entry->length + sizeof tail - 1;
    }
    batch->end = place;
    batch->append = (struct append){.file = journal->newest.file,
                                    .at = journal->newest.end,
                                    .parts = batch->parts,
                                    .count = (int)(3 * batch->fresh_count)};
}

/* Indexes what was written. Where that fails, the lines are beyond where the index reaches, and the next
 * append indexes them first or refuses; these entries are kept nevertheless. */
static void index_fresh(struct journal *journal, const struct batch *batch) {
    int result = 0;
    for (size_t i = 0; i < batch->fresh_count && result == 0; i++) {
        const uint64_t *fingerprint = batch->fingerprint[batch->fresh[i]];
        struct place place = {.day = journal->newest.day, .offset = batch->place[i]};
        result = seen_insert(journal->seen, fingerprint[IDENTIFIER_REQUEST], place, NULL);
        if (result == 0)
            result = seen_insert(journal->seen, fingerprint[IDENTIFIER_EVENT], place, NULL);
    }
    if (result == 0)
        result =
            seen_reach(journal->seen,
                       (struct place){.day = journal->newest.day, .offset = journal->newest.end}, true, NULL);
    if (result == ERROR_DAMAGED)
        seen_discard(journal->seen, NULL);
}

static int write_fresh(struct journal *journal, struct batch *batch, struct reason *reason) {
    struct link link = journal->newest.link;
    if (batch->fresh_count == 0)
        return 0;
    if (journal->newest.read_only)
        return fail(reason, ERROR_TROUBLE, "the newest segment is read-only: make it writable for this user");
    compose(journal, batch, &link);
    int result = append_write(&batch->append, reason);
    if (result != 0)
        return result;
    journal->newest.end = batch->end;
    journal->newest.link = link;
    index_fresh(journal, batch);
    return 0;
}

static int write_events(struct journal *journal, struct batch *batch, struct reason *reason) {
    int result = classify_all(journal, batch, reason);
    if (result == ERROR_DAMAGED) {
        result = seen_discard(journal->seen, reason);
        if (result == 0)
            result = classify_all(journal, batch, reason);
    }
    return result == 0 ? write_fresh(journal, batch, reason) : result;
}

/* ---- syncing ---- */

/* Syncs the newest segment, for the fresh lines and for those that were written again. */
static enum sync sync_newest(struct journal *journal, struct batch *batch, struct reason *reason) {
    if (batch->fresh_count == 0)
        batch->append = (struct append){.file = journal->newest.file};
    enum sync sync = append_sync(&batch->append, reason);
    if (sync != SYNC_CLEAN)
        journal->newest.end = UINT64_MAX; /* what the file holds now has to be looked at */
    return sync;
}

static bool wants_newest_synced(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (batch->fate[i] == FATE_FRESH || (batch->fate[i] == FATE_REPEATED && batch->owned_file[i] < 0))
            return true;
    return false;
}

static enum outcome outcome_of(struct batch *batch, size_t index, enum sync newest, struct reason *reason) {
    switch (batch->fate[index]) {
    case FATE_FRESH:
        return newest != SYNC_FAILED ? OUTCOME_STORED : OUTCOME_TROUBLE;
    case FATE_REPEATED_IN_BATCH:
        batch->entries[index]->seq = batch->entries[batch->original[index]]->seq;
        return newest != SYNC_FAILED ? OUTCOME_DUPLICATE : OUTCOME_TROUBLE;
    case FATE_REPEATED:
        if (batch->owned_file[index] < 0)
            return newest == SYNC_CLEAN ? OUTCOME_DUPLICATE : OUTCOME_TROUBLE;
        if (fdatasync(batch->owned_file[index]) == 0)
            return OUTCOME_DUPLICATE;
        explain(reason, "cannot sync the journal: %s", strerror(errno));
        return OUTCOME_TROUBLE;
    case FATE_NONE:
        break;
    }
    return OUTCOME_TROUBLE;
}

static void finish_events(struct journal *journal, struct batch *batch) {
    enum sync newest = SYNC_FAILED;
    if (batch->events_result == 0 && wants_newest_synced(batch))
        newest = sync_newest(journal, batch, &batch->events_reason);
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = batch->entries[i];
        if (entry->event == NULL)
            continue;
        entry->outcome =
            batch->events_result == 0 ? outcome_of(batch, i, newest, &batch->events_reason) : OUTCOME_TROUBLE;
        if (entry->outcome == OUTCOME_TROUBLE)
            entry->reason = batch->events_reason;
        close_file(&batch->owned_file[i]);
    }
}

static void finish_rejected(struct batch *batch) {
    int result = rejected_finish(&batch->rejected, batch->rejected_result, &batch->rejected_reason);
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = batch->entries[i];
        if (entry->event != NULL)
            continue;
        entry->outcome = result == 0 ? OUTCOME_REJECTED : OUTCOME_TROUBLE;
        entry->reason = batch->rejected_reason;
    }
}

static void start_batch(struct batch *batch, struct entry *entries[], size_t count,
                        const struct deadline *deadline) {
    batch->entries = entries;
    batch->count = count;
    batch->deadline = deadline;
    batch->has_events = batch->has_rejected = false;
    batch->events_reason.text[0] = batch->rejected_reason.text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        batch->has_events |= entries[i]->event != NULL;
        batch->has_rejected |= entries[i]->event == NULL;
        batch->fate[i] = FATE_NONE;
        batch->owned_file[i] = -1;
        entries[i]->outcome = OUTCOME_TROUBLE;
        entries[i]->reason.text[0] = '\0';
    }
}

static void give_up(struct batch *batch, const struct reason *reason) {
    for (size_t i = 0; i < batch->count; i++)
        batch->entries[i]->reason = *reason;
    batch->has_events = batch->has_rejected = false;
}

void journal_write(struct journal *journal, struct entry *entries[], size_t count,
                   const struct deadline *deadline) {
    struct batch *batch = &journal->batch;
    struct reason reason;
    start_batch(batch, entries, count, deadline);
    if (take_lock(journal, deadline, &reason) != 0) {
        give_up(batch, &reason);
        return;
    }
    if (batch->has_events)
        batch->events_result = write_events(journal, batch, &batch->events_reason);
    if (batch->has_rejected)
        batch->rejected_result = rejected_write(&batch->rejected, journal->directory.file, today(journal),
                                                entries, count, &batch->rejected_reason);
    directory_unlock(&journal->directory);
}

void journal_sync(struct journal *journal) {
    if (journal->batch.has_events)
        finish_events(journal, &journal->batch);
    if (journal->batch.has_rejected)
        finish_rejected(&journal->batch);
}

void journal_append(struct journal *journal, struct entry *entries[], size_t count,
                    const struct deadline *deadline) {
    journal_write(journal, entries, count, deadline);
    journal_sync(journal);
}

/* Calls one part of a step of the index's checkpoint with the lock held and the index as it is now. */
static int locked(struct journal *journal, int (*part)(struct seen *seen, struct reason *reason),
                  const struct deadline *deadline, struct reason *reason) {
    int result = take_lock(journal, deadline, reason);
    if (result != 0)
        return result;
    result = seen_begin(journal->seen, journal->directory.file, reason);
    if (result == 0)
        result = part(journal->seen, reason);
    if (result == ERROR_DAMAGED)
        seen_discard(journal->seen, NULL);
    directory_unlock(&journal->directory);
    return result;
}

int journal_upkeep(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    if (!seen_step_due(journal->seen))
        return 0;
    int result = locked(journal, seen_step_begin, deadline, reason);
    if (result != 0)
        return result;
    result = seen_step_sync(journal->seen, reason);
    int noted = locked(journal, result == ERROR_DAMAGED ? seen_discard : seen_step_end, deadline,
                       result == 0 ? reason : NULL);
    return result != 0 ? result : noted;
}
