/* Saves progress: the cursor moves past an event only after its command has succeeded, its failure is on the
 * list, or its deferral is on disk. */
#include "failed.h"
#include "journal_source_state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void journal_source_end_broken(struct journal_source *source) {
    source->base.broken = source->base.ending = true;
}

void journal_source_end_if_once(struct journal_source *source) {
    if (source->run->once || source->run->retry_failed)
        journal_source_end_broken(source);
}

void journal_source_pause(struct journal_source *source, struct backoff *backoff,
                          const struct reason *reason) {
    backoff_start(
        backoff, reason,
        source->run->once
            ? "; no command is run until this works: free disk space, or fix the owner and the mode, and run "
              "doorpost exec again"
            : "; no command is run until this works: free disk space, or fix the owner and the mode");
    journal_source_end_if_once(source);
}

/* The old cursor's entries for lines that have not been read yet are kept. */
void journal_source_update_cursor(struct journal_source *source) {
    struct cursor *cursor = &source->cursor;
    const struct cursor *loaded = &source->loaded;
    uint64_t read = source->settled.read.seq;
    if (!schedule_save(source->schedule, cursor))
        return;
    source->unsaved = true;
    for (size_t i = 0; i < loaded->done_count && cursor->done_count < CURSOR_RANGES; i++)
        if (loaded->done[i].last > read) {
            cursor->done[cursor->done_count] = loaded->done[i];
            if (loaded->done[i].first <= read)
                cursor->done[cursor->done_count].first = read + 1;
            cursor->done_count++;
        }
    for (size_t i = 0; i < loaded->retry_count && cursor->retry_count < CURSOR_RETRIES; i++)
        if (loaded->retry[i].seq > read)
            cursor->retry[cursor->retry_count++] = loaded->retry[i];
}

/* Saves the deferred events. */
static bool save_deferred(struct journal_source *source) {
    struct reason reason = {""};
    struct queues *queues = schedule_queues(source->schedule);
    if (source->waiting.known && !queues_are_changed(queues))
        return true;
    if (source->settled.foreign || monotonic_now() < source->queue_backoff.again)
        return false;
    if (waiting_save(&source->waiting, source->settled.directory.fd, source->run->name, queues, &reason) !=
        0) {
        journal_source_pause(source, &source->queue_backoff, &reason);
        return false;
    }
    schedule_release_deferred(source->schedule);
    backoff_clear(&source->queue_backoff);
    return true;
}

static bool save_cursor(struct journal_source *source) {
    struct reason reason = {""};
    journal_source_update_cursor(source);
    if (!source->unsaved)
        return true;
    if (source->settled.foreign || monotonic_now() < source->save_backoff.again)
        return false;
    if (cursor_write(source->settled.directory.fd, source->run->name, &source->cursor, &reason) != 0) {
        journal_source_pause(source, &source->save_backoff, &reason);
        return false;
    }
    source->unsaved = source->reserved = false;
    backoff_clear(&source->save_backoff);
    return true;
}

/* Deferred events first: only then may the cursor move past them. */
bool journal_source_save(struct journal_source *source) {
    if (source->run->retry_failed)
        return true;
    bool deferred_saved = save_deferred(source);
    return save_cursor(source) && deferred_saved;
}

bool journal_source_reserve(struct journal_source *source) {
    struct reason reason = {""};
    const struct run *run = source->run;
    if (!journal_source_save(source) || source->settled.foreign ||
        monotonic_now() < source->save_backoff.again)
        return false;
    if (source->reserved)
        return true;
    int result =
        run->retry_failed
            ? failed_reserve(source->settled.directory.fd, source->settled.lock, run->name, &reason)
            : cursor_reserve(source->settled.directory.fd, run->name, &source->cursor, JOBS_MAX, &reason);
    source->reserved = result == 0;
    if (result != 0)
        journal_source_pause(source, &source->save_backoff, &reason);
    if (result == ERROR_INVALID) /* read-only journal: waiting cannot help */
        journal_source_end_broken(source);
    return source->reserved;
}

void journal_source_release(struct journal_source *source) {
    if (source->reserved && !source->settled.foreign && !source->run->retry_failed)
        cursor_release(source->settled.directory.fd, source->run->name);
    source->reserved = false;
}
