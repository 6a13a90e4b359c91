/* Root trusts only settings and keys that no other user can change, and works on a journal as its owner.
 * So root can do no more there than the owner could, and the files it creates are accessible to the
 * handler.
 *
 * For other users, these functions do nothing and return 0. On error they return ERROR_SYSTEM with a
 * reason that says what to do. */
#ifndef DOORPOST_PRIVILEGE_H
#define DOORPOST_PRIVILEGE_H

#include "config.h"
#include "user.h"

/* Check that no other user can change the env file that config_read() would read, or the key file. */
int privilege_trust_settings(struct reason *reason);
int privilege_trust_keys(const struct config *config, struct reason *reason);

/* Finds the owner of the journal, and checks that no other user can change what its path refers to. For
 * users other than root, *owner is the current user. */
int privilege_find_owner(const struct config *config, struct user *owner, struct reason *reason);

/* Drops to the journal's owner permanently. */
int privilege_become_owner(const struct config *config, const struct user *owner, struct reason *reason);

/* privilege_find_owner(), then privilege_become_owner(). */
int privilege_drop(const struct config *config, struct reason *reason);

/* The same for the owner of DOORPOST_DOOR. */
int privilege_drop_for_door(const struct config *config, struct reason *reason);

#endif
