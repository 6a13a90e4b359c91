/* State shared by the runner's files: runner.c waits and loops, runner_read.c reads the journal, runner_run.c
 * runs commands, runner_save.c saves progress. */
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
    bool dropped;     /* it is not run again, whatever the result */
    struct item item; /* a copy, because the schedule may be rebuilt meanwhile */
    struct command command;
};

struct runner {
    const struct run *run;
    struct lines *lines; /* holds the open journal, and parses events */
    struct schedule *schedule;
    struct cursor cursor; /* pending save, if `unsaved` */
    struct waiting waiting;
    struct cursor loaded; /* as of the start of reading: its entries for lines not read yet are kept */
    struct resume resume;
    struct mark read; /* the last line read */
    struct follow follow;
    int lock, signals;
    struct position end; /* of the journal, when last checked */
    bool any;            /* there is a segment */
    bool unsaved, reserved;
    bool foreign; /* the directory may have been replaced and its lock not be ours: save nothing */
    bool ending, broken;
    bool instructions_pending; /* an instruction concerns events that are running or not read yet */
    int64_t stop_at;           /* once ending: deadline for the running commands */
    struct backoff read_backoff, save_backoff, queue_backoff, start_backoff, reread_backoff, position_backoff;
    unsigned failures, matched; /* of the events that are retried */
    size_t running;
    struct job job[JOBS_MAX];
    struct walk again; /* for rereading the line of an event about to start */
    struct runner_note note;
};

/* ---- runner_read.c ---- */

int runner_directory_of(const struct runner *runner);
bool runner_is_before(struct position a, struct position b);

/* Events of one device run in order. Events without a device run in order by account. */
uint64_t runner_order_of(const struct event *event);
uint64_t runner_hash(const char *text);

/* Finds the end of the journal, and syncs the journal up to it. */
int runner_find_end(struct runner *runner, struct reason *reason);

/* Continues after the cursor's position or, if that does not hold, from the first line that was not run. */
int runner_resume(struct runner *runner, struct reason *reason);

/* Reads new lines into the schedule. */
void runner_read_new(struct runner *runner);

/* Rereads the event of an item, also into lines->event. Returns 1 with its record, 0 if it was deleted, or an
 * error. */
int runner_reread(struct runner *runner, struct item *item, struct record *record, struct reason *reason);

/* ---- runner_run.c ---- */

/* Starts every command that may start. */
void runner_start_all(struct runner *runner);

/* Settles commands that have ended. */
void runner_reap(struct runner *runner);

/* ---- runner_save.c ---- */

/* Stops starting commands, and makes the runner fail. Running commands end by themselves. */
void runner_end_broken(struct runner *runner);

/* Fails a one-shot run: the journal cannot be read, or progress cannot be saved. */
void runner_end_if_once(struct runner *runner);

/* Starts nothing for a while, because something cannot be saved. */
void runner_pause(struct runner *runner, struct backoff *backoff, const struct reason *reason);

/* Updates the cursor with the events that have ended. */
void runner_update_cursor(struct runner *runner);

/* Saves all changes. Returns true if everything is saved. */
bool runner_save(struct runner *runner);

/* Returns true if there is room to record the results of the commands about to be started. */
bool runner_reserve(struct runner *runner);
void runner_release(struct runner *runner);

/* For `doorpost exec --status` and doctor; nothing depends on it. */
void runner_write_state(struct runner *runner);

#endif
