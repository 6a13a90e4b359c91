#include "owned.h"

#include "timestamp.h"

#include <string.h>

struct search {
    const char *user;
    struct owned *owned;
};

static int add(void *context, const struct account *account) {
    const struct search *search = context;
    struct owned *owned = search->owned;
    if (strcmp(account->user, search->user) != 0 || account->state == ACCOUNT_UNCLAIMED)
        return 0;
    struct owned_account *one = &owned->account[owned->count++];
    memcpy(one->name, account->name, sizeof one->name);
    memcpy(one->id, account->id, sizeof one->id);
    memcpy(one->error, account->error, sizeof one->error);
    one->state = account->state;
    return owned->count == OWNED_MAX;
}

int owned_read(const struct door *door, const char *user, struct owned *owned, struct reason *reason) {
    struct search search = {.user = user, .owned = owned};
    owned->count = 0;
    int result = account_each(door, add, &search, reason);
    return result < 0 ? result : 0;
}

bool owned_has(const struct owned *owned, const char *account_id) {
    for (size_t i = 0; i < owned->count; i++)
        if (account_id[0] != '\0' && strcmp(owned->account[i].id, account_id) == 0)
            return true;
    return false;
}

void owned_note_removed(const struct door *door, const struct record *record, const struct event *event) {
    int64_t received_at;
    struct reason ignored;
    if (timestamp_parse(record->received_at, TIMESTAMP_SIZE - 1, &received_at) == 0)
        account_removed(door, event->account, received_at, &ignored);
}
