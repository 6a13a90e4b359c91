/* Command-line settings become environment variables, so that settings are read in only one way. */
#include "settings.h"

#include "permission.h"
#include "privilege.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sets the variable to the absolute path; the last component need not exist. */
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

/* Puts command-line settings into the environment, where config_read() finds them. */
static int settings_export(const struct settings *settings) {
    int status = STATUS_DONE;
    if (settings->conf != NULL)
        status = set_path("DOORPOST_CONF", settings->conf);
    if (status == STATUS_DONE && settings->journal != NULL)
        status = set_path("DOORPOST_JOURNAL", settings->journal);
    if (status == STATUS_DONE && settings->key_file != NULL)
        status = set_path("DOORPOST_KEY_FILE", settings->key_file);
    return status;
}

/* Explains how to supply a missing setting. */
static int explain_missing(const struct config *config, const char *name, const char *option,
                           struct reason *reason) {
    char program[CONFIG_PATH_SIZE] = "";
    config_program_directory(program);
    if (config->file[0] != '\0')
        return FAIL(reason, ERROR_SYSTEM,
                    "%s is not set in %.200s or in the environment: set it, or use %s%s%s", name,
                    config->file, option, config->warning.text[0] != '\0' ? "; " : "", config->warning.text);
    return FAIL(reason, ERROR_SYSTEM,
                "%s is not set: there are no settings in the environment, in doorpost/doorpost.env in or "
                "above %.64s, or in " CONFIG_DEFAULT_FILE
                ". Create them: sudo doorpost init /etc/doorpost --journal /var/lib/doorpost (without root: "
                "doorpost init ~/doorpost); or use --conf FILE or %s",
                name, program, option);
}

int settings_read(const struct settings *settings, unsigned needs, struct config *config,
                  struct reason *reason) {
    bool has_all = settings->conf == NULL && ((needs & NEED_JOURNAL) == 0 || settings->journal != NULL) &&
                   ((needs & NEED_KEYS) == 0 || settings->key_file != NULL);
    char hint[HINT_SIZE];
    reason->text[0] = '\0';
    if (settings_export(settings) != STATUS_DONE)
        return FAIL(reason, ERROR_SYSTEM, "cannot apply the command line");
    if (privilege_trust_settings(reason) != 0)
        return ERROR_SYSTEM;
    int result = config_read(config, reason);
    if (result != 0 && config->file[0] != '\0') {
        size_t used = strlen(reason->text);
        snprintf(reason->text + used, sizeof reason->text - used, "%s", permission_hint(config->file, hint));
    }
    if (result != 0 && has_all && setenv("DOORPOST_CONF", "/dev/null", 1) == 0) {
        struct reason second;
        result = config_read(config, &second);
    }
    if (result != 0)
        return result;
    if ((needs & NEED_KEYS) != 0 && config->key_file[0] == '\0')
        return explain_missing(config, "DOORPOST_KEY_FILE", "--key-file FILE", reason);
    if ((needs & NEED_JOURNAL) != 0 && config->journal[0] == '\0')
        return explain_missing(config, "DOORPOST_JOURNAL", "--journal DIR", reason);
    return 0;
}

int settings_load(const struct settings *settings, unsigned needs, struct config *config) {
    struct reason reason;
    char hint[HINT_SIZE];
    if (settings_read(settings, needs, config, &reason) != 0)
        return problem("%s", reason.text);
    if (reason.text[0] != '\0')
        problem("warning: %s; using the command line only", reason.text);
    if ((needs & NEED_JOURNAL) != 0 && permission_hint(config->journal, hint)[0] != '\0')
        return problem("cannot open the journal directory %s: %s%s", config->journal, strerror(EACCES), hint);
    if ((needs & NEED_JOURNAL) != 0 && privilege_drop(config, &reason) != 0)
        return problem("%s", reason.text);
    return STATUS_DONE;
}

struct keys *settings_keys(const struct config *config) {
    char hint[HINT_SIZE];
    struct reason reason = {""};
    struct keys *keys = keys_alloc();
    if (keys == NULL) {
        problem("out of memory for the keys");
        return NULL;
    }
    if (privilege_trust_keys(config, &reason) != 0 || keys_load(keys, config->key_file, &reason) != 0) {
        problem("%s%s", reason.text, permission_hint(config->key_file, hint));
        keys_free(keys);
        return NULL;
    }
    return keys;
}
