/* Where the runner's events come from and where their results go: a journal or a database. The runner's loop
 * knows a source only by these functions.
 *
 * All are called from one thread. Only open() and end() may wait for another machine. A problem is the
 * source's own affair: it prints it, tries again with back-off, and lets next() return false meanwhile. If
 * waiting cannot help, or the run is `once` or `retry_failed`, it sets `broken` and `ending`. */
#ifndef DOORPOST_SOURCE_H
#define DOORPOST_SOURCE_H

#include "event.h"
#include "failed.h"
#include "item.h"
#include "runner.h"
#include "runner_note.h"

#include <poll.h>

#define SOURCE_WATCHED 4 /* descriptors, at most */

/* An event whose command is running. */
struct task {
    bool busy;
    bool dropped;     /* set by the source: it is not run again, whatever the result */
    struct item item; /* a copy of the one that next() returned */
};

/* The first member of each source's own struct. */
struct source {
    const struct source_functions *functions;
    /* Set by the runner: */
    struct task task[JOBS_MAX];
    size_t running; /* how many tasks are busy */
    /* Set by either, and never cleared: */
    bool ending; /* no command is started any more; the results of running ones are still recorded */
    bool broken; /* the run fails */
};

/* An event to start. What it points to is valid until the next call of the source. */
struct due {
    struct item item; /* seq, and attempts including this one; the other fields are the source's own */
    const struct event *event;
    char received_at[TIMESTAMP_SIZE];
    const char *body;
    size_t length;
};

struct source_functions {
    /* Takes the consumer's lock or lease, and finds its position, or creates it for a new consumer. Returns
     * an exit code, after printing what is wrong. */
    int (*open)(struct source *source);

    /* Shows what the consumer is doing, for `doorpost exec --status`; nothing depends on it. Called after
     * open(), and at the end of each pass of the loop. */
    void (*note)(struct source *source, const struct runner_note *note);

    /* Called at the start of each pass: saves progress, reads new events, follows the instructions of --drop
     * and --retry, and decides whether commands may be started in this pass. If `ending`, it reads no new
     * events. */
    void (*advance)(struct source *source);

    /* Takes the next event that may start. Returns false if there is none, or if none may start for now, as
     * while progress cannot be saved or a lease has lapsed. */
    bool (*next)(struct source *source, struct due *due);

    /* Records the result of an item from next(); if RESULT_FAILED, it is due again after
     * ring_retry_after[item->attempts - 1] seconds. `failure` describes the run; NULL if there was none, as
     * for RESULT_INTERRUPTED when no process could be started. Returns false if the result cannot be
     * recorded, after printing why: the event is run again, here or by another runner. A source that records
     * later returns true, and prints a late refusal itself. */
    bool (*finish)(struct source *source, const struct item *item, enum result result,
                   const struct failure *failure);

    /* Fills in the descriptors to poll, and returns their number. Lowers *wait (microseconds) to the time
     * until advance() must be called, whatever the descriptors say; 0: at once. */
    size_t (*watch)(struct source *source, struct pollfd watched[SOURCE_WATCHED], int64_t *wait);

    /* Returns true if there is nothing to run now, nothing to retry later, and nothing more to read. */
    bool (*is_idle)(const struct source *source);

    /* Called when the source is idle and no command is running, if the run is `once` or `retry_failed`.
     * Returns true if the run is over; if not, the loop waits as watch() says. A source that others rely on
     * to see new events first lets go of its lock, and then looks once more. */
    bool (*is_over)(struct source *source);

    /* Saves for the last time, and releases what was reserved. Returns false if anything is not saved. */
    bool (*end)(struct source *source);

    /* Frees the source, opened or not. */
    void (*close)(struct source *source);
};

#endif
