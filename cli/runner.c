/* One thread and one loop: let the source save what has ended and read new events, start what may start,
 * wait. */
#include "runner.h"

#include "backoff.h"
#include "command.h"
#include "ring.h"
#include "runlog.h"
#include "signals.h"
#include "source.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define OUTPUT_SHOWN 300 /* bytes of a failed command's output that are logged */
#define HOW_SIZE 64
#define OUTPUT_TEXT_SIZE (QUOTE_SIZE(OUTPUT_SHOWN) + 16)
#define LONGEST_WAIT (60 * SECOND)

struct runner {
    const struct run *run;
    struct source *source;
    const struct source_functions *functions; /* the source's */
    int signals;
    int64_t stop_at; /* deadline for the running commands, after a signal */
    struct backoff start_backoff;
    unsigned failures; /* events given up */
    struct runner_note note;
    struct command command[JOBS_MAX]; /* of the source's task with the same index */
};

/* ---- starting commands ---- */

/* Returns the index of a task that is not busy, or JOBS_MAX. */
static size_t find_free(const struct runner *runner) {
    for (size_t i = 0; i < (size_t)runner->run->jobs; i++)
        if (!runner->source->task[i].busy)
            return i;
    return JOBS_MAX;
}

static void start(struct runner *runner, size_t index, const struct due *due) {
    struct reason reason = {""};
    const struct run *run = runner->run;
    struct source *source = runner->source;
    struct invocation invoked = {.event = due->event,
                                 .received_at = due->received_at,
                                 .seq = due->item.seq,
                                 .attempt = due->item.attempts};
    if (command_start(&runner->command[index], run->command, &invoked, due->body, due->length,
                      run->timeout * SECOND, &reason) != 0) {
        backoff_start(&runner->start_backoff, &reason, "; retrying");
        runner->functions->finish(source, &due->item, RESULT_INTERRUPTED, NULL);
        return;
    }
    backoff_clear(&runner->start_backoff);
    source->task[index] = (struct task){.busy = true, .item = due->item};
    source->running++;
}

/* Starts every command that may start. */
static void start_all(struct runner *runner) {
    struct source *source = runner->source;
    struct due due;
    size_t index;
    while (!source->ending && monotonic_now() >= runner->start_backoff.again &&
           (index = find_free(runner)) < JOBS_MAX && runner->functions->next(source, &due))
        start(runner, index, &due);
}

/* ---- their results ---- */

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

static void end_task(struct runner *runner, size_t index, int status) {
    const struct run *run = runner->run;
    struct task *task = &runner->source->task[index];
    const struct item *item = &task->item;
    struct command *command = &runner->command[index];
    char how[HOW_SIZE], output[OUTPUT_TEXT_SIZE];
    command_end(command);
    enum result result = interpret_status(command, status, run->timeout,
                                          run->retry_failed || item->attempts > RING_RETRIES, how);
    if (task->dropped && result != RESULT_DONE) {
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
    task->busy = false;
    runner->source->running--;
    if (!runner->functions->finish(runner->source, item, result, &failure))
        return;
    if (result == RESULT_FAILED)
        problem("event %" PRIu64 " (%s): %s; retrying in %d s%s", item->seq, command->id, how,
                ring_retry_after[item->attempts - 1], format_output(&failure, output));
    if (result == RESULT_GIVEN_UP) {
        problem("event %" PRIu64 " (%s) given up: %s%s; to run it again: %s", item->seq, command->id, how,
                format_output(&failure, output), run->again);
        runner->failures++;
    }
}

/* Settles commands that have ended. */
static void reap(struct runner *runner) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        pid_t pid = runner->command[i].pid;
        int status;
        if (runner->source->task[i].busy && waitpid(pid, &status, WNOHANG) == pid)
            end_task(runner, i, status);
    }
}

/* ---- waiting ---- */

/* Enforces deadlines. Returns microseconds until the next one, at most LONGEST_WAIT. */
static int64_t enforce_deadlines(struct runner *runner) {
    int64_t now = monotonic_now(), soonest = LONGEST_WAIT;
    bool stop = now >= runner->stop_at;
    if (!stop && runner->stop_at - now < soonest)
        soonest = runner->stop_at - now;
    if (runner->start_backoff.again > now && runner->start_backoff.again - now < soonest)
        soonest = runner->start_backoff.again - now;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (!runner->source->task[i].busy)
            continue;
        if (stop)
            command_stop(&runner->command[i], now);
        int64_t left = command_tick(&runner->command[i], now);
        soonest = left < soonest ? left : soonest;
    }
    return soonest;
}

/* Waits for a command, the source or a signal. */
static void wait_for_any(struct runner *runner) {
    struct pollfd watched[1 + SOURCE_WATCHED + 2 * JOBS_MAX];
    struct source *source = runner->source;
    int64_t wait = enforce_deadlines(runner);
    size_t count = 0;
    watched[count++] = (struct pollfd){.fd = runner->signals, .events = POLLIN};
    count += runner->functions->watch(source, &watched[count], &wait);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->task[i].busy)
            count += command_watch(&runner->command[i], &watched[count]);
    (void)poll(watched, count, (int)((wait + 999) / 1000));
    if (signals_take(runner->signals) && runner->stop_at == INT64_MAX) {
        source->ending = true;
        runner->stop_at = monotonic_now() + runner->run->grace * SECOND;
    }
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->task[i].busy)
            command_pump(&runner->command[i]);
}

/* ---- the loop ---- */

static void write_note(struct runner *runner) {
    runner->note.running = runner->source->running;
    runner->functions->note(runner->source, &runner->note);
}

static bool is_over(const struct runner *runner) {
    struct source *source = runner->source;
    if (source->running > 0 || source->ending)
        return source->running == 0;
    return (runner->run->once || runner->run->retry_failed) && runner->functions->is_idle(source) &&
           runner->functions->is_over(source);
}

static void loop(struct runner *runner) {
    struct source *source = runner->source;
    for (;;) {
        runlog_limit();
        runner->functions->advance(source);
        start_all(runner);
        write_note(runner);
        if (is_over(runner))
            break;
        wait_for_any(runner);
        reap(runner);
    }
    source->broken |= !runner->functions->end(source);
}

/* ---- from start to end ---- */

/* Called after the cursor is created, so that events received before the program exists are run later. */
static int find_program(struct runner *runner) {
    const char *program = runner->run->command[0];
    struct runner_note *note = &runner->note;
    note->missing = !command_find(program, note->program);
    int error = errno;
    write_note(runner);
    if (!note->missing)
        return STATUS_DONE;
    return error == ENOENT ? problem("program %s is missing or not executable", program)
                           : problem("cannot find program %s: %s", program, strerror(error));
}

int runner_run(struct source *source, const struct run *run) {
    const struct source_functions *functions = source->functions;
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return problem("out of memory");
    runner->run = run;
    runner->source = source;
    runner->functions = functions;
    runner->stop_at = INT64_MAX;
    runner->signals = signals_open(true);
    int status = runner->signals >= 0 ? functions->open(source)
                                      : problem("cannot wait for signals: %s", strerror(errno));
    if (status == STATUS_DONE)
        status = find_program(runner);
    if (status == STATUS_DONE) {
        loop(runner);
        bool failed = source->broken || (run->retry_failed && runner->failures > 0);
        status = failed ? STATUS_PROBLEM : STATUS_DONE;
    }
    if (runner->signals >= 0)
        close(runner->signals);
    free(runner);
    return status;
}
