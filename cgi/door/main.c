/* doorpost-door.cgi: the page that shows who is at the door. If descriptor 0 is a listening socket, it runs
 * as a FastCGI worker; otherwise as a CGI program that serves one request, whose arguments the sender
 * controls (RFC 3875, section 4.4): they are ignored. */
#include "log.h"
#include "pool.h"
#include "process.h"
#include "route.h"
#include "setup.h"

#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct page page = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = -1};

static void stop(int signal) {
    int saved = errno;
    uint64_t one = 1;
    (void)signal;
    ssize_t written = write(page.wake, &one, sizeof one);
    (void)written;
    errno = saved;
}

/* Web servers send a CGI program SIGTERM when its viewer has left. It goes on, as every wait has a limit:
 * Ring may be about to answer with new tokens, which must not be lost, or with a live session, which must be
 * ended. */
static void install_signals(void) {
    struct sigaction action = {.sa_handler = page.lasting ? stop : SIG_IGN, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* Apache's process managers send it for a graceful stop */
    if (page.lasting && !process_ignores(SIGINT))
        sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed connection is reported by write(2) */
}

/* FCGX_IsCGI() installs signal handlers that only set a flag, so signals stay blocked until ours are in
 * place. */
static int prepare(void) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    page.lasting = !FCGX_IsCGI();
    if (page.lasting)
        page.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    install_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (page.lasting && page.wake < 0)
        return -1;
    return sodium_init();
}

int main(void) {
    process_prepare();
    mallopt(M_ARENA_MAX, 1); /* an arena a thread would cost more memory than the lock costs time */
    if (prepare() < 0) {
        log_error("no source of randomness, or no descriptor is free");
        return EXIT_FAILURE;
    }
    if (page.lasting) {
        struct reason reason;
        if (setup(&page, &reason) != 0) /* each request tries again */
            log_error(reason.text);
        return pool_serve(&page);
    }
    if (getenv("REQUEST_METHOD") == NULL) {
        fputs(
            "doorpost-door.cgi is started by a web server, as CGI or FastCGI; see its README for how to set "
            "it up\n",
            stderr);
        return 2;
    }
    route_serve(&page, NULL);
    return EXIT_SUCCESS;
}
