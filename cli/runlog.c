/* The file is truncated in place, because its writers have it open: the newer half is rewritten. A crash in
 * between loses the file, but nothing depends on it. */
#include "runlog.h"

#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 65536 /* bytes */

static bool ours;

void runlog_start(const char *journal, const char *name) {
    char path[PATH_MAX];
    struct stat named, open;
    snprintf(path, sizeof path, "%s/cursors/%s.log", journal, name);
    ours = lstat(path, &named) == 0 && fstat(STDERR_FILENO, &open) == 0 && S_ISREG(open.st_mode) &&
           named.st_ino == open.st_ino && named.st_dev == open.st_dev;
    problem_tells_time(ours);
    runlog_limit();
}

bool runlog_is_used(void) {
    return ours;
}

void runlog_limit(void) {
    static char kept[LIMIT / 2];
    struct stat status;
    if (!ours || fstat(STDERR_FILENO, &status) != 0 || status.st_size <= LIMIT)
        return;
    ssize_t got = pread(STDERR_FILENO, kept, sizeof kept, status.st_size - (off_t)sizeof kept);
    const char *line = got > 0 ? memchr(kept, '\n', (size_t)got) : NULL;
    if (ftruncate(STDERR_FILENO, 0) != 0 || line == NULL)
        return;
    ssize_t written = write(STDERR_FILENO, line + 1, (size_t)(kept + got - line - 1));
    (void)written;
}
