/* The log: one logfmt line an answer or a warning, on standard error, which the web server keeps. */
#ifndef DOORPOST_LOG_H
#define DOORPOST_LOG_H

#include "config.h"
#include "event.h"

#include <stddef.h>
#include <stdint.h>

#define LOG_HELD 8192 /* bytes of lines that are held while standard error is /dev/null */

/* What a line says of an answer. Pointers may be NULL or lead to "": the field is then left out. */
struct log_answer {
    int status;              /* HTTP */
    const char *disposition; /* one word; the log has always called it "verdict" */
    const char *cause;
    const char *client; /* the sender's address */
    const char *key;    /* a fingerprint; "": nothing proves that Ring sent it */
    const struct event *event;
    uint64_t seq;     /* 0: none */
    size_t batch;     /* how many requests shared the sync */
    int64_t duration; /* microseconds from the request's beginning to its answer */
};

/* Writes the line if `level` asks for it. It holds no body, no key and no signature; what came from outside
 * is escaped. It waits for nobody: a line that standard error does not take is dropped and counted, and the
 * count is logged when it takes lines again.
 *
 * What strangers can cause, a refusal without a valid signature, is written once a second and cause; the rest
 * are counted, and log_summarize() writes how many. */
void log_answer(enum log_level level, const struct log_answer *answer);

/* Writes a warning: something that a person should mend, though no answer suffered yet. Once a second and
 * cause, too. */
void log_warning(enum log_level level, const char *cause);

/* Writes an error that ends the program or its request. */
void log_error(const char *cause);

/* Writes what was counted more than a second ago, or with `all` whatever was counted. Returns when there is
 * more to write, on monotonic_now()'s clock; INT64_MAX: nothing is counted. */
int64_t log_summarize(bool all);

/* Takes whole lines, at most `size` bytes, that are held because standard error is /dev/null, where
 * spawn-fcgi leaves it: they are to reach the web server in another way (FastCGI 1.0, section 5.3). Returns
 * their length. */
size_t log_take(char *out, size_t size);

#endif
