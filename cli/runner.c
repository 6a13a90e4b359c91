/* One thread and one loop: save the cursor past completed events, read new lines, start what may start, wait.
 *
 * Only what is on disk is run. The end of the journal is read under the append lock, so that no partial write
 * is taken for lines, and synced, so that no command runs for a press that a power cut would undo. The cursor
 * moves past an event only after its command has succeeded, or its failure is on the list. So a crash at any
 * moment repeats the commands that were running, and no others. */
#include "runner.h"

#include "failed.h"
#include "process.h"
#include "runlog.h"
#include "runner_state.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- waiting ---- */

static void take_signals(struct runner *runner) {
    struct signalfd_siginfo signal_info;
    while (read(runner->signals, &signal_info, sizeof signal_info) == (ssize_t)sizeof signal_info)
        if (signal_info.ssi_signo != SIGCHLD && runner->stop_at == INT64_MAX) {
            runner->ending = true;
            runner->stop_at = monotonic_now() + runner->run->grace * SECOND;
        }
}

/* Enforces deadlines. Returns milliseconds until the next one; -1: there is none. */
static int64_t enforce_deadlines(struct runner *runner) {
    int64_t now = monotonic_now(), soonest = schedule_wait(runner->schedule, timestamp_now());
    bool stop = runner->ending && now >= runner->stop_at;
    if (runner->ending)
        soonest = stop ? -1 : runner->stop_at - now;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (!runner->job[i].busy)
            continue;
        if (stop)
            command_stop(&runner->job[i].command, now);
        int64_t left = command_tick(&runner->job[i].command, now);
        soonest = soonest < 0 || left < soonest ? left : soonest;
    }
    return soonest < 0 ? -1 : soonest / 1000 + 1;
}

/* Returns true if there is more to read, and room for it, as there may be after events were deferred. */
static bool can_read_on(const struct runner *runner) {
    return !runner->ending && !runner->run->retry_failed && runner->any && runner->read_backoff.again == 0 &&
           !schedule_is_full(runner->schedule) &&
           runner_is_before(walk_position(&runner->lines->walk), runner->end);
}

/* Waits for a command, the journal or a signal. */
static void wait_for_any(struct runner *runner) {
    struct pollfd watched[2 + 2 * JOBS_MAX];
    size_t count = 0;
    int64_t wait = enforce_deadlines(runner);
    if (can_read_on(runner))
        wait = 0;
    watched[count++] = (struct pollfd){.fd = runner->signals, .events = POLLIN};
    watched[count++] = (struct pollfd){.fd = runner->follow.notify, .events = POLLIN};
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].busy)
            count += command_watch(&runner->job[i].command, &watched[count]);
    int64_t look_again = follow_poll_timeout_ms(&runner->follow);
    (void)poll(watched, count, (int)(wait >= 0 && wait < look_again ? wait : look_again));
    follow_wait(&runner->follow, 0);
    take_signals(runner);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].busy)
            command_pump(&runner->job[i].command);
}

/* ---- the starting position ---- */

/* Creates the cursor of a new consumer. */
static int create_cursor(struct runner *runner) {
    struct lines *lines = runner->lines;
    const char *from = runner->run->from;
    struct reason reason = {""};
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    bool at_end = strcmp(from, "end") == 0;
    int result = 0;
    if (!at_end && strcmp(from, "start") != 0)
        result = resume_at(lines->directory.fd, strtoull(from, NULL, 10), &runner->cursor.mark, &reason);
    if (result == 0)
        result = cursor_create(&lines->directory, runner->run->name, at_end ? NULL : &runner->cursor,
                               &deadline, &reason);
    if (result == 0)
        result = cursor_read(lines->directory.fd, runner->run->name, &runner->cursor, &reason);
    if (result >= 0 && at_end && !lines->empty)
        explain_empty("%s is new, and starts after the newest event. With --from start, a new consumer "
                      "starts at the first event.",
                      runner->run->name);
    return result >= 0 ? STATUS_DONE : problem("%s", reason.text);
}

/* Returns true for the event that --retry names, or for any if it names none. */
static bool is_selected(const struct run *run, const struct failure *failure) {
    char number[24], id[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    snprintf(number, sizeof number, "%" PRIu64, failure->seq);
    return run->retry == NULL || strcmp(run->retry, number) == 0 ||
           strcmp(plain(run->retry, id, sizeof id), failure->event_id) == 0;
}

static void add_failure(void *context, const struct failure *failure) {
    struct runner *runner = context;
    struct queues *queues = schedule_queues(runner->schedule);
    struct record record;
    struct reason reason = {""};
    struct item item = {
        .seq = failure->seq, .position = failure->position, .identity = runner_hash(failure->event_id)};
    if (!is_selected(runner->run, failure))
        return;
    runner->matched++;
    int result = queues_reserve(queues, 1) ? runner_reread(runner, &item, &record, &reason)
                                           : FAIL(&reason, ERROR_SYSTEM, "out of memory");
    if (result > 0) {
        item.order = runner_order_of(&runner->lines->event);
        if (queues_find(queues, &item) == NULL)
            queues_add(queues, &item, 0);
        return;
    }
    if (result == 0)
        problem("event %" PRIu64 " (%s) is no longer in the journal", failure->seq, failure->event_id);
    else
        problem("event %" PRIu64 " (%s) remains on the list: %s", failure->seq, failure->event_id,
                reason.text);
    runner->broken |= result < 0;
}

static int open_cursor(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    if (run->retry_failed) {
        int count =
            failed_each(runner_directory_of(runner), runner->lock, run->name, add_failure, runner, &reason);
        if (count >= 0 && run->retry != NULL && runner->matched == 0)
            return problem("no failed event %.200s for %s: see doorpost exec --failed", run->retry,
                           run->name);
        if (count == 0)
            explain_empty("Nothing to retry: %s has given up no event.", run->name);
        runner->broken |= run->retry == NULL && count > (int)runner->matched; /* some are damaged */
        return count < 0 ? problem("%s", reason.text) : STATUS_DONE;
    }
    int found = cursor_read(runner_directory_of(runner), run->name, &runner->cursor, &reason);
    if (found == 0 && create_cursor(runner) != STATUS_DONE)
        return STATUS_PROBLEM;
    runner->waiting.known = runner->unsaved = false;
    if (found >= 0 && waiting_load(runner_directory_of(runner), run->name, schedule_queues(runner->schedule),
                                   timestamp_now(), &reason) != 0)
        return problem("%s", reason.text);
    return found >= 0 && runner_resume(runner, &reason) == 0 ? STATUS_DONE : problem("%s", reason.text);
}

/* ---- the loop ---- */

static void follow_instruction(void *context, enum instruction what, uint64_t seq) {
    struct runner *runner = context;
    for (size_t i = 0; i < JOBS_MAX && what == INSTRUCTION_DROP; i++)
        if (runner->job[i].busy && runner->job[i].item.seq == seq)
            runner->job[i].dropped = runner->instructions_pending = true;
    for (size_t i = 0; i < runner->loaded.retry_count; i++)
        runner->instructions_pending |=
            runner->loaded.retry[i].seq == seq && runner->read.seq < seq; /* not read yet */
    if (what == INSTRUCTION_RETRY)
        schedule_expedite(runner->schedule, seq);
    else if (schedule_drop(runner->schedule, seq, timestamp_now()))
        problem("event %" PRIu64 " dropped by doorpost exec --drop", seq);
}

/* Instructions are cleared once the cursor is saved. */
static void follow_instructions(struct runner *runner) {
    struct reason reason = {""};
    const char *name = runner->run->name;
    int directory = runner_directory_of(runner);
    if (runner->run->retry_failed || runner->foreign || !instructions_any(directory, name) ||
        cursor_lock(runner->lock, CURSOR_LOCK_FAILED, true, &reason) != 0)
        return;
    runner->instructions_pending = false;
    if (instructions_each(directory, name, follow_instruction, runner, &reason) == 0 && runner_save(runner) &&
        !runner->instructions_pending)
        instructions_forget(directory, name);
    cursor_unlock(runner->lock, CURSOR_LOCK_FAILED);
}

static void run_once(struct runner *runner) {
    runlog_limit();
    runner_save(runner);
    runner_read_new(runner);
    follow_instructions(runner);
    runner_save(runner);
    runner_start_all(runner);
    runner_write_state(runner);
}

static bool is_idle(const struct runner *runner) {
    return runner->running == 0 && (runner->ending || schedule_left(runner->schedule) == 0) &&
           (runner->ending || runner->run->retry_failed || !runner->any ||
            !runner_is_before(walk_position(&runner->lines->walk), runner->end));
}

/* A handler that appends checks whether a runner holds the lock, and if so relies on it to see the new line.
 * So the lock is released first, and then the journal is checked once more. Returns true when all is done. */
static bool is_over(struct runner *runner) {
    struct reason reason = {""};
    struct position before = runner->end;
    if (!is_idle(runner) || !(runner->ending || runner->run->once || runner->run->retry_failed))
        return false;
    if (runner->ending || runner->run->retry_failed)
        return true;
    if (!runner_save(runner)) /* settles events that were deleted before they could be run */
        return false;
    runner_release(runner);
    cursor_unlock(runner->lock, CURSOR_LOCK_RUNNER);
    if (runner_find_end(runner, &reason) != 0) {
        problem("%s", reason.text);
        runner_end_broken(runner);
        return true;
    }
    if (before.day == runner->end.day && before.offset == runner->end.offset)
        return true;
    if (cursor_lock(runner->lock, CURSOR_LOCK_RUNNER, false, NULL) != 0) /* another runner has taken over */
        return true;
    if (open_cursor(runner) != STATUS_DONE) /* another runner may have run meanwhile */
        runner_end_broken(runner);
    return runner->broken;
}

static void loop(struct runner *runner) {
    for (;;) {
        run_once(runner);
        if (is_over(runner))
            break;
        if (!is_idle(runner) || !runner->run->once)
            wait_for_any(runner);
        runner_reap(runner);
    }
    runner->save_backoff.again = runner->queue_backoff.again = 0; /* a last attempt */
    if (runner->ending && !runner_save(runner))
        runner->broken = true;
    runner_release(runner);
}

/* ---- from start to end ---- */

static int open_lock(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    enum cursor_lock which = run->retry_failed ? CURSOR_LOCK_RETRYING : CURSOR_LOCK_RUNNER;
    runner->lock = cursor_open_lock(runner->lines->directory.fd, run->name, &reason);
    if (runner->lock < 0)
        return problem("%s", reason.text);
    int result = cursor_lock(runner->lock, which, false, &reason);
    if (result == ERROR_TIMEOUT && runlog_is_used()) /* many presses at once may each have started a runner */
        return STATUS_PROBLEM;
    if (result == ERROR_TIMEOUT)
        return problem("%s is already running, as process %d", run->name, cursor_holder(runner->lock, which));
    return result == 0 ? STATUS_DONE : problem("%s", reason.text);
}

/* Called after the cursor is created, so that events received before the program exists are run later. */
static int find_program(struct runner *runner) {
    const char *program = runner->run->command[0];
    struct runner_note *note = &runner->note;
    note->missing = !command_find(program, note->program);
    int error = errno;
    runner_write_state(runner);
    if (!note->missing)
        return STATUS_DONE;
    return error == ENOENT ? problem("program %s is missing or not executable", program)
                           : problem("cannot find program %s: %s", program, strerror(error));
}

static int open_signals(struct runner *runner) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    if (!process_ignores(SIGINT)) /* signalfd(2) would read ignored signals too */
        sigaddset(&set, SIGINT);
    if (!process_ignores(SIGHUP))
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    runner->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return runner->signals >= 0 ? STATUS_DONE : problem("cannot wait for signals: %s", strerror(errno));
}

int runner_run(const struct config *config, const struct run *run) {
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return problem("out of memory");
    runner->run = run;
    runner->stop_at = INT64_MAX;
    runner->lock = runner->signals = runner->follow.notify = runner->again.fd = -1;
    runner->schedule = schedule_new();
    runner->lines = runner->schedule != NULL ? lines_open(config->journal) : NULL;
    int status = STATUS_PROBLEM;
    if (runner->lines != NULL && open_lock(runner) == STATUS_DONE && open_signals(runner) == STATUS_DONE &&
        open_cursor(runner) == STATUS_DONE && find_program(runner) == STATUS_DONE) {
        follow_start(&runner->follow, config->journal);
        loop(runner);
        bool failed = runner->broken || (run->retry_failed && runner->failures > 0);
        status = failed ? STATUS_PROBLEM : STATUS_DONE;
    }
    follow_end(&runner->follow);
    walk_end(&runner->again);
    if (runner->lock >= 0)
        close(runner->lock);
    if (runner->signals >= 0)
        close(runner->signals);
    lines_close(runner->lines);
    schedule_free(runner->schedule);
    free(runner);
    return status;
}
