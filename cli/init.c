/* doorpost init: creates everything that the handler needs before its first delivery, in one directory:
 *
 *   DIR/key            Ring's HMAC Signing Key
 *   DIR/journal/       the events
 *   DIR/doorpost.env   the settings, which name the other two
 *
 * With --door, also what the door page needs: its private directory, and DIR/client with the app's client id
 * and secret.
 *
 * Existing files are left unchanged. If run by root, only the journal is given to the web server's user. The
 * rest is owned by root and readable by the user's group, so that user cannot change what root will trust. */
#include "adopt.h"
#include "keys.h"
#include "privilege.h"
#include "regular.h"
#include "ring.h"
#include "secret.h"
#include "settings.h"
#include "terminal.h"
#include "trust.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    const char *key_file, *journal, *door, *client_file, *user;
    bool generate, repair;
};

#define PLAN_PATH_SIZE (CONFIG_PATH_SIZE - 32) /* leaves room for appended names */

struct plan {
    char directory[PLAN_PATH_SIZE], journal[PLAN_PATH_SIZE + 32]; /* absolute */
    char key[PLAN_PATH_SIZE + 32], env[PLAN_PATH_SIZE + 32], client[PLAN_PATH_SIZE + 32];
    char door[PLAN_PATH_SIZE]; /* absolute, or "": no door page */
    int fd;                    /* of the directory */
    bool hand_over;
    struct user web; /* owner of the journal; root if nothing is handed over */
    struct ownership ownership;
};

static bool exists(const struct plan *plan, const char *name) {
    struct stat status;
    return fstatat(plan->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The user that web servers run as on this host. Only root can hand files over. */
static bool find_web_user(const char *named, struct user *user) {
    static const char *const usual[] = {"www-data", "apache", "http", "nginx", "lighttpd", "www"};
    if (named != NULL) {
        if (!user_named(named, user))
            usage_error("unknown user \"%s\"", named);
        if (geteuid() != 0 && user->uid != geteuid())
            usage_error("only root can create files for another user: run this with sudo, or without --user");
        return geteuid() == 0 && user->uid != 0;
    }
    for (size_t i = 0; geteuid() == 0 && i < sizeof usual / sizeof *usual; i++)
        if (user_named(usual[i], user))
            return true;
    return false;
}

/* ---- directories ---- */

/* Creates a directory relative to its parent's descriptor and opens it. Returns the new descriptor, or -1
 * after printing the reason. */
static int make_directory(const char *path) {
    char parent[PATH_MAX], name[PATH_MAX];
    struct reason reason = {""};
    if (trust_split(path, parent, name, sizeof name, &reason) != 0) {
        problem("%s", reason.text);
        return -1;
    }
    int fd = -1, above = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0 && mkdirat(above, name, 0700) == 0 && fsync(above) == 0)
        fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        problem("cannot create %s: %s", path, strerror(errno));
    if (above >= 0)
        close(above);
    return fd;
}

/* Returns 1 if the directory exists, 0 if not, or -1 after printing the reason. Root accepts only a directory
 * that no user except root and `owner` can change or replace, and creates none where another user could do so
 * meanwhile. */
static int is_there(const char *path, const struct user *owner) {
    struct reason reason = {""};
    struct stat status;
    if (geteuid() != 0)
        return stat(path, &status) == 0 || errno != ENOENT;
    int trust = trust_path(path, owner->uid, &reason);
    if (trust == ERROR_SYSTEM)
        return problem("%s", reason.text), -1;
    if (trust == 0)
        return 1;
    if (trust_path(path, 0, &reason) != ERROR_SYSTEM)
        return 0;
    return problem("cannot create %s safely: %s. Create it as that user first: sudo -u %s mkdir %s", path,
                   reason.text, owner->name, path),
           -1;
}

/* Opens a directory, creating it if missing. Returns the descriptor, or -1 after printing the reason. */
static int open_directory(const char *path, const struct user *owner, bool *made) {
    int there = is_there(path, owner);
    *made = there == 0;
    if (there < 0)
        return -1;
    if (*made)
        return make_directory(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        problem("%s exists but is not a directory: choose another one", path);
    else if (fd < 0)
        problem("cannot open %s: %s", path, strerror(errno));
    return fd;
}

/* The absolute path, in a form that the env file can hold. */
static int resolve(const char *path, char out[PLAN_PATH_SIZE]) {
    char *absolute = realpath(path, NULL);
    bool good = absolute != NULL && strlen(absolute) < PLAN_PATH_SIZE && strpbrk(absolute, "\"\\\n") == NULL;
    if (good)
        snprintf(out, PLAN_PATH_SIZE, "%s", absolute);
    else if (absolute == NULL)
        problem("cannot find %s: %s", path, strerror(errno));
    else
        problem(
            "cannot use %s: its path is too long, or contains a quotation mark, a backslash or a line break",
            path);
    free(absolute);
    return good ? STATUS_DONE : STATUS_PROBLEM;
}

/* As resolve(), for an open directory: a user who can change what the path means may just have done so. */
static int resolve_open(const char *path, int fd, char out[PLAN_PATH_SIZE]) {
    struct stat status, named;
    if (resolve(path, out) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (fstat(fd, &status) == 0 && stat(out, &named) == 0 && status.st_ino == named.st_ino &&
        status.st_dev == named.st_dev)
        return STATUS_DONE;
    return problem("%s is being replaced: try again", path);
}

static int lock_down(const struct plan *plan) {
    if (fchown(plan->fd, 0, plan->web.gid) == 0 && fchmod(plan->fd, 0750) == 0)
        return STATUS_DONE;
    return problem("cannot make %s accessible to the group of %s: %s", plan->directory, plan->web.name,
                   strerror(errno));
}

/* Returns true if the web server's user can reach the contents of the directory. */
static bool is_reachable(const struct plan *plan) {
    struct stat status;
    return fstat(plan->fd, &status) == 0 &&
           ((status.st_mode & S_IXOTH) != 0 ||
            (status.st_gid == plan->web.gid && (status.st_mode & S_IXGRP) != 0));
}

/* An existing directory may belong to another user's handler, which would be locked out. */
static int open_to_group(const struct plan *plan, bool made) {
    struct stat status;
    if (!plan->hand_over || (!made && is_reachable(plan)))
        return STATUS_DONE;
    if (!made && fstat(plan->fd, &status) == 0 && status.st_gid != 0)
        return problem("%s is accessible to a group other than that of %s: if it is for another user, use "
                       "--user USER; otherwise chgrp it",
                       plan->directory, plan->web.name);
    return lock_down(plan);
}

static int prepare_directory(struct plan *plan, const char *path) {
    static const struct user root = {.name = "root"};
    bool made;
    plan->fd = open_directory(path, &root, &made);
    if (plan->fd < 0 && geteuid() == 0 && access(path, F_OK) == 0)
        fprintf(stderr, "If an earlier `doorpost init` created it, run: doorpost init --repair %s\n", path);
    if (plan->fd < 0 || resolve_open(path, plan->fd, plan->directory) != STATUS_DONE)
        return STATUS_PROBLEM;
    return open_to_group(plan, made);
}

/* An existing directory owned by root is not given away: it could be anything. */
static int give(const struct plan *plan, int fd, const char *path, const char *what, bool made) {
    struct stat status;
    if (fstat(fd, &status) != 0 || (!made && status.st_uid != plan->web.uid))
        return problem(
            "%s exists but does not belong to %s: chown it to %s to use it as %s, or choose another "
            "one",
            path, plan->web.name, plan->web.name, what);
    if (made && fchown(fd, plan->web.uid, plan->web.gid) != 0)
        return problem("cannot give %s to %s: %s", path, plan->web.name, strerror(errno));
    return STATUS_DONE;
}

/* Prepares a directory that the web server's user owns. */
static int prepare_owned(const struct plan *plan, const char *path, const char *what,
                         char out[PLAN_PATH_SIZE]) {
    bool made;
    int fd = open_directory(path, &plan->web, &made);
    if (fd < 0)
        return STATUS_PROBLEM;
    int status = plan->hand_over ? give(plan, fd, path, what, made) : STATUS_DONE;
    if (status == STATUS_DONE)
        status = resolve_open(path, fd, out);
    close(fd);
    return status;
}

/* ---- files ---- */

static char *generate(size_t *length) {
    unsigned char bytes[RING_KEY_BYTES];
    char *text = sodium_malloc(sodium_base64_ENCODED_LEN(sizeof bytes, sodium_base64_VARIANT_ORIGINAL));
    if (text == NULL)
        return NULL;
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2base64(text, sodium_base64_ENCODED_LEN(sizeof bytes, sodium_base64_VARIANT_ORIGINAL), bytes,
                      sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(bytes, sizeof bytes);
    *length = strlen(text);
    return text;
}

static int write_key(const struct plan *plan, const struct options *options) {
    size_t length = 0;
    struct reason reason = {""};
    char *text = options->generate ? generate(&length)
                 : options->key_file != NULL
                     ? secret_read(options->key_file, &length)
                     : secret_ask("Ring's HMAC Signing Key (it is not shown): ", &length);
    struct keys *keys = keys_alloc();
    char *line = text != NULL && keys != NULL && length < KEY_FILE_SIZE ? sodium_malloc(length + 2) : NULL;
    int status = STATUS_PROBLEM;
    if (line != NULL) {
        memcpy(line, text, length);
        memcpy(line + length, "\n", 2);
        status = keys_parse(keys, line, length + 1, plan->key, &reason) == 0
                     ? secret_write(plan->fd, "key", plan->key, line, length + 1, &plan->ownership)
                     : problem("%s. Nothing was saved: run init again", reason.text);
    }
    sodium_free(line);
    sodium_free(text);
    keys_free(keys);
    return status;
}

/* Reads a file from a directory that root owns by now. A hard link to another user's file would make root
 * publish that file; a link count above one reveals it. Returns the text, or NULL after printing the reason.
 */
static char *read_owned(const struct plan *plan, const char *name, uid_t former, size_t *length) {
    struct reason reason = {""};
    struct stat status;
    int fd = regular_open(plan->fd, name, O_RDONLY, &reason);
    char *text = NULL;
    if (fd < 0 || fstat(fd, &status) != 0)
        problem("%s/%s", plan->directory, reason.text);
    else if ((status.st_uid == 0 || status.st_uid != former) && status.st_nlink != 1)
        problem("%s/%s has other hard links: check that it is the right file, and replace it with a copy",
                plan->directory, name);
    else
        text = secret_read_fd(fd, name, length);
    if (fd >= 0)
        close(fd);
    return text;
}

/* Ring shows an app's client id and client secret once, with the signing key. */
static int write_client(const struct plan *plan, const struct options *options) {
    size_t length = 0, secret_length = 0;
    char *id = options->client_file != NULL ? secret_read(options->client_file, &length)
                                            : secret_ask("Ring's client id (it is not shown): ", &length);
    char *secret = id == NULL || options->client_file != NULL
                       ? NULL
                       : secret_ask("Ring's client secret (it is not shown): ", &secret_length);
    bool complete = id != NULL && (options->client_file != NULL || secret != NULL);
    char *text = complete ? sodium_malloc(length + secret_length + 3) : NULL;
    int status = STATUS_PROBLEM;
    if (text != NULL) {
        int written = secret == NULL ? snprintf(text, length + 1, "%s", id)
                                     : snprintf(text, length + secret_length + 3, "%s\n%s\n", id, secret);
        status = secret_write(plan->fd, "client", plan->client, text, (size_t)written, &plan->ownership);
    }
    sodium_free(text);
    sodium_free(secret);
    sodium_free(id);
    return status;
}

/* Writes the settings, or adds those of the door page to existing ones, which are left unchanged otherwise.
 */
static int write_env(const struct plan *plan) {
    char text[KEY_FILE_SIZE], *existing = NULL;
    size_t length = 0;
    if (exists(plan, "doorpost.env")) {
        existing = plan->door[0] != '\0' ? read_owned(plan, "doorpost.env", 0, &length) : NULL;
        if (existing == NULL || strstr(existing, "DOORPOST_DOOR=") != NULL) {
            printf("%s already exists.\n", plan->env);
            sodium_free(existing);
            return STATUS_DONE;
        }
    }
    char fresh[3 * CONFIG_PATH_SIZE];
    snprintf(fresh, sizeof fresh,
             "# Doorpost's settings; see doorpost.cgi(8). Restart FastCGI workers after a change.\n"
             "DOORPOST_KEY_FILE=\"%s\"\n"
             "DOORPOST_JOURNAL=\"%s\"\n"
             "# DOORPOST_MAX_AGE=8d\n",
             plan->key, plan->journal);
    const char *start = existing != NULL ? existing : fresh;
    size_t used = strlen(start);
    int written = snprintf(text, sizeof text, "%s%s", start, used > 0 && start[used - 1] != '\n' ? "\n" : "");
    if (plan->door[0] != '\0' && written > 0 && (size_t)written < sizeof text)
        written += snprintf(text + written, sizeof text - (size_t)written,
                            "DOORPOST_DOOR=\"%s\"\nDOORPOST_CLIENT_FILE=\"%s\"\n", plan->door, plan->client);
    sodium_free(existing);
    if (written <= 0 || (size_t)written >= sizeof text)
        return problem("%s is too long", plan->env);
    return secret_write(plan->fd, "doorpost.env", plan->env, text, (size_t)written, &plan->ownership);
}

static bool installed(const char *const *paths) {
    for (; *paths != NULL; paths++)
        if (access(*paths, X_OK) == 0)
            return true;
    return false;
}

/* Prints what to paste, for each web server installed on this machine. */
static void print_next_steps(const struct plan *plan) {
    static const char *const lighttpd[] = {"/usr/sbin/lighttpd", "/usr/local/sbin/lighttpd", NULL};
    static const char *const apache[] = {"/usr/sbin/apache2", "/usr/sbin/httpd",
                                         "/usr/local/apache2/bin/httpd", NULL};
    bool has_lighttpd = installed(lighttpd), has_apache = installed(apache);
    printf("\n"
           "Add to the web server's configuration (deploy/ has complete sites):\n");
    if (has_lighttpd || !has_apache)
        printf("  lighttpd, FastCGI:  \"bin-environment\" => ( \"DOORPOST_CONF\" => \"%s\" ),\n", plan->env);
    if (has_apache || !has_lighttpd)
        printf("  Apache, mod_fcgid:  FcgidInitialEnv DOORPOST_CONF %s\n"
               "  Apache, CGI:        SetEnv DOORPOST_CONF %s\n",
               plan->env, plan->env);
    printf("  systemd:            Environment=DOORPOST_CONF=%s (doorpost.service)\n"
           "  spawn-fcgi:         env DOORPOST_CONF=%s spawn-fcgi ...\n\n"
           "Then, once it runs:   doorpost doctor --conf %s --url https://YOUR.HOST/doorpost\n",
           plan->env, plan->env, plan->env);
    if (plan->door[0] != '\0')
        printf("\nThe door page needs a user: doorpost door user add NAME --conf %s\n\n"
               "Register these URLs with Ring:\n"
               "  Webhook URL         https://YOUR.HOST/doorpost\n"
               "  Token Exchange URL  https://YOUR.HOST/door\n"
               "  Account Link URL    https://YOUR.HOST/door\n"
               "  App Homepage URL    https://YOUR.HOST/door\n",
               plan->env);
}

static int create_all(const struct plan *plan, const struct options *options) {
    bool has_key = exists(plan, "key");
    if (has_key && (options->generate || options->key_file != NULL))
        return problem("%s already exists and was left unchanged: add another key with `doorpost key add`",
                       plan->key);
    if (has_key)
        printf("%s already exists.\n", plan->key);
    else if (write_key(plan, options) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (plan->door[0] != '\0' && exists(plan, "client"))
        printf("%s already exists.\n", plan->client);
    else if (plan->door[0] != '\0' && write_client(plan, options) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (write_env(plan) != STATUS_DONE)
        return STATUS_PROBLEM;
    printf("%sReady%s: %s%s%s%s\n  key       %s\n  journal   %s\n  settings  %s\n", colour(COLOUR_GOOD),
           colour(COLOUR_NONE), plan->directory, plan->hand_over ? " (the journal belongs to " : "",
           plan->hand_over ? plan->web.name : "", plan->hand_over ? ", the rest to root)" : "", plan->key,
           plan->journal, plan->env);
    print_next_steps(plan);
    return STATUS_DONE;
}

/* ---- --repair ---- */

/* Reads the settings of an env file, ignoring the environment. */
static int load_settings(const char *path, struct config *config, struct reason *reason) {
    unsetenv("DOORPOST_JOURNAL");
    unsetenv("DOORPOST_KEY_FILE");
    return setenv("DOORPOST_CONF", path, 1) == 0 ? config_load(config, reason) : ERROR_SYSTEM;
}

/* The settings were written by the former owner, who must not be able to direct root to another user's files:
 * the journal must belong to the web server's user, and the key file must be the one in this directory or one
 * that root can trust. */
static int check_settings(const struct plan *plan, const char *path, struct config *config) {
    struct reason reason = {""};
    struct user owner;
    if (load_settings(path, config, &reason) != 0 || privilege_find_owner(config, &owner, &reason) != 0)
        return problem("%s", reason.text);
    if (owner.uid != plan->web.uid)
        return problem(
            "%s names a journal that belongs to %s, not to %s: correct the setting, or the journal's owner",
            plan->env, owner.name, plan->web.name);
    if (strcmp(config->key_file, plan->key) != 0 && privilege_trust_keys(config, &reason) != 0)
        return problem("%s", reason.text);
    return STATUS_DONE;
}

/* Rewrites the file with a new inode, because the former owner may have the old one open for writing. For the
 * env file, also fills in *config. */
static int rewrite(const struct plan *plan, const char *name, const char *path, uid_t former,
                   struct config *config) {
    char staged[] = "doorpost.env.repair", staged_path[PLAN_PATH_SIZE + 64];
    size_t length;
    int status = STATUS_DONE;
    if (!exists(plan, name))
        return problem("%s does not exist", path);
    char *text = read_owned(plan, name, former, &length);
    if (text == NULL)
        return STATUS_PROBLEM;
    snprintf(staged_path, sizeof staged_path, "%s/%s", plan->directory, staged);
    if (path == plan->env) {
        status = secret_write(plan->fd, staged, staged_path, text, length, &plan->ownership);
        if (status == STATUS_DONE)
            status = check_settings(plan, staged_path, config);
        unlinkat(plan->fd, staged, 0);
    }
    if (status == STATUS_DONE)
        status = secret_write(plan->fd, name, path, text, length, &plan->ownership);
    sodium_free(text);
    return status;
}

/* The journal's parent directory may belong to the journal's owner, who can replace anything in it. So the
 * descriptor is checked, and the owner gets what root has created in it. */
static int adopt_journal(const struct plan *plan, const struct config *config) {
    struct stat status;
    int fd = open(config->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return problem("cannot open %s: %s", config->journal, strerror(errno));
    int result = status.st_uid == plan->web.uid
                     ? adopt_all(fd, &plan->web, config->journal)
                     : problem("%s no longer belongs to %s", config->journal, plan->web.name);
    close(fd);
    return result;
}

/* Fails if another user than root could replace the directory. */
static int trust_above(const char *path) {
    char above[PATH_MAX], name[PATH_MAX];
    struct reason reason = {""};
    if (trust_split(path, above, name, sizeof name, &reason) == 0 && trust_path(above, 0, &reason) == 0)
        return STATUS_DONE;
    return problem("%s", reason.text);
}

/* No other user may have chosen where the path leads, or be able to change it. */
static int find_directory(struct plan *plan, const char *path) {
    if (geteuid() != 0)
        return problem("only root can take ownership of the settings and the key: run this with sudo");
    if (trust_above(path) != STATUS_DONE || resolve(path, plan->directory) != STATUS_DONE)
        return STATUS_PROBLEM;
    return trust_above(plan->directory);
}

/* Finds the owner for the journal: the user who owned the directory until now, or, if that is root, the owner
 * of the journal that root's settings name. */
static int find_former(struct plan *plan, uid_t former) {
    static struct config config;
    struct reason reason = {""};
    if (former != 0)
        plan->hand_over = user_with_id(former, &plan->web);
    else if (trust_path(plan->env, 0, &reason) == 0 && load_settings(plan->env, &config, &reason) == 0 &&
             privilege_find_owner(&config, &plan->web, &reason) == 0)
        plan->hand_over = plan->web.uid != 0;
    else
        plan->hand_over = false;
    return plan->hand_over ? STATUS_DONE
                           : problem("cannot find the user that the web server runs as: use --user USER%s%s",
                                     reason.text[0] != '\0' ? ": " : "", reason.text);
}

/* Converts an installation of an earlier release, in which the web server's user owned the settings and the
 * key, and root owned the files that it had created in the journal. */
static int repair(struct plan *plan, const struct options *options) {
    struct stat status;
    static struct config config;
    plan->fd = open(plan->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (plan->fd < 0 || fstat(plan->fd, &status) != 0)
        return problem("cannot open %s: %s", plan->directory, strerror(errno));
    uid_t former = status.st_uid;
    if (options->user == NULL && find_former(plan, former) != STATUS_DONE)
        return STATUS_PROBLEM;
    plan->ownership = (struct ownership){.gid = plan->web.gid, .mode = 0640};
    /* The former owner must not be able to change anything meanwhile. A directory owned by root keeps its
     * permissions until the settings have been checked. */
    if ((former != 0 && lock_down(plan) != STATUS_DONE) ||
        rewrite(plan, "doorpost.env", plan->env, former, &config) != STATUS_DONE ||
        (strcmp(config.key_file, plan->key) == 0 &&
         rewrite(plan, "key", plan->key, former, NULL) != STATUS_DONE) ||
        lock_down(plan) != STATUS_DONE)
        return STATUS_PROBLEM;
    printf("%s, its key and its settings now belong to root, and are readable by the group of %s.\n",
           plan->directory, plan->web.name);
    if (former != 0)
        printf("Until now %s could write to them: check that %s is as you want it.\n", plan->web.name,
               plan->env);
    return adopt_journal(plan, &config);
}

static int create(struct plan *plan, const struct options *options) {
    const char *journal = options->journal != NULL ? options->journal : plan->journal;
    if (prepare_owned(plan, journal, "the journal", plan->journal) != STATUS_DONE ||
        (options->door != NULL &&
         prepare_owned(plan, options->door, "the door page's directory", plan->door) != STATUS_DONE))
        return STATUS_PROBLEM;
    return create_all(plan, options);
}

static int init_main(int argc, char *argv[]) {
    struct options options = {0};
    struct plan plan = {.fd = -1};
    int first = options_parse(argc, argv, &verb_init, &options);
    if (first >= argc)
        usage_error("no directory given: for example, doorpost init ~/doorpost");
    if (options.generate && options.key_file != NULL)
        usage_error("--generate and --key-file cannot be combined");
    if (options.repair &&
        (options.generate || options.key_file != NULL || options.journal != NULL || options.door != NULL))
        usage_error("--repair cannot be combined with --generate, --key-file, --journal or --door");
    if (options.client_file != NULL && options.door == NULL)
        usage_error("--client-file is for the door page: say --door DIR too");
    plan.hand_over = find_web_user(options.user, &plan.web);
    plan.ownership = (struct ownership){geteuid(), plan.hand_over ? plan.web.gid : getegid(),
                                        plan.hand_over ? 0640 : 0600};
    if (options.repair ? find_directory(&plan, argv[first]) : prepare_directory(&plan, argv[first]))
        return STATUS_PROBLEM;
    snprintf(plan.key, sizeof plan.key, "%s/key", plan.directory);
    snprintf(plan.journal, sizeof plan.journal, "%s/journal", plan.directory);
    snprintf(plan.env, sizeof plan.env, "%s/doorpost.env", plan.directory);
    snprintf(plan.client, sizeof plan.client, "%s/client", plan.directory);
    int status = options.repair ? repair(&plan, &options) : create(&plan, &options);
    if (plan.fd >= 0)
        close(plan.fd);
    return status;
}

static const struct option_spec table[] = {
    {'K', "key-file", OPTION_TEXT, "FILE", "take the key from this file (-: standard input)", AT(key_file)},
    {'J', "journal", OPTION_TEXT, "DIR", "store the events there, not in DIR/journal", AT(journal)},
    {0, "door", OPTION_TEXT, "DIR", "set up the door page too, with this private directory", AT(door)},
    {0, "client-file", OPTION_TEXT, "FILE",
     "take Ring's client id and secret from this file, a line each (-: standard input)", AT(client_file)},
    {0, "generate", OPTION_FLAG, NULL, "generate a key for tests; Ring does not know it", AT(generate)},
    {0, "user", OPTION_TEXT, "USER", "the web server's user, if not detected", AT(user)},
    {0, "repair", OPTION_FLAG, NULL, "give settings and key to root, and the journal's files to its owner",
     AT(repair)},
    {0}};

const struct verb verb_init = {
    .name = "init",
    .summary = "create the directories, the key file and the settings",
    .synopsis = "DIR [--key-file FILE | --generate] [--journal DIR] [--door DIR] [--user USER]",
    .what =
        "Creates DIR with a key file, a journal and the settings, and prints the lines for the web server's\n"
        "configuration. Asks for Ring's HMAC Signing Key. DIR must not be under the web root. If root runs "
        "it, the\n"
        "web server's user owns the journal, and can read the rest.",
    .operands = {"DIR"},
    .options = table,
    .run = init_main,
};
