/* How a function says that it could not: a negative code for the program, a reason for the person. */
#ifndef DOORPOST_ERROR_H
#define DOORPOST_ERROR_H

enum error {
    ERROR_TROUBLE = -1, /* our side cannot do it now: missing key, full disk, failing sync; a retry may help */
    ERROR_INVALID = -2, /* the input is not what it must be; a retry cannot help */
    ERROR_TIMEOUT = -3, /* the deadline passed */
    ERROR_DAMAGED = -4  /* a file of ours does not hold what we wrote */
};

/* One sentence for the log or the terminal: what is wrong and, where there is one, what to do next. */
struct reason {
    char text[384];
};

/* Writes the sentence (printf style, cut where it is too long) and returns `code`, so that a caller can
 * `return fail(reason, ERROR_TROUBLE, "...")`. Leaves errno as it was. `reason` may be NULL. */
int fail(struct reason *reason, enum error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
