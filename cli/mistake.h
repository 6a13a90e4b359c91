/* The usual mistakes with a body or a key: what changed it, how to undo that, and what to do about it. If the
 * signature matches once a mistake is undone, that mistake was made. */
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
    const char *
        explanation; /* what was signed, or which key was used, in terms of what is at hand; and what to do */
    int last;        /* each `how` up to this one is tried; or 0 */
};

extern const struct mistake body_mistakes[];

/* What can surround a key, one inside another, and what can have happened to the key itself. These leave no
 * copy of a key outside `out`. */
extern const struct mistake key_wrappings[], key_mistakes[];

#endif
