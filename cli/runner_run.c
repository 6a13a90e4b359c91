/* Starts a command for each event that may start, and settles the results. */
#include "failed.h"
#include "ring.h"
#include "runner_state.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#define OUTPUT_SHOWN 300 /* bytes of a failed command's output that are logged */
#define HOW_SIZE 64
#define OUTPUT_TEXT_SIZE (QUOTE_SIZE(OUTPUT_SHOWN) + 16)

/* Formats the end of a command's output as `; output: "..."`, or "" if there is none. */
static const char *format_output(const struct failure *failure, char out[OUTPUT_TEXT_SIZE]) {
    size_t length = failure->output_length;
    while (length > 0 && strchr("\r\n", failure->output[length - 1]) != NULL)
        length--;
    size_t shown = length < OUTPUT_SHOWN ? length : OUTPUT_SHOWN;
    out[0] = '\0';
    if (length > 0) {
        int used = snprintf(out, OUTPUT_TEXT_SIZE, "; output: ");
        quote(out + used, OUTPUT_TEXT_SIZE - (size_t)used, failure->output + length - shown, shown);
    }
    return out;
}

/* Records that an item has ended. A failure is put on the list before the cursor can move past it; if that
 * fails, the event is run again. */
static void settle(struct runner *runner, const struct item *ended, enum result result,
                   const struct failure *failure) {
    struct reason reason = {""};
    const char *name = runner->run->name;
    char output_text[OUTPUT_TEXT_SIZE];
    int status = 0;
    if (result == RESULT_GIVEN_UP) {
        status = (runner->run->retry_failed ? failed_replace : failed_add)(
            runner_directory_of(runner), runner->lock, name, failure, &reason);
        if (status == 0) {
            problem("event %" PRIu64 " (%s) given up: %s%s; to run it again: %s", ended->seq,
                    failure->event_id, failure->how, format_output(failure, output_text), runner->run->again);
            runner->failures++;
        } else
            result = RESULT_POSTPONED;
    } else if (runner->run->retry_failed && result == RESULT_DONE)
        status = failed_remove(runner_directory_of(runner), runner->lock, name, ended->seq, &reason);
    if (runner->run->retry_failed)
        runner->reserved = false; /* the reservation has been used */
    if (status != 0)
        runner_pause(runner, &runner->save_backoff, &reason);
    struct item *item = schedule_find(runner->schedule, ended);
    if (item != NULL) /* otherwise its line was deleted meanwhile */
        schedule_finish(runner->schedule, item, result, timestamp_now());
}

static struct job *free_job(struct runner *runner) {
    for (int64_t i = 0; i < runner->run->jobs; i++)
        if (!runner->job[i].busy)
            return &runner->job[i];
    return NULL;
}

/* Returns true if the line is there; if not, settles the event. */
static bool find_line(struct runner *runner, struct item *item, struct record *record) {
    struct reason reason = {""};
    int result = runner_reread(runner, item, record, &reason);
    if (result < 0) {
        backoff_report(&runner->reread_backoff, &reason, "; its events are deferred");
        settle(runner, item, RESULT_POSTPONED, NULL);
    } else if (result == 0) {
        problem("event %" PRIu64 " was deleted before its command could be run", item->seq);
        settle(runner, item, RESULT_DONE, NULL);
    }
    return result > 0;
}

static void start(struct runner *runner, struct job *job, struct item *item) {
    struct reason reason = {""};
    struct record record;
    char received_at[TIMESTAMP_SIZE];
    if (!find_line(runner, item, &record))
        return;
    memcpy(received_at, record.received_at, TIMESTAMP_SIZE - 1);
    received_at[TIMESTAMP_SIZE - 1] = '\0';
    struct invocation invoked = {.event = &runner->lines->event,
                                 .received_at = received_at,
                                 .seq = item->seq,
                                 .attempt = item->attempts};
    int result = command_start(&job->command, runner->run->command, &invoked, record.event,
                               record.event_length, runner->run->timeout * SECOND, &reason);
    if (result != 0) {
        backoff_start(&runner->start_backoff, &reason, "; retrying");
        settle(runner, item, RESULT_INTERRUPTED, NULL);
        return;
    }
    backoff_clear(&runner->start_backoff);
    job->busy = true;
    job->dropped = false;
    job->item = *item;
    runner->running++;
}

void runner_start_all(struct runner *runner) {
    struct job *job;
    struct item *item;
    if (runner->ending || schedule_left(runner->schedule) <= runner->running || !runner_reserve(runner))
        return;
    while (!runner->ending && monotonic_now() >= runner->start_backoff.again &&
           monotonic_now() >= runner->save_backoff.again && (job = free_job(runner)) != NULL &&
           (item = schedule_next(runner->schedule, timestamp_now())) != NULL)
        start(runner, job, item);
}

/* Interprets an exit status from waitpid(2). `last`: a failure is not retried. */
static enum result interpret_status(const struct command *command, int status, int64_t timeout, bool last,
                                    char how[HOW_SIZE]) {
    enum result failed = last ? RESULT_GIVEN_UP : RESULT_FAILED;
    bool exited = WIFEXITED(status);
    if (command->timed_out)
        snprintf(how, HOW_SIZE, "timeout after %" PRId64 " s", timeout);
    else if (!exited)
        snprintf(how, HOW_SIZE, "signal %d", WTERMSIG(status));
    else
        snprintf(how, HOW_SIZE, "exit status %d", WEXITSTATUS(status));
    if (command->timed_out)
        return failed;
    if (exited && WEXITSTATUS(status) == 0)
        return RESULT_DONE;
    if (command->stopped)
        return RESULT_INTERRUPTED;
    return exited && WEXITSTATUS(status) == EX_CONFIG ? RESULT_GIVEN_UP : failed;
}

static void end_job(struct runner *runner, struct job *job, int status) {
    struct command *command = &job->command;
    const struct item *item = &job->item;
    char how[HOW_SIZE], output_text[OUTPUT_TEXT_SIZE];
    command_end(command);
    enum result result = interpret_status(command, status, runner->run->timeout,
                                          runner->run->retry_failed || item->attempts > RING_RETRIES, how);
    if (job->dropped && result != RESULT_DONE) {
        problem("event %" PRIu64 " (%s): %s; dropped by doorpost exec --drop", item->seq, command->id, how);
        result = RESULT_DONE;
    }
    struct failure failure = {.seq = item->seq,
                              .position = item->position,
                              .event_id = command->id,
                              .how = how,
                              .output = command->tail,
                              .output_length = command->tail_length,
                              .attempts = item->attempts,
                              .at = timestamp_now()};
    if (result == RESULT_FAILED) {
        failed_note(runner_directory_of(runner), runner->run->name, &failure);
        problem("event %" PRIu64 " (%s): %s; retrying in %d s%s", item->seq, command->id, how,
                ring_retry_after[item->attempts - 1], format_output(&failure, output_text));
    }
    job->busy = false;
    runner->running--;
    settle(runner, item, result, &failure);
}

void runner_reap(struct runner *runner) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct job *job = &runner->job[i];
        int status;
        if (job->busy && waitpid(job->command.pid, &status, WNOHANG) == job->command.pid)
            end_job(runner, job, status);
    }
}
