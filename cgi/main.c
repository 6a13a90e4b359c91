/* doorpost.cgi: receives Ring's signed webhooks behind a web server. If descriptor 0 is a listening socket,
 * it runs as a FastCGI worker; otherwise as a CGI program that serves one request.
 *
 * Under CGI the arguments come from the query string (RFC 3875, section 4.4), so the sender controls them:
 * they are ignored. */
#include "cgi.h"
#include "log.h"
#include "process.h"
#include "worker.h"

#include <errno.h>
#include <fcgiapp.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t stop_requested;
static int wake = -1; /* an eventfd, so that a signal also ends a wait that has not begun yet */

static void stop(int signal) {
    int saved = errno;
    uint64_t one = 1;
    (void)signal;
    stop_requested = 1;
    ssize_t written = wake >= 0 ? write(wake, &one, sizeof one) : 0;
    (void)written;
    errno = saved;
}

static void install_signals(void) {
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* Apache's process managers send it for a graceful stop */
    if (!process_ignores(SIGINT))
        sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed connection is reported by write(2) */
}

/* For a FastCGI worker, descriptor 0 is a socket without a peer (FastCGI 1.0, section 2.2); libfcgi checks
 * that. It also installs signal handlers that only set a flag, so signals stay blocked until ours are in
 * place. */
static bool is_cgi(void) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    bool cgi = FCGX_IsCGI();
    if (!cgi)
        wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    install_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    return cgi;
}

/* A worker cannot run without a handler, but a CGI request can still be answered 503, so that Ring retries.
 */
static int fail_without_handler(bool cgi, const char *cause) {
    if (!cgi) {
        log_error(cause);
        return EXIT_FAILURE;
    }
    cgi_give_up(cause);
    return EXIT_SUCCESS;
}

int main(void) {
    static struct handler *handler; /* static, so that it stays reachable when a CGI process exits */
    process_prepare();
    bool cgi = is_cgi();
    if (sodium_init() < 0)
        return fail_without_handler(cgi, "cannot initialize libsodium: no source of random numbers");
    handler = handler_new(&stop_requested, !cgi);
    if (handler == NULL)
        return fail_without_handler(cgi, "out of memory");
    if (cgi)
        return cgi_serve(handler); /* not freed: exiting is faster */
    int status = worker_serve(handler, &stop_requested, wake);
    handler_free(handler);
    return status;
}
