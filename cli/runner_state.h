/* What the rooms of the runner share: runner.c waits and loops, runner_read.c reads the journal, runner_run.c
 * runs commands, runner_save.c keeps the place. */
#ifndef DOORPOST_RUNNER_STATE_H
#define DOORPOST_RUNNER_STATE_H

#include "backoff.h"
#include "command.h"
#include "follow.h"
#include "instructions.h"
#include "lines.h"
#include "resume.h"
#include "runner.h"
#include "runner_note.h"
#include "schedule.h"
#include "waiting.h"

#define LOCK_TIMEOUT (30 * SECOND)

struct job {
    bool busy;
    bool dropped;     /* it is not run again, however it ends */
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
    struct position end; /* of the journal as it was looked at last */
    bool any;            /* there is a segment */
    bool unsaved, reserved;
    bool foreign; /* the directory may have been replaced, and the lock in it is not ours: nothing is saved */
    bool ending, broken;
    bool obeying;    /* it was told of events that are not at rest */
    int64_t stop_at; /* once ending: the running commands have until then */
    struct backoff read_backoff, save_backoff, queue_backoff, start_backoff, reread_backoff, position_backoff;
    unsigned failures, matched; /* of those that are retried */
    size_t running;
    struct job job[JOBS_MAX];
    struct walk again; /* to read the line of an event that is started */
    struct runner_note note;
};

/* ---- runner_read.c ---- */

int runner_directory_of(const struct runner *runner);
bool runner_is_before(struct position a, struct position b);

/* Events of one device run in order; of those that have none, those of one account. */
uint64_t runner_order_of(const struct event *event);
uint64_t runner_hash(const char *text);

/* Looks how far the journal goes, and makes sure that it is on the disk. */
int runner_find_end(struct runner *runner, struct reason *reason);

/* Reads on after the cursor's place, or if that does not hold from the first line that was not run. */
int runner_resume(struct runner *runner, struct reason *reason);

/* Reads what is new into the schedule. */
void runner_read_new(struct runner *runner);

/* Reads the event of an item again, into lines->event too. Returns 1 with its record, 0 if it was deleted, or
 * an error. */
int runner_reread(struct runner *runner, struct item *item, struct record *record, struct reason *reason);

/* ---- runner_run.c ---- */

/* Starts what may start. */
void runner_start_all(struct runner *runner);

/* Settles what has ended. */
void runner_reap(struct runner *runner);

/* ---- runner_save.c ---- */

/* It starts no more, and has failed. What is running ends by itself. */
void runner_end_broken(struct runner *runner);

/* The journal cannot be read, or the place not be kept: a single run has failed. */
void runner_end_if_once(struct runner *runner);

/* Nothing is started for a while, because something cannot be kept. */
void runner_pause(struct runner *runner, struct backoff *trouble, const struct reason *reason);

/* Brings the cursor up to date with what has ended. */
void runner_update_cursor(struct runner *runner);

/* Saves what has changed. Returns whether all is saved. */
bool runner_save(struct runner *runner);

/* Is there room to keep what becomes of the commands that are started now? */
bool runner_reserve(struct runner *runner);
void runner_release(struct runner *runner);

/* For `doorpost exec --status`; nothing depends on it. */
void runner_write_state(struct runner *runner);

#endif
