/* The order of writes, which is the promise: lock; find the true end and bring the index up to it (dedup.c);
 * tell the new from the seen (batch.c); write; index; unlock; sync; look whether it is there; answer. A
 * process may be killed between any two of these: what it had written is found by the next one at the end of
 * the newest segment, beyond where the index reaches, and nobody had heard 200 for it.
 *
 * Nothing that is open is trusted to be what has the name: under the lock, the directory (directory.c), the
 * newest segment (tail.c) and the index are compared with what their names stand for now, and opened again if
 * they differ. After trouble all of it is closed, so that the next attempt begins from the names alone. */
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

/* Begins today's segment if the newest one is of an earlier day. A clock that stepped back changes nothing.
 */
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

/* The first line of a file is not written before the file's name is on the disk: so a file that has lines has
 * a name that is durable, whatever became of the process that made it. */
static int sync_name(const struct journal *journal, struct reason *reason) {
    if (journal->tail.end > 0 || fsync(journal->directory.fd) == 0)
        return 0;
    return FAIL(reason, ERROR_SYSTEM, "cannot sync the journal's directory: %s", strerror(errno));
}

static int write_new(struct journal *journal, const struct deadline *deadline, struct reason *reason) {
    struct batch *batch = &journal->batch;
    struct tail *tail = &journal->tail;
    if (batch->new_count == 0)
        return 0;
    int result = roll(journal, deadline, reason);
    if (result != 0)
        return result;
    if (tail->read_only)
        return FAIL(reason, ERROR_SYSTEM, "the newest segment is read-only: make it writable for this user");
    struct chain_state chain = tail->chain;
    batch_compose(batch, tail, &chain);
    result = sync_name(journal, reason);
    if (result == 0)
        result = append_write(&batch->append, reason);
    if (result != 0)
        return result;
    if (fstat(tail->fd, &tail->status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot examine the newest segment: %s", strerror(errno));
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
    if (result == ERROR_DAMAGED) { /* the index is, and is rebuilt; once is enough */
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

/* On a network file system other hosts see what was written once it is with the server, and this one sees
 * theirs in files that it opens again; so before the lock is given back, all is sent and closed. */
static int hand_over(struct journal *journal, struct reason *reason) {
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
    if (batch->result > 0) /* another directory than before */
        close_files(journal);
    batch->result = write_all(journal, deadline, &batch->reason);
    if (batch->result == 0)
        batch->result = hand_over(journal, &batch->reason);
    else
        close_files(journal);
    directory_unlock(&journal->directory);
}

/* Returns true if the lines of this batch are in the file that has the day's name. Locks that do not exclude
 * other hosts, and people who move files, show here. */
static bool is_there(const struct journal *journal, struct reason *reason) {
    const struct append *append = &journal->batch.append;
    char name[SEGMENT_NAME_SIZE];
    struct stat named;
    segment_name(journal->tail.day, name);
    int fd = append->fd;
    if (journal->directory.remote)
        fd = regular_open(journal->directory.fd, name, O_RDONLY, NULL);
    bool there = fd >= 0 && fstatat(journal->directory.fd, name, &named, 0) == 0 &&
                 named.st_ino == journal->tail.status.st_ino && named.st_dev == journal->tail.status.st_dev &&
                 append_is_there(append, fd);
    if (!there)
        explain(reason,
                "%s does not hold what was just written to it: was it moved, or do locks not work on this "
                "file system? See `doorpost doctor`",
                name);
    if (fd >= 0 && fd != append->fd)
        close(fd);
    return there;
}

void journal_sync(struct journal *journal) {
    struct batch *batch = &journal->batch;
    enum sync sync = SYNC_FAILED;
    if (batch->result == 0 && batch_needs_tail(batch)) {
        if (batch->new_count == 0)
            batch->append = (struct append){.fd = journal->tail.fd};
        sync = append_sync(&batch->append, &batch->reason);
        if (sync != SYNC_CLEAN)
            journal->tail.end = UINT64_MAX; /* what the file holds now has to be looked at */
        if (sync != SYNC_FAILED && !is_there(journal, &batch->reason)) {
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
