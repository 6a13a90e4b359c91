/* One thread and one loop: save the cursor over what has ended, read what is new, start what may start, wait.
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
#include "process.h"
#include "resume.h"
#include "runlog.h"
#include "schedule.h"
#include "segment.h"
#include "terminal.h"
#include "trouble.h"
#include "waiting.h"

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
#define WORDS 300 /* bytes of a command's output that are told when it fails */
#define WORDS_SIZE (QUOTE_SIZE(WORDS) + 16)

struct job {
    bool busy;
    struct item item; /* a copy: the schedule may be made again meanwhile */
    struct command command;
};

struct runner {
    const struct run *run;
    struct lines *lines; /* opens the journal, and parses events */
    struct schedule *schedule;
    struct cursor cursor; /* to be saved, if `unsaved` */
    struct waiting waiting;
    struct cursor loaded; /* as reading began: what it says of lines that are not read yet is kept */
    struct resume resume;
    struct mark read; /* the last line that was read */
    struct follow follow;
    int lock, signals;
    struct place end; /* of the journal as it was looked at last */
    bool any;         /* there is a segment */
    bool unsaved, reserved;
    bool foreign; /* the directory may have been replaced, and the lock in it is not ours: nothing is saved */
    bool ending, broken;
    int64_t stop_at; /* once ending: the running commands have until then */
    struct trouble looking, saving, starting, rereading, placing;
    unsigned failures, meant; /* of those that are retried */
    size_t running;
    struct job job[JOBS_MAX];
    struct walk again; /* to read the line of an event that is started */
};

/* ---- trouble ---- */

/* It starts no more, and has failed. What is running ends by itself. */
static void end_broken(struct runner *runner) {
    runner->broken = runner->ending = true;
}

/* The journal cannot be read, or the place not be kept: a single run has failed. */
static void end_if_once(struct runner *runner) {
    if (runner->run->once || runner->run->retry_failed)
        end_broken(runner);
}

static void hold_saving(struct runner *runner, const struct reason *reason) {
    trouble_hold(&runner->saving, reason,
                 runner->run->once
                     ? "; nothing is run until that works: make room, or see to the owner and the "
                       "mode, and run doorpost exec again"
                     : "; nothing is run until that works: make room, or see to the owner and the "
                       "mode");
    end_if_once(runner);
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

static uint64_t hash(const char *text) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost order";
    uint64_t value;
    crypto_shorthash((unsigned char *)&value, (const unsigned char *)text, strlen(text), key);
    return value;
}

/* A hash of the event's id, in the form that the list of failed events has it in. */
static uint64_t identity_of(const struct event *event) {
    char text[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    return hash(plain(event->id, text, sizeof text));
}

/* Events of one device run in order; of those that have none, those of one account. */
static uint64_t order_of(const struct event *event) {
    return hash(event->device[0] != '\0' ? event->device : event->account);
}

static int directory_of(const struct runner *runner) {
    return runner->lines->directory.file;
}

/* Reads on after the line that was read last, in files that are opened by their names again. */
static void restart_walk(struct runner *runner) {
    struct place place = runner->read.place;
    if (place.day < runner->resume.first)
        place = (struct place){.day = runner->resume.first};
    walk_end(&runner->lines->walk);
    walk_start(&runner->lines->walk, directory_of(runner), place, (struct link){.known = false});
    walk_until(&runner->lines->walk, runner->end.day);
}

/* Looks how far the journal goes, and makes sure that it is on the disk. */
static int look_at_end(struct runner *runner, struct reason *reason) {
    struct deadline deadline = {.at = monotonic_now() + LOCK_PATIENCE};
    struct place before = runner->end;
    int directory = directory_of(runner);
    int result = cursor_end(&runner->lines->directory, &runner->end, &deadline, reason);
    if (result < 0)
        return result;
    runner->any = result > 0;
    if (!runner->any || (before.day == runner->end.day && before.offset == runner->end.offset &&
                         directory == directory_of(runner)))
        return 0;
    int file = segment_open(directory_of(runner), runner->end.day, false, reason);
    if (file < 0)
        return file;
    result = fdatasync(file) == 0
                 ? 0
                 : fail(reason, ERROR_TROUBLE, "cannot sync the journal: %s", strerror(errno));
    close(file);
    /* What was read ahead beyond the old end may have been taken back since. */
    restart_walk(runner);
    return result;
}

/* Brings the cursor up to date with what has ended. What it said of lines that are not read yet stays. */
static void update_cursor(struct runner *runner) {
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

static bool is_same(const struct mark *a, const struct mark *b) {
    return a->place.day == b->place.day && a->place.offset == b->place.offset && a->seq == b->seq &&
           strcmp(a->chain, b->chain) == 0;
}

/* Reads on after the cursor's place, or if that does not hold from the first line that was not run. */
static int go_on(struct runner *runner, struct reason *reason) {
    struct cursor *cursor = &runner->cursor;
    struct resume *resume = &runner->resume;
    struct reason said;
    int result = resume_find(directory_of(runner), cursor, resume, reason);
    if (result != 0)
        return result;
    if (!resume->holds) {
        resume_explain(resume, runner->run->name, &said);
        trouble_tell(&runner->placing, &said, "");
    }
    if (!is_same(&cursor->mark, &resume->mark)) {
        cursor->highest = cursor_highest(cursor);
        cursor->mark = resume->mark;
        runner->unsaved = true;
    }
    if (resume->reused) /* what else it says is of other lines */
        cursor->done_count = cursor->retry_count = 0;
    runner->loaded = *cursor;
    runner->read = cursor->mark;
    schedule_clear(runner->schedule, &cursor->mark);
    restart_walk(runner);
    return 0;
}

/* Takes the lock that has the name now. */
static int lock_again(struct runner *runner, struct reason *reason) {
    const char *name = runner->run->name;
    int lock = cursor_open_lock(directory_of(runner), name, reason);
    int result = lock < 0 ? lock : cursor_lock(lock, CURSOR_LOCK_RUNNER, false, reason);
    if (result == ERROR_TIMEOUT) {
        explain(reason, "%s is being run already, by process %d", name,
                cursor_holder(lock, CURSOR_LOCK_RUNNER));
        end_broken(runner);
    }
    if (result != 0) {
        if (lock >= 0)
            close(lock);
        return result;
    }
    close(runner->lock);
    runner->lock = lock;
    return 0;
}

/* The consumer's lock is no longer the one that others find: the directory was replaced. */
static int move(struct runner *runner, struct reason *reason) {
    const char *name = runner->run->name;
    int result = lock_again(runner, reason);
    if (result != 0)
        return result;
    problem("the journal directory or its cursors/ was replaced: %s goes on in the one that has the name now",
            name);
    follow_end(&runner->follow);
    follow_start(&runner->follow, runner->lines->directory.path);
    update_cursor(runner);
    runner->reserved = false;
    runner->unsaved = true;
    /* The journal may be a copy of what it was, or another one that has a place of its own for us. */
    if (runner->cursor.mark.seq == 0 || mark_check(directory_of(runner), &runner->cursor.mark, reason) == 0) {
        result = cursor_read(directory_of(runner), name, &runner->loaded, reason);
        if (result > 0)
            runner->cursor = runner->loaded;
    }
    runner->waiting.known = false;
    if (result > 0)
        result = waiting_load(directory_of(runner), name, schedule_queues(runner->schedule), timestamp_now(),
                              reason);
    if (result < 0)
        end_broken(runner);
    return result < 0 ? result : go_on(runner, reason);
}

static int look(struct runner *runner, struct reason *reason) {
    int result = look_at_end(runner, reason);
    if (result != 0)
        return result;
    result = cursor_lock_is_current(directory_of(runner), runner->run->name, runner->lock, reason);
    runner->foreign = result <= 0;
    if (result == 0) {
        result = move(runner, reason);
        runner->foreign = result != 0;
        return result;
    }
    if (result > 0)
        result = mark_check(directory_of(runner), &runner->read, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    update_cursor(runner);
    return go_on(runner, reason);
}

/* Reads what an event says into lines->event. Returns 1, 0 if it is damaged, or an error. */
static int parse(struct runner *runner, const struct record *record, struct reason *reason) {
    struct lines *lines = runner->lines;
    int result = event_parse(lines->parser, record->event, record->event_length, &lines->event, reason);
    return result == 0 ? 1 : result == ERROR_TROUBLE ? result : 0;
}

/* An event whose command runs already, from before the lines were read again. */
static void take_up(struct runner *runner, struct item *item) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        const struct job *job = &runner->job[i];
        if (job->busy && job->item.seq == item->seq && job->item.identity == item->identity) {
            item->state = ITEM_RUNNING;
            item->attempts = job->item.attempts;
        }
    }
}

static int add_line(struct runner *runner, enum scan scan, const struct record *record, struct place place,
                    struct reason *reason) {
    const struct event *event = &runner->lines->event;
    struct item item = {.place = place};
    int readable = scan != SCAN_DAMAGED ? parse(runner, record, reason) : 0;
    if (readable < 0)
        return readable;
    if (!readable) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(place.day, name);
        problem("%s, byte %" PRIu64 ": a damaged line, for which nothing is run; `doorpost check` tells more",
                name, place.offset);
    }
    if (scan != SCAN_DAMAGED) {
        item.seq = record->seq;
        runner->read = item.end = mark_of(record, walk_place(&runner->lines->walk));
    }
    if (!readable || !is_wanted(runner, event) || !resume_is_new(&runner->resume, record, place.day)) {
        schedule_skip(runner->schedule, &item);
        return 0;
    }
    item.identity = identity_of(event);
    item.order = order_of(event);
    struct item *added = schedule_add(runner->schedule, &runner->loaded, &item);
    if (added != NULL)
        take_up(runner, added);
    return 0;
}

/* Reads on until the end, or until the schedule is full. */
static int refill(struct runner *runner, struct reason *reason) {
    struct walk *walk = &runner->lines->walk;
    enum scan scan;
    struct record record;
    struct place place;
    int result = 1;
    while (result > 0 && is_before(walk_place(walk), runner->end)) {
        schedule_make_room(runner->schedule, timestamp_now());
        if (schedule_is_full(runner->schedule))
            break;
        result = walk_next(walk, &scan, &record, &place, reason);
        if (result > 0 && add_line(runner, scan, &record, place, reason) != 0) {
            restart_walk(runner);
            return ERROR_TROUBLE;
        }
    }
    return result < 0 ? result : 0;
}

/* Reads the line of an item at that place. Returns 1; 0 if it is not there; or an error. */
static int read_at(struct runner *runner, const struct item *item, struct place place, struct record *record,
                   struct reason *reason) {
    enum scan scan;
    walk_end(&runner->again);
    walk_start(&runner->again, directory_of(runner), place, (struct link){.known = false});
    walk_close(&runner->again);
    int result = walk_next(&runner->again, &scan, record, &place, reason);
    if (result <= 0 || scan == SCAN_DAMAGED || record->seq != item->seq)
        return result < 0 ? result : 0;
    result = parse(runner, record, reason);
    return result > 0 ? identity_of(&runner->lines->event) == item->identity : result;
}

struct sought {
    struct runner *runner;
    const struct item *item;
};

static int is_sought(void *context, const struct record *record, struct reason *reason) {
    const struct sought *sought = context;
    int result = parse(sought->runner, record, reason);
    return result > 0 ? identity_of(&sought->runner->lines->event) == sought->item->identity : result;
}

/* Reads the event of an item again. Returns 1 with its record, 0 if it was deleted, or an error. */
static int reread(struct runner *runner, struct item *item, struct record *record, struct reason *reason) {
    struct sought sought = {.runner = runner, .item = item};
    int result = read_at(runner, item, item->place, record, reason);
    if (result != 0)
        return result;
    result = resume_seek(directory_of(runner), item->seq, &item->place, is_sought, &sought, reason);
    return result > 0 ? read_at(runner, item, item->place, record, reason) : result;
}

/* ---- running ---- */

/* The end of a command's output, as `; output: "..."`; nothing if there is none. */
static const char *last_words(const struct failure *failure, char out[WORDS_SIZE]) {
    size_t length = failure->output_length;
    while (length > 0 && strchr("\r\n", failure->output[length - 1]) != NULL)
        length--;
    size_t shown = length < WORDS ? length : WORDS;
    out[0] = '\0';
    if (length > 0) {
        int used = snprintf(out, WORDS_SIZE, "; output: ");
        quote(out + used, WORDS_SIZE - (size_t)used, failure->output + length - shown, shown);
    }
    return out;
}

/* Notes that an item has ended. A failure is on the list before the cursor can move over it: one that cannot
 * be put there is run again. */
static void settle(struct runner *runner, const struct item *of, enum result result,
                   const struct failure *failure) {
    struct reason reason = {""};
    const char *name = runner->run->name;
    char words[WORDS_SIZE];
    int status = 0;
    if (failure != NULL && schedule_gives_up(runner->schedule, of, result)) {
        status = failed_add(directory_of(runner), runner->lock, name, failure, &reason);
        if (status == 0) {
            problem("event %" PRIu64 " (%s) is given up: %s%s; to run it again: %s", of->seq,
                    failure->event_id, failure->how, last_words(failure, words), runner->run->again);
            runner->failures++;
        } else
            result = RESULT_POSTPONED;
    } else if (runner->run->retry_failed && result == RESULT_DONE)
        status = failed_remove(directory_of(runner), runner->lock, name, of->seq, &reason);
    if (runner->run->retry_failed)
        runner->reserved = false; /* it has just been used */
    if (status != 0)
        hold_saving(runner, &reason);
    struct item *item = schedule_find(runner->schedule, of);
    if (item != NULL) /* else its line was deleted meanwhile */
        schedule_finish(runner->schedule, item, result, timestamp_now());
}

static struct job *free_job(struct runner *runner) {
    for (int64_t i = 0; i < runner->run->jobs; i++)
        if (!runner->job[i].busy)
            return &runner->job[i];
    return NULL;
}

/* Returns whether the line is there; if not, what becomes of the event is settled. */
static bool find_line(struct runner *runner, struct item *item, struct record *record) {
    struct reason reason = {""};
    int result = reread(runner, item, record, &reason);
    if (result < 0) {
        trouble_tell(&runner->rereading, &reason, "; its events wait");
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
    struct occasion occasion = {.event = &runner->lines->event,
                                .received_at = received_at,
                                .seq = item->seq,
                                .attempt = item->attempts};
    int result = command_start(&job->command, runner->run->command, &occasion, record.event,
                               record.event_length, runner->run->timeout * SECOND, &reason);
    if (result != 0) {
        trouble_hold(&runner->starting, &reason, "; trying again");
        settle(runner, item, RESULT_INTERRUPTED, NULL);
        return;
    }
    trouble_end(&runner->starting);
    job->busy = true;
    job->item = *item;
    runner->running++;
}

/* ---- keeping the place ---- */

/* Saves what has changed: first what was set aside, then the cursor, which has moved over it. Returns whether
 * all is saved. */
static bool keep(struct runner *runner) {
    struct reason reason = {""};
    struct queues *queues = schedule_queues(runner->schedule);
    const char *name = runner->run->name;
    if (runner->run->retry_failed)
        return true;
    update_cursor(runner);
    if (!runner->unsaved && runner->waiting.known && !queues_are_changed(queues))
        return true;
    if (runner->foreign || monotonic_now() < runner->saving.again)
        return false;
    if (waiting_save(&runner->waiting, directory_of(runner), name, queues, &reason) != 0 ||
        (runner->unsaved && cursor_write(directory_of(runner), name, &runner->cursor, &reason) != 0)) {
        hold_saving(runner, &reason);
        return false;
    }
    if (!runner->unsaved) {
        trouble_end(&runner->saving);
        return true;
    }
    runner->unsaved = runner->reserved = false;
    trouble_end(&runner->saving);
    return true;
}

/* Is there room to keep what becomes of the commands that are started now? */
static bool is_reserved(struct runner *runner) {
    struct reason reason = {""};
    const struct run *run = runner->run;
    if (!keep(runner) || runner->foreign || monotonic_now() < runner->saving.again)
        return false;
    if (runner->reserved)
        return true;
    int result = run->retry_failed
                     ? failed_reserve(directory_of(runner), runner->lock, run->name, &reason)
                     : cursor_reserve(directory_of(runner), run->name, &runner->cursor, JOBS_MAX, &reason);
    runner->reserved = result == 0;
    if (result != 0)
        hold_saving(runner, &reason);
    if (result == ERROR_INVALID) /* a read-only journal: waiting is of no use */
        end_broken(runner);
    return runner->reserved;
}

static void start_all(struct runner *runner) {
    struct job *job;
    struct item *item;
    if (runner->ending || schedule_left(runner->schedule) <= runner->running || !is_reserved(runner))
        return;
    while (!runner->ending && monotonic_now() >= runner->starting.again &&
           monotonic_now() >= runner->saving.again && (job = free_job(runner)) != NULL &&
           (item = schedule_next(runner->schedule, timestamp_now())) != NULL)
        start(runner, job, item);
}

/* ---- ending ---- */

static void end_job(struct runner *runner, struct job *job, int status) {
    struct command *command = &job->command;
    const struct item *item = &job->item;
    char how[64], words[WORDS_SIZE];
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
    if (result == RESULT_FAILED && item->attempts <= RETRIES && !runner->run->retry_failed) {
        failed_note(directory_of(runner), runner->run->name, &failure);
        problem("event %" PRIu64 " (%s): %s; once more in %d s%s", item->seq, command->id, how,
                retry_after[item->attempts - 1], last_words(&failure, words));
    }
    job->busy = false;
    runner->running--;
    settle(runner, item, result, &failure);
}

static void reap(struct runner *runner) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct job *job = &runner->job[i];
        int status;
        if (job->busy && waitpid(job->command.pid, &status, WNOHANG) == job->command.pid)
            end_job(runner, job, status);
    }
}

/* ---- waiting ---- */

static void take_signals(struct runner *runner) {
    struct signalfd_siginfo came;
    while (read(runner->signals, &came, sizeof came) == (ssize_t)sizeof came)
        if (came.ssi_signo != SIGCHLD && runner->stop_at == INT64_MAX) {
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

/* Waits until a command or the journal or a signal wants something. */
static void wait_for_any(struct runner *runner) {
    struct pollfd watched[2 + 2 * JOBS_MAX];
    size_t count = 0;
    int64_t wait = tick(runner);
    watched[count++] = (struct pollfd){.fd = runner->signals, .events = POLLIN};
    watched[count++] = (struct pollfd){.fd = runner->follow.notify, .events = POLLIN};
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].busy)
            count += command_watch(&runner->job[i].command, &watched[count]);
    int64_t look_again = follow_patience(&runner->follow);
    (void)poll(watched, count, (int)(wait >= 0 && wait < look_again ? wait : look_again));
    follow_wait(&runner->follow, 0);
    take_signals(runner);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (runner->job[i].busy)
            command_pump(&runner->job[i].command);
}

/* ---- the loop ---- */

/* For `doorpost exec --status`; nothing depends on it. */
static void tell_state(const struct runner *runner) {
    char text[64];
    int length = snprintf(text, sizeof text, "%-20zu\n", runner->running);
    ssize_t written = pwrite(runner->lock, text, (size_t)length, 0);
    (void)written;
}

/* Reads what is new. In trouble it opens what it has open by name again, for the next attempt: a handle on
 * NFS may be stale. */
static void read_on(struct runner *runner) {
    struct reason reason = {""};
    if (runner->ending || runner->run->retry_failed || monotonic_now() < runner->looking.again)
        return;
    int result = look(runner, &reason);
    if (result == 0 && runner->any)
        result = refill(runner, &reason);
    if (result == 0) {
        trouble_end(&runner->looking);
        return;
    }
    end_if_once(runner);
    trouble_hold(&runner->looking, &reason, runner->ending ? "" : "; trying again");
    runner->foreign =
        directory_open(&runner->lines->directory, &reason) != 0 ||
        cursor_lock_is_current(directory_of(runner), runner->run->name, runner->lock, &reason) <= 0;
    restart_walk(runner);
}

static void turn(struct runner *runner) {
    runlog_limit();
    keep(runner);
    read_on(runner);
    keep(runner);
    start_all(runner);
    tell_state(runner);
}

static bool is_idle(const struct runner *runner) {
    return runner->running == 0 && (runner->ending || schedule_left(runner->schedule) == 0) &&
           (runner->ending || runner->run->retry_failed || !runner->any ||
            !is_before(walk_place(&runner->lines->walk), runner->end));
}

static void release(struct runner *runner) {
    if (runner->reserved && !runner->foreign && !runner->run->retry_failed)
        cursor_release(directory_of(runner), runner->run->name);
    runner->reserved = false;
}

/* A handler that appends looks whether a runner holds the lock, and then trusts it to see the new line. So
 * the lock is given back first, and then the journal is looked at once more. Returns true when all is done.
 */
static bool is_over(struct runner *runner) {
    struct reason reason = {""};
    struct place before = runner->end;
    if (!is_idle(runner) || !(runner->ending || runner->run->once || runner->run->retry_failed))
        return false;
    if (runner->ending || runner->run->retry_failed)
        return true;
    if (!keep(runner)) /* what was deleted before it could be run is settled without a command */
        return false;
    release(runner);
    cursor_unlock(runner->lock, CURSOR_LOCK_RUNNER);
    if (look_at_end(runner, &reason) != 0) {
        problem("%s", reason.text);
        end_broken(runner);
        return true;
    }
    if (before.day == runner->end.day && before.offset == runner->end.offset)
        return true;
    return cursor_lock(runner->lock, CURSOR_LOCK_RUNNER, false, NULL) != 0; /* then another one is at it */
}

static void loop(struct runner *runner) {
    for (;;) {
        turn(runner);
        if (is_over(runner))
            break;
        if (!is_idle(runner) || !runner->run->once)
            wait_for_any(runner);
        reap(runner);
    }
    runner->saving.again = 0; /* a last attempt */
    if (runner->ending && !keep(runner))
        runner->broken = true;
    release(runner);
}

/* ---- beginning ---- */

/* Makes the cursor of a consumer that is new. */
static int begin(struct runner *runner) {
    struct lines *lines = runner->lines;
    const char *from = runner->run->from;
    struct reason reason = {""};
    struct deadline deadline = {.at = monotonic_now() + LOCK_PATIENCE};
    bool at_end = strcmp(from, "end") == 0;
    int result = 0;
    if (!at_end && strcmp(from, "start") != 0)
        result = resume_at(lines->directory.file, strtoull(from, NULL, 10), &runner->cursor.mark, &reason);
    if (result == 0)
        result = cursor_create(&lines->directory, runner->run->name, at_end ? NULL : &runner->cursor,
                               &deadline, &reason);
    if (result == 0)
        result = cursor_read(lines->directory.file, runner->run->name, &runner->cursor, &reason);
    return result >= 0 ? STATUS_DONE : problem("%s", reason.text);
}

/* Is it the event that --retry names, or is none named? */
static bool is_meant(const struct run *run, const struct failure *failure) {
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
    struct item item = {.seq = failure->seq, .place = failure->place, .identity = hash(failure->event_id)};
    if (!is_meant(runner->run, failure))
        return;
    runner->meant++;
    int result = queues_reserve(queues, 1) ? reread(runner, &item, &record, &reason)
                                           : fail(&reason, ERROR_TROUBLE, "no memory");
    if (result > 0) {
        item.order = order_of(&runner->lines->event);
        if (queues_find(queues, &item) == NULL)
            queues_add(queues, &item, 0);
        return;
    }
    if (result == 0)
        problem("event %" PRIu64 " (%s) is no longer in the journal", failure->seq, failure->event_id);
    else
        problem("event %" PRIu64 " (%s) stays on the list: %s", failure->seq, failure->event_id, reason.text);
    runner->broken |= result < 0;
}

static int open_cursor(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    if (run->retry_failed) {
        int count = failed_each(directory_of(runner), runner->lock, run->name, add_failure, runner, &reason);
        if (count >= 0 && run->retry != NULL && runner->meant == 0)
            return problem("%s has not given up an event %.200s: see doorpost exec --failed", run->name,
                           run->retry);
        return count < 0 ? problem("%s", reason.text) : STATUS_DONE;
    }
    int found = cursor_read(directory_of(runner), run->name, &runner->cursor, &reason);
    if (found == 0 && begin(runner) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (found >= 0 && waiting_load(directory_of(runner), run->name, schedule_queues(runner->schedule),
                                   timestamp_now(), &reason) != 0)
        return problem("%s", reason.text);
    return found >= 0 && go_on(runner, &reason) == 0 ? STATUS_DONE : problem("%s", reason.text);
}

static int open_lock(struct runner *runner) {
    const struct run *run = runner->run;
    struct reason reason = {""};
    enum cursor_lock which = run->retry_failed ? CURSOR_LOCK_RETRYING : CURSOR_LOCK_RUNNER;
    runner->lock = cursor_open_lock(runner->lines->directory.file, run->name, &reason);
    if (runner->lock < 0)
        return problem("%s", reason.text);
    int result = cursor_lock(runner->lock, which, false, &reason);
    if (result == ERROR_TIMEOUT && runlog_is_used()) /* many presses at once may each have started one */
        return STATUS_PROBLEM;
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
    if (!process_ignores(SIGINT)) /* signalfd(2) reads ignored signals too */
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
        return problem("no memory");
    runner->run = run;
    runner->stop_at = INT64_MAX;
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
