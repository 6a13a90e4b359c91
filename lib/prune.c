/* The file `pruned` in the journal's directory is one line,
 *
 *   {"seq":1041,"chain":"<32 digits>"}
 *
 * the number and chain of the last line that prune_days() deleted, so that the first remaining line can be
 * verified too. If days are deleted by other means, only that check is lost. */
#include "prune.h"

#include "regular.h"
#include "replace.h"
#include "segment.h"
#include "tail.h"

#include "index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANCHOR "pruned"
#define ANCHOR_SIZE 128
#define SMALL_INDEX 50000 /* entries */

/* ---- the chain before the oldest line ---- */

bool prune_has_run(int directory) {
    return faccessat(directory, ANCHOR, F_OK, 0) == 0;
}

int prune_chain(int directory, uint64_t first, struct chain_state *chain, struct reason *reason) {
    char text[ANCHOR_SIZE] = "";
    *chain = chain_start();
    if (first == 1)
        return 1;
    chain->known = false;
    int fd = regular_open(directory, ANCHOR, O_RDONLY, reason);
    if (fd < 0)
        return fd == ERROR_INVALID ? 0 : ERROR_SYSTEM;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read " ANCHOR ": %s", strerror(errno));
    if (sscanf(text, "{\"seq\":%" SCNu64 ",\"chain\":\"%32[0-9a-f]\"}", &chain->seq, chain->recorded) != 2 ||
        strlen(chain->recorded) != CHAIN_SIZE - 1 || chain->seq + 1 != first)
        return 0;
    memcpy(chain->computed, chain->recorded, CHAIN_SIZE);
    chain->known = true;
    return 1;
}

static int write_anchor(int directory, const struct chain_state *chain, struct reason *reason) {
    char text[ANCHOR_SIZE];
    int length =
        snprintf(text, sizeof text, "{\"seq\":%" PRIu64 ",\"chain\":\"%s\"}\n", chain->seq, chain->recorded);
    return replace_write(directory, ANCHOR ".new", ANCHOR, text, (size_t)length, reason);
}

/* ---- deleting the oldest days ---- */

/* The size of a day's file, or -1 if there is none. */
static int64_t size_of(int directory, int32_t day) {
    char name[SEGMENT_NAME_SIZE];
    struct stat status;
    segment_name(day, name);
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_size : -1;
}

int prune_first(int directory, int32_t *keep, struct reason *reason) {
    int32_t first = 0, last = 0;
    int found = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    for (; found > 0 && last >= first && size_of(directory, last) <= 0; last--)
        continue;
    if (found > 0 && last < *keep)
        *keep = last < first ? first : last;
    return found < 0 ? found : 0;
}

/* Deletes, or if `dry_run` only counts, the files of the days before `keep` in one directory, oldest
 * first. */
static int delete_days(int directory, int32_t keep, bool dry_run, struct pruned *pruned,
                       struct reason *reason) {
    int32_t first = 0, last = 0;
    int found = keep > 0 ? segment_range(directory, 0, keep - 1, &first, &last, reason) : 0;
    for (int32_t day = first; found > 0 && day <= last; day++) {
        char name[SEGMENT_NAME_SIZE];
        int64_t size = size_of(directory, day);
        segment_name(day, name);
        if (size < 0)
            continue;
        if (!dry_run && unlinkat(directory, name, 0) != 0)
            return FAIL(reason, ERROR_SYSTEM, "cannot delete %s: %s", name, strerror(errno));
        pruned->first = pruned->days == 0 || day < pruned->first ? day : pruned->first;
        pruned->last = pruned->days == 0 || day > pruned->last ? day : pruned->last;
        pruned->days++;
        pruned->bytes += (uint64_t)size;
    }
    if (found > 0 && !dry_run && fsync(directory) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot sync the journal directory: %s", strerror(errno));
    return found < 0 ? found : 0;
}

static int delete_rejected(int directory, int32_t keep, bool dry_run, struct pruned *pruned,
                           struct reason *reason) {
    struct pruned rejected = {0};
    int fd = openat(directory, "rejected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot open rejected/: %s", strerror(errno));
    int result = delete_days(fd, keep, dry_run, &rejected, reason);
    close(fd);
    pruned->bytes += rejected.bytes;
    if (pruned->days == 0)
        *pruned = rejected;
    return result;
}

/* Returns true if more than half of the index refers to lines before number `first_kept`. Returns false if
 * that is unknown or the index is small. */
static bool is_out_of_date(struct directory *directory, uint64_t first_kept) {
    struct chain_state last;
    struct index *index = index_new(0);
    bool result =
        index != NULL && index_exists(directory->fd) && index_begin(index, directory->fd, NULL) == 0 &&
        tail_chain_before(directory->fd, DAY_MAX + 1, &last, NULL, NULL) == 0 && last.known &&
        index_count(index) > SMALL_INDEX + 4 * (last.seq + 1 - first_kept); /* two identifiers per line */
    index_free(index);
    return result;
}

static int prune_locked(struct directory *directory, int32_t keep, bool dry_run, const struct before *before,
                        struct pruned *pruned, struct reason *reason) {
    struct chain_state chain = {.known = false};
    int result = prune_first(directory->fd, &keep, reason);
    if (result == 0 && !dry_run && before != NULL)
        result = before->call(before->context, directory->fd, reason);
    if (result == 0 && !dry_run)
        result = tail_chain_before(directory->fd, keep, &chain, NULL, reason);
    if (result == 0 && !dry_run && chain.known)
        result = write_anchor(directory->fd, &chain, reason);
    if (result == 0)
        result = delete_days(directory->fd, keep, dry_run, pruned, reason);
    if (result == 0)
        result = delete_rejected(directory->fd, keep, dry_run, pruned, reason);
    if (result == 0 && chain.known && pruned->days > 0)
        pruned->index_stale = is_out_of_date(directory, chain.seq + 1);
    return result;
}

int prune_days(struct directory *directory, int32_t keep, bool dry_run, const struct before *before,
               const struct deadline *deadline, struct pruned *pruned, struct reason *reason) {
    *pruned = (struct pruned){0};
    int result = directory_lock(directory, deadline, reason);
    if (result < 0)
        return result;
    result = prune_locked(directory, keep, dry_run, before, pruned, reason);
    directory_unlock(directory);
    return result;
}
