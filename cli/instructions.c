/* One line per instruction: `drop` or `retry`, and the event's number. Unreadable lines are skipped. */
#include "instructions.h"

#include "cursor.h"
#include "directory.h"
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE (CURSOR_NAME_SIZE + 32)

static const char *const words[] = {[INSTRUCTION_DROP] = "drop", [INSTRUCTION_RETRY] = "retry"};

static void path_of(const char *name, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "cursors/%s.instructions", name);
}

int instructions_add(int directory, int lock, const char *name, enum instruction what, uint64_t seq,
                     struct reason *reason) {
    char path[PATH_SIZE];
    path_of(name, path);
    int result = cursor_lock(lock, CURSOR_LOCK_FAILED, true, reason);
    if (result != 0)
        return result;
    int fd =
        openat(directory, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600);
    if (fd < 0 || dprintf(fd, "%s %" PRIu64 "\n", words[what], seq) < 0 || fdatasync(fd) != 0 ||
        directory_sync(directory, "cursors") != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    cursor_unlock(lock, CURSOR_LOCK_FAILED);
    return result;
}

bool instructions_any(int directory, const char *name) {
    char path[PATH_SIZE];
    path_of(name, path);
    return faccessat(directory, path, F_OK, 0) == 0;
}

int instructions_each(int directory, const char *name,
                      void (*visit)(void *context, enum instruction what, uint64_t seq), void *context,
                      struct reason *reason) {
    char path[PATH_SIZE], word[8], *text, *rest;
    size_t length;
    uint64_t seq;
    path_of(name, path);
    int result = replace_read(directory, path, &text, &length, reason);
    if (result <= 0)
        return result;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        for (size_t what = 0; what < sizeof words / sizeof *words; what++)
            if (sscanf(line, "%7s %18" SCNu64, word, &seq) == 2 && strcmp(word, words[what]) == 0)
                visit(context, (enum instruction)what, seq);
    free(text);
    return 0;
}

void instructions_forget(int directory, const char *name) {
    char path[PATH_SIZE];
    path_of(name, path);
    unlinkat(directory, path, 0);
}
