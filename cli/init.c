/* doorpost init: everything that the handler needs before its first delivery, in one directory:
 *
 *   DIR/key            Ring's HMAC Signing Key
 *   DIR/journal/       the events
 *   DIR/doorpost.env   the settings, which name the two
 *
 * What is there already is left as it is. */
#include "keys.h"
#include "secret.h"
#include "settings.h"
#include "terminal.h"
#include "user.h"
#include "verbs.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    const char *key_file, *journal, *user;
    bool generate;
};

#define PLAN_PATH_SIZE (CONFIG_PATH_SIZE - 32) /* names are put behind it */

struct plan {
    char directory[PLAN_PATH_SIZE], journal[PLAN_PATH_SIZE + 32]; /* absolute */
    char key[PLAN_PATH_SIZE + 32], env[PLAN_PATH_SIZE + 32];
    const struct passwd *owner; /* NULL: who runs this */
};

static bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

/* The user that web servers run as here. Only root can hand files over. */
static const struct passwd *web_user(const char *named) {
    static const char *const usual[] = {"www-data", "apache", "http", "nginx", "lighttpd", "www"};
    const struct passwd *user = NULL;
    if (named != NULL) {
        user = user_named(named);
        if (user == NULL)
            usage_error("there is no user \"%s\"", named);
        if (geteuid() != 0 && user->pw_uid != geteuid())
            usage_error("only root can make files of another user: run it through sudo, or without --user");
        return user;
    }
    for (size_t i = 0; geteuid() == 0 && user == NULL && i < sizeof usual / sizeof *usual; i++)
        user = user_named(usual[i]);
    return user;
}

static int make_directory(const char *path, const struct passwd *owner) {
    struct stat status;
    if (mkdir(path, 0700) == 0 ? secret_sync_name(path) != 0 : errno != EEXIST)
        return problem("cannot make %s: %s", path, strerror(errno));
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return problem("%s is there and is no directory: choose another one", path);
    if (owner != NULL && (status.st_uid != owner->pw_uid) && chown(path, owner->pw_uid, owner->pw_gid) != 0)
        return problem("cannot give %s to %s: %s", path, owner->pw_name, strerror(errno));
    return STATUS_DONE;
}

static char *generate(size_t *length) {
    unsigned char bytes[32];
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

static int give(const char *path, const struct passwd *owner) {
    if (owner != NULL && chown(path, owner->pw_uid, owner->pw_gid) != 0)
        return problem("cannot give %s to %s: %s", path, owner->pw_name, strerror(errno));
    return STATUS_DONE;
}

static int write_key(const struct plan *plan, const struct options *options) {
    size_t length = 0;
    struct reason reason = {""};
    char *text = options->generate ? generate(&length)
                 : options->key_file != NULL
                     ? secret_read(options->key_file, &length)
                     : secret_ask("Ring's HMAC Signing Key (it is not shown): ", &length);
    int status = STATUS_PROBLEM;
    if (text != NULL && length < KEY_FILE_SIZE) {
        char *line = sodium_malloc(length + 2);
        if (line != NULL) {
            memcpy(line, text, length);
            memcpy(line + length, "\n", 2);
            status = secret_write(plan->key, line, length + 1, 0600);
        }
        sodium_free(line);
    }
    sodium_free(text);
    if (status != STATUS_DONE)
        return status;
    struct keys *keys = keys_alloc();
    int result = keys != NULL ? keys_load(keys, plan->key, &reason) : ERROR_TROUBLE;
    keys_free(keys);
    if (result == 0)
        return give(plan->key, plan->owner);
    unlink(plan->key);
    return problem("%s. Nothing was kept of it: run init again", reason.text);
}

static int write_env(const struct plan *plan) {
    char text[3 * CONFIG_PATH_SIZE];
    int length = snprintf(
        text, sizeof text,
        "# Doorpost's settings; doorpost.cgi(8) has them all. Restart FastCGI workers after a change.\n"
        "DOORPOST_KEY_FILE=\"%s\"\nDOORPOST_JOURNAL=\"%s\"\n# DOORPOST_MAX_AGE=8d\n",
        plan->key, plan->journal);
    int status = secret_write(plan->env, text, (size_t)length, 0600);
    return status == STATUS_DONE ? give(plan->env, plan->owner) : status;
}

static bool installed(const char *const *paths) {
    for (; *paths != NULL; paths++)
        if (access(*paths, X_OK) == 0)
            return true;
    return false;
}

/* What to paste, for the web servers that are on this machine. */
static void print_next_steps(const struct plan *plan) {
    static const char *const lighttpd[] = {"/usr/sbin/lighttpd", "/usr/local/sbin/lighttpd", NULL};
    static const char *const apache[] = {"/usr/sbin/apache2", "/usr/sbin/httpd",
                                         "/usr/local/apache2/bin/httpd", NULL};
    bool has_lighttpd = installed(lighttpd), has_apache = installed(apache);
    printf("\nFor the web server (the ready sites in deploy/ have the rest):\n");
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
}

static int carry_out(const struct plan *plan, const struct options *options) {
    if (exists(plan->key) && (options->generate || options->key_file != NULL))
        return problem(
            "%s is there already, and was left as it is: `doorpost key add` puts another key beside it",
            plan->key);
    if (exists(plan->key))
        printf("%s is there already.\n", plan->key);
    else if (write_key(plan, options) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (exists(plan->env))
        printf("%s is there already.\n", plan->env);
    else if (write_env(plan) != STATUS_DONE)
        return STATUS_PROBLEM;
    printf("%sReady%s: %s%s%s%s\n  key       %s\n  journal   %s\n  settings  %s\n", colour(COLOUR_GOOD),
           colour(COLOUR_NONE), plan->directory, plan->owner != NULL ? " (of the web server's user, " : "",
           plan->owner != NULL ? plan->owner->pw_name : "", plan->owner != NULL ? ")" : "", plan->key,
           plan->journal, plan->env);
    print_next_steps(plan);
    return STATUS_DONE;
}

/* Makes a directory and finds its absolute path, as the env file can hold it. */
static int resolve(const char *path, const struct passwd *owner, char out[PLAN_PATH_SIZE]) {
    if (make_directory(path, owner) != STATUS_DONE)
        return STATUS_PROBLEM;
    char *absolute = realpath(path, NULL);
    bool good = absolute != NULL && strlen(absolute) < PLAN_PATH_SIZE && strpbrk(absolute, "\"\\\n") == NULL;
    if (good)
        snprintf(out, PLAN_PATH_SIZE, "%s", absolute);
    else
        problem(
            "cannot use %s: its path is too long, or has a quotation mark, a backslash or a line break in it",
            path);
    free(absolute);
    return good ? STATUS_DONE : STATUS_PROBLEM;
}

int verb_init(int argc, char *argv[]) {
    struct options options = {0};
    struct plan plan = {0};
    const struct usage usage = {.verb = "init",
                                .synopsis =
                                    "DIR [--key-file FILE | --generate] [--journal DIR] [--user USER]",
                                .what = "Makes DIR with a key file, a journal and the settings in it, open "
                                        "to their owner alone, and prints what the\n"
                                        "web server has to be told. Asks for Ring's HMAC Signing Key. DIR "
                                        "must not be under the web root.",
                                .operands = 1};
    const struct option_spec table[] = {
        {'K', "key-file", OPTION_TEXT, "FILE", "take the key from this file (-: standard input)",
         &options.key_file},
        {'J', "journal", OPTION_TEXT, "DIR", "keep the events there, not in DIR/journal", &options.journal},
        {0, "generate", OPTION_FLAG, NULL, "make a key, for tests: Ring does not know it", &options.generate},
        {0, "user", OPTION_TEXT, "USER", "the web server's user, if it is not found", &options.user},
        {0}};
    int first = options_parse(argc, argv, &usage, table);
    if (first >= argc)
        usage_error("which directory? For example: doorpost init ~/doorpost");
    if (options.generate && options.key_file != NULL)
        usage_error("--generate or --key-file, not both");
    plan.owner = web_user(options.user);
    if (resolve(argv[first], plan.owner, plan.directory) != STATUS_DONE)
        return STATUS_PROBLEM;
    snprintf(plan.key, sizeof plan.key, "%s/key", plan.directory);
    snprintf(plan.journal, sizeof plan.journal, "%s/journal", plan.directory);
    snprintf(plan.env, sizeof plan.env, "%s/doorpost.env", plan.directory);
    if (resolve(options.journal != NULL ? options.journal : plan.journal, plan.owner, plan.journal) !=
        STATUS_DONE)
        return STATUS_PROBLEM;
    return carry_out(&plan, &options);
}
