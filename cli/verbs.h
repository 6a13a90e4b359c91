/* The table of verbs, from which usage, --help and completions are made.
 *
 * To add a verb NAME (words joined by _; users write -):
 *
 *   cli/NAME.c       ends with its verb_NAME. prune.c is a short model. A verb that reads the journal uses
 * settings.h
 *                    (--conf, --journal), lines.h (iteration and --since, --device, ...), terminal.h (plain()
 * for a terminal, print_text() for raw bytes, print_json() for JSON: one array, or one object a line for
 *                    streams; times as in the journal), and reports what is wrong with problem()
 *   the table below  makes usage, --help and completion. In operands and option arguments, upper case is a
 * placeholder (FILE and TIME complete as such), lower case a list of words doorpost.1       a section;
 * e2e/test_tool_verbs compares it with the options tests/e2e        a test of what it does (test_tool_*.py);
 * README.md and NEWS.md name it
 */
#ifndef DOORPOST_VERBS_H
#define DOORPOST_VERBS_H

#include "options.h"

struct verb {
    const char *name;
    const char *summary;     /* one line */
    const char *synopsis;    /* follows the name */
    const char *what;        /* one or more sentences, for --help */
    const char *operands[4]; /* names for --help, or the words to choose from; the last is NULL */
    bool stops;              /* parsing stops at the first operand: the rest belongs to another program */
    const struct option_spec *options;  /* the last has no name */
    int (*run)(int argc, char *argv[]); /* argv starts with the verb's name; returns an exit status */
};

/* The table, in the order shown by usage. */
#define VERBS(row)                                                                                 \
    row(init) row(doctor) row(key) row(sign) row(verify_signature) row(trigger) row(log) row(exec) \
        row(stats) row(check) row(prune) row(rejected) row(account) row(door) row(completion)

#define DECLARE(name) extern const struct verb verb_##name;
VERBS(DECLARE)

extern const struct verb *const verbs[]; /* the last is NULL */

#endif
