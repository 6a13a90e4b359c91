/* Root trusts settings and keys that no lesser user can change, and works in a journal as the user that it
 * belongs to. So it can do there no more than its owner could, and whatever it makes is open to the handler.
 *
 * For other users than root each of these does nothing, and returns 0. They return ERROR_TROUBLE with a
 * reason that says what to do. */
#ifndef DOORPOST_PRIVILEGE_H
#define DOORPOST_PRIVILEGE_H

#include "config.h"
#include "user.h"

/* Can no other user change the env file that config_read() would read, or the key file? */
int privilege_trust_settings(struct reason *reason);
int privilege_trust_keys(const struct config *config, struct reason *reason);

/* Whom does the journal belong to, and can nobody else say where it is? For other users than root, *owner is
 * the one that this process runs as. */
int privilege_find_owner(const struct config *config, struct user *owner, struct reason *reason);

/* Goes on as the journal's owner, for good. */
int privilege_become_owner(const struct config *config, const struct user *owner, struct reason *reason);

/* The two together. */
int privilege_drop(const struct config *config, struct reason *reason);

#endif
