/* The table of verbs, from which usage, --help and completions are made.
 *
 * To add a verb NAME (words joined by _; users write -):
 *
 * - cli/NAME.c ends with its verb_NAME. log.c is a model for a verb that reads the journal: settings.h has
 * --conf and --journal, lines.h the iteration and the filters, terminal.h the output (plain() for a terminal,
 *   print_text() for raw bytes, print_json() for one JSON value), problem() what is wrong.
 *
 * - The table below gets NAME. In operands and option arguments, upper case is a placeholder (FILE and TIME
 * complete as such), and lower case is a list of words to choose from.
 *
 * - doorpost.1 gets a section; make test T=e2e/tool_verbs compares it with the options.
 *
 * - tests/e2e/test_tool_NAME.py shows what it does. If it reads the journal, it also belongs to the lists of
 * verbs in test_tool_root.py, test_holes.py and test_upgrade.py. README.md and NEWS.md name it. */
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
        row(forward) row(stats) row(check) row(prune) row(rejected) row(account) row(door) row(completion)

#define DECLARE(name) extern const struct verb verb_##name;
VERBS(DECLARE)

extern const struct verb *const verbs[]; /* the last is NULL */

#endif
