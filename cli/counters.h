/* The counters of `doorpost stats --prometheus`. */
#ifndef DOORPOST_COUNTERS_H
#define DOORPOST_COUNTERS_H

#include "lines.h"
#include "rejected.h"

struct json_object;

struct counters {
    struct json_object *types, *reasons; /* events by type, rejected deliveries by reason */
    uint64_t delays;
    double delay_sum;
    int32_t through; /* the last day included permanently, because `prune` deletes it; or -1 */
};

/* Sets all counters to zero. Returns false if out of memory. */
bool counters_start(struct counters *counters);
void counters_end(struct counters *counters);

/* Read and write the counts of deleted days. `directory` is the journal's descriptor. Return 0 or an error
 * with a reason. */
int counters_read(int directory, struct counters *counters, struct reason *reason);
int counters_write(int directory, const struct counters *counters, struct reason *reason);

/* Count a line or a rejected delivery, unless its day is already included. Return false if out of memory. */
bool counters_add(struct counters *counters, const struct lines *lines);
bool counters_add_rejection(struct counters *counters, const struct rejection *rejection);

/* Computes the delay from the event to its receipt, in seconds. Returns false if the event has no timestamp.
 */
bool counters_delay(const struct lines *lines, double *seconds);

/* Increments the count of a name, or that of `other` if the name is new and there are `most` names already.
 * Returns false if out of memory. */
bool counters_count(struct json_object *counts, const char *name, int most);

#endif
