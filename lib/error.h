/* How functions report failure: a negative code for the program, a reason for a person. */
#ifndef DOORPOST_ERROR_H
#define DOORPOST_ERROR_H

enum error {
    ERROR_SYSTEM = -1,  /* a failure on our side: missing key, full disk, failed sync; a retry may help */
    ERROR_INVALID = -2, /* the input is invalid; a retry cannot help */
    ERROR_TIMEOUT = -3, /* the deadline passed */
    ERROR_DAMAGED = -4  /* one of our files does not contain what we wrote */
};

/* One sentence for the log or the terminal: what is wrong and, if possible, what to do next. */
struct reason {
    char text[384];
};

/* Formats the sentence as printf does, truncated if too long. Preserves errno. `reason` may be NULL. */
void explain(struct reason *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same as an expression: `return FAIL(reason, ERROR_SYSTEM, "...")`. A macro, so that compilers and
 * analyzers see that the value is never 0. */
#define FAIL(reason, code, ...) (explain((reason), __VA_ARGS__), (int)(code))

#endif
