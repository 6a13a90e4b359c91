/* The command line: options by getopt_long(3), described once for parsing, --help and completions. */
#ifndef DOORPOST_OPTIONS_H
#define DOORPOST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of every verb. */
enum status { STATUS_DONE = 0, STATUS_PROBLEM = 1, STATUS_USAGE = 2 };

/* What an option sets, and the type of that member. */
enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, into argv */
    OPTION_NUMBER,   /* int64_t, 0 or more */
    OPTION_DURATION, /* int64_t, seconds: 30s, 5m, 12h, 90d */
    OPTION_LIST      /* struct list; may be given several times */
};

#define LIST_MAX 64

struct list {
    size_t count;
    const char *item[LIST_MAX];
};

struct option_spec {
    char letter; /* or 0 */
    const char *name;
    enum option_kind kind;
    const char *argument; /* how --help calls it; NULL for flags */
    const char *help;
    size_t member; /* that it sets, see AT() */
};

/* Options are constants, so what they set is a member of the `struct options` that each verb's file has. */
#define AT(path) offsetof(struct options, path)

struct verb;

/* Sets the members of `values`, the verb's struct options, from the arguments (argv[0] is the verb) and
 * returns the index of the first operand. --help is answered here, as is whatever is wrong, and the process
 * ends. */
int options_parse(int argc, char *argv[], const struct verb *verb, void *values);

/* Says what is wrong with the command line and where to look, and ends the process. */
void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Is it on the list? An empty list holds everything. */
bool list_has(const struct list *list, const char *text);

/* Whether problem() says when it was, before all else. */
void problem_tells_time(bool tells);

/* Says "doorpost VERB: ..." on standard error, and returns STATUS_PROBLEM. */
int problem(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
