/* After how many seconds Ring sends a delivery again that was answered 5xx or not at all, each counted from
 * the attempt before. Commands that fail are run again by the same clock. */
#ifndef DOORPOST_RETRY_H
#define DOORPOST_RETRY_H

#define RETRIES 6

static const int retry_after[RETRIES] = {1, 5, 30, 120, 600, 3600};

#endif
