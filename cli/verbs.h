/* The verbs: what each is, and the table of them, from which usage, --help and completions are made.
 *
 * To add a verb: write cli/NAME.c, which ends with its verb_NAME; put NAME into the table here; and give it a
 * section in doorpost.1, which a test compares with the options. */
#ifndef DOORPOST_VERBS_H
#define DOORPOST_VERBS_H

#include "options.h"

struct verb {
    const char *name;
    const char *summary;     /* a line */
    const char *synopsis;    /* what follows the name */
    const char *what;        /* a sentence or more, for --help */
    const char *operands[3]; /* as --help calls them, or the words to choose from; the last is NULL */
    bool stops;              /* at the first operand: what follows is another program's */
    const struct option_spec *options;  /* the last has no name */
    int (*run)(int argc, char *argv[]); /* with the arguments from its name on; returns an exit status */
};

/* The table, in the order in which usage shows them. */
#define VERBS(row)                                                                                 \
    row(init) row(doctor) row(key) row(sign) row(verify_signature) row(trigger) row(log) row(exec) \
        row(stats) row(check) row(prune) row(rejected) row(completion)

#define DECLARE(name) extern const struct verb verb_##name;
VERBS(DECLARE)

extern const struct verb *const verbs[]; /* the last is NULL */

#endif
