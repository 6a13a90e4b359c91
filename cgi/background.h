/* A second thread that runs one task at a time, so that the main thread need not wait for the disk. */
#ifndef DOORPOST_BACKGROUND_H
#define DOORPOST_BACKGROUND_H

#include <stdbool.h>

struct background;

/* Starts the thread. Returns NULL on failure. */
struct background *background_start(void);

/* Stops the thread. No task may be running. */
void background_stop(struct background *background);

/* Runs work(context) on the thread, which owns everything it uses until background_ended() returns true. */
void background_begin(struct background *background, void (*work)(void *context), void *context);

/* Returns true once per background_begin(), when the task has ended. If `wait` is set, blocks until then. */
bool background_ended(struct background *background, bool wait);

/* Returns a descriptor for poll(2), readable when the task has ended. */
int background_fd(const struct background *background);

#endif
