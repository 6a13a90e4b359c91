/* The file `pruned` in the journal's directory is one line,
 *
 *   {"seq":1041,"chain":"<32 digits>"}
 *
 * the number and the chain of the last line that upkeep_prune() deleted: so the first one that is left can be
 * verified too. Whoever deletes days by other means loses that, and nothing else. */
#include "upkeep.h"

#include "indexer.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANCHOR "pruned"
#define ANCHOR_SIZE 128
#define WORKSHOP "seen.new" /* a directory in which the new index is made, as seen.new/seen/ */
#define RETIRED "seen.old"
#define SMALL_INDEX 50000 /* fingerprints */

/* ---- the chain before the oldest line ---- */

int upkeep_link(int directory, uint64_t first, struct link *link, struct reason *reason) {
    char text[ANCHOR_SIZE] = "";
    *link = link_start();
    if (first == 1)
        return 1;
    link->known = false;
    int file = openat(directory, ANCHOR, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0
                               : fail(reason, ERROR_TROUBLE, "cannot read " ANCHOR ": %s", strerror(errno));
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got < 0)
        return fail(reason, ERROR_TROUBLE, "cannot read " ANCHOR ": %s", strerror(errno));
    if (sscanf(text, "{\"seq\":%" SCNu64 ",\"chain\":\"%32[0-9a-f]\"}", &link->seq, link->recorded) != 2 ||
        strlen(link->recorded) != CHAIN_SIZE - 1 || link->seq + 1 != first)
        return 0;
    memcpy(link->computed, link->recorded, CHAIN_SIZE);
    link->known = true;
    return 1;
}

static int write_anchor(int directory, const struct link *link, struct reason *reason) {
    char text[ANCHOR_SIZE];
    int length =
        snprintf(text, sizeof text, "{\"seq\":%" PRIu64 ",\"chain\":\"%s\"}\n", link->seq, link->recorded);
    int file = openat(directory, ANCHOR ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = file >= 0 && write(file, text, (size_t)length) == length && fsync(file) == 0 &&
                   renameat(directory, ANCHOR ".new", directory, ANCHOR) == 0 && fsync(directory) == 0;
    int result = written ? 0 : fail(reason, ERROR_TROUBLE, "cannot write " ANCHOR ": %s", strerror(errno));
    if (file >= 0)
        close(file);
    return result;
}

/* ---- deleting the oldest days ---- */

/* The size of a day's file, or -1 where there is none. */
static int64_t size_of(int directory, int32_t day) {
    char name[SEGMENT_NAME_SIZE];
    struct stat status;
    segment_name(day, name);
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_size : -1;
}

/* Lowers *keep to the newest day that has lines: the next line's number and chain come from there. */
static int keep_the_newest(int directory, int32_t *keep, struct reason *reason) {
    int32_t first = 0, last = 0;
    int found = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    for (; found > 0 && last >= first && size_of(directory, last) <= 0; last--)
        continue;
    if (found > 0 && last < *keep)
        *keep = last < first ? first : last;
    return found < 0 ? found : 0;
}

/* Where the chain stands after the last line before `keep`. */
static int link_before(int directory, int32_t keep, struct link *link, struct reason *reason) {
    int32_t first = 0, last = 0;
    uint64_t end;
    *link = (struct link){.known = false};
    int found = keep > 0 ? segment_range(directory, 0, keep - 1, &first, &last, reason) : 0;
    for (int32_t day = last; found > 0 && day >= first && !link->known; day--) {
        int64_t size = size_of(directory, day);
        int file = size > 0 ? segment_open(directory, day, true, reason) : -1;
        if (size > 0 && file < 0)
            return file;
        int result = file >= 0 ? segment_mend(file, (uint64_t)size, link, &end, reason) : 0;
        if (file >= 0)
            close(file);
        if (result != 0)
            return result;
    }
    return found < 0 ? found : 0;
}

/* Deletes the files of the days before `keep` in one directory, the oldest first, or only counts them. */
static int delete_days(int directory, int32_t keep, bool rehearse, struct pruned *pruned,
                       struct reason *reason) {
    int32_t first = 0, last = 0;
    int found = keep > 0 ? segment_range(directory, 0, keep - 1, &first, &last, reason) : 0;
    for (int32_t day = first; found > 0 && day <= last; day++) {
        char name[SEGMENT_NAME_SIZE];
        int64_t size = size_of(directory, day);
        segment_name(day, name);
        if (size < 0)
            continue;
        if (!rehearse && unlinkat(directory, name, 0) != 0)
            return fail(reason, ERROR_TROUBLE, "cannot delete %s: %s", name, strerror(errno));
        pruned->first = pruned->days == 0 || day < pruned->first ? day : pruned->first;
        pruned->last = pruned->days == 0 || day > pruned->last ? day : pruned->last;
        pruned->days++;
        pruned->bytes += (uint64_t)size;
    }
    if (found > 0 && !rehearse && fsync(directory) != 0)
        return fail(reason, ERROR_TROUBLE, "cannot sync the journal's directory: %s", strerror(errno));
    return found < 0 ? found : 0;
}

static int delete_rejected(int directory, int32_t keep, bool rehearse, struct pruned *pruned,
                           struct reason *reason) {
    struct pruned rejected = {0};
    int file = openat(directory, "rejected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0
                               : fail(reason, ERROR_TROUBLE, "cannot open rejected/: %s", strerror(errno));
    int result = delete_days(file, keep, rehearse, &rejected, reason);
    close(file);
    pruned->bytes += rejected.bytes;
    if (pruned->days == 0)
        *pruned = rejected;
    return result;
}

/* Is more than half of the index about lines before `left`, the first that is not deleted? Where that cannot
 * be told, it is not. A small index is not worth the question. */
static bool is_out_of_date(struct directory *directory, uint64_t left) {
    struct link last;
    struct seen *seen = seen_new(0);
    bool result = seen != NULL && seen_exists(directory->file) &&
                  seen_begin(seen, directory->file, NULL) == 0 &&
                  link_before(directory->file, DAY_MAX + 1, &last, NULL) == 0 && last.known &&
                  seen_count(seen) > SMALL_INDEX + 4 * (last.seq + 1 - left); /* two identifiers a line */
    seen_free(seen);
    return result;
}

static int prune_locked(struct directory *directory, int32_t keep, bool rehearse, struct pruned *pruned,
                        struct reason *reason) {
    struct link link = {.known = false};
    int result = keep_the_newest(directory->file, &keep, reason);
    if (result == 0 && !rehearse)
        result = link_before(directory->file, keep, &link, reason);
    if (result == 0 && !rehearse && link.known)
        result = write_anchor(directory->file, &link, reason);
    if (result == 0)
        result = delete_days(directory->file, keep, rehearse, pruned, reason);
    if (result == 0)
        result = delete_rejected(directory->file, keep, rehearse, pruned, reason);
    if (result == 0 && link.known && pruned->days > 0)
        pruned->index_stale = is_out_of_date(directory, link.seq + 1);
    return result;
}

int upkeep_prune(struct directory *directory, int32_t keep, bool rehearse, const struct deadline *deadline,
                 struct pruned *pruned, struct reason *reason) {
    *pruned = (struct pruned){0};
    int result = directory_lock(directory, deadline, reason);
    if (result < 0)
        return result;
    result = prune_locked(directory, keep, rehearse, pruned, reason);
    directory_unlock(directory);
    return result;
}

/* ---- making the index anew ---- */

/* A new index on its way. */
struct workshop {
    int directory;
    struct seen *seen;
    struct indexer *indexer;
    struct place place;
    int32_t last;
};

/* Indexes until the end of the journal as it is now. Returns 1 where there is nothing to index. */
static int index_all(struct workshop *shop, struct directory *directory, void (*step)(void *, struct place),
                     void *context, struct reason *reason) {
    int32_t first;
    int result = segment_range(directory->file, 0, DAY_MAX, &first, &shop->last, reason);
    if (result <= 0)
        return result < 0 ? result : 1;
    if (shop->place.day < first)
        shop->place = (struct place){.day = first};
    do {
        struct deadline soon = {.at = monotonic_now() + 3 * SECOND / 2};
        result =
            indexer_run(shop->indexer, shop->seen, directory->file, &shop->place, shop->last, &soon, reason);
        if (step != NULL)
            step(context, shop->place);
    } while (result == ERROR_TIMEOUT);
    return result;
}

/* Removes an index: that of a directory in which seen/ is. */
static void remove_index(int directory, const char *name) {
    seen_remove(directory, name, NULL);
    unlinkat(directory, name, AT_REMOVEDIR);
}

/* With the lock held: the last lines, and the exchange. Whoever has the old tables open finds them deleted.
 */
static int put_in_place(struct workshop *shop, struct directory *directory, struct reason *reason) {
    int result = index_all(shop, directory, NULL, NULL, reason);
    if (result == 0)
        result = seen_reach(shop->seen, shop->place, true, reason);
    if (result == 0)
        result = seen_sync(shop->seen, reason);
    if (result == 0)
        result = seen_checkpoint(shop->seen, shop->place, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    remove_index(directory->file, RETIRED);
    if (renameat(directory->file, "seen", directory->file, RETIRED) != 0 && errno != ENOENT)
        return fail(reason, ERROR_TROUBLE, "cannot put the old index away: %s", strerror(errno));
    if (renameat(shop->directory, "seen", directory->file, "seen") != 0)
        return fail(reason, ERROR_TROUBLE, "cannot put the new index in its place: %s", strerror(errno));
    remove_index(directory->file, RETIRED);
    return 0;
}

static int rebuild_in(struct workshop *shop, struct directory *directory, void (*step)(void *, struct place),
                      void *context, struct reason *reason) {
    struct deadline deadline;
    int result = seen_begin(shop->seen, shop->directory, reason);
    if (result == 0)
        result = index_all(shop, directory, step, context, reason);
    if (result == 0)
        result = seen_sync(shop->seen, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    deadline = (struct deadline){.at = monotonic_now() + 30 * SECOND};
    result = directory_lock(directory, &deadline, reason);
    if (result > 0) {
        directory_unlock(directory);
        return fail(reason, ERROR_TROUBLE, "the journal's directory was replaced meanwhile: try again");
    }
    if (result < 0)
        return result;
    result = put_in_place(shop, directory, reason);
    directory_unlock(directory);
    return result;
}

int upkeep_rebuild(struct directory *directory, void (*step)(void *context, struct place place),
                   void *context, struct reason *reason) {
    struct workshop shop = {.directory = -1, .seen = seen_new(0), .indexer = indexer_new()};
    struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
    int result = shop.seen != NULL && shop.indexer != NULL
                     ? directory_lock(directory, &deadline, reason)
                     : fail(reason, ERROR_TROUBLE, "no memory for the index");
    if (result >= 0) {
        directory_unlock(directory);
        remove_index(directory->file, WORKSHOP "/seen"); /* of a run that was killed */
        if (mkdirat(directory->file, WORKSHOP, 0700) == 0 || errno == EEXIST)
            shop.directory = openat(directory->file, WORKSHOP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = shop.directory >= 0
                     ? rebuild_in(&shop, directory, step, context, reason)
                     : fail(reason, ERROR_TROUBLE, "cannot make " WORKSHOP ": %s", strerror(errno));
        remove_index(directory->file, WORKSHOP "/seen");
        unlinkat(directory->file, WORKSHOP, AT_REMOVEDIR);
    }
    if (shop.directory >= 0)
        close(shop.directory);
    seen_free(shop.seen);
    indexer_free(shop.indexer);
    return result;
}

/* ---- comparing the index with the journal ---- */

static bool is_before(struct place a, struct place b) {
    return a.day < b.day || (a.day == b.day && a.offset < b.offset);
}

static uint64_t mix(uint64_t word) {
    word = (word ^ word >> 32) * UINT64_C(0xff51afd7ed558ccd);
    word = (word ^ word >> 29) * UINT64_C(0xc4ceb9fe1a85ec53);
    return word ^ word >> 32;
}

/* Adds an entry to a sum that does not depend on the order. Damage is what it must show, not malice. */
static void add(uint64_t *sum, uint64_t fingerprint, struct place place) {
    *sum += mix(mix(fingerprint) + ((uint64_t)place.day << 48 | place.offset));
}

static int add_indexed(void *context, uint64_t fingerprint, struct place place) {
    struct audit *audit = context;
    if (place.day >= audit->first && is_before(place, audit->reached))
        add(&audit->indexed, fingerprint, place);
    return 0;
}

/* Opens the index as it is now. */
static int open_index(struct audit *audit, const struct deadline *deadline, struct reason *reason) {
    bool settled;
    int result = directory_lock(audit->directory, deadline, reason);
    if (result < 0)
        return result;
    audit->absent = !seen_exists(audit->directory->file);
    result = audit->absent ? 0 : seen_begin(audit->seen, audit->directory->file, reason);
    if (result == 0 && !audit->absent)
        audit->absent = !seen_reached(audit->seen, &audit->reached, &settled);
    directory_unlock(audit->directory);
    return result;
}

int audit_start(struct audit *audit, struct directory *directory, int32_t first,
                const struct deadline *deadline, struct reason *reason) {
    *audit = (struct audit){.directory = directory, .first = first, .seen = seen_new(0)};
    if (audit->seen == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory for the index");
    int result;
    do {
        audit->indexed = 0;
        result = open_index(audit, deadline, reason);
        if (result != 0 || audit->absent)
            return result;
        result = seen_each(audit->seen, add_indexed, audit, reason);
    } while (!seen_unchanged(audit->seen));
    return result;
}

void audit_line(struct audit *audit, struct place place, const char *request_id, size_t request_length,
                const char *id, size_t id_length) {
    if (audit->absent || !is_before(place, audit->reached))
        return;
    add(&audit->found, seen_fingerprint(audit->seen, IDENTIFIER_REQUEST, request_id, request_length), place);
    add(&audit->found, seen_fingerprint(audit->seen, IDENTIFIER_EVENT, id, id_length), place);
}

bool audit_agrees(const struct audit *audit) {
    return audit->indexed == audit->found;
}

static int find_both(struct audit *audit, struct place place, uint64_t request, uint64_t event,
                     struct reason *reason) {
    int found = seen_holds(audit->seen, request, place, reason);
    return found > 0 ? seen_holds(audit->seen, event, place, reason) : found;
}

int audit_find(struct audit *audit, struct place place, const char *request_id, size_t request_length,
               const char *id, size_t id_length, struct reason *reason) {
    if (!is_before(place, audit->reached))
        return 1;
    for (;;) {
        uint64_t request = seen_fingerprint(audit->seen, IDENTIFIER_REQUEST, request_id, request_length);
        uint64_t event = seen_fingerprint(audit->seen, IDENTIFIER_EVENT, id, id_length);
        int found = find_both(audit, place, request, event, reason);
        if (seen_unchanged(audit->seen))
            return found;
        struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
        int result = open_index(audit, &deadline, reason);
        if (result != 0 || audit->absent)
            return result;
    }
}

void audit_end(struct audit *audit) {
    seen_free(audit->seen);
}
