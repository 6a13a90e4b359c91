#include "rebuild.h"

#include "indexer.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NEW_DIRECTORY "seen.new" /* the new index is built as seen.new/seen/ */
#define OLD_INDEX "seen.old"

/* A new index being built. */
struct rebuild {
    int new_directory;
    struct index *index;
    struct indexer indexer;
    struct mark mark;
    int32_t last;
};

/* Indexes up to the current end of the journal. Returns 1 if there is nothing to index. */
static int index_all(struct rebuild *rebuild, const struct directory *directory,
                     void (*step)(void *, struct position), void *context, struct reason *reason) {
    int32_t first;
    int result = segment_range(directory->fd, 0, DAY_MAX, &first, &rebuild->last, reason);
    if (result <= 0)
        return result < 0 ? result : 1;
    if (rebuild->mark.position.day < first)
        rebuild->mark = (struct mark){.position = {.day = first}};
    do {
        struct deadline next_report = {.at = monotonic_now() + 3 * SECOND / 2};
        result = indexer_run(&rebuild->indexer, rebuild->index, directory->fd, &rebuild->mark, rebuild->last,
                             false, &next_report, reason);
        if (step != NULL)
            step(context, rebuild->mark.position);
    } while (result == ERROR_TIMEOUT);
    return result;
}

/* Records how far the index reaches, and syncs all of it. */
static int checkpoint(struct rebuild *rebuild, struct reason *reason) {
    struct reach reach = {.mark = rebuild->mark};
    index_request_checkpoint(rebuild->index);
    int result = index_set_reach(rebuild->index, &reach, reason);
    return result == 0 ? index_step_begin(rebuild->index, true, reason) : result;
}

/* Removes the index directory `name`. */
static void remove_index(int directory, const char *name) {
    (void)directory_clear(directory, name, NULL);
    unlinkat(directory, name, AT_REMOVEDIR);
}

/* With the lock held, indexes the last lines and swaps the indexes. Processes that have the old index open
 * notice that its name refers to another. */
static int install(struct rebuild *rebuild, const struct directory *directory, struct reason *reason) {
    int result = index_all(rebuild, directory, NULL, NULL, reason);
    if (result == 0)
        result = checkpoint(rebuild, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    remove_index(directory->fd, OLD_INDEX);
    if (renameat(directory->fd, "seen", directory->fd, OLD_INDEX) != 0 && errno != ENOENT)
        return FAIL(reason, ERROR_SYSTEM, "cannot rename the old index: %s", strerror(errno));
    if (renameat(rebuild->new_directory, "seen", directory->fd, "seen") != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot rename the new index: %s", strerror(errno));
    remove_index(directory->fd, OLD_INDEX);
    return fsync(directory->fd) == 0
               ? 0
               : FAIL(reason, ERROR_SYSTEM, "cannot sync the journal directory: %s", strerror(errno));
}

static int rebuild_in(struct rebuild *rebuild, struct directory *directory,
                      void (*step)(void *, struct position), void *context, struct reason *reason) {
    int result = index_begin(rebuild->index, rebuild->new_directory, reason);
    if (result == 0)
        result = index_all(rebuild, directory, step, context, reason);
    if (result == 0)
        result = checkpoint(rebuild, reason); /* now, to leave little to sync with the lock held */
    if (result != 0)
        return result < 0 ? result : 0;
    struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
    result = directory_lock(directory, &deadline, reason);
    if (result > 0 && !directory->remote) {
        directory_unlock(directory);
        return FAIL(reason, ERROR_SYSTEM, "the journal directory was replaced during the rebuild: try again");
    }
    if (result < 0)
        return result;
    result = install(rebuild, directory, reason);
    directory_unlock(directory);
    return result;
}

int rebuild_index(struct directory *directory, void (*step)(void *context, struct position position),
                  void *context, struct reason *reason) {
    static struct rebuild rebuild;
    struct event_parser *parser = event_parser_new();
    struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
    memset(&rebuild.mark, 0, sizeof rebuild.mark);
    rebuild.new_directory = -1;
    rebuild.index = index_new(0);
    indexer_start(&rebuild.indexer, parser);
    int result = rebuild.index != NULL && parser != NULL
                     ? directory_lock(directory, &deadline, reason)
                     : FAIL(reason, ERROR_SYSTEM, "not enough memory for the index");
    if (result >= 0) {
        directory_unlock(directory);
        remove_index(directory->fd, NEW_DIRECTORY "/seen"); /* left by a run that was killed */
        rebuild.new_directory = directory_open_subdirectory(directory->fd, NEW_DIRECTORY, true, reason);
        result = rebuild.new_directory >= 0 ? rebuild_in(&rebuild, directory, step, context, reason)
                                            : rebuild.new_directory;
        remove_index(directory->fd, NEW_DIRECTORY "/seen");
        unlinkat(directory->fd, NEW_DIRECTORY, AT_REMOVEDIR);
    }
    if (rebuild.new_directory >= 0)
        close(rebuild.new_directory);
    index_free(rebuild.index);
    event_parser_free(parser);
    return result;
}
