/* A Ring account that a user has connected: its tokens, and whose it is here. One encrypted file each, a JSON
 * object, under accounts/. */
#ifndef DOORPOST_ACCOUNT_H
#define DOORPOST_ACCOUNT_H

#include "door.h"
#include "event.h"

#define TOKEN_SIZE 4096
#define NONCE_SIZE 44 /* 32 bytes in URL-safe base64 without padding (RFC 4648, section 5), and a NUL */
#define USER_SIZE 65

enum account_state {
    ACCOUNT_UNCLAIMED, /* the tokens are here; no user of ours has said that it is theirs */
    ACCOUNT_CLAIMED,   /* it is `user`'s; Ring was not told yet */
    ACCOUNT_AWAITING,  /* Ring knows the user ("awaiting") */
    ACCOUNT_COMPLETED, /* and knows that linking is complete */
};

/* Holds secrets: allocate with account_alloc(). */
struct account {
    char name[DOOR_HASH_SIZE + 8]; /* of the file in accounts/: HASH, or code-HASH if `id` is "" */
    char id[EVENT_FIELD_SIZE];     /* Ring's account id, as in meta.account_id */
    char user[USER_SIZE];          /* ours; "" if unclaimed */
    enum account_state state;
    char access[TOKEN_SIZE], refresh[TOKEN_SIZE];
    int64_t expires_at;     /* of the access token; microseconds since 1970 */
    int64_t refreshed_at;   /* when this pair was issued: the refresh token lives about 30 days from then */
    char nonce[NONCE_SIZE]; /* with which it was claimed, until ACCOUNT_COMPLETED; or "" */
    char error[128];        /* why Ring refuses its tokens: it has to be connected again; or "" */
};

/* Zeroed memory that is kept out of core dumps; NULL if there is none. account_free() wipes it. */
struct account *account_alloc(void);
void account_free(struct account *account);

/* "unclaimed", "claimed", "awaiting" or "completed". */
const char *account_state_name(enum account_state state);

/* Reads accounts/NAME. Returns 1, 0 if there is none, or an error with a reason. */
int account_load(const struct door *door, const char *name, struct account *account, struct reason *reason);

/* Finds the account by Ring's id, likewise. */
int account_find(const struct door *door, const char *id, struct account *account, struct reason *reason);

/* Writes it durably under account->name, which must be set. The caller holds account_lock(). */
int account_save(const struct door *door, const struct account *account, struct reason *reason);
int account_remove(const struct door *door, const char *name, struct reason *reason);

/* Removes the account and what is cached of it. Takes account_lock(), for up to `seconds`. Returns 0, or an
 * error with a reason. */
int account_forget(const struct door *door, const char *name, int seconds, struct reason *reason);

/* Ring has told us (RING_REMOVED), at `at` in microseconds since 1970, that the account with that id has
 * removed the app: forgets it, unless its tokens are newer. Returns as account_forget(). */
int account_removed(const struct door *door, const char *id, int64_t at, struct reason *reason);

/* Locks one account's file against other processes and threads; see door_lock(). */
int account_lock(const struct door *door, const char *name, int seconds, struct reason *reason);

/* Calls `visit` with each account that can be read; stops if it returns other than 0, and returns that. Those
 * that cannot be read are named in `reason` ("" if none). */
int account_each(const struct door *door, int (*visit)(void *context, const struct account *account),
                 void *context, struct reason *reason);

#endif
