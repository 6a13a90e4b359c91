/* The index matches the journal if a sum over all index entries equals a sum over all journal lines. */
#include "audit.h"

#include <errno.h>

static bool is_before(struct position a, struct position b) {
    return a.day < b.day || (a.day == b.day && a.offset < b.offset);
}

static uint64_t mix(uint64_t word) {
    word = (word ^ word >> 32) * UINT64_C(0xff51afd7ed558ccd);
    word = (word ^ word >> 29) * UINT64_C(0xc4ceb9fe1a85ec53);
    return word ^ word >> 32;
}

/* Adds an entry to an order-independent sum. It detects damage, not malice. */
static void add(uint64_t *sum, uint64_t fingerprint, struct position position) {
    *sum += mix(mix(fingerprint) + ((uint64_t)position.day << 48 | position.offset));
}

static int add_indexed(void *context, uint64_t fingerprint, struct position position) {
    struct audit *audit = context;
    if ((position.offset & POSITION_IN_REJECTED) == 0 && position.day >= audit->first &&
        is_before(position, audit->reached))
        add(&audit->indexed, fingerprint, position);
    return 0;
}

/* Opens the current index. If the medium is not writable, no lock can be taken and the index is skipped. */
static int open_index(struct audit *audit, const struct deadline *deadline, struct reason *reason) {
    struct directory *directory = audit->directory;
    struct reach reach;
    int result = directory_lock(directory, deadline, reason);
    if (result == ERROR_SYSTEM && (errno == EACCES || errno == EPERM || errno == EROFS)) {
        audit->absent = audit->skipped = true;
        return directory_open(directory, reason);
    }
    if (result < 0)
        return result;
    if (result > 0)
        index_close(audit->index);
    audit->absent = !index_exists(directory->fd);
    result = audit->absent ? 0 : index_begin(audit->index, directory->fd, reason);
    if (result == 0 && !audit->absent) {
        index_reach(audit->index, &reach);
        audit->reached = reach.mark.position;
        audit->absent = reach.mark.seq == 0;
    }
    directory_unlock(directory);
    return result;
}

int audit_start(struct audit *audit, struct directory *directory, int32_t first,
                const struct deadline *deadline, struct reason *reason) {
    *audit = (struct audit){.directory = directory, .first = first, .index = index_new(0)};
    if (audit->index == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for the index");
    int result;
    do {
        audit->indexed = 0;
        result = open_index(audit, deadline, reason);
        if (result != 0 || audit->absent)
            return result;
        result = index_each(audit->index, add_indexed, audit, reason);
    } while (!index_is_current(audit->index));
    return result;
}

void audit_line(struct audit *audit, struct position position, const char *request_id, size_t request_length,
                const char *id, size_t id_length) {
    if (audit->absent || !is_before(position, audit->reached))
        return;
    add(&audit->found, index_fingerprint(audit->index, IDENTIFIER_REQUEST, request_id, request_length),
        position);
    add(&audit->found, index_fingerprint(audit->index, IDENTIFIER_EVENT, id, id_length), position);
}

bool audit_agrees(const struct audit *audit) {
    return audit->indexed == audit->found;
}

static int same_day(void *context, struct position position) {
    return position.day == *(const int32_t *)context;
}

/* Any position in the same day is accepted: if the file was edited, the moved line is found by a search. */
static int find_both(struct audit *audit, struct position position, uint64_t request, uint64_t event,
                     struct reason *reason) {
    int found = index_find(audit->index, request, same_day, &position.day, reason);
    return found > 0 ? index_find(audit->index, event, same_day, &position.day, reason) : found;
}

int audit_find(struct audit *audit, struct position position, const char *request_id, size_t request_length,
               const char *id, size_t id_length, struct reason *reason) {
    if (!is_before(position, audit->reached))
        return 1;
    for (;;) {
        uint64_t request = index_fingerprint(audit->index, IDENTIFIER_REQUEST, request_id, request_length);
        uint64_t event = index_fingerprint(audit->index, IDENTIFIER_EVENT, id, id_length);
        int found = find_both(audit, position, request, event, reason);
        if (index_is_current(audit->index))
            return found;
        struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
        int result = open_index(audit, &deadline, reason);
        if (result != 0 || audit->absent)
            return result;
    }
}

void audit_end(struct audit *audit) {
    index_free(audit->index);
}
