/* One event loop on one thread; only the sync may run on another. Each iteration reads a bounded amount from
 * the connections that have input, accepts a bounded number of new ones, decides each complete request,
 * stores them all with one write and one sync, and answers them. The next iteration begins during the sync.
 * No iteration waits for a peer. */
#define _GNU_SOURCE /* accept4 */
#include "worker.h"

#include "connection.h"
#include "log.h"
#include "peer.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
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
/* For the journal, its index and a command being started; and for connections whose close is delayed. */
#define DESCRIPTORS_RESERVED (40 + CONNECTIONS_CLOSING)
#define EVENTS_MAX HANDLER_BATCH
#define ACCEPTS_MAX HANDLER_BATCH /* per iteration */
#define ACCEPT_FOR (SECOND / 4)   /* per iteration */
#define ACCEPT_RETRY_DELAY 10000  /* microseconds to sleep if no descriptor is free */

struct slot {
    struct connection connection;
    short watched; /* events registered with epoll; 0: not registered */
};

struct worker {
    struct handler *handler;
    struct handler_answers answers;
    const volatile sig_atomic_t *stop_requested;
    int epoll;
    struct slot slots[CONNECTIONS_MAX];
    size_t limit, count; /* of connections */
    size_t next_free;    /* the slot to try first */
    int64_t deadline;    /* no connection is overdue before this time */
    bool deferred;       /* a connection may be ready that did not fit into a batch */
    bool answering;
};

/* The data of an epoll event: an index into `slots`, or one of these. */
#define FROM_LISTENER CONNECTIONS_MAX
#define FROM_OTHERS (CONNECTIONS_MAX + 1) /* these only end the wait */

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

/* Removes a connection that waits for nothing, or epoll would keep reporting a hang-up. The flags of poll(2)
 * and epoll(7) have the same values. */
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
        worker->deferred = true;
    else
        handler_take(worker->handler, connection_serve(connection), connection);
}

/* Call after each step of a connection. */
static void after_step(struct worker *worker, struct slot *slot) {
    struct connection *connection = &slot->connection;
    if (connection->warning[0] != '\0') {
        handler_warn(worker->handler, connection->warning);
        connection->warning[0] = '\0';
    }
    if (connection->state == CONNECTION_READY)
        serve(worker, connection);
    if (connection->state == CONNECTION_FREE) {
        if (slot->watched != 0) /* closing would do this too, but may be delayed */
            watch(worker, EPOLL_CTL_DEL, connection->fd, 0, 0);
        worker->count--;
        worker->next_free = (size_t)(slot - worker->slots);
        return;
    }
    int64_t deadline = connection_deadline(connection);
    if (deadline < worker->deadline)
        worker->deadline = deadline;
    /* A connection that is served at once and then closed never needs to be registered. */
    if (connection->state != CONNECTION_SERVING || slot->watched != 0)
        watch_connection(worker, slot);
}

/* Closes the least useful connection: the one idle longest, else the one that has taken longest to send a
 * request. Returns false if there is none. */
static bool close_least_useful(struct worker *worker) {
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
        handler_warn(worker->handler, "too many connections: closed one with an incomplete request");
    drop(worker, found);
    return true;
}

static void handle_overdue(struct worker *worker) {
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
        after_step(worker, &worker->slots[i]);
    }
}

/* Serves requests that did not fit into the previous batch. */
static void serve_deferred(struct worker *worker) {
    if (!worker->deferred)
        return;
    worker->deferred = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (worker->slots[i].connection.state == CONNECTION_READY)
            after_step(worker, &worker->slots[i]);
}

static void send_answer(void *context, void *owner, const char *text, size_t length) {
    struct worker *worker = context;
    struct connection *connection = owner;
    char log[LOG_HELD];
    size_t log_length = connection_is_awaited(connection) ? log_take(log, sizeof log) : 0;
    connection_answer(connection, log, log_length, text, length);
    if (connection->state == CONNECTION_IDLE)
        connection_resume(connection);
    worker->answering = true; /* the batch being answered takes no request */
    after_step(worker, (struct slot *)(void *)connection);
    worker->answering = false;
}

/* ---- accepting ---- */

static struct slot *find_free_slot(struct worker *worker) {
    if (worker->count >= worker->limit && !close_least_useful(worker))
        return NULL;
    while (worker->slots[worker->next_free].connection.state != CONNECTION_FREE)
        worker->next_free = (worker->next_free + 1) % CONNECTIONS_MAX;
    return &worker->slots[worker->next_free];
}

/* Returns true if there is a connection to accept. Checked first, so that none is closed for nothing. */
static bool has_pending_connection(void) {
    struct pollfd listener = {.fd = LISTENER, .events = POLLIN};
    return poll(&listener, 1, 0) == 1;
}

/* Returns false if there is nothing to accept, or no room. */
static bool accept_one(struct worker *worker) {
    if (worker->count >= worker->limit && !has_pending_connection())
        return false;
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    struct slot *slot = find_free_slot(worker);
    int fd = slot != NULL ? accept4(LISTENER, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
                          : -1;
    if (fd < 0) {
        bool no_room =
            slot == NULL || errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        if (no_room && !close_least_useful(worker))
            usleep(ACCEPT_RETRY_DELAY);
        return false;
    }
    if (!peer_is_allowed(&peer)) {
        handler_warn(worker->handler, "closed a connection from an address not in " PEER_ADDRESSES);
        close(fd);
        return true;
    }
    connection_start(&slot->connection, fd, worker->limit);
    slot->watched = 0;
    worker->count++;
    connection_input(&slot->connection);
    after_step(worker, slot);
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

/* Returns the epoll timeout in milliseconds; -1: none. */
static int poll_timeout(const struct worker *worker, int64_t summary) {
    int64_t next = summary < worker->deadline ? summary : worker->deadline;
    if (worker->deferred)
        return 0;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - monotonic_now();
    return left > 0 ? (int)(left / 1000) + 1 : 0;
}

/* Returns true if there is work to do during a sync. */
static bool is_busy(const struct worker *worker) {
    struct pollfd any = {.fd = worker->epoll, .events = POLLIN};
    return worker->deferred || poll(&any, 1, 0) > 0;
}

static void handle_event(struct worker *worker, const struct epoll_event *event) {
    struct slot *slot = &worker->slots[event->data.u32];
    if (slot->connection.state == CONNECTION_FREE)
        return;
    if (connection_events(&slot->connection) == POLLOUT)
        connection_output(&slot->connection);
    else
        connection_input(&slot->connection);
    after_step(worker, slot);
}

static void run_once(struct worker *worker) {
    struct epoll_event events[EVENTS_MAX];
    bool accepting = false;
    int count = epoll_wait(worker->epoll, events, EVENTS_MAX, poll_timeout(worker, log_summarize(false)));
    handler_answer(worker->handler, false, &worker->answers);
    serve_deferred(worker);
    for (int i = 0; i < count; i++) {
        accepting |= events[i].data.u32 == FROM_LISTENER;
        if (events[i].data.u32 < CONNECTIONS_MAX)
            handle_event(worker, &events[i]);
    }
    handle_overdue(worker);
    if (accepting)
        accept_waiting(worker);
    if (handler_taken(worker->handler) > 0)
        handler_finish(worker->handler, is_busy(worker), &worker->answers);
}

static bool watch_sources(struct worker *worker, int wake) {
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    int flags = fcntl(LISTENER, F_GETFL);
    if (worker->epoll < 0 || flags < 0 || fcntl(LISTENER, F_SETFL, flags | O_NONBLOCK) != 0)
        return false;
    /* EPOLLEXCLUSIVE: a new connection does not wake all workers. */
    if (watch(worker, EPOLL_CTL_ADD, LISTENER, EPOLLIN | EPOLLEXCLUSIVE, FROM_LISTENER) != 0)
        return false;
    int sync = handler_fd(worker->handler);
    return watch(worker, EPOLL_CTL_ADD, wake, EPOLLIN, FROM_OTHERS) == 0 &&
           (sync < 0 || watch(worker, EPOLL_CTL_ADD, sync, EPOLLIN, FROM_OTHERS) == 0);
}

/* Serves what has already arrived: on a kept connection the web server could not tell that its request came
 * too late. */
static void serve_remaining(struct worker *worker) {
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (worker->slots[i].connection.state == CONNECTION_IDLE ||
            worker->slots[i].connection.state == CONNECTION_GATHERING) {
            connection_input(&worker->slots[i].connection);
            after_step(worker, &worker->slots[i]);
        }
    while (handler_taken(worker->handler) > 0 || worker->deferred) {
        handler_finish(worker->handler, false, &worker->answers);
        serve_deferred(worker);
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
        log_error("cannot serve FastCGI on fd 0");
        return EXIT_FAILURE;
    }
    while (!*stop_requested)
        run_once(&worker);
    serve_remaining(&worker);
    close(worker.epoll);
    return EXIT_SUCCESS;
}
