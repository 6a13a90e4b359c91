/* The usual mistakes with a body or a key: what was done to it on its way, how that is undone, and what to do
 * about it. A mistake that makes the signature fit when it is undone is the one that was made. */
#ifndef DOORPOST_MISTAKE_H
#define DOORPOST_MISTAKE_H

#include <stddef.h>
#include <sys/types.h>

/* Writes into out[0..size) what the text was before, and returns its length; -1 if this cannot have been done
 * to it, or there is no room. `how` is the mistake's own. */
typedef ssize_t undo(const char *text, size_t length, int how, char *out, size_t size);

struct mistake {
    undo *undo; /* NULL ends the table */
    int how;
    const char *told; /* what was signed, or which key signed, in terms of what is at hand; and what to do */
};

extern const struct mistake body_mistakes[];

/* What can stand around a key, one inside another; and what can have happened to what is inside. Nothing of a
 * key is left outside of `out`. */
extern const struct mistake key_wrappings[], key_mistakes[];

#endif
