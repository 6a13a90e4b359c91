/* Ring's API and OAuth server, as Doorpost uses them (RING.md's facts; tokens: RFC 6749). */
#ifndef DOORPOST_API_H
#define DOORPOST_API_H

#include "account.h"
#include "http.h"

#define API_SECONDS 20 /* that a request may take */
#define API_EARLY 300  /* seconds before its expiry that an access token is renewed */
#define API_DAILY                                                                                 \
    72000 /* seconds after which tokens are renewed anyway: Ring recommends a day, and a job that \
           * runs daily must not find them a minute too young */
#define API_REFRESH_LIFE 30 /* days that a refresh token lives */

/* Exchanges an authorization code (RFC 6749, section 4.1.3), once: a code that was sent before is not sent
 * again. Saves the tokens before anything else is asked, then learns the account's id (GET /v1/users/me) and
 * keeps it as unclaimed. Returns 0, also if a repeated code's account is there already; ERROR_INVALID if Ring
 * refuses the code, ERROR_TIMEOUT or ERROR_SYSTEM if it did not answer. With a reason. */
int api_exchange(struct door *door, const char *code, struct reason *reason);

/* Asks whose the tokens of an account with the id "" are (GET /v1/users/me), files them under that id as an
 * unclaimed account, and updates `account`. api_exchange() does so; this goes on after a failure. Returns 0,
 * also if another process has done it; ERROR_INVALID if the tokens are refused; ERROR_TIMEOUT or
 * ERROR_SYSTEM. */
int api_identify(struct door *door, struct account *account, struct reason *reason);

/* Renews the account's tokens if they expire within API_EARLY, or are older than `age` seconds (-1: whatever
 * their age), unless another process has done it since `account` was read. The new pair is durable before it
 * is used. Updates `account`. Returns 0; ERROR_INVALID if Ring refuses the refresh token (the account must be
 * connected again; account->error says so, durably); ERROR_TIMEOUT or ERROR_SYSTEM. With a reason. */
int api_refresh(struct door *door, struct account *account, int64_t age, struct reason *reason);

/* Returns true if a segment of the path begins with a dot, in any spelling: curl removes "..", and the
 * segment before it, so that another path is asked than was checked (RFC 3986, section 5.2.4). */
bool api_has_dots(const char *path);

/* Sends a request with the account's bearer token. `path` follows DOORPOST_API and begins with /v1/; or is an
 * absolute URL that begins with DOORPOST_API (a session's). request->url, headers[0] and ca are filled in
 * here: the caller's headers begin at headers[1]. Renews the token before if it is due, and once after a 401.
 * Returns as http_send(); ERROR_INVALID if the tokens are refused. */
int api_send(struct door *door, struct account *account, const char *path, struct http_request *request,
             struct http_response *response, struct reason *reason);

#endif
