/* The counters of `doorpost stats --prometheus`. */
#ifndef DOORPOST_COUNTERS_H
#define DOORPOST_COUNTERS_H

#include "lines.h"
#include "rejected.h"

struct json_object;

struct counters {
    struct json_object *types, *reasons; /* number of events by type, of rejected deliveries by reason */
    uint64_t delays;
    double delay_sum;
    int32_t through; /* the last day that is counted for good, because `prune` has deleted it; or -1 */
};

/* All zero. Returns false if there is no memory. */
bool counters_start(struct counters *counters);
void counters_end(struct counters *counters);

/* Adds what the journal (a descriptor) remembers of deleted days. Returns 0 or an error with a reason. */
int counters_read(int directory, struct counters *counters, struct reason *reason);
int counters_write(int directory, const struct counters *counters, struct reason *reason);

/* Adds a line, or a rejected delivery, unless its day is counted. Returns false if there is no memory. */
bool counters_add(struct counters *counters, const struct lines *lines);
bool counters_add_rejection(struct counters *counters, const struct rejection *rejection);

/* From the event to its receipt, in seconds, if it says when it was. */
bool counters_delay(const struct lines *lines, double *seconds);

/* Adds one under a name. If `most` others have one already, it is added to `other`. */
bool counters_count(struct json_object *counts, const char *name, int most);

#endif
