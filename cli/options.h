/* Command-line parsing with getopt_long(3). Each option is described once, for parsing, --help and
 * completions. */
#ifndef DOORPOST_OPTIONS_H
#define DOORPOST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of every verb. */
enum status { STATUS_DONE = 0, STATUS_PROBLEM = 1, STATUS_USAGE = 2 };

/* The type of the member that an option sets. */
enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, pointing into argv */
    OPTION_NUMBER,   /* int64_t, 0 or more */
    OPTION_DURATION, /* int64_t, seconds: 30s, 5m, 12h, 90d */
    OPTION_LIST      /* struct list; may be repeated */
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
    const char *argument; /* its name in --help; NULL for flags */
    const char *help;
    size_t member; /* offset of the member it sets, see AT() */
};

/* Options are constants, so each names a member of the `struct options` in its verb's file. */
#define AT(path) offsetof(struct options, path)

struct verb;

/* Sets the members of `values`, the verb's struct options, from the arguments (argv[0] is the verb) and
 * returns the index of the first operand. Handles --help and all errors itself, ending the process. */
int options_parse(int argc, char *argv[], const struct verb *verb, void *values);

/* Prints the usage error and where to find help, and ends the process. */
void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Returns true if the text is on the list. An empty list matches everything. */
bool list_has(const struct list *list, const char *text);

/* Sets whether problem() begins messages with the time. */
void problem_tells_time(bool tells);

/* Prints "doorpost VERB: ..." on standard error, and returns STATUS_PROBLEM. */
int problem(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
