/* After how many seconds Ring sends a delivery again that was answered 5xx or not at all, each counted from
 * the attempt before. Commands that fail are run again by the same clock. */
#ifndef DOORPOST_RETRY_H
#define DOORPOST_RETRY_H

#include <stdint.h>

#define RETRIES 6

/* From the event, an attempt of the last hour and then 72 h in a queue that Ring replays on request: a
 * delivery can come that late, in seconds. DOORPOST_MAX_AGE must not be shorter, or events are lost; nor
 * longer than what prune keeps, or a delivery that is replayed after its day was deleted is stored as new. So
 * prune is to keep as much. */
#define LATEST_DELIVERY (INT64_C(73) * 3600)
#define LATEST_DELIVERY_DAYS 4 /* rounded up */

static const int retry_after[RETRIES] = {1, 5, 30, 120, 600, 3600};

#endif
