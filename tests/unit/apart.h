/* Code in a process of its own: because it ends the process, prints, keeps state between calls, or needs
 * fewer rights or resources. */
#ifndef DOORPOST_TESTS_APART_H
#define DOORPOST_TESTS_APART_H

#include <stdbool.h>

struct ending {
    int status;       /* with which it exited, or 1000 and the signal that killed it */
    char out[32768];  /* standard output */
    char said[32768]; /* standard error */
};

/* Calls act(context) in a child process, which exits with the result unless `act` has ended it. Assertions do
 * not work there. The result is good until the next call. */
const struct ending *run_apart(int (*act)(void *context), void *context);

/* In such a process: gives up root's rights, so that permissions count. Returns false if that failed. */
bool become_nobody(void);

#endif
