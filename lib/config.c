/* An env file has one KEY=value per line, as in systemd's EnvironmentFile= and dotenv: blank lines and lines
 * that start with # or ; are ignored, "export " before the name is allowed, and a value may be in single or
 * double quotes (in double quotes, a backslash escapes the next character). Nothing is expanded. A leading
 * byte order mark is skipped.
 *
 * Readers disagree on a # after a value: systemd includes it in the value, others treat it as a comment. And
 * an invisible character silently changes a name or value. Both are rejected in lines that contain DOORPOST_.
 *
 * On a shared host it may be impossible to pass an environment to a CGI program: SetEnv can be forbidden, and
 * suEXEC drops unknown variables. So the directories above the program are also searched for an env file: for
 * /home/me/public_html/cgi-bin/doorpost.cgi it is /home/me/doorpost/doorpost.env. */
#include "config.h"

#include "invisible.h"
#include "nearest.h"
#include "regular.h"
#include "timestamp.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE (CONFIG_PATH_SIZE + 64)

extern char **environ;

/* The length of a path's directory part, including the final slash. */
static size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash + 1 - path);
}

/* `file` is the env file that contains the setting, or "". */
typedef int set(struct config *config, const char *file, const char *name, const char *value,
                struct reason *reason);

static int set_path(char out[CONFIG_PATH_SIZE], const char *file, const char *name, const char *value,
                    struct reason *reason) {
    size_t base = value[0] == '/' ? 0 : directory_length(file);
    if (value[0] != '/' && file[0] != '/')
        return FAIL(reason, ERROR_SYSTEM, "%s must be an absolute path, starting with /", name);
    if (base + strlen(value) >= CONFIG_PATH_SIZE)
        return FAIL(reason, ERROR_SYSTEM, "%s is longer than %d bytes: use a shorter path", name,
                    CONFIG_PATH_SIZE - 1);
    memcpy(out, file, base);
    memcpy(out + base, value, strlen(value) + 1);
    return 0;
}

static int set_key_file(struct config *config, const char *file, const char *name, const char *value,
                        struct reason *reason) {
    return set_path(config->key_file, file, name, value, reason);
}

static int set_journal(struct config *config, const char *file, const char *name, const char *value,
                       struct reason *reason) {
    return set_path(config->journal, file, name, value, reason);
}

static int set_on_event(struct config *config, const char *file, const char *name, const char *value,
                        struct reason *reason) {
    (void)file;
    if (strlen(value) >= sizeof config->on_event)
        return FAIL(reason, ERROR_SYSTEM, "%s is longer than %zu bytes: put the command in a script", name,
                    sizeof config->on_event - 1);
    memcpy(config->on_event, value, strlen(value) + 1);
    return 0;
}

static int set_max_body(struct config *config, const char *file, const char *name, const char *value,
                        struct reason *reason) {
    int64_t number;
    (void)file;
    if (strspn(value, "0123456789") != strlen(value) || duration_parse(value, &number) != 0 || number < 1 ||
        number > BODY_LIMIT)
        return FAIL(reason, ERROR_SYSTEM, "%s must be a number of bytes from 1 to %d", name, BODY_LIMIT);
    config->max_body = (size_t)number;
    return 0;
}

static int set_max_age(struct config *config, const char *file, const char *name, const char *value,
                       struct reason *reason) {
    (void)file;
    if (strcmp(value, "off") == 0)
        config->max_age = 0;
    else if (duration_parse(value, &config->max_age) != 0)
        return FAIL(reason, ERROR_SYSTEM,
                    "%s must be off, a number of seconds, or a number with s, m, h or d, such as 8d", name);
    return 0;
}

static int set_log(struct config *config, const char *file, const char *name, const char *value,
                   struct reason *reason) {
    static const char *const names[] = {[LOG_OFF] = "off", [LOG_PROBLEMS] = "problems", [LOG_ALL] = "all"};
    (void)file;
    for (size_t level = 0; level < sizeof names / sizeof *names; level++)
        if (strcmp(value, names[level]) == 0) {
            config->log = (enum log_level)level;
            return 0;
        }
    return FAIL(reason, ERROR_SYSTEM, "%s must be problems, all or off", name);
}

static int set_door(struct config *config, const char *file, const char *name, const char *value,
                    struct reason *reason) {
    return set_path(config->door, file, name, value, reason);
}

static int set_client_file(struct config *config, const char *file, const char *name, const char *value,
                           struct reason *reason) {
    return set_path(config->client_file, file, name, value, reason);
}

static int set_ca(struct config *config, const char *file, const char *name, const char *value,
                  struct reason *reason) {
    return set_path(config->ca, file, name, value, reason);
}

/* Tokens are sent there, so the URL is https:// and says exactly where: no user, query or fragment. */
static int set_url(char out[CONFIG_URL_SIZE], const char *name, const char *value, struct reason *reason) {
    size_t length = strlen(value);
    bool good = strncmp(value, "https://", 8) == 0 && length > 8 && value[8] != '/' &&
                value[length - 1] != '/' && strpbrk(value, "?#@\\\"") == NULL;
    for (size_t i = 0; i < length; i++)
        good = good && value[i] > ' ' && value[i] <= '~';
    if (!good)
        return FAIL(
            reason, ERROR_SYSTEM,
            "%s must be a URL that begins with https:// and has no slash at its end and no query, as in %s",
            name, API_DEFAULT);
    if (length >= CONFIG_URL_SIZE)
        return FAIL(reason, ERROR_SYSTEM, "%s is longer than %d bytes: use a shorter URL", name,
                    CONFIG_URL_SIZE - 1);
    memcpy(out, value, length + 1);
    return 0;
}

static int set_api(struct config *config, const char *file, const char *name, const char *value,
                   struct reason *reason) {
    (void)file;
    return set_url(config->api, name, value, reason);
}

static int set_oauth(struct config *config, const char *file, const char *name, const char *value,
                     struct reason *reason) {
    (void)file;
    return set_url(config->oauth, name, value, reason);
}

static int set_door_hold(struct config *config, const char *file, const char *name, const char *value,
                         struct reason *reason) {
    (void)file;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 4 || value[digits] != '\0' || atoi(value) > HOLD_LIMIT)
        return FAIL(reason, ERROR_SYSTEM, "%s must be a number of requests from 0 to %d", name, HOLD_LIMIT);
    config->door_hold = atoi(value);
    return 0;
}

static int set_door_login(struct config *config, const char *file, const char *name, const char *value,
                          struct reason *reason) {
    (void)file;
    if (strcmp(value, "password") != 0 && strcmp(value, "remote-user") != 0)
        return FAIL(reason, ERROR_SYSTEM, "%s must be password or remote-user", name);
    config->door_login = value[0] == 'p' ? LOGIN_PASSWORD : LOGIN_REMOTE_USER;
    return 0;
}

static const struct {
    const char *name;
    set *set; /* NULL: already handled by config_find() */
} settings[] = {{"DOORPOST_KEY_FILE", set_key_file},
                {"DOORPOST_JOURNAL", set_journal},
                {"DOORPOST_MAX_BODY", set_max_body},
                {"DOORPOST_MAX_AGE", set_max_age},
                {"DOORPOST_LOG", set_log},
                {"DOORPOST_ON_EVENT", set_on_event},
                {"DOORPOST_DOOR", set_door},
                {"DOORPOST_CLIENT_FILE", set_client_file},
                {"DOORPOST_API", set_api},
                {"DOORPOST_OAUTH", set_oauth},
                {"DOORPOST_CA", set_ca},
                {"DOORPOST_DOOR_HOLD", set_door_hold},
                {"DOORPOST_DOOR_LOGIN", set_door_login},
                {"DOORPOST_CONF", NULL}};
#define SETTINGS (sizeof settings / sizeof *settings)

/* The file may contain other programs' variables, so a name that is close to a setting takes precedence in
 * the warning. */
static void warn_unknown(struct config *config, const char *name) {
    struct nearest nearest;
    char hint[NEAREST_SIZE];
    bool ours = strncmp(name, "DOORPOST_", 9) == 0;
    nearest_start(&nearest, name);
    for (size_t i = 0; i < SETTINGS; i++)
        nearest_try(&nearest, settings[i].name);
    if (nearest.name != NULL || (ours && config->warning.text[0] == '\0'))
        explain(&config->warning, "unknown setting %.64s ignored%s", name, nearest_hint(&nearest, "", hint));
}

static int set_by_name(struct config *config, const char *file, const char *name, const char *value,
                       struct reason *reason) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(name, settings[i].name) == 0)
            return settings[i].set != NULL ? settings[i].set(config, file, name, value, reason) : 0;
    warn_unknown(config, name);
    return 0;
}

static char *trim(char *text) {
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* Removes quotes in place. Returns false if an opening quote is not closed at the end. */
static bool unquote(char *value) {
    char mark = value[0];
    if (mark != '"' && mark != '\'')
        return true;
    char *out = value;
    const char *in = value + 1;
    while (*in != '\0' && *in != mark) {
        if (mark == '"' && in[0] == '\\' && in[1] != '\0')
            in++;
        *out++ = *in++;
    }
    bool closed = in[0] == mark && in[1] == '\0';
    *out = '\0';
    return closed;
}

/* The # after a value, outside quotes, or NULL. */
static const char *find_comment(const char *value) {
    bool quoted = value[0] == '"' || value[0] == '\'';
    const char *start = quoted ? strrchr(value, value[0]) : value;
    for (const char *at = start; *at != '\0'; at++)
        if (*at == '#' && (at == value || isspace((unsigned char)at[-1])))
            return at;
    return NULL;
}

static int set_from_line(struct config *config, char *line, const char *path, int number,
                         struct reason *reason) {
    char invisible[INVISIBLE_SIZE];
    char *name = trim(line);
    if (name[0] == '\0' || name[0] == '#' || name[0] == ';')
        return 0;
    bool ours = strstr(name, "DOORPOST_") != NULL;
    if (ours && invisible_find(name, strlen(name), invisible))
        return FAIL(reason, ERROR_SYSTEM, "%s, line %d: contains %s: retype the line", path, number,
                    invisible);
    if (strncmp(name, "export ", 7) == 0)
        name = trim(name + 7);
    char *equals = strchr(name, '=');
    if (equals == NULL || equals == name)
        return FAIL(reason, ERROR_SYSTEM, "%s, line %d: expected KEY=value, or a comment starting with #",
                    path, number);
    *equals = '\0';
    char *value = trim(equals + 1);
    if (ours && find_comment(value) != NULL)
        return FAIL(reason, ERROR_SYSTEM,
                    "%s, line %d: comment after a value: put it on its own line, or quote the value if the # "
                    "is part of it",
                    path, number);
    if (!unquote(value))
        return FAIL(reason, ERROR_SYSTEM, "%s, line %d: missing closing quotation mark", path, number);
    return set_by_name(config, path, trim(name), value, reason);
}

static int load_lines(struct config *config, FILE *file, const char *path, struct reason *reason) {
    char line[LINE_SIZE];
    int result = 0;
    for (int number = 1;
         memset(line, 'x', sizeof line), result == 0 && fgets(line, sizeof line, file) != NULL; number++) {
        char *start = number == 1 && strncmp(line, BYTE_ORDER_MARK, 3) == 0 ? line + 3 : line;
        size_t length = strlen(line), end = sizeof line - 1;
        while (line[end] != '\0') /* find the NUL that fgets() wrote */
            end--;
        bool binary = length < end && (length > 0 || number == 1); /* after a crash a file may end in zeros */
        if (binary || (number == 1 && is_utf16(line, length)))
            result = FAIL(reason, ERROR_SYSTEM,
                          "%s is UTF-16 or UTF-32, or contains NUL characters: save it as UTF-8 or ASCII (in "
                          "Notepad: Encoding)",
                          path);
        else if (length == sizeof line - 1 && line[length - 1] != '\n' && !feof(file))
            result =
                FAIL(reason, ERROR_SYSTEM, "%s, line %d: longer than %d bytes", path, number, LINE_SIZE - 2);
        else
            result = set_from_line(config, start, path, number, reason);
    }
    if (result == 0 && ferror(file))
        result = FAIL(reason, ERROR_SYSTEM, "cannot read the settings in %s: %s", path, strerror(errno));
    return result;
}

static int load_file(struct config *config, const char *path, bool required, struct reason *reason) {
    if (strcmp(path, "/dev/null") == 0) /* no env file, by convention */
        return 0;
    int fd = regular_open(AT_FDCWD, path, O_RDONLY, NULL);
    if (fd == ERROR_INVALID && !required)
        return 0;
    if (fd == ERROR_DAMAGED)
        return FAIL(reason, ERROR_SYSTEM, "cannot read the settings in %s: not a regular file", path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (file == NULL) {
        if (fd >= 0)
            close(fd);
        snprintf(config->file, sizeof config->file, "%s", path);
        return FAIL(reason, ERROR_SYSTEM, "cannot read the settings in %s: %s", path, strerror(errno));
    }
    snprintf(config->file, sizeof config->file, "%s", path);
    int result = load_lines(config, file, path, reason);
    fclose(file);
    return result;
}

int config_program_directory(char out[CONFIG_PATH_SIZE]) {
    ssize_t length = readlink("/proc/self/exe", out, CONFIG_PATH_SIZE);
    if (length == CONFIG_PATH_SIZE)
        errno = ENAMETOOLONG;
    if (length <= 0 || length == CONFIG_PATH_SIZE)
        return -1;
    out[length] = '\0';
    out[directory_length(out) - 1] = '\0';
    return 0;
}

static bool is_ours(const struct stat *status) {
    return status->st_uid == geteuid() || status->st_uid == 0;
}

/* Any user can create a directory named "doorpost", so only one owned by root or this process's user counts.
 * Returns 1 with the path of its env file, 0 if there is none, or ERROR_SYSTEM. */
static int find_private_file(char path[CONFIG_PATH_SIZE], struct reason *reason) {
    char above[CONFIG_PATH_SIZE], directory[CONFIG_PATH_SIZE + 16];
    struct stat status, file;
    if (config_program_directory(above) != 0)
        return 0;
    for (char *slash = above + strlen(above); slash != NULL; slash = strrchr(above, '/')) {
        *slash = '\0';
        snprintf(directory, sizeof directory, "%s/doorpost", above);
        if (snprintf(path, CONFIG_PATH_SIZE, "%s/doorpost.env", directory) >= CONFIG_PATH_SIZE ||
            stat(directory, &status) != 0 || !is_ours(&status) || stat(path, &file) != 0 || !is_ours(&file))
            continue;
        if (((status.st_mode | file.st_mode) & (S_IWGRP | S_IWOTH)) != 0)
            return FAIL(reason, ERROR_SYSTEM,
                        "users other than the owner can write to %s: chmod 700 the directory, and chmod 600 "
                        "doorpost.env in it",
                        directory);
        return 1;
    }
    return 0;
}

static int load_environment(struct config *config, struct reason *reason) {
    for (char **entry = environ; *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        char name[32], invisible[INVISIBLE_SIZE];
        if (strncmp(*entry, "DOORPOST_", 9) != 0 || equals == NULL || equals[1] == '\0')
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - *entry), *entry);
        if (invisible_find(*entry, strlen(*entry), invisible))
            return FAIL(reason, ERROR_SYSTEM, "%s in the environment contains %s: retype it", name,
                        invisible);
        int result = set_by_name(config, "", name, equals + 1, reason);
        if (result != 0)
            return result;
    }
    return 0;
}

int config_find(char path[CONFIG_PATH_SIZE], struct reason *reason) {
    const char *named = getenv("DOORPOST_CONF");
    int result = 1;
    if (named == NULL || named[0] == '\0') {
        result = find_private_file(path, reason);
        named = result == 0 ? CONFIG_DEFAULT_FILE : path;
    }
    if (strlen(named) >= CONFIG_PATH_SIZE)
        return FAIL(reason, ERROR_SYSTEM, "DOORPOST_CONF is longer than %d bytes: use a shorter path",
                    CONFIG_PATH_SIZE - 1);
    if (named != path)
        memcpy(path, named, strlen(named) + 1);
    return result;
}

int config_read(struct config *config, struct reason *reason) {
    char path[CONFIG_PATH_SIZE] = "";
    *config = (struct config){.max_body = BODY_DEFAULT,
                              .log = LOG_PROBLEMS,
                              .api = API_DEFAULT,
                              .oauth = OAUTH_DEFAULT,
                              .door_hold = -1};
    int result = config_find(path, reason);
    if (result >= 0)
        result = load_file(config, path, result == 1, reason);
    if (result == 0)
        result = load_environment(config, reason);
    return result;
}

/* Adds any warning: an unknown name may be a misspelling of the missing setting. */
static int fail_missing(const struct config *config, const char *message, struct reason *reason) {
    bool warned = config->warning.text[0] != '\0';
    return FAIL(reason, ERROR_SYSTEM, "%s%s%s", message, warned ? "; " : "", config->warning.text);
}

int config_load(struct config *config, struct reason *reason) {
    int result = config_read(config, reason);
    if (result != 0)
        return result;
    if (config->key_file[0] == '\0')
        return fail_missing(
            config,
            "DOORPOST_KEY_FILE is not set: set it to the path of the file with Ring's HMAC signing key",
            reason);
    if (config->journal[0] == '\0')
        return fail_missing(
            config, "DOORPOST_JOURNAL is not set: set it to the path of the journal directory", reason);
    return 0;
}
