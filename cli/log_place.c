/* A running worker's standard error is, in /proc (proc(5)), a link to a file, or a socket of journald's, or a
 * pipe to its web server. */
#define _GNU_SOURCE /* memmem */
#include "log_place.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVIRONMENT_SIZE 65536

static size_t read_file(const char *pid, const char *name, char *out, size_t size) {
    char path[64];
    size_t length = 0;
    ssize_t got = 0;
    snprintf(path, sizeof path, "/proc/%.16s/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0)
        length += (size_t)got;
    out[length] = '\0';
    if (fd >= 0)
        close(fd);
    return length;
}

/* Is it a handler that has these settings? */
static bool is_worker(const char *pid, const struct config *config) {
    static const char name[] = "DOORPOST_CONF=";
    static char environment[ENVIRONMENT_SIZE];
    char command[32];
    read_file(pid, "comm", command, sizeof command);
    if (strcmp(command, "doorpost.cgi\n") != 0)
        return false;
    size_t length = read_file(pid, "environ", environment, sizeof environment);
    for (const char *at = environment; at < environment + length; at += strlen(at) + 1)
        if (strncmp(at, name, sizeof name - 1) == 0)
            return strcmp(at + sizeof name - 1, config->file) == 0;
    return length > 0 && strcmp(config->file, CONFIG_DEFAULT_FILE) == 0;
}

/* Where the process's standard error goes, or "" if that leads nowhere. */
static void find_end(const char *pid, char out[LOG_PLACE_SIZE]) {
    char path[64], target[LOG_PLACE_SIZE], group[1024];
    snprintf(path, sizeof path, "/proc/%.16s/fd/2", pid);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    out[0] = '\0';
    read_file(pid, "cgroup", group, sizeof group);
    char *unit = strstr(group, ".service");
    if (target[0] == '/' && strcmp(target, "/dev/null") != 0)
        snprintf(out, LOG_PLACE_SIZE, "%s", target);
    else if (strncmp(target, "socket:", 7) == 0 && unit != NULL) {
        *unit = '\0';
        const char *slash = strrchr(group, '/');
        snprintf(out, LOG_PLACE_SIZE, "journalctl -u %s", slash != NULL ? slash + 1 : "doorpost");
    }
}

static bool ask_worker(const struct config *config, char out[LOG_PLACE_SIZE]) {
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    out[0] = '\0';
    while (processes != NULL && out[0] == '\0' && (entry = readdir(processes)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && is_worker(entry->d_name, config))
            find_end(entry->d_name, out);
    if (processes != NULL)
        closedir(processes);
    return out[0] != '\0';
}

static void find_place(const struct config *config, char out[LOG_PLACE_SIZE]) {
    static const struct {
        const char *sign, *place;
    } usual[] = {
        {"/etc/systemd/system/doorpost.service", "journalctl -u doorpost"},
        {"/lib/systemd/system/doorpost.service", "journalctl -u doorpost"},
        {"/var/log/lighttpd", "/var/log/lighttpd/"},
        {"/var/log/apache2", "/var/log/apache2/error.log"},
        {"/var/log/httpd", "/var/log/httpd/error_log"},
        {"/var/log/nginx", "/var/log/nginx/error.log"},
    };
    size_t used = 0;
    if (ask_worker(config, out))
        return;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (access(usual[i].sign, F_OK) == 0 && strstr(out, usual[i].place) == NULL)
            used += (size_t)snprintf(out + used, LOG_PLACE_SIZE - used, "%s%s", used > 0 ? " or " : "",
                                     usual[i].place);
    if (used == 0)
        snprintf(out, LOG_PLACE_SIZE, "the error log of the web server, or of the host's panel");
}

const char *log_place(const struct config *config, char out[LOG_PLACE_SIZE]) {
    find_place(config, out);
    if (config->log == LOG_OFF)
        strncat(out, ", once DOORPOST_LOG is not off", LOG_PLACE_SIZE - 1 - strlen(out));
    return out;
}
