/* The name that was probably meant when an unknown one was written. */
#ifndef DOORPOST_NEAREST_H
#define DOORPOST_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    const char *name; /* the nearest so far, or NULL */
    size_t distance;
};

void nearest_start(struct nearest *nearest, const char *word);

/* Looks at one more name. It is near if one of the two begins with the other, or if they differ by few
 * changes of one letter (put in, left out, changed, or swapped with its neighbour), upper or lower case. */
void nearest_try(struct nearest *nearest, const char *name);

#define NEAREST_SIZE 64
/* Writes `: did you mean "PREFIXname"?`, or nothing if none is near. Returns `out`. */
const char *nearest_hint(const struct nearest *nearest, const char *prefix, char out[NEAREST_SIZE]);

#endif
