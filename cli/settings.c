/* What the command line says becomes an environment variable: there is one way for settings to be read. */
#include "settings.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sets the variable to the path, made absolute; the last part of it need not exist. */
static int set_path(const char *name, const char *path) {
    char *absolute = realpath(path, NULL);
    char here[CONFIG_PATH_SIZE], joined[2 * CONFIG_PATH_SIZE];
    if (absolute == NULL && path[0] != '/' && realpath(".", here) != NULL) {
        snprintf(joined, sizeof joined, "%s/%s", here, path);
        path = joined;
    }
    int result = setenv(name, absolute != NULL ? absolute : path, 1);
    free(absolute);
    return result == 0 ? STATUS_DONE : problem("cannot set %s: %s", name, strerror(errno));
}

int settings_export(const struct settings *settings) {
    int status = STATUS_DONE;
    if (settings->conf != NULL)
        status = set_path("DOORPOST_CONF", settings->conf);
    if (status == STATUS_DONE && settings->journal != NULL)
        status = set_path("DOORPOST_JOURNAL", settings->journal);
    if (status == STATUS_DONE && settings->key_file != NULL)
        status = set_path("DOORPOST_KEY_FILE", settings->key_file);
    return status;
}

int settings_load(const struct settings *settings, unsigned needs, struct config *config) {
    struct reason reason = {""};
    if (settings_export(settings) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (config_read(config, &reason) != 0)
        return problem("%s", reason.text);
    if ((needs & NEED_JOURNAL) != 0 && config->journal[0] == '\0')
        return problem("which journal? Say --journal DIR, or --conf FILE with the handler's settings");
    if ((needs & NEED_KEYS) != 0 && config->key_file[0] == '\0')
        return problem("which keys? Say --key-file FILE, or --conf FILE with the handler's settings");
    return STATUS_DONE;
}

int settings_become_owner(const struct config *config) {
    struct stat status;
    if (geteuid() != 0 || stat(config->journal, &status) != 0 || status.st_uid == 0)
        return STATUS_DONE;
    if (setgroups(0, NULL) != 0 || setgid(status.st_gid) != 0 || setuid(status.st_uid) != 0)
        return problem("cannot become the owner of %s: %s", config->journal, strerror(errno));
    return STATUS_DONE;
}

struct keys *settings_keys(const struct config *config) {
    struct reason reason = {""};
    struct keys *keys = keys_alloc();
    if (keys == NULL) {
        problem("no memory for the keys");
        return NULL;
    }
    if (keys_load(keys, config->key_file, &reason) != 0) {
        problem("%s", reason.text);
        keys_free(keys);
        return NULL;
    }
    return keys;
}
