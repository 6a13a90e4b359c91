/* Finds the name that was probably meant by an unknown one. */
#ifndef DOORPOST_NEAREST_H
#define DOORPOST_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    const char *name; /* the best match so far, or NULL */
    size_t distance;
};

void nearest_start(struct nearest *nearest, const char *word);

/* Tries one more name. It matches if either is a prefix of the other, or if they differ by a few edits (a
 * letter inserted, removed, changed, or swapped with its neighbour), ignoring case. */
void nearest_try(struct nearest *nearest, const char *name);

#define NEAREST_SIZE 64
/* Writes `: did you mean "PREFIXname"?`, or "" if nothing matches. Returns `out`. */
const char *nearest_hint(const struct nearest *nearest, const char *prefix, char out[NEAREST_SIZE]);

#endif
