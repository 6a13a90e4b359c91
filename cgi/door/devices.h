/* The devices of an account, as Ring tells them, cached. */
#ifndef DOORPOST_DEVICES_H
#define DOORPOST_DEVICES_H

#include "owned.h"

#include <json.h>

/* How long a live session lasts (RING.md): on battery, and on line power. */
#define LIVE_BATTERY 30
#define LIVE_LINE 60

/* Returns a JSON array of {"id","name","online","seconds"}; the caller calls json_object_put(). Asks Ring if
 * the cached list is older than `age` seconds. If Ring cannot be asked, returns the cached list, or an empty
 * one, and sets `reason`; otherwise reason->text is "". NULL only if out of memory. */
struct json_object *devices_read(struct door *door, const char *account_name, int age, struct reason *reason);

/* Finds the account among `owned` that has the device. Asks Ring again if it is in no cached list. Returns 1
 * with the index of the account and the seconds of a session; 0 if there is none; an error with a reason if
 * Ring had to be asked and could not. */
int devices_find(struct door *door, const struct owned *owned, const char *device, size_t *index,
                 int *seconds, struct reason *reason);

#endif
