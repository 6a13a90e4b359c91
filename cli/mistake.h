/* Common mistakes with a body or a key: what changed it, how to undo the change, and what to do about it. If
 * the signature matches after undoing a mistake, that mistake was made. */
#ifndef DOORPOST_MISTAKE_H
#define DOORPOST_MISTAKE_H

#include <stddef.h>
#include <sys/types.h>

/* Writes the original text into out[0..size) and returns its length, or -1 if this mistake cannot have been
 * made or there is no room. The meaning of `how` depends on the mistake. */
typedef ssize_t undo(const char *text, size_t length, int how, char *out, size_t size);

struct mistake {
    undo *undo; /* NULL ends the table */
    int how;
    const char
        *explanation; /* what was signed, or which key was used, relative to the input; and what to do */
    int last;         /* each `how` up to this one is tried; or 0 */
};

extern const struct mistake body_mistakes[];

/* What can surround a key, possibly nested, and what can have happened to the key itself. These leave no copy
 * of a key outside `out`. */
extern const struct mistake key_wrappings[], key_mistakes[];

#endif
