/* A consumer: runs a command for each event, normally exactly once. */
#ifndef DOORPOST_RUNNER_H
#define DOORPOST_RUNNER_H

#include "options.h"

#define JOBS_MAX 64

struct run {
    const char *name; /* of the consumer */
    struct list types, devices, accounts;
    int64_t jobs, timeout, grace; /* the last two in seconds */
    bool once, retry_failed;
    const char *retry; /* with retry_failed: number or id of one event; NULL: all */
    const char *from;  /* where a new consumer begins: start, end or a number */
    char *const *command;
    const char *again; /* command line that reruns failed events */
};

struct source;

/* Opens the source and runs its events; the caller closes it. Returns an exit code: STATUS_PROBLEM if it
 * could not run, or (with retry_failed) if any event failed again. */
int runner_run(struct source *source, const struct run *run);

#endif
