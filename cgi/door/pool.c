/* One request a thread, so that a request may wait for Ring or for the next press in plain blocking code. A
 * few threads wait for connections; when none is left, another one is started, up to a limit; those that are
 * too many end. A thread stays with a connection that the web server keeps open (FCGI_KEEP_CONN).
 *
 * Connections are accepted here and not by FCGX_Accept_r(), which would read from a new one without a time
 * limit: a descriptor that is set in the request beforehand is taken for a kept connection. */
#define _GNU_SOURCE /* accept4 */
#include "pool.h"

#include "log.h"
#include "peer.h"
#include "route.h"
#include "timestamp.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define LISTENER STDIN_FILENO
#define IDLE_MAX 4
#define BESIDES_HELD 32 /* threads for requests that are not held */
#define HELD_DEFAULT 200
#define THREADS_MAX (FD_SETSIZE - 200) /* leaves descriptors for files and for talking to Ring */
#define PEER_SECONDS 10                /* for the web server to go on sending or receiving */
#define KEPT_MS 60000                  /* that a kept connection may be idle */
#define ENDING_SECONDS 30              /* for the requests in hand */
#define RETRY_US 20000                 /* to sleep if no descriptor is free */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (1 << 20)
#else
#define STACK_SIZE (128 << 10)
#endif

struct pool {
    struct page *page;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    int threads, idle; /* idle: waiting for a connection */
};

/* ---- threads ---- */

static int limit(const struct pool *pool) {
    const struct page *page = pool->page;
    int held = page->ready && page->config.door_hold >= 0 ? page->config.door_hold : HELD_DEFAULT;
    return held + BESIDES_HELD < THREADS_MAX ? held + BESIDES_HELD : THREADS_MAX;
}

static void *run(void *context);

/* Signals are for the main thread. */
bool pool_start(void *(*start)(void *context), void *context) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_setstacksize(&attributes, STACK_SIZE > least ? STACK_SIZE : least);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, start, context) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* The caller holds the mutex. */
static void start_thread(struct pool *pool) {
    pool->threads += pool_start(run, pool);
}

/* Returns false if this thread is one too many, or the process ends. */
static bool become_idle(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    bool needed = !pool->page->ending && pool->idle < IDLE_MAX;
    pool->idle += needed;
    pthread_mutex_unlock(&pool->mutex);
    return needed;
}

/* Starts another thread if none is left to wait. */
static void become_busy(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->idle--;
    if (pool->idle == 0 && pool->threads < limit(pool) && !pool->page->ending)
        start_thread(pool);
    pthread_mutex_unlock(&pool->mutex);
}

static bool is_full(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    bool full = pool->idle == 0 && pool->threads >= limit(pool);
    pthread_mutex_unlock(&pool->mutex);
    return full;
}

/* ---- connections ---- */

/* Waits until `fd` is readable. Returns false if the process ends, or after `timeout` milliseconds. */
static bool wait_for(const struct page *page, int fd, int timeout) {
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = page->wake, .events = POLLIN}};
    int ready;
    do
        ready = poll(fds, 2, timeout);
    while (ready < 0 && errno == EINTR);
    return ready > 0 && fds[0].revents != 0 && fds[1].revents == 0;
}

/* Returns a descriptor, or -1 if another thread was faster, or this failed. */
static int accept_connection(const struct page *page) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    struct timeval patience = {.tv_sec = PEER_SECONDS};
    int fd = accept4(LISTENER, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        usleep(RETRY_US);
    if (fd < 0)
        return -1;
    if (fd >= FD_SETSIZE) { /* libfcgi uses select(2) */
        close(fd);
        usleep(RETRY_US);
        return -1;
    }
    if (!peer_is_allowed(&peer)) {
        log_warning(page->ready ? page->config.log : LOG_PROBLEMS,
                    "a connection from an address that is not in " PEER_ADDRESSES ": it was closed");
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

/* libfcgi takes parameters that end early, or not in time, for complete ones. */
static bool is_request(const FCGX_Request *request) {
    return FCGX_GetError(request->in) == 0 && FCGX_GetParam("REQUEST_METHOD", request->envp) != NULL;
}

static void serve_connection(struct pool *pool, int fd) {
    FCGX_Request request;
    FCGX_InitRequest(&request, -1, 0); /* no listener: nothing is accepted after a failed request */
    request.ipcFd = fd;
    do {
        request.keepConnection = 1; /* FCGX_Accept_r() first ends what was before, and must not close it */
        if (FCGX_Accept_r(&request) != 0)
            return; /* it has closed the connection */
        if (!is_request(&request)) {
            FCGX_Free(&request, 1);
            return;
        }
        if (pool->page->ending || is_full(pool))
            request.keepConnection = 0;
        route_serve(pool->page, &request);
    } while (request.ipcFd >= 0 && wait_for(pool->page, request.ipcFd, KEPT_MS));
    if (request.ipcFd >= 0)
        FCGX_Free(&request, 1);
}

static void *run(void *context) {
    struct pool *pool = context;
    while (become_idle(pool)) {
        int fd = wait_for(pool->page, LISTENER, -1) ? accept_connection(pool->page) : -1;
        become_busy(pool);
        if (fd >= 0)
            serve_connection(pool, fd);
    }
    pthread_mutex_lock(&pool->mutex);
    pool->threads--;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* ---- the process ---- */

/* Returns true if all threads have ended in time. */
static bool wait_for_threads(struct pool *pool) {
    struct timespec until;
    int result = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ENDING_SECONDS;
    pthread_mutex_lock(&pool->mutex);
    while (pool->threads > 0 && result == 0)
        result = pthread_cond_timedwait(&pool->changed, &pool->mutex, &until);
    bool ended = pool->threads == 0;
    pthread_mutex_unlock(&pool->mutex);
    return ended;
}

int pool_serve(struct page *page) {
    static struct pool pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct pollfd wake = {.fd = page->wake, .events = POLLIN};
    pool.page = page;
    int flags = fcntl(LISTENER, F_GETFL);
    if (FCGX_Init() != 0 || flags < 0 || fcntl(LISTENER, F_SETFL, flags | O_NONBLOCK) != 0) {
        log_error("cannot use descriptor 0 as a listening socket");
        return EXIT_FAILURE;
    }
    pthread_mutex_lock(&pool.mutex);
    start_thread(&pool);
    int started = pool.threads;
    pthread_mutex_unlock(&pool.mutex);
    if (started == 0) {
        log_error("cannot start a thread");
        return EXIT_FAILURE;
    }
    while (poll(&wake, 1, -1) != 1)
        ;
    page->ending = true;
    bool ended = wait_for_threads(&pool);
    log_summarize(true);
    return ended ? EXIT_SUCCESS : EXIT_FAILURE;
}
