/* The log: one logfmt line per answer or warning, on standard error, which the web server keeps.
 * Threads may share it. */
#ifndef DOORPOST_LOG_H
#define DOORPOST_LOG_H

#include "config.h"
#include "event.h"

#include <stddef.h>
#include <stdint.h>

#define LOG_HELD 8192 /* bytes of lines held while standard error is /dev/null */

/* One answer. Pointers may be NULL or "": the field is then omitted. */
struct log_answer {
    int status;              /* HTTP */
    const char *disposition; /* one word, logged as "verdict" */
    const char *cause;
    const char *client; /* the sender's address */
    const char *key;    /* a fingerprint; "": not authenticated as Ring's */
    const struct event *event;
    uint64_t seq;     /* 0: none */
    size_t batch;     /* requests that shared the sync */
    int64_t duration; /* microseconds from the start of the request to its answer */
};

/* Writes the line if `level` asks for it. It contains no body, key or signature; external text is escaped.
 * Never waits: a line that standard error does not accept is dropped and counted, and the count is logged
 * later.
 *
 * A refusal without a valid signature, which anyone can cause, is written once per second and cause; the
 * rest are counted for log_summarize(). */
void log_answer(enum log_level level, const struct log_answer *answer);

/* Writes a warning: a problem to fix that has not affected an answer yet. At most once per second and
 * cause. */
void log_warning(enum log_level level, const char *cause);

/* Writes an error that ends the program or its request. */
void log_error(const char *cause);

/* Writes the counts that are more than a second old, or all of them if `all`. Returns when the next count
 * is due, on monotonic_now()'s clock; INT64_MAX if there is none. */
int64_t log_summarize(bool all);

/* Takes whole lines, at most `size` bytes in total, that are held because standard error is /dev/null, as
 * spawn-fcgi leaves it. The caller passes them to the web server in another way (FastCGI 1.0, section
 * 5.3). Returns their length. */
size_t log_take(char *out, size_t size);

#endif
