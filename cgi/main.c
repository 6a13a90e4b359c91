/* doorpost.cgi: receives Ring's signed webhooks behind a web server. Started with a listening socket as
 * descriptor 0 it is a FastCGI worker, else a CGI program that serves one request.
 *
 * The worker is one loop on one thread (the sync alone may be waited for on another). It takes every
 * connection that is waiting, up to a batch, reads and judges each whose request is whole, keeps them all
 * with one write and one sync, and answers them; while the disk is at work, the next batch is taken. A
 * connection whose request is not whole yet waits in a table, and costs nobody time.
 *
 * Under CGI the arguments are the sender's (RFC 3875, section 4.4 makes them of the query string): they are
 * not looked at. */
#define _GNU_SOURCE /* accept4 */
#include "connection.h"
#include "handler.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING_MAX 256 /* connections whose request is not whole; the oldest makes room for a new one */
#define EVENTS_MAX HANDLER_BATCH /* whatever one wait brings fits into a batch */
#define LISTENER 0
#define NAP 10000 /* microseconds to wait where no descriptor is free */

enum state {
    STATE_FREE,
    STATE_GATHERING, /* the request is not whole */
    STATE_SERVED,    /* it is, and in the batch; the answer has to come back through `inner` */
    STATE_DRAINING /* answered early: what still comes is thrown away, or the sender would miss the answer */
};

struct waiting {
    enum state state;
    int file;
    int inner, outer; /* a pair of sockets where the request gathers, or -1 */
    int64_t since;    /* monotonic_now() */
};

struct worker {
    struct handler *handler;
    struct handler_done done;
    int poll;
    struct waiting waiting[WAITING_MAX];
    size_t waiting_count, served_count;
};

static volatile sig_atomic_t ending;
static int wake = -1; /* an eventfd: makes a signal end a wait that has not begun yet */

static void end(int signal) {
    int saved = errno;
    uint64_t one = 1;
    (void)signal;
    ending = 1;
    ssize_t written = write(wake, &one, sizeof one);
    (void)written;
    errno = saved;
}

/* What epoll tells about a descriptor: its entry in the table, or one of these. */
#define FROM_LISTENER WAITING_MAX
#define FROM_SIGNAL (WAITING_MAX + 1)
#define FROM_SYNC (WAITING_MAX + 2)

static int watch(struct worker *worker, int file, uint32_t events, uint32_t from) {
    struct epoll_event event = {.events = events, .data.u32 = from};
    return epoll_ctl(worker->poll, EPOLL_CTL_ADD, file, &event);
}

/* Frees the entry; its connection stays open. */
static int release(struct worker *worker, struct waiting *waiting) {
    if (waiting->inner >= 0) {
        close(waiting->inner);
        close(waiting->outer);
    }
    if (waiting->state == STATE_SERVED)
        worker->served_count--;
    waiting->state = STATE_FREE;
    worker->waiting_count--;
    return waiting->file;
}

/* Closing a descriptor takes it out of the epoll set too. */
static void drop(struct worker *worker, struct waiting *waiting) {
    close(release(worker, waiting));
}

static struct waiting *oldest(struct worker *worker) {
    struct waiting *found = NULL;
    for (size_t i = 0; worker->waiting_count > 0 && i < WAITING_MAX; i++) {
        struct waiting *waiting = &worker->waiting[i];
        if ((waiting->state == STATE_GATHERING || waiting->state == STATE_DRAINING) &&
            (found == NULL || waiting->since < found->since))
            found = waiting;
    }
    return found;
}

static struct waiting *free_place(struct worker *worker) {
    struct waiting *first = worker->waiting_count == WAITING_MAX ? oldest(worker) : NULL;
    if (first != NULL)
        drop(worker, first);
    if (worker->waiting_count == WAITING_MAX)
        return NULL;
    size_t i = 0;
    while (worker->waiting[i].state != STATE_FREE)
        i++;
    return &worker->waiting[i];
}

/* Returns the entry, or NULL where the connection had to be closed. */
static struct waiting *put_aside(struct worker *worker, int file, enum state state, int64_t since) {
    struct waiting *waiting = free_place(worker);
    /* Edge-triggered, because bytes that are looked at and left in the socket would wake us for ever. */
    if (waiting == NULL ||
        watch(worker, file, EPOLLIN | EPOLLRDHUP | EPOLLET, (uint32_t)(waiting - worker->waiting)) != 0) {
        close(file);
        return NULL;
    }
    *waiting = (struct waiting){.state = state, .file = file, .inner = -1, .outer = -1, .since = since};
    worker->waiting_count++;
    return waiting;
}

static bool add_to_batch(struct worker *worker, int file, int64_t since) {
    if (request_start_fastcgi(handler_place(worker->handler), file, since) != 0)
        return false;
    handler_take(worker->handler);
    return true;
}

/* Throws away what has come. Returns false once the sender is done. */
static bool drain(int file) {
    char bytes[4096];
    ssize_t got;
    while ((got = recv(file, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        continue;
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* A connection whose request is not whole: what has come, and what comes, gathers in a socket of our own. */
static void gather(struct worker *worker, struct waiting *waiting) {
    if (waiting->inner < 0 && connection_pair(&waiting->inner, &waiting->outer) != 0) {
        drop(worker, waiting);
        return;
    }
    bool over = connection_pour(waiting->file, waiting->outer) != 0;
    switch (connection_look(waiting->inner, handler_max_body(worker->handler))) {
    case READY_WHOLE:
    case READY_REFUSE:
        epoll_ctl(worker->poll, EPOLL_CTL_DEL, waiting->file, NULL);
        if (add_to_batch(worker, waiting->inner, waiting->since)) {
            waiting->state = STATE_SERVED;
            worker->served_count++;
        } else {
            waiting->inner = -1;
            close(waiting->outer);
            drop(worker, waiting);
        }
        break;
    case READY_PARTIAL:
        if (over)
            drop(worker, waiting);
        break;
    case READY_NEVER:
        drop(worker, waiting);
        break;
    }
}

/* Something came on a connection that was put aside. */
static void look_again(struct worker *worker, struct waiting *waiting) {
    if (waiting->state == STATE_GATHERING)
        gather(worker, waiting);
    else if (waiting->state == STATE_DRAINING && !drain(waiting->file))
        drop(worker, waiting);
}

static void drop_overdue(struct worker *worker) {
    int64_t now = monotonic_now();
    for (struct waiting *waiting;
         (waiting = oldest(worker)) != NULL && now - waiting->since >= ANSWER_WITHIN;)
        drop(worker, waiting);
}

/* Accepts what is waiting, until the batch is full: what comes while others are read and judged is still
 * taken. */
static void accept_waiting(struct worker *worker) {
    while (handler_place(worker->handler) != NULL && !ending) {
        handler_answer(worker->handler, false, &worker->done);
        int file = accept4(LISTENER, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (file < 0) {
            bool no_room = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
            if (no_room && worker->waiting_count > 0)
                drop(worker, oldest(worker));
            else if (no_room)
                usleep(NAP);
            return;
        }
        int64_t now = monotonic_now();
        switch (connection_look(file, handler_max_body(worker->handler))) {
        case READY_WHOLE:
        case READY_REFUSE:
            add_to_batch(worker, file, now);
            break;
        case READY_PARTIAL: {
            struct waiting *waiting = put_aside(worker, file, STATE_GATHERING, now);
            if (waiting != NULL)
                gather(worker, waiting);
            break;
        }
        case READY_NEVER:
            close(file);
            break;
        }
    }
}

/* The web server's connection of an answered request: where it had gathered in a socket of ours, the answer
 * is passed on. */
static int connection_of(struct worker *worker, int file) {
    for (size_t i = 0; worker->served_count > 0 && i < WAITING_MAX; i++) {
        struct waiting *waiting = &worker->waiting[i];
        if (waiting->state == STATE_SERVED && waiting->inner == file) {
            connection_pour(waiting->outer, waiting->file);
            return release(worker, waiting);
        }
    }
    return file;
}

/* An answered connection. */
static void done(void *context, int file, bool unread) {
    file = connection_of(context, file);
    if (!unread || shutdown(file, SHUT_WR) != 0 || !drain(file))
        close(file);
    else
        put_aside(context, file, STATE_DRAINING, monotonic_now());
}

/* Milliseconds until the next connection is overdue; -1: none is waiting. */
static int patience(struct worker *worker) {
    const struct waiting *first = oldest(worker);
    if (first == NULL)
        return -1;
    int64_t left = first->since + ANSWER_WITHIN - monotonic_now();
    return left > 0 ? (int)(left / 1000) + 1 : 0;
}

/* Is there anything to do but to wait for the disk? */
static bool is_busy(void) {
    struct pollfd listener = {.fd = LISTENER, .events = POLLIN};
    return poll(&listener, 1, 0) > 0;
}

static void turn(struct worker *worker) {
    struct epoll_event events[EVENTS_MAX];
    bool knocking = false;
    int count = epoll_wait(worker->poll, events, EVENTS_MAX, patience(worker));
    handler_answer(worker->handler, false, &worker->done);
    for (int i = 0; i < count; i++) {
        uint32_t from = events[i].data.u32;
        knocking |= from == FROM_LISTENER;
        if (from < WAITING_MAX && worker->waiting[from].state != STATE_FREE)
            look_again(worker, &worker->waiting[from]);
    }
    drop_overdue(worker);
    if (knocking)
        accept_waiting(worker);
    if (handler_taken(worker->handler) > 0)
        handler_finish(worker->handler, is_busy(), &worker->done);
}

static bool watch_sources(struct worker *worker) {
    worker->poll = epoll_create1(EPOLL_CLOEXEC);
    int flags = fcntl(LISTENER, F_GETFL);
    if (worker->poll < 0 || flags < 0 || fcntl(LISTENER, F_SETFL, flags | O_NONBLOCK) != 0)
        return false;
    /* EPOLLEXCLUSIVE: a connection wakes one of the workers, not all of them. */
    if (watch(worker, LISTENER, EPOLLIN | EPOLLEXCLUSIVE, FROM_LISTENER) != 0)
        return false;
    int sync = handler_file(worker->handler);
    return watch(worker, wake, EPOLLIN, FROM_SIGNAL) == 0 &&
           (sync < 0 || watch(worker, sync, EPOLLIN, FROM_SYNC) == 0);
}

static int serve_fastcgi(struct handler *handler) {
    static struct worker worker;
    worker.handler = handler;
    worker.done = (struct handler_done){.call = done, .context = &worker};
    if (wake < 0 || !watch_sources(&worker)) {
        perror("doorpost: cannot serve FastCGI on descriptor 0");
        return EXIT_FAILURE;
    }
    connection_prepare(LISTENER);
    while (!ending)
        turn(&worker);
    handler_answer(handler, true, &worker.done);
    while (worker.waiting_count > 0)
        drop(&worker, oldest(&worker));
    close(worker.poll);
    close(wake);
    return EXIT_SUCCESS;
}

static int serve_cgi(struct handler *handler) {
    if (getenv("REQUEST_METHOD") == NULL) {
        fputs("doorpost.cgi is started by a web server, as CGI or FastCGI; see its README for how to set it "
              "up\n",
              stderr);
        return 2;
    }
    request_start_cgi(handler_place(handler), monotonic_now());
    handler_take(handler);
    handler_finish(handler, false, NULL);
    return EXIT_SUCCESS;
}

static void install_signals(void) {
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* what Apache's process managers send for a graceful end */
    signal(SIGPIPE, SIG_IGN);          /* a web server that went away shows up as a failing write */
    signal(SIGXFSZ, SIG_IGN);          /* and so does a limit on the size of files, like a full disk */
}

/* FastCGI 1.0, section 2.2: a worker is told from a CGI program by descriptor 0, a socket that has no peer.
 */
static bool is_cgi(void) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return getpeername(LISTENER, (struct sockaddr *)&peer, &length) == 0 || errno != ENOTCONN;
}

/* libfcgi takes the signals to itself when it starts, and would only remember that one came; so they are held
 * back until ours are in place. */
static void start_libfcgi(void) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    FCGX_Init();
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    install_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Without a handler there is no worker; but one CGI request still gets the answer that makes Ring come again.
 */
static int give_up(bool cgi, const char *cause) {
    fprintf(stderr, "doorpost level=problem status=503 cause=\"%s\"\n", cause);
    if (!cgi)
        return EXIT_FAILURE;
    fputs("Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
          "Retry-After: 30\r\n\r\n{\"status\":\"unavailable\"}\n",
          stdout);
    return EXIT_SUCCESS;
}

int main(void) {
    static struct handler *handler; /* static: a CGI process ends with it in use */
    bool cgi = is_cgi();
    if (cgi)
        install_signals();
    else
        start_libfcgi();
    umask(077);
    if (sodium_init() < 0)
        return give_up(cgi, "no source of randomness");
    handler = handler_new(&ending, !cgi);
    if (handler == NULL)
        return give_up(cgi, "no memory");
    if (cgi)
        return serve_cgi(handler); /* the end of the process frees everything faster than we could */
    int status = serve_fastcgi(handler);
    handler_free(handler);
    return status;
}
