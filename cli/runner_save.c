/* Saves progress: the cursor moves past an event only after its command has succeeded, its failure is on the
 * list, or its deferral is on disk. */
#include "failed.h"
#include "runner_state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void runner_end_broken(struct runner *runner) {
    runner->broken = runner->ending = true;
}

void runner_end_if_once(struct runner *runner) {
    if (runner->run->once || runner->run->retry_failed)
        runner_end_broken(runner);
}

void runner_pause(struct runner *runner, struct backoff *backoff, const struct reason *reason) {
    backoff_start(
        backoff, reason,
        runner->run->once
            ? "; no command is run until this works: free disk space, or fix the owner and the mode, and run "
              "doorpost exec again"
            : "; no command is run until this works: free disk space, or fix the owner and the mode");
    runner_end_if_once(runner);
}

/* The old cursor's entries for lines that have not been read yet are kept. */
void runner_update_cursor(struct runner *runner) {
    struct cursor *cursor = &runner->cursor;
    const struct cursor *loaded = &runner->loaded;
    uint64_t read = runner->read.seq;
    if (!schedule_save(runner->schedule, cursor))
        return;
    runner->unsaved = true;
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
static bool save_deferred(struct runner *runner) {
    struct reason reason = {""};
    struct queues *queues = schedule_queues(runner->schedule);
    if (runner->waiting.known && !queues_are_changed(queues))
        return true;
    if (runner->foreign || monotonic_now() < runner->queue_backoff.again)
        return false;
    if (waiting_save(&runner->waiting, runner_directory_of(runner), runner->run->name, queues, &reason) !=
        0) {
        runner_pause(runner, &runner->queue_backoff, &reason);
        return false;
    }
    schedule_release_deferred(runner->schedule);
    backoff_clear(&runner->queue_backoff);
    return true;
}

static bool save_cursor(struct runner *runner) {
    struct reason reason = {""};
    runner_update_cursor(runner);
    if (!runner->unsaved)
        return true;
    if (runner->foreign || monotonic_now() < runner->save_backoff.again)
        return false;
    if (cursor_write(runner_directory_of(runner), runner->run->name, &runner->cursor, &reason) != 0) {
        runner_pause(runner, &runner->save_backoff, &reason);
        return false;
    }
    runner->unsaved = runner->reserved = false;
    backoff_clear(&runner->save_backoff);
    return true;
}

/* Deferred events first: only then may the cursor move past them. */
bool runner_save(struct runner *runner) {
    if (runner->run->retry_failed)
        return true;
    bool deferred_saved = save_deferred(runner);
    return save_cursor(runner) && deferred_saved;
}

bool runner_reserve(struct runner *runner) {
    struct reason reason = {""};
    const struct run *run = runner->run;
    if (!runner_save(runner) || runner->foreign || monotonic_now() < runner->save_backoff.again)
        return false;
    if (runner->reserved)
        return true;
    int result =
        run->retry_failed
            ? failed_reserve(runner_directory_of(runner), runner->lock, run->name, &reason)
            : cursor_reserve(runner_directory_of(runner), run->name, &runner->cursor, JOBS_MAX, &reason);
    runner->reserved = result == 0;
    if (result != 0)
        runner_pause(runner, &runner->save_backoff, &reason);
    if (result == ERROR_INVALID) /* read-only journal: waiting cannot help */
        runner_end_broken(runner);
    return runner->reserved;
}

void runner_release(struct runner *runner) {
    if (runner->reserved && !runner->foreign && !runner->run->retry_failed)
        cursor_release(runner_directory_of(runner), runner->run->name);
    runner->reserved = false;
}

void runner_write_state(struct runner *runner) {
    runner->note.running = runner->running;
    if (!runner->run->retry_failed) /* otherwise another process may be writing it */
        runner_note_write(runner->lock, &runner->note);
}
