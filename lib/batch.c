#include "batch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void batch_start(struct batch *batch, struct entry *entries[], size_t count) {
    batch->entries = entries;
    batch->count = count;
    batch->result = ERROR_SYSTEM;
    batch->reason.text[0] = batch->warning.text[0] = '\0';
    batch->new_count = 0;
    batch->rejected = (struct rejected){.fd = -1};
    for (size_t i = 0; i < count; i++) {
        batch->classification[i] = CLASS_UNKNOWN;
        batch->owned_fd[i] = -1;
        entries[i]->disposition = DISPOSITION_UNAVAILABLE;
        entries[i]->reason.text[0] = '\0';
    }
}

static void close_owned(struct batch *batch, size_t index) {
    if (batch->owned_fd[index] >= 0)
        close(batch->owned_fd[index]);
    batch->owned_fd[index] = -1;
}

/* ---- classifying ---- */

/* Rewrites the original line in place: after a failed sync, the kernel may hold it in clean pages that never
 * reached the disk, and the next sync would skip them. If it is not in the newest segment, its own segment
 * stays open to be synced. */
static int rewrite_in_place(struct batch *batch, size_t index, const struct original *original,
                            const struct tail *tail, int directory, struct reason *reason) {
    int fd = tail->fd;
    bool read_only = tail->read_only;
    if (original->position.day != tail->day) {
        /* A read-only segment was synced long ago. */
        fd = segment_open_either(directory, original->position.day, &read_only, reason);
        if (fd < 0)
            return ERROR_SYSTEM;
        batch->owned_fd[index] = fd;
    }
    if (!read_only && pwrite(fd, original->line, original->length, (off_t)original->position.offset) !=
                          (ssize_t)original->length)
        return FAIL(reason, ERROR_SYSTEM, "cannot write to the journal: %s", strerror(errno));
    return 0;
}

static bool repeats_new(struct batch *batch, size_t index) {
    const struct event *event = batch->entries[index]->event;
    for (size_t i = 0; i < batch->new_count; i++) {
        const struct event *other = batch->entries[batch->added[i]]->event;
        if (strcmp(event->request_id, other->request_id) == 0 || strcmp(event->id, other->id) == 0) {
            batch->original[index] = batch->added[i];
            return true;
        }
    }
    return false;
}

/* Sets *at to the time the newest line was received, or 0 if it is missing or unreadable. */
static int newest_time(struct batch *batch, const struct dedup *dedup, int directory, int64_t *at,
                       struct reason *reason) {
    struct record record;
    struct line line;
    int result = mark_line(directory, dedup_end(dedup), batch->text, &line, reason);
    *at = 0;
    if (result > 0 && record_parse(line.text, line.length, &record) == 0)
        (void)timestamp_parse(record.received_at, TIMESTAMP_SIZE - 1, at);
    return result < 0 ? result : 0;
}

/* Handles an event that is not in the journal and is too old by the clock. */
static int check_staleness(struct batch *batch, size_t index, const struct dedup *dedup, int directory,
                           struct reason *reason) {
    struct entry *entry = batch->entries[index];
    int64_t known;
    if (!entry->event->has_time) {
        entry->rejection =
            entry->event->time_is_present ? "meta.time is not a valid time" : "meta.time is missing";
        return 0;
    }
    int result = newest_time(batch, dedup, directory, &known, reason);
    if (result != 0)
        return result;
    if (known == 0)
        known = entry->known_time;
    if (entry->event->time + entry->max_age < known) {
        entry->rejection = "stale";
        return 0;
    }
    explain(&entry->reason,
            "meta.time is older than DOORPOST_MAX_AGE by the system clock, but not by the newest event in "
            "the journal: check the clock; until it is right, old events are answered 503");
    return 0;
}

/* Classifies an entry for rejected/. */
static int classify_rejected(struct batch *batch, size_t index, struct dedup *dedup, int directory,
                             struct reason *reason) {
    const struct entry *entry = batch->entries[index];
    struct position position;
    int found = dedup_find_rejected(dedup, entry->signature, &position, reason);
    if (found < 0)
        return found;
    batch->classification[index] = found > 0 ? CLASS_REJECTED_BEFORE : CLASS_REJECTED;
    for (size_t i = 0; i < index && found == 0; i++)
        if (batch->classification[i] == CLASS_REJECTED &&
            strcmp(batch->entries[i]->signature, entry->signature) == 0)
            batch->classification[index] = CLASS_REJECTED_BEFORE;
    if (found > 0)
        batch->owned_fd[index] = rejected_open(directory, position, reason);
    return found > 0 && batch->owned_fd[index] < 0 ? ERROR_SYSTEM : 0;
}

static int classify_event(struct batch *batch, size_t index, struct dedup *dedup, const struct tail *tail,
                          int directory, const struct deadline *deadline, struct reason *reason) {
    struct entry *entry = batch->entries[index];
    struct original original;
    int found = dedup_find(dedup, entry->event, &original, deadline, reason);
    if (found < 0)
        return found;
    if (found > 0) {
        batch->classification[index] = CLASS_DUPLICATE;
        entry->seq = original.seq;
        return rewrite_in_place(batch, index, &original, tail, directory, reason);
    }
    if (repeats_new(batch, index))
        batch->classification[index] = CLASS_DUPLICATE_IN_BATCH;
    else if (entry->stale_before != 0 &&
             (!entry->event->has_time || entry->event->time < entry->stale_before))
        return check_staleness(batch, index, dedup, directory, reason);
    else {
        batch->classification[index] = CLASS_NEW;
        batch->added[batch->new_count++] = index;
    }
    return 0;
}

/* If the index is not in memory, lookups wait for the disk one by one: start reading for the remaining ones
 * together. */
static void prefetch(const struct batch *batch, struct dedup *dedup, size_t from) {
    for (size_t i = from; i < batch->count; i++)
        if (batch->entries[i]->event != NULL)
            dedup_prefetch(dedup, batch->entries[i]->event);
}

int batch_classify(struct batch *batch, struct dedup *dedup, const struct tail *tail, int directory,
                   const struct deadline *deadline, struct reason *reason) {
    int64_t started = monotonic_now();
    bool prefetched = false;
    int result = 0;
    batch->new_count = 0;
    for (size_t i = 0; i < batch->count && result == 0; i++) {
        close_owned(batch, i);
        batch->classification[i] = CLASS_UNKNOWN;
        if (batch->entries[i]->rejection == NULL)
            result = classify_event(batch, i, dedup, tail, directory, deadline, reason);
        if (result == 0 && batch->entries[i]->rejection != NULL)
            result = classify_rejected(batch, i, dedup, directory, reason);
        if (i % 4 == 3 && !prefetched && monotonic_now() - started > SECOND / 1000) {
            prefetch(batch, dedup, i + 1);
            prefetched = true;
        }
    }
    return result;
}

/* ---- writing ---- */

void batch_compose(struct batch *batch, const struct tail *tail, struct chain_state *chain) {
    static char last[] = RECORD_TAIL;
    uint64_t at = tail->end;
    for (size_t i = 0; i < batch->new_count; i++) {
        struct entry *entry = batch->entries[batch->added[i]];
        bool verbatim = record_flatten(entry->body, entry->length);
        size_t head = record_write_header(chain, entry->received_at, entry->key, entry->signature, verbatim,
                                          entry->body, entry->length, batch->header[i]);
        struct iovec *parts = &batch->parts[3 * i];
        parts[0] = (struct iovec){.iov_base = batch->header[i], .iov_len = head};
        parts[1] = (struct iovec){.iov_base = entry->body, .iov_len = entry->length};
        parts[2] = (struct iovec){.iov_base = last, .iov_len = sizeof last - 1};
        entry->seq = chain->seq;
        batch->offset[i] = at;
        at += head + entry->length + sizeof last - 1;
    }
    batch->end = at;
    batch->append = (struct append){
        .fd = tail->fd, .at = tail->end, .parts = batch->parts, .count = (int)(3 * batch->new_count)};
}

void batch_index(const struct batch *batch, struct dedup *dedup, const struct tail *tail) {
    int result = 0;
    for (size_t i = 0; i < batch->new_count && result == 0; i++)
        result = dedup_add(dedup, batch->entries[batch->added[i]]->event,
                           (struct position){.day = tail->day, .offset = batch->offset[i]}, NULL);
    if (result == 0)
        dedup_reach(dedup, tail);
    else if (result == ERROR_DAMAGED)
        (void)dedup_discard(dedup, NULL);
}

int batch_write_rejected(struct batch *batch, struct dedup *dedup, int directory, int32_t day,
                         struct reason *reason) {
    struct entry *entries[JOURNAL_BATCH];
    uint64_t offset[JOURNAL_BATCH];
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->classification[i] == CLASS_REJECTED)
            entries[count++] = batch->entries[i];
    if (count == 0)
        return 0;
    int result = rejected_write(&batch->rejected, directory, day, entries, count, offset, reason);
    for (size_t i = 0; i < count && result == 0; i++)
        dedup_add_rejected(dedup, entries[i]->signature, (struct position){day, offset[i]},
                           (struct position){day, batch->rejected.at + batch->rejected.length});
    return result;
}

/* ---- syncing ---- */

bool batch_needs_tail(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (batch->classification[i] == CLASS_NEW ||
            (batch->classification[i] == CLASS_DUPLICATE && batch->owned_fd[i] < 0))
            return true;
    return false;
}

static enum disposition if_durable(bool durable, enum disposition disposition) {
    return durable ? disposition : DISPOSITION_UNAVAILABLE;
}

static enum disposition disposition_of(struct batch *batch, size_t index, enum sync sync,
                                       bool rejected_synced) {
    bool owned_synced = batch->owned_fd[index] >= 0 && fdatasync(batch->owned_fd[index]) == 0;
    if (batch->owned_fd[index] >= 0 && !owned_synced)
        explain(&batch->reason, "cannot sync the journal: %s", strerror(errno));
    switch (batch->classification[index]) {
    case CLASS_NEW:
        return if_durable(sync != SYNC_FAILED, DISPOSITION_STORED);
    case CLASS_DUPLICATE_IN_BATCH:
        batch->entries[index]->seq = batch->entries[batch->original[index]]->seq;
        return if_durable(sync != SYNC_FAILED, DISPOSITION_DUPLICATE);
    case CLASS_DUPLICATE:
        /* SYNC_REWRITTEN covers only the lines of this batch. */
        return if_durable(batch->owned_fd[index] >= 0 ? owned_synced : sync == SYNC_CLEAN,
                          DISPOSITION_DUPLICATE);
    case CLASS_REJECTED:
        return if_durable(rejected_synced, DISPOSITION_REJECTED);
    case CLASS_REJECTED_BEFORE:
        return if_durable(batch->owned_fd[index] >= 0 ? owned_synced : rejected_synced, DISPOSITION_REJECTED);
    case CLASS_UNKNOWN:
        break;
    }
    return DISPOSITION_UNAVAILABLE;
}

void batch_finish(struct batch *batch, enum sync sync) {
    bool rejected_synced = rejected_finish(&batch->rejected, batch->result, &batch->reason) == 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = batch->entries[i];
        if (batch->result == 0)
            entry->disposition = disposition_of(batch, i, sync, rejected_synced);
        if (entry->disposition == DISPOSITION_UNAVAILABLE && entry->reason.text[0] == '\0')
            entry->reason = batch->reason;
        close_owned(batch, i);
    }
}
