/* The picture of a press, fetched from Ring once and kept. */
#ifndef DOORPOST_PICTURE_H
#define DOORPOST_PICTURE_H

#include "door.h"
#include "event.h"

#include <stdint.h>

struct picture {
    char hash[DOOR_HASH_SIZE]; /* of its file */
    char account[EVENT_FIELD_SIZE], device[EVENT_FIELD_SIZE];
    int64_t timestamp; /* of the press, milliseconds since 1970 */
};

/* The picture that belongs to an event. */
void picture_of(const struct door *door, const struct event *event, struct picture *picture);

enum picture_state {
    PICTURE_HERE,
    PICTURE_PENDING, /* it may still come */
    PICTURE_NONE     /* given up */
};
enum picture_state picture_state(const struct door *door, const struct picture *picture);

/* Returns 1 with the JPEG in *bytes, which the caller frees; 0 if it is not here; or an error with a reason.
 */
int picture_read(const struct door *door, const struct picture *picture, char **bytes, size_t *length,
                 struct reason *reason);

/* Asks Ring for it if an attempt is due and no other process is making one. Returns when to call again, in
 * microseconds since 1970; INT64_MAX if it is here or was given up. May take 40 s. */
int64_t picture_fetch(struct door *door, const struct picture *picture);

/* Removes those that are older than Ring keeps recordings. */
void picture_expire(struct door *door);

#endif
