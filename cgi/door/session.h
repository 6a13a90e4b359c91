/* The live session of a device: at most one, and the address of it stays here. */
#ifndef DOORPOST_SESSION_H
#define DOORPOST_SESSION_H

#include "account.h"
#include "door.h"
#include "event.h"

#define SESSION_ID_SIZE 33 /* 32 hexadecimal digits, chosen by the viewer's page */
#define SESSION_URL_SIZE 4096

struct session {
    char id[SESSION_ID_SIZE];
    char user[USER_SIZE];
    char account[DOOR_HASH_SIZE + 8]; /* name of the account's file */
    char device[EVENT_FIELD_SIZE];
    char url[SESSION_URL_SIZE]; /* Location, its query included; "" while Ring is being asked */
    int64_t until;              /* when it has ended by itself; microseconds since 1970 */
};

bool session_id_is_good(const char *id);

/* Locks a device's session against other processes and threads. Returns a descriptor, see door_lock(). */
int session_lock(const struct door *door, const char *device, struct reason *reason);

/* Reads a device's session. Returns 1; 0 if there is none or it has ended by itself; or an error. */
int session_read(const struct door *door, const char *device, struct session *session, struct reason *reason);

/* Writes or removes it, durably. The caller holds the lock. */
int session_write(const struct door *door, const struct session *session, struct reason *reason);
int session_remove(const struct door *door, const char *device, struct reason *reason);

/* Finds the session with that id. Returns 1, 0 or an error. Without the lock: look again with it. */
int session_find(const struct door *door, const char *id, struct session *session, struct reason *reason);

/* Notes that the viewer of a session that does not exist yet has left; and whether that was noted (and
 * forgets it). */
int session_cancel(const struct door *door, const char *id, struct reason *reason);
bool session_was_cancelled(const struct door *door, const char *id);

#endif
