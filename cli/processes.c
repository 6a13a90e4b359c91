#include "processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_called(const char *process, const char *const *names) {
    char link[64], program[4096];
    snprintf(link, sizeof link, "/proc/%.20s/exe", process);
    ssize_t length = readlink(link, program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(program, '/'), *deleted = strstr(program, " (deleted)"); /* by an upgrade */
    if (deleted != NULL)
        *deleted = '\0';
    for (; slash != NULL && *names != NULL; names++)
        if (strcmp(slash + 1, *names) == 0)
            return true;
    return false;
}

static bool has_open(const char *process, const struct stat *holds) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", process);
    DIR *stream = opendir(path);
    const struct dirent *entry;
    struct stat status;
    bool found = false;
    while (stream != NULL && !found && (entry = readdir(stream)) != NULL)
        found = fstatat(dirfd(stream), entry->d_name, &status, 0) == 0 && status.st_ino == holds->st_ino &&
                status.st_dev == holds->st_dev;
    if (stream != NULL)
        closedir(stream);
    return found;
}

static uid_t uid_of(const char *process) {
    char path[64], line[256];
    unsigned uid = 0;
    snprintf(path, sizeof path, "/proc/%.20s/status", process);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Uid: %*u %u", &uid) == 1) /* the effective one */
            break;
    if (file != NULL)
        fclose(file);
    return uid;
}

bool processes_find(const char *const *names, const struct stat *holds, struct user *user) {
    DIR *stream = opendir("/proc");
    const struct dirent *entry;
    uid_t uid = 0;
    while (stream != NULL && uid == 0 && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_called(entry->d_name, names) &&
            (holds == NULL || has_open(entry->d_name, holds)))
            uid = uid_of(entry->d_name);
    if (stream != NULL)
        closedir(stream);
    if (uid != 0)
        user_with_id(uid, user);
    return uid != 0;
}
