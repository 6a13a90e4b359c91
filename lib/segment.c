/* Segments are named like 2026-11-23.jsonl, so that names sort by date. */
#include "segment.h"

#include "directory.h"
#include "regular.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void segment_name(int32_t day, char out[SEGMENT_NAME_SIZE]) {
    day_format(day, out);
    memcpy(out + DAY_SIZE - 1, ".jsonl", sizeof ".jsonl");
}

int segment_open(int directory, int32_t day, bool append, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    int fd = regular_open(directory, name, append ? O_RDWR : O_RDONLY, reason);
    return fd == ERROR_DAMAGED ? ERROR_SYSTEM : fd;
}

int segment_open_either(int directory, int32_t day, bool *read_only, struct reason *reason) {
    int fd = segment_open(directory, day, true, reason);
    *read_only = fd == ERROR_SYSTEM && (errno == EACCES || errno == EPERM || errno == EROFS);
    return *read_only ? segment_open(directory, day, false, reason) : fd;
}

int segment_create(int directory, int32_t day, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    int fd = regular_open(directory, name, O_RDWR | O_CREAT, reason);
    return fd < 0 ? ERROR_SYSTEM : fd;
}

int segment_range(int directory, int32_t from, int32_t to, int32_t *first, int32_t *last,
                  struct reason *reason) {
    DIR *stream = directory_list(directory, ".");
    if (stream == NULL)
        return FAIL(reason, ERROR_SYSTEM, "cannot list the journal: %s", strerror(errno));
    int found = 0;
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        int32_t day;
        if (strlen(entry->d_name) != SEGMENT_NAME_SIZE - 1 ||
            strcmp(entry->d_name + DAY_SIZE - 1, ".jsonl") != 0 ||
            day_parse(entry->d_name, DAY_SIZE - 1, &day) != 0 || day < from || day > to)
            continue;
        *first = found && *first < day ? *first : day;
        *last = found && *last > day ? *last : day;
        found = 1;
    }
    if (errno != 0)
        found = FAIL(reason, ERROR_SYSTEM, "cannot list the journal: %s", strerror(errno));
    closedir(stream);
    return found;
}
