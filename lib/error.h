/* How a function says that it could not: a negative code for the program, a reason for the person. */
#ifndef DOORPOST_ERROR_H
#define DOORPOST_ERROR_H

enum error {
    ERROR_SYSTEM = -1, /* our side cannot do it now: missing key, full disk, failing sync; a retry may help */
    ERROR_INVALID = -2, /* the input is not what it must be; a retry cannot help */
    ERROR_TIMEOUT = -3, /* the deadline passed */
    ERROR_DAMAGED = -4  /* a file of ours does not hold what we wrote */
};

/* One sentence for the log or the terminal: what is wrong and, where there is one, what to do next. */
struct reason {
    char text[384];
};

/* Writes the sentence (printf style, cut where it is too long). Leaves errno as it was. `reason` may be NULL.
 */
void explain(struct reason *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same as an expression: `return fail(reason, ERROR_TROUBLE, "...")`. A macro, so that compilers and
 * analyzers see that the value is never 0. */
#define FAIL(reason, code, ...) (explain((reason), __VA_ARGS__), (int)(code))

#endif
