/* The accounts of one user, without their tokens. */
#ifndef DOORPOST_OWNED_H
#define DOORPOST_OWNED_H

#include "account.h"
#include "record.h"

#define OWNED_MAX 64

struct owned {
    size_t count;
    struct owned_account {
        char name[DOOR_HASH_SIZE + 8]; /* of its file */
        char id[EVENT_FIELD_SIZE];
        char error[128];
        enum account_state state;
    } account[OWNED_MAX]; /* as many are allocated as there are */
};

/* Reads them. Returns what to free(), with a reason if a file could not be read ("" otherwise); or NULL with
 * a reason. */
struct owned *owned_read(const struct door *door, const char *user, struct reason *reason);

bool owned_has(const struct owned *owned, const char *account_id);

/* Forgets the account of a RING_REMOVED event in the journal. What fails is done by `doorpost account
 * refresh`. */
void owned_note_removed(const struct door *door, const struct record *record, const struct event *event);

#endif
