/* One thread and one loop: read what is new, start what may start, save the cursor over what has ended, wait.
 *
 * What is run is on the disk: the end of the journal is looked at under the append lock, so that no half of a
 * write is taken for lines, and synced, so that nothing is done for a press that a power cut would undo. The
 * cursor moves over an event only after its command has succeeded, or its failure is on the list. So a crash
 * at any moment repeats what was running, and nothing else is repeated. */
#include "runner.h"

#include "command.h"
#include "failed.h"
#include "follow.h"
#include "lines.h"
#include "schedule.h"
#include "segment.h"
#include "terminal.h"

#include "retry.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define LOCK_PATIENCE (30 * SECOND)
#define START_AGAIN (SECOND / 10) /* where no process could be started */

struct job {
    struct item *item; /* NULL: free */
    struct command command;
};

struct runner {
    const struct run *run;
    struct lines *lines; /* opens the journal, and parses events */
    struct schedule *schedule;
    struct cursor cursor;
    struct follow follow;
    int lock, signals;
    struct place end; /* of the journal as it was looked at last */
    bool any;         /* there is a segment */
    bool ending, broken;
    int64_t stop_at;    /* once ending: the running commands have until then */
    int64_t not_before; /* no process can be started before */
    unsigned failures;
    size_t running;
    struct job job[JOBS_MAX];
    struct walk again; /* to read the line of an event that is started */
};

static int broken(struct runner *runner, const struct reason *reason) {
    problem("%s", reason->text);
    runner->broken = runner->ending = true;
    return STATUS_PROBLEM;
}

/* ---- reading ---- */

static bool is_before(struct place a, struct place b) {
    return a.day < b.day || (a.day == b.day && a.offset < b.offset);
}

static bool is_wanted(const struct runner *runner, const struct event *event) {
    const struct run *run = runner->run;
    return list_has(&run->types, event->type) && list_has(&run->devices, event->device) &&
           list_has(&run->accounts, event->account) && strcmp(event->device, EVENT_TEST_DEVICE) != 0;
}

/* Events of one device run in order; of those that have none, those of one account. */
static uint64_t order_of(const struct event *event) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost order";
    const char *name = event->device[0] != '\0' ? event->device : event->account;
    uint64_t order;
    crypto_shorthash((unsigned char *)&order, (const unsigned char *)name, strlen(name), key);
    return order;
}

/* Looks how far the journal goes, and makes sure that it is on the disk. */
static int look(struct runner *runner, struct reason *reason) {
    struct deadline deadline = {.at = monotonic_now() + LOCK_PATIENCE};
    struct place before = runner->end;
    int result = cursor_end(&runner->lines->directory, &runner->end, &deadline, reason);
    if (result < 0)
        return result;
    runner->any = result > 0;
    if (!runner->any || (before.day == runner->end.day && before.offset == runner->end.offset))
        return 0;
    int file = segment_open(runner->lines->directory.file, runner->end.day, false, reason);
    if (file < 0)
        return file;
    result = fdatasync(file) == 0
                 ? 0
                 : fail(reason, ERROR_TROUBLE, "cannot sync the journal: %s", strerror(errno));
    close(file);
    /* What was read ahead beyond the old end may have been taken back since. */
    struct walk *walk = &runner->lines->walk;
    struct place place = walk_place(walk);
    struct link link = walk_link(walk);
    walk_end(walk);
    walk_start(walk, runner->lines->directory.file, place, link);
    walk_until(walk, runner->end.day);
    return result;
}

static void add_line(struct runner *runner, enum scan scan, const struct record *record, struct place place) {
    struct lines *lines = runner->lines;
    struct place next = walk_place(&lines->walk);
    bool readable = scan != SCAN_DAMAGED &&
                    event_parse(lines->parser, record->event, record->event_length, &lines->event, NULL) == 0;
    if (!readable) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(place.day, name);
        problem("%s, byte %" PRIu64 ": a damaged line, for which nothing is run; `doorpost check` tells more",
                name, place.offset);
    }
    if (readable && is_wanted(runner, &lines->event))
        schedule_add(runner->schedule, &runner->cursor, record->seq, place, next, order_of(&lines->event));
    else
        schedule_skip(runner->schedule, scan != SCAN_DAMAGED ? record->seq : 0, place, next);
}

/* Reads on until the end, or until the schedule is full. */
static int refill(struct runner *runner, struct reason *reason) {
    struct walk *walk = &runner->lines->walk;
    enum scan scan;
    struct record record;
    struct place place;
    int result = 1;
    while (result > 0 && !schedule_is_full(runner->schedule) && is_before(walk_place(walk), runner->end)) {
        result = walk_next(walk, &scan, &record, &place, reason);
        if (result > 0)
            add_line(runner, scan, &record, place);
    }
    return result < 0 ? result : 0;
}

/* ---- running ---- */

/* Reads the event of an item again. Returns its record, or false where it is no longer there. */
static bool reread(struct runner *runner, const struct item *item, struct record *record) {
    struct lines *lines = runner->lines;
    struct place place;
    enum scan scan;
    walk_end(&runner->again);
    walk_start(&runner->again, lines->directory.file, item->place, (struct link){.known = false});
    bool found = walk_next(&runner->again, &scan, record, &place, NULL) > 0 && scan != SCAN_DAMAGED &&
                 record->seq == item->seq &&
                 event_parse(lines->parser, record->event, record->event_length, &lines->event, NULL) == 0;
    return found;
}

/* Notes that an item has ended. A failure is on the list before the cursor can move over it. */
static void settle(struct runner *runner, struct item *item, enum result result,
                   const struct failure *failure) {
    struct reason reason = {""};
    uint64_t seq = item->seq;
    bool given_up = schedule_finish(runner->schedule, item, result, timestamp_now());
    int status = 0;
    if (given_up && failure != NULL) {
        status = failed_add(runner->lines->directory.file, runner->lock, runner->run->name, failure, &reason);
        problem("event %" PRIu64
                " (%s) is given up: %s; doorpost exec --name %s --retry-failed runs it again",
                seq, failure->event_id, failure->how, runner->run->name);
        runner->failures++;
    } else if (runner->run->retry_failed && result == RESULT_DONE)
        status = failed_remove(runner->lines->directory.file, runner->lock, runner->run->name, seq, &reason);
    if (status < 0)
        broken(runner, &reason);
}

static struct job *free_job(struct runner *runner) {
    for (int64_t i = 0; i < runner->run->jobs; i++)
        if (runner->job[i].item == NULL)
            return &runner->job[i];
    return NULL;
}

static void start(struct runner *runner, struct job *job, struct item *item) {
    struct reason reason = {""};
    struct record record;
    char received_at[TIMESTAMP_SIZE];
    if (!reread(runner, item, &record)) {
        problem("event %" PRIu64 " was deleted before its command could be run", item->seq);
        settle(runner, item, RESULT_DONE, NULL);
        return;
    }
    memcpy(received_at, record.received_at, TIMESTAMP_SIZE - 1);
    received_at[TIMESTAMP_SIZE - 1] = '\0';
    struct occasion occasion = {.event = &runner->lines->event,
                                .received_at = received_at,
                                .seq = item->seq,
                                .attempt = item->attempts};
    int result = command_start(&job->command, runner->run->command, &occasion, record.event,
                               record.event_length, runner->run->timeout * SECOND, &reason);
    if (result != 0) {
        problem("%s; trying again", reason.text);
        runner->not_before = monotonic_now() + START_AGAIN;
        settle(runner, item, RESULT_INTERRUPTED, NULL);
        return;
    }
    job->item = item;
    runner->running++;
}

static void start_all(struct runner *runner) {
    struct job *job;
    struct item *item;
    while (!runner->ending && monotonic_now() >= runner->not_before && (job = free_job(runner)) != NULL &&
           (item = schedule_next(runner->schedule, timestamp_now())) != NULL)
        start(runner, job, item);
}

static void end_job(struct runner *runner, struct job *job, int status) {
    struct command *command = &job->command;
    struct item *item = job->item;
    char how[64];
    enum result result = RESULT_FAILED;
    command_end(command);
    if (command->timed_out)
        snprintf(how, sizeof how, "timeout after %" PRId64 " s", runner->run->timeout);
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !command->timed_out)
        result = RESULT_DONE;
    else if (command->stopped && !command->timed_out)
        result = RESULT_INTERRUPTED;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG && !command->timed_out)
        result = RESULT_HOPELESS;
    struct failure failure = {.seq = item->seq,
                              .place = item->place,
                              .event_id = command->id,
                              .how = how,
                              .output = command->tail,
                              .output_length = command->tail_length,
                              .attempts = item->attempts,
                              .at = timestamp_now()};
    if (result == RESULT_FAILED && item->attempts <= RETRIES && !runner->run->retry_failed)
        problem("event %" PRIu64 " (%s): %s; once more in %d s", item->seq, command->id, how,
                retry_after[item->attempts - 1]);
    job->item = NULL;
    runner->running--;
    settle(runner, item, result, &failure);
}

static void reap(struct runner *runner) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct job *job = &runner->job[i];
        int status;
        if (job->item != NULL && waitpid(job->command.pid, &status, WNOHANG) == job->command.pid)
            end_job(runner, job, status);
    }
}

/* ---- waiting ---- */

static void take_signals(struct runner *runner) {
    struct signalfd_siginfo came;
    while (read(runner->signals, &came, sizeof came) == (ssize_t)sizeof came)
        if (came.ssi_signo != SIGCHLD && !runner->ending) {
            runner->ending = true;
            runner->stop_at = monotonic_now() + runner->run->grace * SECOND;
        }
}

/* Sees to the deadlines. Returns milliseconds until the next one; -1: there is none. */
static int64_t tick(struct runner *runner) {
    int64_t now = monotonic_now(), soonest = schedule_wait(runner->schedule, timestamp_now());
    bool stop = runner->ending && now >= runner->stop_at;
    if (runner->ending)
        soonest = stop ? -1 : runner->stop_at - now;
    if (now < runner->not_before && (soonest < 0 || runner->not_before - now < soonest))
        soonest = runner->not_before - now;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (runner->job[i].item == NULL)
            continue;
        if (stop)
            command_stop(&runner->job[i].command, now);
        int64_t left = command_tick(&runner->job[i].command, now);
        soonest = soonest < 0 || left < soonest ? left : soonest;
    }
    return soonest < 0 ? -1 : soonest / 1000 + 1;
}

/* Waits until a command or the journal or a signal wants something. */
static void wait_for_any(struct runner *runner) {
    struct pollfd watched[2 + 2 * JOBS_MAX];
    size_t count = 0;
    int64_t wait = tick(runner);
    watched[count++] = (struct pollfd){.fd = runner->signals, .events = POLLIN};
    watched[count++] = (struct pollfd){.fd = runner->follow.notify, .events = POLLIN};
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].item != NULL)
            count += command_watch(&runner->job[i].command, &watched[count]);
    int64_t look_again = follow_patience(&runner->follow);
    (void)poll(watched, count, (int)(wait >= 0 && wait < look_again ? wait : look_again));
    follow_wait(&runner->follow, 0);
    take_signals(runner);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].item != NULL)
            command_pump(&runner->job[i].command);
}

/* ---- the loop ---- */

static int save(struct runner *runner, struct reason *reason) {
    if (runner->run->retry_failed || !schedule_save(runner->schedule, &runner->cursor))
        return 0;
    return cursor_write(runner->lines->directory.file, runner->run->name, &runner->cursor, reason);
}

/* For `doorpost exec --status`; nothing depends on it. */
static void tell_state(const struct runner *runner) {
    char text[64];
    int length = snprintf(text, sizeof text, "%-20zu\n", runner->running);
    ssize_t written = pwrite(runner->lock, text, (size_t)length, 0);
    (void)written;
}

/* One turn: returns whether there is anything left to do. */
static int turn(struct runner *runner, struct reason *reason) {
    int result = 0;
    if (!runner->ending && !runner->run->retry_failed) {
        result = look(runner, reason);
        if (result == 0 && runner->any)
            result = refill(runner, reason);
    }
    if (result == 0)
        start_all(runner);
    if (result == 0)
        result = save(runner, reason);
    tell_state(runner);
    return result;
}

static bool is_idle(const struct runner *runner) {
    return runner->running == 0 && (runner->ending || schedule_left(runner->schedule) == 0) &&
           (runner->ending || runner->run->retry_failed || !runner->any ||
            !is_before(walk_place(&runner->lines->walk), runner->end));
}

/* Whoever appends looks whether a runner holds the lock, and then trusts it to see the new line. So the lock
 * is given back first, and then the journal is looked at once more. Returns true where all is done. */
static bool is_over(struct runner *runner, struct reason *reason) {
    struct place before = runner->end;
    if (!is_idle(runner) || !(runner->ending || runner->run->once || runner->run->retry_failed))
        return false;
    if (runner->ending || runner->run->retry_failed)
        return true;
    cursor_unlock(runner->lock, CURSOR_LOCK_RUNNER);
    if (look(runner, reason) != 0 || (before.day == runner->end.day && before.offset == runner->end.offset))
        return true;
    return cursor_lock(runner->lock, CURSOR_LOCK_RUNNER, false, NULL) != 0; /* then another one is at it */
}

static void loop(struct runner *runner) {
    struct reason reason = {""};
    for (;;) {
        if (turn(runner, &reason) != 0)
            broken(runner, &reason);
        if (is_over(runner, &reason))
            return;
        if (!is_idle(runner) || !runner->run->once)
            wait_for_any(runner);
        reap(runner);
    }
}

/* ---- beginning ---- */

/* The number of a day's first line that can be read; 0: there is none. */
static uint64_t first_of(struct runner *runner, int32_t day) {
    enum scan scan;
    struct record record;
    struct place place;
    walk_end(&runner->again);
    walk_start(&runner->again, runner->lines->directory.file, (struct place){.day = day},
               (struct link){.known = false});
    while (walk_next(&runner->again, &scan, &record, &place, NULL) > 0)
        if (scan != SCAN_DAMAGED)
            return record.seq;
    return 0;
}

/* The place of the line with that number, or of the first one behind it. */
static int find_seq(struct runner *runner, uint64_t seq, struct place *place) {
    struct lines *lines = runner->lines;
    struct reason reason = {""};
    enum scan scan;
    struct record record;
    int32_t day = lines->last;
    int result;
    for (uint64_t first; day > lines->first && ((first = first_of(runner, day)) == 0 || first > seq);)
        day--;
    walk_end(&runner->again);
    walk_start(&runner->again, lines->directory.file, (struct place){.day = day},
               (struct link){.known = false});
    walk_until(&runner->again, lines->last);
    while ((result = walk_next(&runner->again, &scan, &record, place, &reason)) > 0)
        if (scan != SCAN_DAMAGED && record.seq >= seq)
            return STATUS_DONE;
    *place = walk_place(&runner->again);
    return result < 0 ? problem("%s", reason.text) : STATUS_DONE;
}

/* Where a consumer that is new begins. */
static int begin(struct runner *runner) {
    struct lines *lines = runner->lines;
    const char *from = runner->run->from;
    struct reason reason = {""};
    if (strcmp(from, "start") == 0)
        runner->cursor.place = (struct place){.day = lines->empty ? 0 : lines->first};
    else if (strcmp(from, "end") == 0) {
        struct deadline deadline = {.at = monotonic_now() + LOCK_PATIENCE};
        int result = cursor_end(&lines->directory, &runner->cursor.place, &deadline, &reason);
        if (result < 0)
            return problem("%s", reason.text);
        if (result == 0)
            runner->cursor.place = (struct place){0};
    } else if (!lines->empty &&
               find_seq(runner, strtoull(from, NULL, 10), &runner->cursor.place) != STATUS_DONE)
        return STATUS_PROBLEM;
    return cursor_write(lines->directory.file, runner->run->name, &runner->cursor, &reason) == 0
               ? STATUS_DONE
               : problem("%s", reason.text);
}

static void add_failure(void *context, const struct failure *failure) {
    struct runner *runner = context;
    static const struct cursor nothing;
    struct record record;
    struct item item = {.seq = failure->seq, .place = failure->place};
    if (!schedule_is_full(runner->schedule) && reread(runner, &item, &record))
        schedule_add(runner->schedule, &nothing, failure->seq, failure->place, failure->place,
                     order_of(&runner->lines->event));
    else
        problem("event %" PRIu64 " (%s) is no longer in the journal", failure->seq, failure->event_id);
}

static int open_cursor(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    if (run->retry_failed) {
        int count =
            failed_each(runner->lines->directory.file, runner->lock, run->name, add_failure, runner, &reason);
        return count < 0 ? problem("%s", reason.text) : STATUS_DONE;
    }
    int found = cursor_read(runner->lines->directory.file, run->name, &runner->cursor, &reason);
    if (found < 0)
        return problem("%s", reason.text);
    if (found == 0 && begin(runner) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (!runner->lines->empty && runner->cursor.seq > 0 && runner->cursor.place.day < runner->lines->first)
        problem("days were deleted before all their events were run");
    /* From a day that is gone on, or from one before there were any. */
    struct place place = runner->cursor.place;
    if (!runner->lines->empty && place.day < runner->lines->first)
        place = (struct place){.day = runner->lines->first};
    runner->cursor.place = place;
    struct link link = {.known = false};
    walk_start(&runner->lines->walk, runner->lines->directory.file, place, link);
    return STATUS_DONE;
}

static int open_lock(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    enum cursor_lock which = run->retry_failed ? CURSOR_LOCK_RETRYING : CURSOR_LOCK_RUNNER;
    runner->lock = cursor_open_lock(runner->lines->directory.file, run->name, &reason);
    if (runner->lock < 0)
        return problem("%s", reason.text);
    int result = cursor_lock(runner->lock, which, false, &reason);
    if (result == ERROR_TIMEOUT)
        return problem("%s is being run already, by process %d", run->name,
                       cursor_holder(runner->lock, which));
    return result == 0 ? STATUS_DONE : problem("%s", reason.text);
}

static int open_signals(struct runner *runner) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    runner->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return runner->signals >= 0 ? STATUS_DONE : problem("cannot wait for signals: %s", strerror(errno));
}

int runner_run(const struct config *config, const struct run *run) {
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return problem("no memory");
    runner->run = run;
    runner->lock = runner->signals = runner->follow.notify = runner->again.file = -1;
    runner->schedule = schedule_new(run->retry_failed ? 0 : RETRIES);
    runner->lines = runner->schedule != NULL ? lines_open(config->journal) : NULL;
    int status = STATUS_PROBLEM;
    if (runner->lines != NULL && open_lock(runner) == STATUS_DONE && open_signals(runner) == STATUS_DONE &&
        open_cursor(runner) == STATUS_DONE) {
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
