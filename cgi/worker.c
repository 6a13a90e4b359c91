/* One loop on one thread (the sync alone may be waited for on another). Each turn reads what has come on any
 * connection, a bounded part of it, and accepts a bounded number of new ones; decides each request that is
 * whole; keeps them all with one write and one sync, and answers them. While the disk is at work, the next
 * turn begins. No turn waits for a peer. */
#define _GNU_SOURCE /* accept4 */
#include "worker.h"

#include "connection.h"
#include "log.h"
#include "timestamp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENER STDIN_FILENO
#define CONNECTIONS_MAX 512
/* For the journal, its index, and a command that is started; for what is not closed yet. */
#define DESCRIPTORS_RESERVED (40 + CONNECTIONS_CLOSING)
#define EVENTS_MAX HANDLER_BATCH
#define ACCEPTS_MAX HANDLER_BATCH /* in one turn */
#define ACCEPT_FOR (SECOND / 4)   /* and no longer */
#define NAP 10000                 /* microseconds to wait if no descriptor is free */
#define ADDRESSES "FCGI_WEB_SERVER_ADDRS"

struct slot {
    struct connection connection;
    short watched; /* events that epoll looks for; 0: it does not know the connection */
};

struct worker {
    struct handler *handler;
    struct handler_answers answers;
    const volatile sig_atomic_t *stop_requested;
    int epoll;
    struct slot slots[CONNECTIONS_MAX];
    size_t limit, count; /* of connections */
    size_t next_free;    /* where to look first */
    int64_t deadline;    /* none is overdue before */
    bool more;           /* a connection may be ready that found no room in a batch */
    bool answering;
};

/* What epoll tells about a descriptor: its place in the table, or one of these. */
#define FROM_LISTENER CONNECTIONS_MAX
#define FROM_OTHERS (CONNECTIONS_MAX + 1) /* they only end the wait */

static int watch(struct worker *worker, int operation, int fd, uint32_t events, uint32_t from) {
    struct epoll_event event = {.events = events, .data.u32 = from};
    return epoll_ctl(worker->epoll, operation, fd, &event);
}

/* ---- connections ---- */

static void drop(struct worker *worker, struct slot *slot) {
    connection_close(&slot->connection);
    worker->count--;
    worker->next_free = (size_t)(slot - worker->slots);
}

/* A connection that waits for nothing is taken out: epoll would go on telling that its peer is gone. The
 * flags of poll(2) and epoll(7) have the same values. */
static void watch_connection(struct worker *worker, struct slot *slot) {
    short events = connection_events(&slot->connection);
    if (events == slot->watched)
        return;
    int operation = slot->watched == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (watch(worker, operation, slot->connection.fd, (uint32_t)events, (uint32_t)(slot - worker->slots)) ==
        0)
        slot->watched = events;
    else if (slot->connection.state != CONNECTION_READY && slot->connection.state != CONNECTION_SERVING)
        drop(worker, slot);
}

static void serve(struct worker *worker, struct connection *connection) {
    if (worker->answering || !handler_has_room(worker->handler))
        worker->more = true;
    else
        handler_take(worker->handler, connection_serve(connection), connection);
}

/* After each step of a connection. */
static void attend(struct worker *worker, struct slot *slot) {
    struct connection *connection = &slot->connection;
    if (connection->trouble[0] != '\0') {
        handler_warn(worker->handler, connection->trouble);
        connection->trouble[0] = '\0';
    }
    if (connection->state == CONNECTION_READY)
        serve(worker, connection);
    if (connection->state == CONNECTION_FREE) {
        if (slot->watched != 0) /* closing it would do, but it may be closed later */
            watch(worker, EPOLL_CTL_DEL, connection->fd, 0, 0);
        worker->count--;
        worker->next_free = (size_t)(slot - worker->slots);
        return;
    }
    int64_t deadline = connection_deadline(connection);
    if (deadline < worker->deadline)
        worker->deadline = deadline;
    /* What is served at once and closed then never needs to be watched. */
    if (connection->state != CONNECTION_SERVING || slot->watched != 0)
        watch_connection(worker, slot);
}

/* Closes the connection that is missed least: the one that has been idle for longest, else the one that has
 * taken longest to send a request. */
static bool make_room(struct worker *worker) {
    struct slot *found = NULL;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        const struct connection *one = &worker->slots[i].connection;
        if (one->state == CONNECTION_FREE || one->state == CONNECTION_READY ||
            one->state == CONNECTION_SERVING)
            continue;
        bool idle = one->state == CONNECTION_IDLE,
             found_idle = found != NULL && found->connection.state == CONNECTION_IDLE;
        if (found == NULL || (idle && !found_idle) ||
            (idle == found_idle && one->since < found->connection.since))
            found = &worker->slots[i];
    }
    if (found == NULL)
        return false;
    if (found->connection.state == CONNECTION_GATHERING)
        handler_warn(worker->handler,
                     "too many connections: one that had not sent its whole request was closed");
    drop(worker, found);
    return true;
}

static void look_after_overdue(struct worker *worker) {
    int64_t now = monotonic_now();
    if (now < worker->deadline)
        return;
    worker->deadline = INT64_MAX;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &worker->slots[i].connection;
        if (connection->state == CONNECTION_FREE)
            continue;
        if (connection_deadline(connection) <= now)
            connection_overdue(connection);
        attend(worker, &worker->slots[i]);
    }
}

/* Requests that found no room in the batch before. */
static void serve_more(struct worker *worker) {
    if (!worker->more)
        return;
    worker->more = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (worker->slots[i].connection.state == CONNECTION_READY)
            attend(worker, &worker->slots[i]);
}

static void send_answer(void *context, void *owner, const char *text, size_t length) {
    struct worker *worker = context;
    struct connection *connection = owner;
    char log[LOG_HELD];
    size_t log_length = connection_is_awaited(connection) ? log_take(log, sizeof log) : 0;
    connection_answer(connection, log, log_length, text, length);
    if (connection->state == CONNECTION_IDLE)
        connection_resume(connection);
    worker->answering = true; /* the batch that is being answered takes no request */
    attend(worker, (struct slot *)(void *)connection);
    worker->answering = false;
}

/* ---- accepting ---- */

/* FastCGI 1.0, section 3.2: if the variable is set, only these addresses may connect, and nobody without one.
 */
static bool is_allowed(const struct sockaddr_storage *peer) {
    const char *list = getenv(ADDRESSES);
    const void *address = peer->ss_family == AF_INET
                              ? (const void *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr
                          : peer->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr
                              : NULL;
    if (list == NULL)
        return true;
    while (address != NULL && *list != '\0') {
        char text[INET6_ADDRSTRLEN] = "";
        unsigned char one[sizeof(struct in6_addr)];
        size_t length = strcspn(list, ", ");
        if (length > 0 && length < sizeof text) {
            memcpy(text, list, length);
            if (inet_pton(peer->ss_family, text, one) == 1 &&
                memcmp(one, address, peer->ss_family == AF_INET ? sizeof(struct in_addr) : sizeof one) == 0)
                return true;
        }
        list += length + (list[length] != '\0');
    }
    return false;
}

static struct slot *free_place(struct worker *worker) {
    if (worker->count >= worker->limit && !make_room(worker))
        return NULL;
    while (worker->slots[worker->next_free].connection.state != CONNECTION_FREE)
        worker->next_free = (worker->next_free + 1) % CONNECTIONS_MAX;
    return &worker->slots[worker->next_free];
}

/* Is there anything to accept? No connection is to give way for nothing. */
static bool is_knocked(void) {
    struct pollfd listener = {.fd = LISTENER, .events = POLLIN};
    return poll(&listener, 1, 0) == 1;
}

/* Returns false if there is nothing to accept, or no room for it. */
static bool accept_one(struct worker *worker) {
    if (worker->count >= worker->limit && !is_knocked())
        return false;
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    struct slot *slot = free_place(worker);
    int fd = slot != NULL ? accept4(LISTENER, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
                          : -1;
    if (fd < 0) {
        bool no_room =
            slot == NULL || errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        if (no_room && !make_room(worker))
            usleep(NAP);
        return false;
    }
    if (!is_allowed(&peer)) {
        handler_warn(worker->handler,
                     "a connection from an address that is not in " ADDRESSES ": it was closed");
        close(fd);
        return true;
    }
    connection_start(&slot->connection, fd, worker->limit);
    slot->watched = 0;
    worker->count++;
    connection_input(&slot->connection);
    attend(worker, slot);
    return true;
}

static void accept_waiting(struct worker *worker) {
    int64_t end = monotonic_now() + ACCEPT_FOR;
    for (int i = 0; i < ACCEPTS_MAX && handler_has_room(worker->handler) && !*worker->stop_requested; i++) {
        handler_answer(worker->handler, false, &worker->answers);
        if (!accept_one(worker) || monotonic_now() > end)
            return;
    }
}

/* ---- the loop ---- */

/* Milliseconds to wait for something to happen; -1: for ever. */
static int poll_timeout(const struct worker *worker, int64_t summary) {
    int64_t next = summary < worker->deadline ? summary : worker->deadline;
    if (worker->more)
        return 0;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - monotonic_now();
    return left > 0 ? (int)(left / 1000) + 1 : 0;
}

/* Is there anything to do but to wait for the disk? */
static bool is_busy(const struct worker *worker) {
    struct pollfd any = {.fd = worker->epoll, .events = POLLIN};
    return worker->more || poll(&any, 1, 0) > 0;
}

static void handle_event(struct worker *worker, const struct epoll_event *event) {
    struct slot *slot = &worker->slots[event->data.u32];
    if (slot->connection.state == CONNECTION_FREE)
        return;
    if (connection_events(&slot->connection) == POLLOUT)
        connection_output(&slot->connection);
    else
        connection_input(&slot->connection);
    attend(worker, slot);
}

static void run_once(struct worker *worker) {
    struct epoll_event events[EVENTS_MAX];
    bool knocking = false;
    int count = epoll_wait(worker->epoll, events, EVENTS_MAX, poll_timeout(worker, log_summarize(false)));
    handler_answer(worker->handler, false, &worker->answers);
    serve_more(worker);
    for (int i = 0; i < count; i++) {
        knocking |= events[i].data.u32 == FROM_LISTENER;
        if (events[i].data.u32 < CONNECTIONS_MAX)
            handle_event(worker, &events[i]);
    }
    look_after_overdue(worker);
    if (knocking)
        accept_waiting(worker);
    if (handler_taken(worker->handler) > 0)
        handler_finish(worker->handler, is_busy(worker), &worker->answers);
}

static bool watch_sources(struct worker *worker, int wake) {
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    int flags = fcntl(LISTENER, F_GETFL);
    if (worker->epoll < 0 || flags < 0 || fcntl(LISTENER, F_SETFL, flags | O_NONBLOCK) != 0)
        return false;
    /* EPOLLEXCLUSIVE: a connection wakes one of the workers, not all of them. */
    if (watch(worker, EPOLL_CTL_ADD, LISTENER, EPOLLIN | EPOLLEXCLUSIVE, FROM_LISTENER) != 0)
        return false;
    int sync = handler_fd(worker->handler);
    return watch(worker, EPOLL_CTL_ADD, wake, EPOLLIN, FROM_OTHERS) == 0 &&
           (sync < 0 || watch(worker, EPOLL_CTL_ADD, sync, EPOLLIN, FROM_OTHERS) == 0);
}

/* What has arrived by now is still served: on a kept connection the web server could not know that it came
 * too late. */
static void finish(struct worker *worker) {
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (worker->slots[i].connection.state == CONNECTION_IDLE ||
            worker->slots[i].connection.state == CONNECTION_GATHERING) {
            connection_input(&worker->slots[i].connection);
            attend(worker, &worker->slots[i]);
        }
    while (handler_taken(worker->handler) > 0 || worker->more) {
        handler_finish(worker->handler, false, &worker->answers);
        serve_more(worker);
    }
    handler_answer(worker->handler, true, &worker->answers);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (worker->slots[i].connection.state != CONNECTION_FREE)
            drop(worker, &worker->slots[i]);
    log_summarize(true);
}

static size_t connection_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= CONNECTIONS_MAX + DESCRIPTORS_RESERVED)
        return CONNECTIONS_MAX;
    return limit.rlim_cur > DESCRIPTORS_RESERVED ? (size_t)limit.rlim_cur - DESCRIPTORS_RESERVED : 1;
}

int worker_serve(struct handler *handler, const volatile sig_atomic_t *stop_requested, int wake) {
    static struct worker worker;
    worker.handler = handler;
    worker.answers = (struct handler_answers){.send = send_answer, .context = &worker};
    worker.stop_requested = stop_requested;
    worker.limit = connection_limit();
    worker.deadline = INT64_MAX;
    if (wake < 0 || !watch_sources(&worker, wake)) {
        log_error("cannot serve FastCGI on descriptor 0");
        return EXIT_FAILURE;
    }
    while (!*stop_requested)
        run_once(&worker);
    finish(&worker);
    close(worker.epoll);
    return EXIT_SUCCESS;
}
