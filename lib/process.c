/* A program inherits more than its arguments. What is set here, and what is trusted:
 *
 * Descriptors 0 to 2 are opened on /dev/null if they are closed (FastCGI 1.0, section 2.2, promises number 0
 * alone). Otherwise the next file that is opened gets the number, and a log line goes into it. Signals:
 * nothing is blocked, and SIGCHLD is the default, because waitpid(2) loses the exit status if it is ignored.
 * SIGXFSZ is ignored: a limit on the size of files is then an error like a full disk. SIGHUP and SIGINT stay
 * ignored if they were. umask: 077. Every file that is to be readable by others is given its mode by name.
 * Resource limits stay as they are, for it is the host that sets them; a call that fails because of one is an
 * error like any other. The worker sizes its table of connections by the limit on descriptors. Environment:
 * the settings (DOORPOST_...) and, in the handler, what the gateway passes (RFC 3875, FastCGI 1.0). A sender
 * cannot choose either: its header fields come as HTTP_... . The locale and the time zone are never set: UTC,
 * and C. A command is started with a chosen environment (cgi/on_event.c). The working directory is not used:
 * paths in settings are absolute, or relative to the file that they stand in. The arguments are trusted in
 * the tool alone; a CGI program's are the sender's (RFC 3875, section 4.4). */
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
