/* Events from the journal. Only what is on disk is run: settled.h. The cursor moves past an event only after
 * its command has succeeded, or its failure is on the list. So a crash at any moment repeats the commands
 * that were running, and no others. */
#include "journal_source.h"

#include "forward_note.h"
#include "instructions.h"
#include "journal_source_state.h"
#include "runlog.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_TIMEOUT (30 * SECOND)

static struct journal_source *of(struct source *base) {
    return (struct journal_source *)base;
}

/* ---- the starting position ---- */

/* Creates the cursor of a new consumer. */
static int create_cursor(struct journal_source *source) {
    struct directory *directory = &source->settled.directory;
    const char *from = source->run->from, *name = source->run->name;
    struct reason reason = {""};
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    bool at_end = strcmp(from, "end") == 0;
    int result = 0;
    if (!at_end && strcmp(from, "start") != 0)
        result = resume_at(directory->fd, strtoull(from, NULL, 10), &source->cursor.mark, &reason);
    if (result == 0)
        result = cursor_create(directory, name, at_end ? NULL : &source->cursor, &deadline, &reason);
    if (result == 0)
        result = cursor_read(directory->fd, name, &source->cursor, &reason);
    if (result >= 0 && at_end && source->cursor.mark.position.day > 0)
        explain_empty("%s is new, and starts after the newest event. With --from start, a new consumer "
                      "starts at the first event.",
                      name);
    return result >= 0 ? STATUS_DONE : problem("%s", reason.text);
}

static int open_cursor(struct journal_source *source) {
    const char *name = source->run->name;
    int directory = source->settled.directory.fd;
    struct reason reason = {""};
    int found = cursor_read(directory, name, &source->cursor, &reason);
    if (found == 0 && create_cursor(source) != STATUS_DONE)
        return STATUS_PROBLEM;
    source->waiting.known = source->unsaved = false;
    if (found >= 0 && waiting_load(source->settled.directory.fd, name, schedule_queues(source->schedule),
                                   timestamp_now(), &reason) != 0)
        return problem("%s", reason.text);
    return found >= 0 && journal_source_resume(source, &reason) == 0 ? STATUS_DONE
                                                                     : problem("%s", reason.text);
}

static int open_journal(struct source *base) {
    struct journal_source *source = of(base);
    const struct run *run = source->run;
    struct reason reason = {""};
    struct forward_note forwards;
    enum cursor_lock which = run->retry_failed ? CURSOR_LOCK_RETRYING : CURSOR_LOCK_RUNNER;
    source->schedule = schedule_new();
    source->parser = event_parser_new();
    if (source->schedule == NULL || source->parser == NULL)
        return problem("out of memory");
    int result = settled_open(&source->settled, source->journal, run->name, which, &reason);
    if (result == ERROR_TIMEOUT && runlog_is_used()) /* many presses at once may each have started a runner */
        return STATUS_PROBLEM;
    if (result != 0)
        return problem("%s", reason.text);
    if (forward_note_read(source->settled.lock, &forwards)) /* what it has forwarded was never run */
        return problem("%s is a forwarder: choose another --name", run->name);
    return run->retry_failed ? journal_source_read_failed(source) : open_cursor(source);
}

static void note(struct source *base, const struct runner_note *note) {
    if (!of(base)->run->retry_failed) /* otherwise another process may be writing it */
        runner_note_write(of(base)->settled.lock, note);
}

/* ---- in the loop ---- */

static void follow_instruction(void *context, enum instruction what, uint64_t seq) {
    struct journal_source *source = context;
    for (size_t i = 0; i < JOBS_MAX && what == INSTRUCTION_DROP; i++) {
        struct task *task = &source->base.task[i];
        if (task->busy && task->item.seq == seq)
            task->dropped = source->instructions_pending = true;
    }
    for (size_t i = 0; i < source->loaded.retry_count; i++)
        source->instructions_pending |=
            source->loaded.retry[i].seq == seq && source->settled.read.seq < seq; /* not read yet */
    if (what == INSTRUCTION_RETRY)
        schedule_expedite(source->schedule, seq);
    else if (schedule_drop(source->schedule, seq, timestamp_now()))
        problem("event %" PRIu64 " dropped by doorpost exec --drop", seq);
}

/* Instructions are cleared once the cursor is saved. */
static void follow_instructions(struct journal_source *source) {
    struct reason reason = {""};
    const char *name = source->run->name;
    const struct settled *settled = &source->settled;
    int directory = settled->directory.fd;
    if (source->run->retry_failed || settled->foreign || !instructions_any(directory, name) ||
        cursor_lock(settled->lock, CURSOR_LOCK_FAILED, true, &reason) != 0)
        return;
    source->instructions_pending = false;
    if (instructions_each(directory, name, follow_instruction, source, &reason) == 0 &&
        journal_source_save(source) && !source->instructions_pending)
        instructions_forget(directory, name);
    cursor_unlock(settled->lock, CURSOR_LOCK_FAILED);
}

static void advance(struct source *base) {
    struct journal_source *source = of(base);
    follow_wait(&source->settled.follow, 0);
    journal_source_save(source);
    journal_source_read_new(source);
    follow_instructions(source);
    journal_source_save(source);
    source->ready =
        !base->ending && schedule_left(source->schedule) > base->running && journal_source_reserve(source);
}

/* A failure is put on the list before the cursor can move past it; if that fails, the event is run again. */
static bool finish(struct source *base, const struct item *ended, enum result result,
                   const struct failure *failure) {
    struct journal_source *source = of(base);
    const struct settled *settled = &source->settled;
    const char *name = source->run->name;
    bool retry_failed = source->run->retry_failed;
    struct reason reason = {""};
    int directory = settled->directory.fd, status = 0;
    if (result == RESULT_FAILED)
        failed_note(directory, name, failure);
    if (result == RESULT_GIVEN_UP) {
        status =
            (retry_failed ? failed_replace : failed_add)(directory, settled->lock, name, failure, &reason);
        if (status != 0)
            result = RESULT_POSTPONED;
    } else if (retry_failed && result == RESULT_DONE)
        status = failed_remove(directory, settled->lock, name, ended->seq, &reason);
    if (retry_failed)
        source->reserved = false; /* the reservation has been used */
    if (status != 0)
        journal_source_pause(source, &source->save_backoff, &reason);
    struct item *item = schedule_find(source->schedule, ended);
    if (item != NULL) /* otherwise its line was deleted meanwhile */
        schedule_finish(source->schedule, item, result, timestamp_now());
    return status == 0;
}

/* Returns true if the line is there; if not, settles the event. */
static bool find_line(struct journal_source *source, struct item *item, struct record *record) {
    struct reason reason = {""};
    int result = journal_source_reread(source, item, record, &reason);
    if (result < 0) {
        backoff_report(&source->reread_backoff, &reason, "; its events are deferred");
        finish(&source->base, item, RESULT_POSTPONED, NULL);
    } else if (result == 0) {
        problem("event %" PRIu64 " was deleted before its command could be run", item->seq);
        finish(&source->base, item, RESULT_DONE, NULL);
    }
    return result > 0;
}

static bool next(struct source *base, struct due *due) {
    struct journal_source *source = of(base);
    struct record record;
    struct item *item;
    while (source->ready && !base->ending && monotonic_now() >= source->save_backoff.again &&
           (item = schedule_next(source->schedule, timestamp_now())) != NULL)
        if (find_line(source, item, &record)) {
            *due = (struct due){
                .item = *item, .event = &source->event, .body = record.event, .length = record.event_length};
            memcpy(due->received_at, record.received_at, TIMESTAMP_SIZE - 1);
            return true;
        }
    return false;
}

static bool has_more(const struct journal_source *source) {
    return !source->run->retry_failed && settled_has_more(&source->settled);
}

static void lower(int64_t *wait, int64_t other) {
    *wait = other < *wait ? other : *wait;
}

static size_t watch(struct source *base, struct pollfd watched[SOURCE_WATCHED], int64_t *wait) {
    const struct journal_source *source = of(base);
    int64_t due = schedule_wait(source->schedule, timestamp_now());
    watched[0] = (struct pollfd){.fd = source->settled.follow.notify, .events = POLLIN};
    lower(wait, follow_poll_timeout_ms(&source->settled.follow) * 1000);
    if (!base->ending && due >= 0)
        lower(wait, due);
    /* There may be room to read on after events were deferred. */
    if (!base->ending && source->read_backoff.again == 0 && !schedule_is_full(source->schedule) &&
        has_more(source))
        *wait = 0;
    return 1;
}

/* ---- the end ---- */

static bool is_idle(const struct source *base) {
    const struct journal_source *source = (const struct journal_source *)base;
    return schedule_left(source->schedule) == 0 && !has_more(source);
}

/* A handler that appends checks whether a runner holds the lock, and if so relies on it to see the new line.
 * So the lock is released first, and then the journal is checked once more. */
static bool is_over(struct source *base) {
    struct journal_source *source = of(base);
    struct settled *settled = &source->settled;
    struct reason reason = {""};
    struct position before = settled->end;
    if (source->run->retry_failed)
        return true;
    if (!journal_source_save(source)) /* settles events that were deleted before they could be run */
        return base->ending;
    journal_source_release(source);
    cursor_unlock(settled->lock, CURSOR_LOCK_RUNNER);
    if (settled_find_end(settled, &reason) != 0) {
        problem("%s", reason.text);
        journal_source_end_broken(source);
        return true;
    }
    if (before.day == settled->end.day && before.offset == settled->end.offset)
        return true;
    if (cursor_lock(settled->lock, CURSOR_LOCK_RUNNER, false, NULL) != 0) /* another runner has taken over */
        return true;
    if (open_cursor(source) != STATUS_DONE) /* another runner may have run meanwhile */
        journal_source_end_broken(source);
    return base->broken;
}

static bool end(struct source *base) {
    struct journal_source *source = of(base);
    source->save_backoff.again = source->queue_backoff.again = 0; /* a last attempt */
    bool saved = !base->ending || journal_source_save(source);
    journal_source_release(source);
    return saved;
}

static void close_journal(struct source *base) {
    struct journal_source *source = of(base);
    settled_close(&source->settled);
    walk_end(&source->again);
    event_parser_free(source->parser);
    schedule_free(source->schedule);
    free(source);
}

struct source *journal_source_new(const char *journal, const struct run *run) {
    static const struct source_functions functions = {.open = open_journal,
                                                      .note = note,
                                                      .advance = advance,
                                                      .next = next,
                                                      .finish = finish,
                                                      .watch = watch,
                                                      .is_idle = is_idle,
                                                      .is_over = is_over,
                                                      .end = end,
                                                      .close = close_journal};
    struct journal_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return NULL;
    source->base.functions = &functions;
    source->journal = journal;
    source->run = run;
    source->again.fd = -1;
    return &source->base;
}
