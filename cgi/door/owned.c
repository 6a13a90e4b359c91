#include "owned.h"

#include "timestamp.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
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

/* One thread at a time: each would need 150 KiB, and after a press all viewers ask at once. */
struct owned *owned_read(const struct door *door, const char *user, struct reason *reason) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static struct owned found;
    struct search search = {.user = user, .owned = &found};
    struct owned *owned = NULL;
    pthread_mutex_lock(&mutex);
    found.count = 0;
    if (account_each(door, add, &search, reason) >= 0) {
        size_t size = offsetof(struct owned, account) + found.count * sizeof found.account[0];
        if ((owned = malloc(size)) != NULL)
            memcpy(owned, &found, size);
        else
            explain(reason, "out of memory");
    }
    pthread_mutex_unlock(&mutex);
    return owned;
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
