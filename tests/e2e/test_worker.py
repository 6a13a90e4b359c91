"""The life of a FastCGI worker: it ends when told, is quiet when idle, and shares a sync among those who wait."""

import contextlib
import json
import random
import re
import signal
import subprocess
import threading
import time

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.fastcgi import all_at_once, fastcgi, fastcgi_answer, fastcgi_connect, fastcgi_request
from support.journal import hold_lock, verify_journal
from support.laboratory import Lab
from support.runner import run_tests


def ticks(pid):
    """CPU time used so far, in clock ticks."""
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def serving(lab):
    """A worker that has served one press, and the path of its socket."""
    listener, path = lab.listener()
    worker = lab.worker(listener)
    check(fastcgi(path, press("first"), sign(press("first")))[0] == 200, "not served")
    return worker, path


def end(worker, number=signal.SIGTERM):
    """Returns whether it has ended within a second."""
    before = time.monotonic()
    worker.send_signal(number)
    check(worker.wait(60) == 0, "exit", worker.returncode)
    return time.monotonic() - before < 1


def quickly(try_once, what):
    """Tries with workers of their own until one is quick: the machine may be slow at any moment, and is not for ever."""
    def one():
        with Lab() as lab:
            return try_once(lab, *serving(lab))
    wait_for(one, what)


def it_ends_within_a_second_when_told():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        quickly(lambda lab, worker, path: end(worker, number), "a quick end")  # noqa: B023


def what_has_arrived_is_answered_before_it_ends():
    """More kept connections than a batch holds, each with a request that the worker has not read when it is asked to end."""
    with Lab() as lab:
        worker, path = serving(lab)
        connections = [fastcgi_connect(path) for _ in range(110)]
        check(fastcgi(path, press("last"), sign(press("last")))[0] == 200, "not served")  # all are accepted now
        worker.send_signal(signal.SIGSTOP)
        for number, connection in enumerate(connections):
            connection.sendall(fastcgi_request(press(number), sign(press(number))))
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGCONT)
        check(all(fastcgi_answer(connection)[0] == 200 for connection in connections), "an arrived request was not answered")
        check(worker.wait(60) == 0 and len(lab.lines()) == 112, worker.returncode, len(lab.lines()))


def it_ends_when_told_at_any_moment_of_its_start():
    with Lab() as lab:
        listener, _ = lab.listener()
        chance = random.Random(1)
        for _ in range(60):
            worker = lab.worker(listener)
            time.sleep(chance.random() * 0.06)
            worker.terminate()
            check(worker.wait(60) in (0, -signal.SIGTERM), "exit", worker.returncode)


def it_ends_while_connections_are_waiting():
    def ends(lab, worker, path):
        waiting = [fastcgi_connect(path) for _ in range(50)]
        for connection in waiting:
            connection.sendall(fastcgi_request(press(1), sign(press(1)))[:100])
        return end(worker)
    quickly(ends, "a quick end")


def press_in_hand(worker, path):
    """Sends a press while somebody holds the lock. Returns its connection once the worker waits for that."""
    connection = fastcgi_connect(path)
    connection.sendall(fastcgi_request(press(1), sign(press(1))))
    wait_for(lambda: any("-> POSIX" in line and f" {worker.pid} " in line for line in open("/proc/locks")), "the worker to wait for the lock")
    return connection


def it_finishes_the_batch_in_hand():
    """The lock is held, so that the batch is in hand when the signal comes; then it is released, and the answer comes."""
    with Lab() as lab:
        worker, path = serving(lab)
        with hold_lock(lab.journal / "lock"):
            connection = press_in_hand(worker, path)
            worker.terminate()
            time.sleep(0.05)
        check(fastcgi_answer(connection)[0] == 200, "no answer")
        check(worker.wait(60) == 0, "exit", worker.returncode)
        check(len(verify_journal(lab)) == 2, "not kept")


def it_ends_in_time_though_the_lock_is_held():
    def ends(lab, worker, path):
        with hold_lock(lab.journal / "lock"):
            connection = press_in_hand(worker, path)
            quick = end(worker)
            check(fastcgi_answer(connection)[0] == 503, "no answer")
            return quick
    quickly(ends, "a quick end")


def rests(worker):
    """Does it use no more than two ticks in a second?"""
    time.sleep(0.2)
    before = ticks(worker.pid)
    time.sleep(1)
    return ticks(worker.pid) - before <= 2


def an_idle_worker_uses_no_cpu():
    def idle(lab, worker, path):
        silent = fastcgi_connect(path)  # bytes that are looked at and left must not wake it for ever
        silent.sendall(fastcgi_request(press(1), sign(press(1)))[:100])
        return rests(worker)
    quickly(idle, "it to rest")


def it_uses_none_while_others_take_every_connection():
    """The test takes the connections from the same socket as fast as it can."""
    with Lab() as lab:
        listener, path = lab.listener()
        body = press(1)
        worker = lab.worker(listener)
        check(fastcgi(path, body, sign(body))[0] == 200, "not served")
        over = threading.Event()
        listener.setblocking(False)

        def take():
            while not over.is_set():
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    pass
        thread = threading.Thread(target=take)
        thread.start()
        for _ in range(300):
            fastcgi_connect(path).close()
        over.set()
        thread.join()
        wait_for(lambda: rests(worker), "it to rest")


def waiting_requests_share_a_sync():
    """Requests that gathered while the worker was stopped are answered as one batch."""
    def shared(lab, worker, path):
        connections = all_at_once(worker, path, [press(number) for number in range(1, 31)])
        seqs = [json.loads(fastcgi_answer(connection)[2])["seq"] for connection in connections]
        check(sorted(seqs) == list(range(2, 32)), seqs)
        end(worker)
        return "".join(lab.log_texts()).count("batch=30") == 30  # a worker that had to wait for the processor has made two
    quickly(shared, "30 log lines of one batch")


@contextlib.contextmanager
def traced(lab, worker, calls, *options):
    """Traces with strace. Yields the file it writes, or None if it cannot."""
    trace = lab.path / "trace"
    strace = subprocess.Popen(["strace", "-f", "-y", "-o", trace, "-e", f"trace={calls}", *options, "-p", str(worker.pid)],
                              stderr=subprocess.PIPE, text=True)
    attached = "attached" in strace.stderr.readline()
    try:
        yield trace if attached else None
    finally:
        if attached:
            strace.terminate()
        strace.wait()


def every_answer_follows_its_sync():
    """strace shows the order: the line is written, synced, and only then is anything sent."""
    with Lab(LOG="off") as lab:
        worker, path = serving(lab)
        with traced(lab, worker, "pwritev,pwrite64,fdatasync,sendto") as trace:
            if trace is None:
                return "strace cannot attach here"
            for body in (press(1), press(1)):
                check(fastcgi(path, body, sign(body))[0] == 200, "not served")
        calls = [line.split(None, 1)[1].split("(")[0] for line in trace.read_text().splitlines() if "(" in line]
        answers = [i for i, call in enumerate(calls) if call == "sendto"]
        check(len(answers) == 2, calls)
        check("pwritev" in calls[:answers[0]], calls)
        for start, end in ((0, answers[0]), (answers[0] + 1, answers[1])):
            part = calls[start:end]
            last_write = max(i for i, call in enumerate(part) if call.startswith("pwrite"))
            check("fdatasync" in part[last_write:], "no sync between writing and answering:", part)


def the_next_batch_is_taken_while_one_syncs():
    """Each answer still follows the sync of its own line, whichever thread waited for it.

    The first sync of each thread takes a second: a fast disk would be done before the next batch is looked for.
    """
    with Lab(LOG="off") as lab:
        worker, path = serving(lab)
        with traced(lab, worker, "pwritev,fdatasync,accept4,sendto",
                    "-e", "inject=fdatasync:delay_enter=1000000:when=1") as trace:
            if trace is None:
                return "strace cannot attach here"
            for connection in all_at_once(worker, path, [press(number) for number in range(150)]):
                check(fastcgi_answer(connection)[0] == 200, "not served")
        written = synced = answered = taken_meanwhile = 0
        covers = {}  # what was written when the sync that a thread is waiting for began
        for line in trace.read_text().splitlines():
            thread, call = line.split(None, 1)
            if call.startswith("pwritev("):
                written += int(re.search(r"\], (\d+),", call).group(1)) // 3
            elif call.startswith("fdatasync("):
                covers[thread] = written
            elif call.startswith("accept4(") and covers and "= -1" not in call:
                taken_meanwhile += 1
            elif call.startswith("sendto(") and "Status: " in call:
                answered += 1
                check(answered <= synced, "answer", answered, "though only", synced, "are synced")
            if "fdatasync" in call and re.search(r"= 0( \(DELAYED\))?$", call):
                synced = max(synced, covers.pop(thread))
        check((written, synced, answered) == (150, 150, 150), written, synced, answered)
        check(taken_meanwhile > 0, "nothing was taken while a batch was synced")


def calls_that_fail_cost_a_connection_at_most():
    """Each call between a connection and its answer fails once, in each way that it can."""
    faults = {"accept4": "EMFILE ENFILE ENOMEM ECONNABORTED EINTR EAGAIN", "recvfrom": "EINTR EAGAIN ECONNRESET ENOMEM",
              "sendto": "EINTR EAGAIN EPIPE ECONNRESET", "epoll_ctl": "ENOMEM ENOSPC", "epoll_wait": "EINTR", "poll": "EINTR",
              "shutdown": "ENOTCONN"}
    with Lab(LOG="off") as lab:
        worker, path = serving(lab)
        for call, errors in faults.items():
            for error in errors.split():
                with traced(lab, worker, call, "-e", f"inject={call}:error={error}:when=1") as trace:
                    if trace is None:
                        return "strace cannot attach here"
                    body = press(f"{call}-{error}")
                    request = fastcgi_request(body, sign(body))
                    with fastcgi_connect(path) as connection:  # in two parts: epoll has to tell of the second one
                        for part in (request[:50], request[50:]):
                            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may be closed as soon as it is there
                                connection.sendall(part)
                            fastcgi(path, press("between"), sign(press("between")))
                        answer = fastcgi_answer(connection)
                    check(answer is None or answer[0] == 200, call, error, answer)
                    again = fastcgi(path, body, sign(body))
                    check(again is not None and again[0] == 200, "not served after", call, error, again)
        check(worker.poll() is None, "the worker ended")


def a_sync_that_fails_in_the_background_is_mended():
    """The first sync of each thread fails: what it was for is written again, and synced."""
    with Lab(LOG="off") as lab:
        worker, path = serving(lab)
        with traced(lab, worker, "fdatasync", "-e", "inject=fdatasync:error=EIO:when=1") as trace:
            if trace is None:
                return "strace cannot attach here"
            check(fastcgi(path, press("alone"), sign(press("alone")))[0] == 200, "not served")  # the first thread syncs that itself
            for connection in all_at_once(worker, path, [press(number) for number in range(150)]):
                check(fastcgi_answer(connection)[0] == 200, "not served")
        check(trace.read_text().count("EIO") == 2, trace.read_text())
        check(len(verify_journal(lab)) == 152, "kept", len(lab.lines()))


run_tests(it_ends_within_a_second_when_told, what_has_arrived_is_answered_before_it_ends, it_ends_when_told_at_any_moment_of_its_start,
          it_ends_while_connections_are_waiting, it_finishes_the_batch_in_hand,
          it_ends_in_time_though_the_lock_is_held, an_idle_worker_uses_no_cpu,
          it_uses_none_while_others_take_every_connection, waiting_requests_share_a_sync, every_answer_follows_its_sync,
          the_next_batch_is_taken_while_one_syncs, calls_that_fail_cost_a_connection_at_most, a_sync_that_fails_in_the_background_is_mended)
