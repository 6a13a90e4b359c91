#include "processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 1024
#define ENVIRONMENT_SIZE 65536

static bool is_called(const char *process, const char *const *names) {
    char link[64], program[4096];
    snprintf(link, sizeof link, "/proc/%.20s/exe", process);
    ssize_t length = readlink(link, program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(program, '/'), *deleted = strstr(program, " (deleted)"); /* after an upgrade */
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

size_t processes_read(const char *process, const char *name, char *out, size_t size) {
    char path[64];
    size_t length = 0;
    ssize_t got = 0;
    snprintf(path, sizeof path, "/proc/%.16s/%s", process, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0)
        length += (size_t)got;
    out[length] = '\0';
    if (fd >= 0)
        close(fd);
    return length;
}

/* Returns true if the process was started with the name of that env file. */
static bool has_settings(const char *process, const struct config *config) {
    static const char name[] = "DOORPOST_CONF=";
    static char environment[ENVIRONMENT_SIZE];
    size_t length = processes_read(process, "environ", environment, sizeof environment);
    for (const char *at = environment; at < environment + length; at += strlen(at) + 1)
        if (strncmp(at, name, sizeof name - 1) == 0)
            return strcmp(at + sizeof name - 1, config->file) == 0;
    return length > 0 && strcmp(config->file, CONFIG_DEFAULT_FILE) == 0;
}

/* The user and groups of a process. */
struct rights {
    unsigned uid, gid; /* effective IDs */
    gid_t groups[GROUPS_MAX];
    size_t count;
};

static void read_groups(const char *text, struct rights *rights) {
    char *end;
    for (rights->count = 0; rights->count < GROUPS_MAX; rights->count++, text = end) {
        gid_t group = (gid_t)strtoul(text, &end, 10);
        if (end == text)
            return;
        rights->groups[rights->count] = group;
    }
}

static bool read_rights(const char *process, struct rights *rights) {
    static char line[16 * GROUPS_MAX];
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%.20s/status", process);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found += sscanf(line, "Uid: %*u %u", &rights->uid) == 1;
        found += sscanf(line, "Gid: %*u %u", &rights->gid) == 1;
        if (strncmp(line, "Groups:", 7) == 0) {
            read_groups(line + 7, rights);
            found++;
        }
    }
    if (file != NULL)
        fclose(file);
    return found == 3;
}

/* The predicate of a search, applied to each process that has one of the names. */
typedef bool predicate(const char *process, const struct rights *rights, const struct config *config);

static bool is_worker(const char *process, const struct rights *rights, const struct config *config) {
    struct stat journal;
    (void)rights;
    return (stat(config->journal, &journal) == 0 && has_open(process, &journal)) ||
           has_settings(process, config);
}

static bool is_not_root(const char *process, const struct rights *rights, const struct config *config) {
    (void)process, (void)config;
    return rights->uid != 0;
}

static pid_t find(const char *const *names, predicate *accepts, const struct config *config,
                  struct user *user) {
    static struct rights rights;
    DIR *stream = opendir("/proc");
    const struct dirent *entry;
    pid_t process = 0;
    while (stream != NULL && process == 0 && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_called(entry->d_name, names) &&
            read_rights(entry->d_name, &rights) && accepts(entry->d_name, &rights, config))
            process = (pid_t)atoi(entry->d_name);
    if (stream != NULL)
        closedir(stream);
    if (process != 0)
        user_with_id(rights.uid, user);
    return process;
}

pid_t processes_find_worker(const struct config *config, struct user *user) {
    static const char *const names[] = {"doorpost.cgi", NULL};
    return find(names, is_worker, config, user);
}

pid_t processes_find_server(struct user *user) {
    static const char *const names[] = {"lighttpd", "apache2", "httpd", "nginx", NULL};
    return find(names, is_not_root, NULL, user);
}

int processes_become(pid_t process) {
    static struct rights rights;
    char name[24];
    snprintf(name, sizeof name, "%ld", (long)process);
    if (!read_rights(name, &rights) || rights.uid == 0) {
        errno = ESRCH;
        return -1;
    }
    return setgroups(rights.count, rights.groups) == 0 && setgid(rights.gid) == 0 && setuid(rights.uid) == 0
               ? 0
               : -1;
}
