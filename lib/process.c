/* A program inherits more than its arguments. What is set here, and what is trusted:
 *
 * Descriptors 0 to 2 are opened on /dev/null if closed (FastCGI 1.0, section 2.2, promises only 0).
 * Otherwise the next file opened gets the number, and log lines would go into it.
 *
 * Signals: all are unblocked. SIGCHLD is the default, because waitpid(2) loses the exit status if it is
 * ignored. SIGXFSZ is ignored, so a file size limit is an error like a full disk. SIGHUP and SIGINT stay
 * ignored if they were.
 *
 * umask: 077. Files that others may read get their mode explicitly.
 *
 * Resource limits are the host's and stay unchanged; a call that fails because of one is handled like any
 * other error. The worker sizes its connection table by the descriptor limit.
 *
 * Environment: the settings (DOORPOST_...) and, in the handler, what the gateway passes (RFC 3875, FastCGI
 * 1.0). A sender controls neither: its header fields arrive as HTTP_... . The locale and the time zone are
 * never set: C and UTC. Commands get an explicit environment (cgi/on_event.c).
 *
 * The working directory is not used: paths in settings are absolute, or relative to the file they appear
 * in. Arguments are trusted only in the tool; a CGI program's come from the sender (RFC 3875, section
 * 4.4). */
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

static void open_standard_descriptors(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void process_prepare(void) {
    sigset_t none;
    open_standard_descriptors();
    signal(SIGCHLD, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(077);
}

bool process_ignores(int signal) {
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}
