"""Strangers at the worker's socket, and logs that nobody reads: presses that come meanwhile are answered, all of them.

Each attack runs in a process of its own while a press is sent every 50 ms; every one must be answered 200 while the attack goes on.
QUICK=1 makes that a second an attack, else it is four. Times are printed, not judged: a machine may be slow."""

import contextlib
import fcntl
import itertools
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import time

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.fastcgi import (ABORT_REQUEST, GET_VALUES, KEEP_CONN, PARAMS, STDIN, fastcgi, fastcgi_begin, fastcgi_connect, fastcgi_length,
                             fastcgi_metadata, fastcgi_pair, fastcgi_record, fastcgi_reply, fastcgi_request)
from support.journal import verify_journal
from support.laboratory import BINARY, Lab
from support.runner import run_tests

QUICK = os.environ.get("QUICK") == "1"
PRESSES = 20 if QUICK else 80
EVERY = 0.05  # seconds
FORK = multiprocessing.get_context("fork")
numbers = itertools.count()
taken = []  # seconds that the answers took


# ---- attacks: each goes on for ever, and yields after a step ----

def pushing(path, texts, connections=1, reads=False):
    """Sends endless texts on each connection, as much as it takes, and opens a new one when it is closed. Never waits."""
    peers = {}
    while True:
        for number in range(connections):
            if number not in peers:
                peers[number] = [fastcgi_connect(path), iter(texts()), b""]
                peers[number][0].setblocking(False)
            connection, more, text = peers[number]
            try:
                if reads:
                    with contextlib.suppress(BlockingIOError):
                        connection.recv(65536)
                text = text or next(more)
                peers[number][2] = text[connection.send(text):]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                connection.close()
                del peers[number]
            yield


def endless(*text):
    """The first ones once, the last for ever."""
    def texts():
        yield from text[:-1]
        yield from itertools.repeat(text[-1])
    return texts


def connections_that_close_at_once(path):
    while True:
        fastcgi_connect(path).close()
        yield


def connections_that_say_nothing(path):
    """More of them than there are places."""
    held = []
    while True:
        held.append(fastcgi_connect(path))
        if len(held) > 700:
            held.pop(0).close()
        yield


def requests_a_byte_at_a_time(path):
    text = fastcgi_request(press("drip"), sign(press("drip")))
    return pushing(path, lambda: (bytes((byte,)) for byte in itertools.cycle(text)), connections=50)


def lengths_that_lie(path):
    lies = (fastcgi_length(0x7fffffff) * 2 + b"A", fastcgi_length(0x40000000) * 2 + b"A", b"\x7f\x7fab")
    return pushing(path, lambda: itertools.cycle(fastcgi_begin(flags=KEEP_CONN) + fastcgi_record(PARAMS, lie) + fastcgi_record(PARAMS)
                                                 + fastcgi_record(STDIN) for lie in lies), connections=10, reads=True)


def lies_whose_sender_lingers(path):
    """Each leaves its connection open after the refusal, and sends a byte now and then."""
    lie = fastcgi_begin() + fastcgi_record(PARAMS, b"\x7f\x7fab") + fastcgi_record(PARAMS) + fastcgi_record(STDIN)
    return pushing(path, endless(lie, b"x"), connections=100)


def junk(path):
    return pushing(path, lambda: iter(lambda: os.urandom(30000), None), connections=5)


def junk_after_a_good_beginning(path):
    return pushing(path, lambda: itertools.chain([fastcgi_begin()], iter(lambda: b"\x01" + os.urandom(30000), None)), connections=5)


def questions_whose_answers_nobody_reads(path):
    question = fastcgi_record(GET_VALUES, fastcgi_pair("FCGI_MAX_CONNS", "") * 9, 0)
    return pushing(path, endless(question * 100), connections=10)


def unknown_records_whose_answers_nobody_reads(path):
    return pushing(path, endless(fastcgi_record(99, b"", 0) * 2000), connections=10)


def unknown_records_whose_answers_are_read(path):
    return pushing(path, endless(fastcgi_record(99, b"", 0) * 2000), connections=5, reads=True)


def requests_whose_answers_nobody_reads(path):
    request = fastcgi_begin(flags=KEEP_CONN) + fastcgi_record(PARAMS) + fastcgi_record(STDIN)
    return pushing(path, endless(request * 100), connections=10)


def unsigned_requests(path):
    return pushing(path, endless(fastcgi_request(b"{}", None, flags=KEEP_CONN) * 20), connections=10, reads=True)


def requests_that_are_cut(path):
    text = fastcgi_request(press("cut"), sign(press("cut")))
    for length in itertools.cycle(range(1, len(text))):
        with fastcgi_connect(path) as connection:
            connection.sendall(text[:length])
        yield


def parameters_without_an_end(path):
    return pushing(path, endless(fastcgi_begin(), fastcgi_record(PARAMS, fastcgi_pair("HTTP_X", "y" * 60000))), connections=5)


def empty_pairs_without_an_end(path):
    return pushing(path, endless(fastcgi_begin(), fastcgi_record(PARAMS, bytes(60000))), connections=5)


def a_body_without_an_end(path):
    beginning = fastcgi_begin() + fastcgi_record(PARAMS, b"".join(
        fastcgi_pair(*pair) for pair in fastcgi_metadata(b"", None, CONTENT_LENGTH=None).items())) + fastcgi_record(PARAMS)
    return pushing(path, endless(beginning, fastcgi_record(STDIN, b"x" * 60000)), connections=5)


def a_body_of_one_byte_records(path):
    return pushing(path, endless(fastcgi_begin() + fastcgi_record(PARAMS), fastcgi_record(STDIN, b"x") * 3000), connections=5)


def aborts(path):
    return pushing(path, endless((fastcgi_begin(flags=KEEP_CONN) + fastcgi_record(ABORT_REQUEST)) * 1000), connections=5, reads=True)


def aborts_of_whole_requests(path):
    body = press("aborted")
    return pushing(path, endless((fastcgi_request(body, sign(body), flags=KEEP_CONN) + fastcgi_record(ABORT_REQUEST)) * 20), connections=5, reads=True)


def second_requests_at_once(path):
    return pushing(path, endless(fastcgi_begin(1), fastcgi_begin(2) * 1000), connections=5, reads=True)


# ---- presses meanwhile ----

def attack_for_ever(attack, path, steps):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        with contextlib.suppress(OSError):
            for _ in attack(path):
                steps.value += 1


@contextlib.contextmanager
def under(attack, path):
    """Yields how many steps the attack has taken, as a function."""
    steps = FORK.Value("L", 0, lock=False)
    attacker = FORK.Process(target=attack_for_ever, args=(attack, path, steps), daemon=True)
    attacker.start()
    try:
        wait_for(lambda: steps.value > 0, "the attack to begin")
        yield lambda: steps.value
        check(attacker.is_alive(), "the attack has ended")
    finally:
        attacker.kill()
        attacker.join()


def press_once(path):
    body = press(f"good-{next(numbers)}")
    began = time.monotonic()
    answer = fastcgi(path, body, sign(body))
    taken.append(time.monotonic() - began)
    check(answer is not None and answer[0] == 200, "a press was answered", answer, "after", taken[-1], "s")


def press_meanwhile(path, count=PRESSES):
    """One every 50 ms, or when the one before has been answered. One connection serves an attack; each press has its own."""
    next_one = time.monotonic()
    for _ in range(count):
        press_once(path)
        next_one = max(next_one + EVERY, time.monotonic())
        time.sleep(max(0, next_one - time.monotonic()))


def count_good(lab):
    return sum(event.startswith("event-good-") for event in verify_journal(lab))


def withstands(attack):
    def test():
        with Lab(LOG="problems") as lab:
            listener, path = lab.listener()
            worker = lab.worker(listener)
            press_once(path)
            with under(attack, path) as steps:
                before = steps()
                press_meanwhile(path)
                check(steps() > before, "the attack stood still")
                check(worker.poll() is None, "the worker ended")
            press_once(path)
            check(count_good(lab) == PRESSES + 2, "presses are missing in the journal")
            check("event-cut" not in verify_journal(lab), "what was cut is kept")
    test.title = "presses are answered in spite of " + attack.__name__.replace("_", " ")
    return test


ATTACKS = (connections_that_close_at_once, connections_that_say_nothing, requests_a_byte_at_a_time, lengths_that_lie,
           lies_whose_sender_lingers, junk, junk_after_a_good_beginning, questions_whose_answers_nobody_reads,
           unknown_records_whose_answers_nobody_reads, unknown_records_whose_answers_are_read, requests_whose_answers_nobody_reads,
           unsigned_requests, requests_that_are_cut, parameters_without_an_end, empty_pairs_without_an_end, a_body_without_an_end,
           a_body_of_one_byte_records, aborts, aborts_of_whole_requests, second_requests_at_once)


def presses_are_answered_beside_peers_that_are_stopped():
    """Their sockets stay open and full: one amid a request, one that reads no answers, one that said nothing."""
    def be_stopped(path, ready):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        request = fastcgi_request(press("stopped"), None, flags=KEEP_CONN)
        peers = [fastcgi_connect(path) for _ in range(3)]
        peers[0].sendall(request[:50])
        peers[1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                peers[1].send(request * 50)
        ready.set()
        os.kill(os.getpid(), signal.SIGSTOP)

    with Lab(LOG="off") as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        ready = FORK.Event()
        peers = [FORK.Process(target=be_stopped, args=(path, ready), daemon=True) for _ in range(5)]
        try:
            for peer in peers:
                ready.clear()
                peer.start()
                check(ready.wait(60), "no peer")
                wait_for(lambda p=peer: open(f"/proc/{p.pid}/stat").read().rpartition(")")[2].split()[0] == "T", "the peer to stop")
            press_meanwhile(path)
        finally:
            for peer in peers:
                peer.kill()
                peer.join()
        check(count_good(lab) == PRESSES, "presses are missing in the journal")


def open_pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 8192)  # two pages: one that has anything in it counts as full
    return reader, writer


def open_socket():
    reader, writer = socket.socketpair()
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return reader.detach(), writer.detach()


def read_all(reader):
    os.set_blocking(reader, False)
    text = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reader, 65536):
            text += part
    return text


def survives_a_log_that_nobody_reads(opened):
    def test():
        with Lab(LOG="all") as lab:  # each press is a line
            listener, path = lab.listener()
            reader, writer = opened()
            lab.start([lab.binary], stdin=listener, stderr=writer)
            os.close(writer)
            with under(unsigned_requests, path):
                press_meanwhile(path, 3 * PRESSES)
            check(count_good(lab) == 3 * PRESSES, "presses are missing in the journal")
            text = read_all(reader)
            written = text.count(b"verdict=stored")
            check(written < 3 * PRESSES, "the log was never full")
            press_once(path)
            text += read_all(reader)
            dropped = re.search(rb'level=warning cause="standard error was not read: lines were dropped" dropped=(\d+)\n', text)
            check(dropped is not None, "no count of dropped lines in", text[-1000:])
            check(int(dropped.group(1)) >= 3 * PRESSES - written, dropped.group(0), "though only", written, "lines came")
            check(text.count(b"verdict=stored") == written + 1, "the line after them is missing")
            os.close(reader)
    test.title = "presses are answered while nobody reads standard error, " + opened.__name__.replace("open_", "a ")
    return test


def a_log_whose_reader_has_gone_costs_nothing():
    with Lab(LOG="all") as lab:
        listener, path = lab.listener()
        reader, writer = open_pipe()
        lab.start([lab.binary], stdin=listener, stderr=writer)
        os.close(writer)
        press_once(path)
        os.close(reader)
        press_meanwhile(path, 10)
        check(count_good(lab) == 11, "presses are missing in the journal")


def a_flood_is_summed_up_in_the_log():
    """A line a second and cause, and a few at once after a pause; together they tell of every refusal."""
    with Lab(LOG="problems") as lab:
        listener, path = lab.listener()
        worker = lab.worker(listener)
        began = time.monotonic()
        with fastcgi_connect(path) as connection:
            for _ in range(100):
                connection.sendall(fastcgi_request(b"{}", None, flags=KEEP_CONN) * 20)
                for _ in range(20):
                    check(fastcgi_reply(connection)[0] == 401, "not refused")
        worker.terminate()
        check(worker.wait(60) == 0, "exit", worker.returncode)
        spent = time.monotonic() - began
        lines = [line for line in "".join(lab.log_texts()).splitlines() if "status=401" in line]
        told = sum(int((re.search(r" repeated=(\d+)", line) or [0, 1])[1]) for line in lines)
        check(told == 2000, told, "refusals are told of, not 2000")
        check(len(lines) <= 5 + 2 * spent, len(lines), "lines in", spent, "s")


def the_receiver_can_make_no_request():
    """Nothing of the door page is in it: neither tokens nor HTTP."""
    names = subprocess.run(["nm", BINARY], capture_output=True, text=True, check=True).stdout
    check(" T handler_" in names or " T intake_" in names, "no names in", BINARY)
    foreign = re.findall(r" [TtBbDd] ((?:http|door|account|api|linking|login)_\w+)", names)
    check(not foreign, "the receiver contains", *foreign)
    check("posix_spawn" not in names and "crypto_secretbox_easy" not in names, "the receiver starts programs")


def no_program_needs_a_database():
    for program in (BINARY, BINARY.with_name("doorpost-door.cgi")):
        names = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
        check("crypto_generichash" in names, "no names in", program)
        foreign = re.findall(r" \w (PQ\w+|(?:database|column|rows|schema|forward)_\w+)", names)
        check(not foreign, program.name, "contains", *foreign)
        needed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
        check("libjson-c" in needed and "libpq" not in needed, program.name, "needs libpq")
    needed = subprocess.run(["readelf", "-d", BINARY.with_name("doorpost")], capture_output=True, text=True, check=True).stdout
    check("libjson-c" in needed and "libpq" not in needed, "the tool needs libpq to start")


def the_times_are_told():
    if not QUICK and taken:
        milliseconds = sorted(1000 * seconds for seconds in taken)
        print(f"# {len(ATTACKS) + 3} attacks, {len(taken)} presses: median answer {statistics.median(milliseconds):.0f} ms, "
              f"longest {milliseconds[-1]:.0f} ms")


run_tests(*map(withstands, ATTACKS), presses_are_answered_beside_peers_that_are_stopped,
          *map(survives_a_log_that_nobody_reads, (open_pipe, open_socket)), a_log_whose_reader_has_gone_costs_nothing,
          a_flood_is_summed_up_in_the_log, the_receiver_can_make_no_request, no_program_needs_a_database, the_times_are_told)
