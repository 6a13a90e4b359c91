/* The log: one logfmt line an answer, or a warning, on standard error, which the web server keeps. */
#ifndef DOORPOST_LOG_H
#define DOORPOST_LOG_H

#include "config.h"
#include "event.h"

#include <stddef.h>
#include <stdint.h>

/* What a line says of an answer. Pointers may be NULL or lead to "": the field is then left out. */
struct log_answer {
    int status;          /* HTTP */
    const char *verdict; /* one word */
    const char *cause;
    const char *key; /* a fingerprint */
    const struct event *event;
    uint64_t seq;  /* 0: none */
    size_t batch;  /* how many requests shared the sync */
    int64_t spent; /* microseconds from accept to answer */
};

/* Writes the line if `level` asks for it. It holds no body, no key and no signature; what came from outside
 * is escaped. */
void log_answer(enum log_level level, const struct log_answer *answer);

/* Writes a warning: something that a person should mend, though no answer suffered yet. */
void log_warning(enum log_level level, const char *cause);

#endif
