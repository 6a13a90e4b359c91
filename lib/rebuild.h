/* Rebuilding the idempotency index while deliveries go on. */
#ifndef DOORPOST_REBUILD_H
#define DOORPOST_REBUILD_H

#include "directory.h"
#include "walk.h"

/* Builds a new index beside the one in use, and puts it in its place. `step` is called about every second
 * with where it has got. Returns 0 or an error with a reason; then the old index is still there. */
int rebuild_index(struct directory *directory, void (*step)(void *context, struct position position),
                  void *context, struct reason *reason);

#endif
