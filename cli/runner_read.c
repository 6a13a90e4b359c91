/* Reads new journal lines into the schedule. The end of the journal is read under the append lock, so that no
 * partial write is taken for lines, and synced, so that no command runs for a press that a power cut would
 * undo. */
#include "resume.h"
#include "runner_state.h"
#include "segment.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool runner_is_before(struct position a, struct position b) {
    return a.day < b.day || (a.day == b.day && a.offset < b.offset);
}

static bool is_wanted(const struct runner *runner, const struct event *event) {
    const struct run *run = runner->run;
    return list_has(&run->types, event->type) && list_has(&run->devices, event->device) &&
           list_has(&run->accounts, event->account) && strcmp(event->device, EVENT_TEST_DEVICE) != 0;
}

uint64_t runner_hash(const char *text) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost order";
    uint64_t value;
    crypto_shorthash((unsigned char *)&value, (const unsigned char *)text, strlen(text), key);
    return value;
}

/* A hash of the event's id, in the form used in the list of failed events. */
static uint64_t identity_of(const struct event *event) {
    char text[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    return runner_hash(plain(event->id, text, sizeof text));
}

uint64_t runner_order_of(const struct event *event) {
    return runner_hash(event->device[0] != '\0' ? event->device : event->account);
}

int runner_directory_of(const struct runner *runner) {
    return runner->lines->directory.fd;
}

/* Continues after the last line read, with files reopened by name. */
static void restart_walk(struct runner *runner) {
    struct position position = runner->read.position;
    if (position.day < runner->resume.first)
        position = (struct position){.day = runner->resume.first};
    walk_end(&runner->lines->walk);
    walk_start(&runner->lines->walk, runner_directory_of(runner), position,
               (struct chain_state){.known = false});
    walk_until(&runner->lines->walk, runner->end.day);
}

int runner_find_end(struct runner *runner, struct reason *reason) {
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    struct position before = runner->end;
    int directory = runner_directory_of(runner);
    int result = cursor_end(&runner->lines->directory, &runner->end, &deadline, reason);
    if (result < 0)
        return result;
    runner->any = result > 0;
    if (!runner->any || (before.day == runner->end.day && before.offset == runner->end.offset &&
                         directory == runner_directory_of(runner)))
        return 0;
    int fd = segment_open(runner_directory_of(runner), runner->end.day, false, reason);
    if (fd < 0)
        return fd;
    result =
        fdatasync(fd) == 0 ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot sync the journal: %s", strerror(errno));
    close(fd);
    /* Lines read ahead beyond the old end may have been rolled back since. */
    restart_walk(runner);
    return result;
}

static bool is_same(const struct mark *a, const struct mark *b) {
    return a->position.day == b->position.day && a->position.offset == b->position.offset &&
           a->seq == b->seq && strcmp(a->chain, b->chain) == 0;
}

int runner_resume(struct runner *runner, struct reason *reason) {
    struct cursor *cursor = &runner->cursor;
    struct resume *resume = &runner->resume;
    struct reason explanation;
    int result = resume_find(runner_directory_of(runner), cursor, resume, reason);
    if (result != 0)
        return result;
    if (!resume->holds) {
        resume_explain(resume, runner->run->name, &explanation);
        backoff_report(&runner->position_backoff, &explanation, "");
    }
    if (!is_same(&cursor->mark, &resume->mark)) {
        cursor->highest = cursor_highest(cursor);
        cursor->mark = resume->mark;
        runner->unsaved = true;
    }
    if (resume->reused) /* its other fields describe other lines */
        cursor->done_count = cursor->retry_count = 0;
    runner->loaded = *cursor;
    runner->read = cursor->mark;
    schedule_clear(runner->schedule, &cursor->mark);
    restart_walk(runner);
    return 0;
}

/* Takes the lock file that has the name now. */
static int take_current_lock(struct runner *runner, struct reason *reason) {
    const char *name = runner->run->name;
    int lock = cursor_open_lock(runner_directory_of(runner), name, reason);
    int result = lock < 0 ? lock : cursor_lock(lock, CURSOR_LOCK_RUNNER, false, reason);
    if (result == ERROR_TIMEOUT) {
        explain(reason, "%s is already running, as process %d", name,
                cursor_holder(lock, CURSOR_LOCK_RUNNER));
        runner_end_broken(runner);
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

/* Handles a replaced directory: the consumer's lock is no longer the one that other processes find. */
static int adopt_new_directory(struct runner *runner, struct reason *reason) {
    const char *name = runner->run->name;
    int result = take_current_lock(runner, reason);
    if (result != 0)
        return result;
    problem("the journal directory or its cursors/ was replaced: %s continues in the new one", name);
    follow_end(&runner->follow);
    follow_start(&runner->follow, runner->lines->directory.path);
    runner_update_cursor(runner);
    runner->reserved = false;
    runner->unsaved = true;
    /* The journal may be a copy of the old one, or another one that has its own cursor for this consumer. */
    if (runner->cursor.mark.seq == 0 ||
        mark_check(runner_directory_of(runner), &runner->cursor.mark, reason) == 0) {
        result = cursor_read(runner_directory_of(runner), name, &runner->loaded, reason);
        if (result > 0)
            runner->cursor = runner->loaded;
    }
    runner->waiting.known = false;
    if (result > 0)
        result = waiting_load(runner_directory_of(runner), name, schedule_queues(runner->schedule),
                              timestamp_now(), reason);
    if (result < 0)
        runner_end_broken(runner);
    return result < 0 ? result : runner_resume(runner, reason);
}

static int check_journal(struct runner *runner, struct reason *reason) {
    int result = runner_find_end(runner, reason);
    if (result != 0)
        return result;
    result = cursor_lock_is_current(runner_directory_of(runner), runner->run->name, runner->lock, reason);
    runner->foreign = result <= 0;
    if (result == 0) {
        result = adopt_new_directory(runner, reason);
        runner->foreign = result != 0;
        return result;
    }
    if (result > 0)
        result = mark_check(runner_directory_of(runner), &runner->read, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    runner_update_cursor(runner);
    return runner_resume(runner, reason);
}

/* Parses an event into lines->event. Returns 1, 0 if it is damaged, or an error. */
static int parse(struct runner *runner, const struct record *record, struct reason *reason) {
    struct lines *lines = runner->lines;
    int result = event_parse(lines->parser, record->event, record->event_length, &lines->event, reason);
    return result == 0 ? 1 : result == ERROR_SYSTEM ? result : 0;
}

/* Marks an item as running if its command was started before the lines were reread. */
static void mark_if_running(struct runner *runner, struct item *item) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        const struct job *job = &runner->job[i];
        if (job->busy && job->item.seq == item->seq && job->item.identity == item->identity) {
            item->state = ITEM_RUNNING;
            item->attempts = job->item.attempts;
        }
    }
}

static int add_line(struct runner *runner, enum scan scan, const struct record *record,
                    struct position position, struct reason *reason) {
    const struct event *event = &runner->lines->event;
    struct item item = {.position = position};
    struct mark end = {0};
    int readable = scan != SCAN_DAMAGED ? parse(runner, record, reason) : 0;
    if (readable < 0)
        return readable;
    if (!readable) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(position.day, name);
        problem("%s, byte %" PRIu64 ": a damaged line, for which no command is run; see `doorpost check`",
                name, position.offset);
    }
    if (scan != SCAN_DAMAGED) {
        item.seq = record->seq;
        runner->read = end = mark_of(record, walk_position(&runner->lines->walk));
    }
    if (!readable || !is_wanted(runner, event) || !resume_is_new(&runner->resume, record, position.day)) {
        schedule_skip(runner->schedule, item.seq, &end);
        return 0;
    }
    item.identity = identity_of(event);
    item.order = runner_order_of(event);
    struct item *added = schedule_add(runner->schedule, &runner->loaded, &item, &end);
    if (added != NULL)
        mark_if_running(runner, added);
    return 0;
}

/* Reads until the end, or until the schedule is full. */
static int refill(struct runner *runner, struct reason *reason) {
    struct walk *walk = &runner->lines->walk;
    enum scan scan;
    struct record record;
    struct position position;
    int result = 1;
    while (result > 0 && runner_is_before(walk_position(walk), runner->end)) {
        schedule_defer(runner->schedule, timestamp_now());
        if (schedule_is_full(runner->schedule))
            break;
        result = walk_next(walk, &scan, &record, &position, reason);
        if (result > 0 && add_line(runner, scan, &record, position, reason) != 0) {
            restart_walk(runner);
            return ERROR_SYSTEM;
        }
    }
    return result < 0 ? result : 0;
}

/* Reads the line of an item at that position. Returns 1; 0 if it is not there; or an error. */
static int read_at(struct runner *runner, const struct item *item, struct position position,
                   struct record *record, struct reason *reason) {
    enum scan scan;
    walk_end(&runner->again);
    walk_start(&runner->again, runner_directory_of(runner), position, (struct chain_state){.known = false});
    walk_close(&runner->again);
    int result = walk_next(&runner->again, &scan, record, &position, reason);
    if (result <= 0 || scan == SCAN_DAMAGED || record->seq != item->seq)
        return result < 0 ? result : 0;
    result = parse(runner, record, reason);
    return result > 0 ? identity_of(&runner->lines->event) == item->identity : result;
}

struct seq_search {
    struct runner *runner;
    const struct item *item;
};

static int is_sought(void *context, const struct record *record, struct reason *reason) {
    const struct seq_search *search = context;
    int result = parse(search->runner, record, reason);
    return result > 0 ? identity_of(&search->runner->lines->event) == search->item->identity : result;
}

int runner_reread(struct runner *runner, struct item *item, struct record *record, struct reason *reason) {
    struct seq_search search = {.runner = runner, .item = item};
    int result = read_at(runner, item, item->position, record, reason);
    if (result != 0)
        return result;
    result = resume_seek(runner_directory_of(runner), item->seq, &item->position, is_sought, &search, reason);
    return result > 0 ? read_at(runner, item, item->position, record, reason) : result;
}

/* After an error, reopens by name whatever is open, for the next attempt: an NFS handle may be stale. */
void runner_read_new(struct runner *runner) {
    struct reason reason = {""};
    if (runner->ending || runner->run->retry_failed || monotonic_now() < runner->read_backoff.again)
        return;
    int result = check_journal(runner, &reason);
    if (result == 0 && runner->any)
        result = refill(runner, &reason);
    if (result == 0) {
        backoff_clear(&runner->read_backoff);
        return;
    }
    runner_end_if_once(runner);
    backoff_start(&runner->read_backoff, &reason, runner->ending ? "" : "; retrying");
    runner->foreign =
        directory_open(&runner->lines->directory, &reason) != 0 ||
        cursor_lock_is_current(runner_directory_of(runner), runner->run->name, runner->lock, &reason) <= 0;
    restart_walk(runner);
}
