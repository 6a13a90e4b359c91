#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct background {
    pthread_t thread;
    sem_t work_ready;
    void (*work)(void *context); /* NULL stops the thread */
    void *context;
    atomic_bool ended; /* checking this costs no system call */
    int fd;            /* an eventfd, written after `ended` is set */
};

static void *run(void *context) {
    struct background *background = context;
    const uint64_t one = 1;
    for (;;) {
        while (sem_wait(&background->work_ready) != 0)
            continue;
        if (background->work == NULL)
            return NULL;
        background->work(background->context);
        atomic_store(&background->ended, true);
        while (write(background->fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
    }
}

/* Blocks all signals in the new thread: they must interrupt the main thread's waits. */
static int create_thread(struct background *background) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&background->thread, NULL, run, background);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

struct background *background_start(void) {
    struct background *background = calloc(1, sizeof *background);
    if (background == NULL)
        return NULL;
    background->fd = eventfd(0, EFD_CLOEXEC);
    sem_init(&background->work_ready, 0, 0);
    if (background->fd >= 0 && create_thread(background) == 0)
        return background;
    if (background->fd >= 0)
        close(background->fd);
    free(background);
    return NULL;
}

void background_begin(struct background *background, void (*work)(void *context), void *context) {
    background->work = work;
    background->context = context;
    sem_post(&background->work_ready);
}

bool background_ended(struct background *background, bool wait) {
    uint64_t count;
    if (!wait && !atomic_load(&background->ended))
        return false;
    while (read(background->fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    atomic_store(&background->ended, false);
    return true;
}

int background_fd(const struct background *background) {
    return background->fd;
}

void background_stop(struct background *background) {
    if (background == NULL)
        return;
    background_begin(background, NULL, NULL);
    pthread_join(background->thread, NULL);
    sem_destroy(&background->work_ready);
    close(background->fd);
    free(background);
}
