/* How far a consumer of the journal is behind. */
#ifndef DOORPOST_LAG_H
#define DOORPOST_LAG_H

#include "lines.h"
#include "resume.h"

struct lag {
    struct resume resume;
    struct position position; /* of the consumer */
    struct position first;    /* of the deferred events; day 0: none */
    size_t waiting, retrying;
    uint64_t events;
    int64_t since;   /* time of receipt of the oldest one; 0: none */
    int64_t seconds; /* since then */
};

/* Measures it, which reads the rest of the journal. `forwards`: if its position does not hold, the consumer
 * starts again with the first line. Returns an exit code. */
int lag_measure(struct lines *lines, const char *name, const struct cursor *cursor, bool forwards,
                struct lag *lag);

#endif
