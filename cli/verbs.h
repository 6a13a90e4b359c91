/* The table of verbs, from which usage, --help and completions are made.
 *
 * To add a verb: write cli/NAME.c, ending with its verb_NAME; add NAME to the table here; and add a section
 * to doorpost.1, which a test compares with the options. */
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
