/* In /proc (proc(5)), a running worker's standard error is a link to a file, a journald socket, or a pipe to
 * its web server. */
#include "log_location.h"

#include "processes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Finds where the process's standard error goes; "" if nowhere. */
static void find_end(const char *pid, char out[LOG_LOCATION_SIZE]) {
    char path[64], target[LOG_LOCATION_SIZE], group[1024];
    snprintf(path, sizeof path, "/proc/%.16s/fd/2", pid);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    out[0] = '\0';
    processes_read(pid, "cgroup", group, sizeof group);
    char *unit = strstr(group, ".service");
    if (target[0] == '/' && strcmp(target, "/dev/null") != 0)
        snprintf(out, LOG_LOCATION_SIZE, "%s", target);
    else if (strncmp(target, "socket:", 7) == 0 && unit != NULL) {
        *unit = '\0';
        const char *slash = strrchr(group, '/');
        snprintf(out, LOG_LOCATION_SIZE, "journalctl -u %s", slash != NULL ? slash + 1 : "doorpost");
    }
}

static bool inspect_worker(const struct config *config, char out[LOG_LOCATION_SIZE]) {
    struct user user;
    char process[24];
    pid_t worker = processes_find_worker(config, &user);
    snprintf(process, sizeof process, "%ld", (long)worker);
    out[0] = '\0';
    if (worker != 0)
        find_end(process, out);
    return out[0] != '\0';
}

static void guess_location(const struct config *config, char out[LOG_LOCATION_SIZE]) {
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
    if (inspect_worker(config, out))
        return;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (access(usual[i].sign, F_OK) == 0 && strstr(out, usual[i].place) == NULL)
            used += (size_t)snprintf(out + used, LOG_LOCATION_SIZE - used, "%s%s", used > 0 ? " or " : "",
                                     usual[i].place);
    if (used == 0)
        snprintf(out, LOG_LOCATION_SIZE, "the error log of the web server, or in the hosting panel");
}

const char *log_location(const struct config *config, char out[LOG_LOCATION_SIZE]) {
    guess_location(config, out);
    if (config->log == LOG_OFF)
        strncat(out, ", if DOORPOST_LOG is not off", LOG_LOCATION_SIZE - 1 - strlen(out));
    return out;
}
