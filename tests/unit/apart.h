/* Runs code in a child process: because it ends the process, prints, keeps state between calls, or needs
 * fewer rights or resources. */
#ifndef DOORPOST_TESTS_APART_H
#define DOORPOST_TESTS_APART_H

#include <stdbool.h>

struct ending {
    int status;       /* exit status, or 1000 plus the signal that killed it */
    char out[32768];  /* standard output */
    char said[32768]; /* standard error */
};

/* Calls act(context) in a child process, which exits with the result unless `act` ends it. Assertions do not
 * work there. The result is valid until the next call. */
const struct ending *run_apart(int (*act)(void *context), void *context);

/* In such a process: gives up root's rights, so that permissions apply. Returns false on failure. */
bool become_nobody(void);

#endif
