/* The page's own users, and their sign-in. users/NAME holds crypto_pwhash_str() of the password. */
#ifndef DOORPOST_LOGIN_H
#define DOORPOST_LOGIN_H

#include "account.h"

#define LOGIN_DAYS 90
#define LOGIN_COOKIE_SIZE 256

/* Returns true if it can be a user's name: 1 to 64 letters, digits, and . _ - @ + (so an e-mail address), not
 * beginning with a dot or a hyphen, and not ending in .lock or .new. */
bool login_is_name(const char *user);

/* Adds a user, or sets a new password, which ends the user's sessions. Returns 0; ERROR_INVALID for a name or
 * password (of under 8 characters) that is not accepted; or ERROR_SYSTEM. With a reason. */
int login_add(struct door *door, const char *user, const char *password, struct reason *reason);
int login_remove(struct door *door, const char *user,
                 struct reason *reason); /* ERROR_INVALID: no such user */

/* Reads when the user was added or got a new password, in microseconds since 1970. Returns 1, 0 if there is
 * no such user, or an error with a reason. */
int login_changed_at(struct door *door, const char *user, int64_t *at, struct reason *reason);

/* Checks a password. One attempt at a time from an address, in all processes, and a wrong one holds the next
 * from there up for a second: nobody else waits for it. Returns 0; ERROR_INVALID if name or password is wrong
 * (it takes as long for a name that does not exist); ERROR_TIMEOUT if other attempts are going on; or
 * ERROR_SYSTEM. */
int login_check(struct door *door, const char *address, const char *user, const char *password,
                struct reason *reason);

/* A session's cookie value: user, time and a keyed BLAKE2b over them and the stored password hash. */
int login_cookie(struct door *door, const char *user, char out[LOGIN_COOKIE_SIZE], struct reason *reason);

/* Returns 1 and the user if the value is a cookie of ours that is not older than LOGIN_DAYS and whose user
 * and password are still the same; 0 if not; or ERROR_SYSTEM. */
int login_session(struct door *door, const char *cookie, char user[USER_SIZE], struct reason *reason);

#endif
