/* What a program inherits, and its state after preparation. */
#include "support.h"

#include "apart.h"
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static int prepare_without_descriptors(void *context) {
    struct stat status;
    const int *closed = context;
    for (int fd = 0; fd <= 2; fd++)
        if (closed[fd])
            close(fd);
    int next = dup(closed[0] ? 1 : 0);
    if (next >= 0)
        close(next);
    process_prepare();
    for (int fd = 0; fd <= 2; fd++)
        if (fstat(fd, &status) != 0 || (closed[fd] && !S_ISCHR(status.st_mode)))
            return 1 + fd;
    int opened = open("/dev/null", O_RDONLY);
    return opened > 2 && (closed[0] || closed[1] || closed[2] || opened == next) ? 0 : 4;
}

static void opened_files_never_get_standard_descriptors(void **state) {
    static int closed[8][3];
    (void)state;
    for (int which = 0; which < 8; which++) {
        for (int fd = 0; fd <= 2; fd++)
            closed[which][fd] = which >> fd & 1;
        assert_int_equal(run_apart(prepare_without_descriptors, closed[which])->status, 0);
    }
}

static int prepare_with_signals(void *context) {
    struct sigaction action;
    sigset_t all, now;
    (void)context;
    signal(SIGCHLD, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    process_prepare();
    sigprocmask(SIG_SETMASK, NULL, &now);
    for (int number = 1; number < 32; number++)
        if (sigismember(&now, number) == 1)
            return number;
    if (sigaction(SIGCHLD, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        return 101;
    if (!process_ignores(SIGXFSZ) || !process_ignores(SIGHUP) || process_ignores(SIGINT) ||
        process_ignores(SIGCHLD))
        return 102;
    return 0;
}

static void signals_are_set_up(void **state) {
    (void)state;
    assert_int_equal(run_apart(prepare_with_signals, NULL)->status, 0);
}

static int prepare_with_umask(void *context) {
    (void)context;
    umask(0);
    process_prepare();
    return (int)umask(0);
}

static void files_are_not_open_to_others(void **state) {
    (void)state;
    assert_int_equal(run_apart(prepare_with_umask, NULL)->status, 077);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opened_files_never_get_standard_descriptors),
        cmocka_unit_test(signals_are_set_up),
        cmocka_unit_test(files_are_not_open_to_others),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
