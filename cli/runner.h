/* Runs a command for each event, once in the ordinary case: a consumer of the journal. */
#ifndef DOORPOST_RUNNER_H
#define DOORPOST_RUNNER_H

#include "config.h"
#include "options.h"

#define JOBS_MAX 64

struct run {
    const char *name; /* of the consumer */
    struct list types, devices, accounts;
    int64_t jobs, timeout, grace; /* the last two in seconds */
    bool once, retry_failed;
    const char *retry; /* with retry_failed: the number or id of one event; NULL: all */
    const char *from;  /* start, end or a number: where a new consumer begins */
    char *const *command;
    const char *again; /* the command line that runs what is given up once more */
};

/* Returns an exit code: STATUS_PROBLEM where it could not run, or (with retry_failed) some failed again. */
int runner_run(const struct config *config, const struct run *run);

#endif
