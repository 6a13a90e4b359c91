/* The timer repeats: a single shot could fire between checking the clock and the call, and be lost. */
#include "interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#define INTERVAL 20000 /* microseconds */

static void ignore(int signal) {
    (void)signal;
}

static void set_interval(long microseconds) {
    struct itimerval timer = {.it_interval.tv_usec = microseconds, .it_value.tv_usec = microseconds};
    setitimer(ITIMER_REAL, &timer, NULL);
}

void interrupt_start(void) {
    static bool installed;
    if (!installed) {
        struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART: calls must fail with EINTR */
        sigaction(SIGALRM, &action, NULL);
        installed = true;
    }
    set_interval(INTERVAL);
}

void interrupt_stop(void) {
    set_interval(0);
}
