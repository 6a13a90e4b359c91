"""Restarted under load, as an upgrade or a new certificate wants it, no server loses or repeats an event."""

import contextlib
import os
import random
import signal
import threading
import time

from support import servers
from support.assertions import PATIENCE, check, wait_for
from support.deliveries import load, press
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests

PRESSES = 600
RESTARTS = 3
CLIENTS = 8
RING_WAITS = 5  # seconds; a mod_fcgid that is restarted lets some requests wait for a minute


def under_load(start, restart, must_answer=False):
    """Sends presses while `restart(server)` is called over and over. What is not answered 200 is sent again, as Ring would. With
    `must_answer`, nothing may go unanswered in the first place."""
    with Lab(LOG="problems") as lab:
        server = start(lab)
        bodies = [press(number) for number in range(PRESSES)]
        random.Random(2).shuffle(bodies)
        answered, restarted = [0], threading.Event()

        def send(body, signature):
            answered[0] += 1
            return server.request(body, signature, patience=PATIENCE if must_answer else RING_WAITS)

        def restarting():
            for turn in range(1, RESTARTS + 1):
                wait_for(lambda: answered[0] >= turn * PRESSES // (RESTARTS + 2) or not sender.is_alive(), "the load")
                restart(server)
            restarted.set()

        first = {}
        sender = threading.Thread(target=lambda: first.update(load(send, bodies, CLIENTS)))
        sender.start()
        restarting()
        sender.join()
        check(restarted.is_set(), "the load was over before the restarts were")
        failed = [body for body in bodies if first[body][0][0] != 200]
        if must_answer:
            check(not failed, len(failed), "went unanswered, for example:", first[failed[0]] if failed else "")
        server.wait_until_up()
        for turn in range(10):
            if not failed:
                break
            again = load(server.request, failed, CLIENTS)
            for body, answers in again.items():
                first[body] += answers
            failed = [body for body in failed if again[body][0][0] != 200]
        check(not failed, "never answered:", len(failed))
        numbers = verify_journal(lab)
        check(len(numbers) == PRESSES, len(numbers), "lines")
        for number in range(PRESSES):
            for status, _, seq in first[press(number)]:
                check(status != 200 or seq == numbers[f"event-{number}"], "an acknowledged event is not where the answer says")


def signalled(number):
    """A graceful restart by a signal to the main process; done when another generation of processes serves."""
    def restart(server):
        before = children(server.process.pid)
        server.process.send_signal(number)
        wait_for(lambda: children(server.process.pid) - before, "new processes of the web server")
    return restart


def children(parent):
    found = set()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{int(entry)}/stat") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == parent:
                    found.add(int(entry))
    return found


def lighttpd_graceful(server):
    """lighttpd restarts under the same process id, with sockets that stay open."""
    log = server.lab.logs / "error.log"
    before = log.read_text().count("server started")
    server.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: log.read_text().count("server started") > before, "lighttpd to restart")


def worker_replaced(server):
    """As `systemctl restart doorpost` does it: the worker ends, the socket stays, another worker takes it."""
    server.supervisor.restart()


class Supervisor:
    """The part of systemd that a test can have: it keeps the listening socket, and starts a worker whenever none runs."""

    def __init__(self, lab):
        self.lab, (self.listener, self.path) = lab, lab.listener()
        self.worker = lab.worker(self.listener, **lab.as_user())

    def restart(self):
        self.worker.terminate()
        check(self.worker.wait() == 0, "the worker's end")
        time.sleep(0.05)  # meanwhile the socket takes connections, and nobody answers
        self.worker = self.lab.worker(self.listener, **self.lab.as_user())


def nginx_supervised(lab):
    supervisor = Supervisor(lab)
    server = servers.nginx(lab, lambda _: supervisor.path)
    server.supervisor = supervisor
    return server


def test(title, start, restart, must_answer=False):
    def one():
        return under_load(start, restart, must_answer)
    one.title = one.__name__ = title
    return one


run_tests(
    test("lighttpd, its own worker", servers.lighttpd_fastcgi, lighttpd_graceful),
    test("lighttpd, CGI", servers.lighttpd_cgi, lighttpd_graceful),
    test("lighttpd, a worker on a socket", servers.lighttpd_socket, lighttpd_graceful),
    test("Apache, mod_fcgid", servers.apache_fcgid, signalled(signal.SIGUSR1)),
    test("Apache, mod_cgid", servers.apache_cgid, signalled(signal.SIGUSR1)),
    test("Apache, mod_proxy_fcgi", servers.apache_proxy, signalled(signal.SIGUSR1)),
    test("nginx", servers.nginx, signalled(signal.SIGHUP)),
    test("a worker replaced behind its socket", nginx_supervised, worker_replaced, must_answer=True))
