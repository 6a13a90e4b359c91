/* A second thread that does one thing at a time: it waits for the disk while the first one goes on. */
#ifndef DOORPOST_BACKGROUND_H
#define DOORPOST_BACKGROUND_H

#include <stdbool.h>

struct background;

/* Starts the thread. NULL where that is not possible. */
struct background *background_start(void);

/* Ends the thread; nothing may be under way. */
void background_stop(struct background *background);

/* Has the thread call work(context). Whatever that uses is the thread's until background_ended(). */
void background_begin(struct background *background, void (*work)(void *context), void *context);

/* Has it ended? True once for each background_begin(). With `wait` it does not return before. */
bool background_ended(struct background *background, bool wait);

/* A descriptor that can be read when it has ended, for poll(2). */
int background_fd(const struct background *background);

#endif
