/* A lock on the cursor ensures that a thousand presses at once start one runner. A runner that ends releases
 * the lock first, and then reads the journal once more. So if we find the lock held, its holder will see
 * every line appended before.
 *
 * The runner inherits nothing from the web server: it gets its own session, none of our descriptors, and only
 * the environment variables named here, because a CGI environment holds what a stranger sent. Its output goes
 * to cursors/on-event.log, which it keeps small. */
#define _GNU_SOURCE /* closefrom */
#include "on_event.h"

#include "cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLES_MAX 64

extern char **environ;

static int with_directory(const struct config *config,
                          int (*work)(struct directory *, const void *, struct reason *), const void *context,
                          struct reason *reason) {
    struct directory directory = {.fd = -1, .lock = -1};
    directory_start(&directory, config->journal);
    int result = directory_open(&directory, reason);
    if (result == 0)
        result = work(&directory, context, reason);
    directory_close(&directory);
    return result;
}

static int create_cursor(struct directory *directory, const void *deadline, struct reason *reason) {
    return cursor_create(directory, CURSOR_ON_EVENT, NULL, deadline, reason);
}

int on_event_prepare(const struct config *config, const struct deadline *deadline, struct reason *reason) {
    return config->on_event[0] == '\0' ? 0 : with_directory(config, create_cursor, deadline, reason);
}

/* Returns 1 if a runner is running, 0 if not, or an error. */
static int is_runner_active(struct directory *directory, const void *context, struct reason *reason) {
    (void)context;
    int lock = cursor_open_lock(directory->fd, CURSOR_ON_EVENT, reason);
    if (lock < 0)
        return lock;
    int holder = cursor_holder(lock, CURSOR_LOCK_RUNNER);
    close(lock);
    return holder != 0;
}

/* Looks for the tool next to the settings file, next to the handler, and where `make install` puts it. */
static int find_tool(const struct config *config, char out[PATH_MAX], struct reason *reason) {
    char self[CONFIG_PATH_SIZE];
    const char *slash = strrchr(config->file, '/');
    if (slash != NULL) {
        snprintf(out, PATH_MAX, "%.*s/doorpost", (int)(slash - config->file), config->file);
        if (access(out, X_OK) == 0)
            return 0;
    }
    if (config_program_directory(self) != 0)
        return FAIL(reason, ERROR_SYSTEM, "DOORPOST_ON_EVENT: cannot find the directory of this program: %s",
                    strerror(errno));
    static const char *const candidates[] = {"doorpost", "../../bin/doorpost"};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        snprintf(out, PATH_MAX, "%s/%s", self, candidates[i]);
        if (access(out, X_OK) == 0)
            return 0;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return FAIL(reason, ERROR_SYSTEM, "DOORPOST_ON_EVENT: cannot access %.150s: %s", out,
                        strerror(errno));
    }
    return FAIL(reason, ERROR_SYSTEM,
                "DOORPOST_ON_EVENT is set, but there is no program doorpost next to %.150s or in %.150s: "
                "install it there",
                config->file, self);
}

static bool is_inherited(const char *variable) {
    static const char *const names[] = {
        "PATH=", "HOME=", "USER=", "LOGNAME=", "TZ=", "LANG=", "LC_ALL=", "DOORPOST_"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Makes the runner read the same settings file as this program. */
static void choose_environment(const struct config *config, char *variables[VARIABLES_MAX + 3]) {
    static char conf[CONFIG_PATH_SIZE + 16];
    size_t count = 0;
    if (config->file[0] != '\0') {
        snprintf(conf, sizeof conf, "DOORPOST_CONF=%s", config->file);
        variables[count++] = conf; /* first, because getenv(3) finds the first of a name */
    }
    for (char **variable = environ; *variable != NULL && count < VARIABLES_MAX; variable++)
        if (is_inherited(*variable))
            variables[count++] = *variable;
    variables[count] = NULL;
}

/* Opens the runner's standard error. Returns -1 on failure; its output is then lost. */
static int open_log(const struct config *config) {
    char path[CONFIG_PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/cursors/" CURSOR_ON_EVENT ".log", config->journal);
    return open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600);
}

__attribute__((noreturn)) static void exec_runner(const struct config *config, const char *tool,
                                                  char *const variables[]) {
    static char *const arguments[] = {"doorpost", "exec", "--once", "--name", CURSOR_ON_EVENT, NULL};
    sigset_t none;
    sigemptyset(&none);
    int null_fd = open("/dev/null", O_RDWR), log = open_log(config);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (null_fd < 0 || dup2(fd == STDERR_FILENO && log >= 0 ? log : null_fd, fd) < 0)
            _exit(1);
    closefrom(STDERR_FILENO + 1);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir("/") == 0)
        execve(tool, arguments, variables);
    _exit(1);
}

/* Forks twice, so that we need not wait for the runner. */
static int start_detached(const struct config *config, const char *tool, struct reason *reason) {
    char *variables[VARIABLES_MAX + 3];
    int status;
    choose_environment(config, variables);
    pid_t intermediate = fork();
    if (intermediate == 0) {
        setsid();
        pid_t runner = fork();
        if (runner == 0)
            exec_runner(config, tool, variables);
        _exit(runner < 0 ? 1 : 0);
    }
    if (intermediate < 0)
        return FAIL(reason, ERROR_SYSTEM, "DOORPOST_ON_EVENT: cannot start a process: %s", strerror(errno));
    while (waitpid(intermediate, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0 ? 0 : FAIL(reason, ERROR_SYSTEM, "DOORPOST_ON_EVENT: cannot start a process");
}

int on_event_start(const struct config *config, struct reason *reason) {
    char tool[PATH_MAX];
    if (config->on_event[0] == '\0')
        return 0;
    int result = with_directory(config, is_runner_active, NULL, reason);
    if (result != 0)
        return result < 0 ? result : 0;
    result = find_tool(config, tool, reason);
    return result == 0 ? start_detached(config, tool, reason) : result;
}
