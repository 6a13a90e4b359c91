#include "signals.h"

#include "process.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_open(bool children) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (children)
        sigaddset(&set, SIGCHLD);
    if (!process_ignores(SIGINT)) /* signalfd(2) would read ignored signals too */
        sigaddset(&set, SIGINT);
    if (!process_ignores(SIGHUP))
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool signals_take(int fd) {
    struct signalfd_siginfo signal_info;
    bool ends = false;
    while (read(fd, &signal_info, sizeof signal_info) == (ssize_t)sizeof signal_info)
        ends |= signal_info.ssi_signo != SIGCHLD;
    return ends;
}
