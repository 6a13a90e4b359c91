/* doorpost.cgi: receives Ring's signed webhooks behind a web server. Started with a listening socket as
 * descriptor 0 it is a FastCGI worker, else a CGI program that serves one request.
 *
 * Under CGI the arguments are the sender's (RFC 3875, section 4.4 makes them of the query string): they are
 * not looked at. */
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
static int wake = -1; /* an eventfd: a signal ends a wait that has not begun yet */

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
    sigaction(SIGUSR1, &action, NULL); /* what Apache's process managers send for a graceful end */
    if (!process_ignores(SIGINT))
        sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a web server that went away shows up as a failing write */
}

/* FastCGI 1.0, section 2.2: a worker is told from a CGI program by descriptor 0, a socket that has no peer.
 * libfcgi can tell. It takes the signals to itself, and would only remember that one came; so they are held
 * back until ours are in place. */
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

/* Without a handler there is no worker; but one CGI request still gets the answer that makes Ring come again.
 */
static int give_up(bool cgi, const char *cause) {
    if (!cgi) {
        log_error(cause);
        return EXIT_FAILURE;
    }
    cgi_give_up(cause);
    return EXIT_SUCCESS;
}

int main(void) {
    static struct handler *handler; /* static: a CGI process ends with it in use */
    process_prepare();
    bool cgi = is_cgi();
    if (sodium_init() < 0)
        return give_up(cgi, "no source of randomness");
    handler = handler_new(&stop_requested, !cgi);
    if (handler == NULL)
        return give_up(cgi, "no memory");
    if (cgi)
        return cgi_serve(handler); /* the end of the process frees everything faster than we could */
    int status = worker_serve(handler, &stop_requested, wake);
    handler_free(handler);
    return status;
}
