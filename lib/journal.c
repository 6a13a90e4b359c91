/* Durability depends on the order of writes: lock; find the true end and extend the index to it (dedup.c);
 * separate new events from duplicates (batch.c); write; index; unlock; sync; check that the lines are there;
 * answer. A process may be killed between any two steps: the next one finds what it wrote at the end of the
 * newest segment, past the reach of the index, and no sender has received 200 for it.
 *
 * An open descriptor may no longer match its name: under the lock, the directory (directory.c), the newest
 * segment (tail.c) and the index are compared with what their names now refer to, and reopened if they
 * differ. After an error all of them are closed, so the next attempt starts from the names. */
#include "journal.h"

#include "batch.h"
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
    struct directory directory;
    struct tail tail;
    struct dedup *dedup;
    int64_t (*now)(void);
    struct batch batch;
};

struct journal *journal_new(const char *path, unsigned first_buckets) {
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return NULL;
    directory_start(&journal->directory, path);
    journal->tail.fd = -1;
    journal->now = timestamp_now;
    journal->dedup = dedup_new(first_buckets);
    if (journal->dedup == NULL) {
        journal_free(journal);
        return NULL;
    }
    return journal;
}

static void close_files(struct journal *journal) {
    tail_close(&journal->tail);
    dedup_close(journal->dedup);
}

void journal_free(struct journal *journal) {
    if (journal == NULL)
        return;
    tail_close(&journal->tail);
    dedup_free(journal->dedup);
    directory_close(&journal->directory);
    free(journal);
}

void journal_set_clock(struct journal *journal, int64_t (*now)(void)) {
    journal->now = now != NULL ? now : timestamp_now;
}

const char *journal_warning(const struct journal *journal) {
    return journal->batch.warning.text;
}

static int32_t today(const struct journal *journal) {
    int32_t day = timestamp_day(journal->now());
    return day < 0 ? 0 : day > DAY_MAX ? DAY_MAX : day;
}

static int begin(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    int result = dedup_begin(journal->dedup, &journal->directory, &journal->tail, deadline, reason);
    if (result == 0 && journal->tail.warning.text[0] != '\0')
        journal->batch.warning = journal->tail.warning;
    return result;
}

/* Creates today's segment if the newest one is older. If the clock stepped back, nothing changes. */
static int roll(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    int32_t day = today(journal);
    if (journal->tail.fd >= 0 && journal->tail.day >= day)
        return 0;
    int fd = segment_create(journal->directory.fd, day, reason);
    if (fd < 0)
        return fd;
    close(fd);
    int result = dedup_made_day(journal->dedup, &journal->directory, day, reason);
    return result == 0 ? begin(journal, deadline, reason) : result;
}

/* Makes a file's name durable before its first line is written. So a file with lines has a durable name, even
 * if the process that created it was killed. */
static int sync_name(const struct journal *journal, struct reason *reason) {
    if (journal->tail.end > 0 || fsync(journal->directory.fd) == 0)
        return 0;
    return FAIL(reason, ERROR_SYSTEM, "cannot sync the journal directory: %s", strerror(errno));
}

static int write_new(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    struct batch *batch = &journal->batch;
    struct tail *tail = &journal->tail;
    if (batch->new_count == 0)
        return 0;
    int result = roll(journal, deadline, reason);
    if (result != 0)
        return result;
    if (tail->read_only) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(tail->day, name);
        return FAIL(reason, ERROR_SYSTEM, "%s is read-only: make it writable by this user", name);
    }
    struct chain_state chain = tail->chain;
    batch_compose(batch, tail, &chain);
    result = sync_name(journal, reason);
    if (result == 0)
        result = append_write(&batch->append, reason);
    if (result != 0)
        return result;
    if (fstat(tail->fd, &tail->status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot stat the newest segment: %s", strerror(errno));
    tail->end = batch->end;
    tail->chain = chain;
    batch_index(batch, journal->dedup, tail);
    return 0;
}

static int write_all(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    struct batch *batch = &journal->batch;
    int result = begin(journal, deadline, reason);
    if (result == 0)
        result =
            batch_classify(batch, journal->dedup, &journal->tail, journal->directory.fd, deadline, reason);
    if (result == ERROR_DAMAGED) { /* the index is damaged: rebuild it once */
        result = dedup_discard(journal->dedup, reason);
        if (result == 0)
            result = begin(journal, deadline, reason);
        if (result == 0)
            result = batch_classify(batch, journal->dedup, &journal->tail, journal->directory.fd, deadline,
                                    reason);
    }
    if (result == 0)
        result = write_new(journal, deadline, reason);
    if (result == 0)
        result = batch_write_rejected(batch, journal->dedup, journal->directory.fd, today(journal), reason);
    return result;
}

/* On a network file system, other hosts see writes only after they reach the server, and this host sees
 * theirs only in files that it reopens. So everything is flushed and closed before the lock is released. */
static int flush_remote(struct journal *journal, struct reason *reason) {
    if (!journal->directory.remote)
        return 0;
    const struct rejected *rejected = &journal->batch.rejected;
    dedup_close(journal->dedup);
    if ((journal->tail.fd >= 0 && fdatasync(journal->tail.fd) != 0) ||
        (rejected->fd >= 0 && fdatasync(rejected->fd) != 0))
        return FAIL(reason, ERROR_SYSTEM, "cannot sync the journal: %s", strerror(errno));
    return 0;
}

void journal_write(struct journal *journal, struct entry *entries[], size_t count,
                   const struct deadline *deadline) {
    struct batch *batch = &journal->batch;
    batch_start(batch, entries, count);
    batch->result = directory_lock(&journal->directory, deadline, &batch->reason);
    if (batch->result < 0)
        return;
    if (batch->result > 0) /* the directory was reopened */
        close_files(journal);
    batch->result = write_all(journal, deadline, &batch->reason);
    if (batch->result == 0)
        batch->result = flush_remote(journal, &batch->reason);
    else
        close_files(journal);
    directory_unlock(&journal->directory);
}

/* Returns true if the file with the day's name contains the lines of this batch. Detects locks that do not
 * exclude other hosts, and moved files. */
static bool is_in_place(const struct journal *journal, struct reason *reason) {
    const struct append *append = &journal->batch.append;
    char name[SEGMENT_NAME_SIZE];
    struct stat named;
    segment_name(journal->tail.day, name);
    int fd = append->fd;
    if (journal->directory.remote)
        fd = regular_open(journal->directory.fd, name, O_RDONLY, NULL);
    bool in_place = fd >= 0 && fstatat(journal->directory.fd, name, &named, 0) == 0 &&
                    named.st_ino == journal->tail.status.st_ino &&
                    named.st_dev == journal->tail.status.st_dev && append_is_present(append, fd);
    if (!in_place)
        explain(reason,
                "%s does not contain what was just written to it: it was moved, or locks do not work on this "
                "file system; run `doorpost doctor`",
                name);
    if (fd >= 0 && fd != append->fd)
        close(fd);
    return in_place;
}

void journal_sync(struct journal *journal) {
    struct batch *batch = &journal->batch;
    enum sync sync = SYNC_FAILED;
    if (batch->result == 0 && batch_needs_tail(batch)) {
        if (batch->new_count == 0)
            batch->append = (struct append){.fd = journal->tail.fd};
        sync = append_sync(&batch->append, &batch->reason);
        if (sync != SYNC_CLEAN)
            journal->tail.end = UINT64_MAX; /* the file must be read again to find its end */
        if (sync != SYNC_FAILED && !is_in_place(journal, &batch->reason)) {
            sync = SYNC_FAILED;
            journal->tail.end = UINT64_MAX;
        }
    }
    batch_finish(batch, sync);
}

void journal_append(struct journal *journal, struct entry *entries[], size_t count,
                    const struct deadline *deadline) {
    journal_write(journal, entries, count, deadline);
    journal_sync(journal);
}

int journal_upkeep(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    return dedup_upkeep(journal->dedup, &journal->directory, deadline, reason);
}
