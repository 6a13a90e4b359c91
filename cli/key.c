/* doorpost key: rotation of signing keys. While the file has two keys, deliveries signed with either are
 * accepted. The file is replaced as a whole, so no delivery ever sees a partial one. */
#include "invisible.h"
#include "keys.h"
#include "privilege.h"
#include "regular.h"
#include "secret.h"
#include "settings.h"
#include "terminal.h"
#include "trust.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    struct settings settings;
    bool json;
    const char *from;
};

static const char *reading_name(enum reading reading) {
    return reading == READING_TEXT ? "text" : "base64";
}

static int list_json(const struct keys *keys) {
    struct json_object *all = json_object_new_array();
    for (size_t i = 0; all != NULL && i < keys_count(keys); i++) {
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "fingerprint", json_object_new_string(keys_fingerprint(keys, i)));
        json_object_object_add(one, "reading", json_object_new_string(reading_name(keys_reading(keys, i))));
        json_object_object_add(one, "line", json_object_new_int(keys_line(keys, i)));
        json_object_array_add(all, one);
    }
    int status = print_json(all);
    json_object_put(all);
    return status;
}

static int list(const struct options *options, const struct config *config) {
    struct keys *keys = settings_keys(config);
    int status = STATUS_DONE;
    if (keys == NULL)
        return STATUS_PROBLEM;
    if (options->json)
        status = list_json(keys);
    for (size_t i = 0; i < keys_count(keys) && !options->json; i++)
        printf("%s%s%s  line %d as %s\n", colour(COLOUR_NAME), keys_fingerprint(keys, i), colour(COLOUR_NONE),
               keys_line(keys, i), reading_name(keys_reading(keys, i)));
    keys_free(keys);
    return status;
}

/* Resolves symbolic links. A file that does not exist yet is its own target. */
static int find_target(const char *file, char path[PATH_MAX]) {
    struct stat status;
    if (realpath(file, path) != NULL)
        return 0;
    if (errno != ENOENT || lstat(file, &status) == 0)
        return -1;
    return snprintf(path, PATH_MAX, "%s", file) < PATH_MAX ? 0 : -1;
}

/* Opens the file to change: the target, if the operator has made it a symbolic link. Root follows no link
 * that another user could have made. Returns the descriptor of its directory, or -1 after printing the
 * reason. */
static int open_target(const struct config *config, char path[PATH_MAX], char name[PATH_MAX]) {
    char directory[PATH_MAX];
    struct reason reason = {""};
    int fd = -1;
    if (privilege_trust_keys(config, &reason) == 0) {
        if (find_target(config->key_file, path) != 0)
            explain(&reason, "cannot write %s: %s", config->key_file, strerror(errno));
        else if (trust_split(path, directory, name, PATH_MAX, &reason) == 0 &&
                 (fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            explain(&reason, "cannot open %s: %s", directory, strerror(errno));
    }
    if (fd < 0)
        problem("%s", reason.text);
    return fd;
}

/* Writes the new text of the key file, if the text is a valid key file. */
static int replace(const struct config *config, const char *text, size_t length) {
    char path[PATH_MAX], name[PATH_MAX];
    struct reason reason = {""};
    struct stat status;
    struct keys *keys = keys_alloc();
    int result = keys == NULL || length > KEY_FILE_SIZE
                     ? FAIL(&reason, ERROR_SYSTEM, "the file would be larger than %d bytes", KEY_FILE_SIZE)
                     : keys_parse(keys, text, length, config->key_file, &reason);
    keys_free(keys);
    if (result != 0)
        return problem("nothing was changed: %s", reason.text);
    int directory = open_target(config, path, name);
    if (directory < 0)
        return STATUS_PROBLEM;
    struct ownership ownership = {.uid = geteuid(), .gid = getegid(), .mode = 0600};
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        ownership = (struct ownership){status.st_uid, status.st_gid, status.st_mode & 07777};
    int written = secret_write(directory, name, path, text, length, &ownership);
    close(directory);
    return written;
}

/* The current text of the key file; empty if there is none. Returns NULL after printing the reason. */
static char *current(const struct config *config, size_t *length) {
    struct reason reason = {""};
    char *text = NULL;
    int fd = privilege_trust_keys(config, &reason) != 0
                 ? ERROR_SYSTEM
                 : regular_open(AT_FDCWD, config->key_file, O_RDONLY, &reason);
    *length = 0;
    if (fd >= 0) {
        text = secret_read_fd(fd, config->key_file, length);
        close(fd);
    } else if (fd == ERROR_INVALID)
        text = sodium_malloc(1);
    else
        problem("%s", reason.text);
    return text;
}

/* Finds the line of the key whose fingerprint starts so; either reading of the line will do. */
static int find(const struct keys *keys, const char *fingerprint, int *line) {
    size_t length = strlen(fingerprint);
    *line = 0;
    for (size_t i = 0; i < keys_count(keys); i++) {
        if (length < 4 || strncmp(keys_fingerprint(keys, i), fingerprint, length) != 0)
            continue;
        if (*line != 0 && *line != keys_line(keys, i))
            return problem("\"%s\" matches two keys: give all eight digits", fingerprint);
        *line = keys_line(keys, i);
    }
    return *line != 0
               ? STATUS_DONE
               : problem("no key has the fingerprint \"%s\": `doorpost key list` shows them", fingerprint);
}

/* Returns the start of the new key's text, after any byte order mark, or NULL after printing why there is
 * none. */
static const char *new_key(const char *text, size_t length) {
    const char *start = text, *end = text + length, *line;
    unsigned char bytes[KEY_FILE_SIZE];
    size_t key_length, decoded;
    if (memchr(text, '\0', length) != NULL)
        return problem("nothing was added: the new key is UTF-16 or has NUL characters; save it as UTF-8 or "
                       "ASCII"),
               NULL;
    if ((line = keys_next_line(&start, end, &(int){0}, &key_length)) == NULL)
        return problem("nothing was added: the input contains no key"), NULL;
    if (sodium_base642bin(bytes, sizeof bytes, line, key_length, NULL, &decoded, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        problem("warning: the new key is not base64, as Ring's keys are: check that it was pasted "
                "completely, without quotation marks or a name");
    sodium_memzero(bytes, sizeof bytes);
    return strncmp(text, BYTE_ORDER_MARK, 3) == 0 ? text + 3 : text;
}

static int add(const struct options *options, const struct config *config) {
    size_t old_length, length;
    char *old = current(config, &old_length);
    if (old == NULL)
        return STATUS_PROBLEM;
    char *fresh = options->from != NULL ? secret_read(options->from, &length)
                                        : secret_ask("The new HMAC Signing Key (it is not shown): ", &length);
    const char *key = fresh != NULL ? new_key(fresh, length) : NULL;
    int result = STATUS_PROBLEM;
    if (key != NULL) {
        bool line_break = old_length > 0 && old[old_length - 1] != '\n';
        char *text = sodium_malloc(old_length + length + 3);
        if (text != NULL) {
            memcpy(text, old, old_length);
            size_t used = old_length + (size_t)snprintf(text + old_length, length + 3, "%s%s\n",
                                                        line_break ? "\n" : "", key);
            result = replace(config, text, used);
        }
        sodium_free(text);
    }
    sodium_free(fresh);
    sodium_free(old);
    if (result == STATUS_DONE)
        printf("Added to %s. Deliveries signed with it are accepted from now on, as are those signed with "
               "the older keys.\n"
               "When Ring no longer signs with the old key, run: doorpost key retire FINGERPRINT\n",
               config->key_file);
    return result;
}

/* Copies the text without line `line`; returns the new length. */
static size_t leave_out(const char *text, size_t length, int line, char *out) {
    const char *end = text + length;
    size_t used = 0;
    for (int number = 1; text < end; number++) {
        const char *line_break = memchr(text, '\n', (size_t)(end - text));
        size_t taken = line_break != NULL ? (size_t)(line_break + 1 - text) : (size_t)(end - text);
        if (number != line) {
            memcpy(out + used, text, taken);
            used += taken;
        }
        text += taken;
    }
    return used;
}

static int retire(const struct config *config, const char *fingerprint) {
    struct keys *keys = settings_keys(config);
    size_t length;
    int line, result = STATUS_PROBLEM;
    if (keys == NULL)
        return STATUS_PROBLEM;
    int found = find(keys, fingerprint, &line);
    keys_free(keys);
    if (found != STATUS_DONE)
        return found;
    char *old = current(config, &length);
    char *text = old != NULL ? sodium_malloc(length + 1) : NULL;
    if (text != NULL)
        result = replace(config, text, leave_out(old, length, line, text));
    sodium_free(text);
    sodium_free(old);
    if (result == STATUS_DONE)
        printf("Retired: deliveries signed with it are answered 401 from now on.\n");
    return result;
}

static int key_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    int first = options_parse(argc, argv, &verb_key, &options);
    const char *what = first < argc ? argv[first] : "list";
    const char *which = first + 1 < argc ? argv[first + 1] : NULL;
    bool retires = strcmp(what, "retire") == 0;
    if (strcmp(what, "list") != 0 && strcmp(what, "add") != 0 && !retires)
        usage_error("unknown action \"%s\": use key list, key add or key retire", what);
    if (retires != (which != NULL))
        usage_error(retires ? "no fingerprint given: see `doorpost key list`"
                            : "unexpected argument \"%s\"; do not pass a key on the command line",
                    which);
    if (settings_load(&options.settings, NEED_KEYS, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (retires)
        return retire(&config, which);
    return strcmp(what, "add") == 0 ? add(&options, &config) : list(&options, &config);
}

static const struct option_spec table[] = {
    {0, "json", OPTION_FLAG, NULL, "list as one JSON array", AT(json)},
    {0, "from", OPTION_TEXT, "FILE", "add the key in this file (-: standard input)", AT(from)},
    OPTION_CONF,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_key = {
    .name = "key",
    .summary = "list, add and retire signing keys",
    .synopsis = "list [--json] | add [--from FILE] | retire FINGERPRINT",
    .what = "list shows the fingerprint (the start of the SHA-256) of each reading of each key, but not the "
            "keys.\n"
            "add asks for a key and adds it; retire removes one.",
    .operands = {"list add retire", "FINGERPRINT"},
    .options = table,
    .run = key_main,
};
