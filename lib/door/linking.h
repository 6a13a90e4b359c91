/* Linking a Ring account to one of our users, the one-way flow. Each step is durable before the next, and can
 * be taken up again. */
#ifndef DOORPOST_LINKING_H
#define DOORPOST_LINKING_H

#include "account.h"
#include "keys.h"

/* Claims the account that the nonce is of for `user`, and tells Ring. The nonce is HMAC-SHA256(signing key,
 * "TIME:ACCOUNT_ID") in URL-safe base64; `time` is in milliseconds since 1970, as text, and 600 s old at most
 * and not in the future. It matches unclaimed accounts, and accounts that `user` has claimed and whose
 * linking is not complete. Compares in constant time. Returns 0 when Ring has it as completed; ERROR_INVALID
 * if the nonce matches nothing, or is too old; ERROR_TIMEOUT or ERROR_SYSTEM if Ring could not be told yet:
 * it is the user's all the same, and linking_resume() goes on. With a reason that the user can read. */
int linking_claim(struct door *door, struct keys *keys, const char *user, const char *nonce, const char *time,
                  struct reason *reason);

/* Goes on with what Ring was not told yet of this account. Returns as linking_claim(). */
int linking_resume(struct door *door, struct account *account, struct reason *reason);

#endif
