/* Rebuilds the idempotency index while deliveries continue. */
#ifndef DOORPOST_REBUILD_H
#define DOORPOST_REBUILD_H

#include "directory.h"
#include "walk.h"

/* Builds a new index next to the one in use, then replaces it. Calls `step` about once a second with the
 * position reached. Returns 0, or an error with a reason; the old index is then still there. */
int rebuild_index(struct directory *directory, void (*step)(void *context, struct position position),
                  void *context, struct reason *reason);

#endif
