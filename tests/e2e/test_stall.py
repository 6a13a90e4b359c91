"""FastCGI connections that stall, trickle, break off or send nonsense: the others are served."""

import itertools
import socket
import time

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.fastcgi import fastcgi, fastcgi_answer, fastcgi_connect, fastcgi_record, fastcgi_request
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests


def is_open(connection):
    """Has the worker not closed it yet?"""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        connection.setblocking(True)


def good(path, number):
    body = press(number)
    answer = fastcgi(path, body, sign(body))
    check(answer is not None and answer[0] == 200, "no answer for", number, answer)


def a_stall_after_any_byte_delays_nobody():
    with Lab(LOG="off") as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        good(path, 0)
        whole = fastcgi_request(press(1), sign(press(1)))
        stalled, slowest = [], 0
        lengths = [*range(64), *range(64, len(whole), 3)]  # not so many that one gives way to another
        for length in lengths:
            connection = fastcgi_connect(path)
            connection.sendall(whole[:length])
            stalled.append(connection)
            if len(stalled) % 10 == 0:
                before = time.monotonic()
                good(path, f"good-{length}")
                slowest = max(slowest, time.monotonic() - before)
                # It was answered while the stalled one was still waiting, so it did not wait for it to be dropped.
                check(is_open(connection), "the connection that stalled after", length, "bytes is closed already")
        print(f"# answers beside them took {slowest:.3f} s at most")
        check(len(verify_journal(lab)) == 1 + len(lengths) // 10, "stalled requests were kept, or good ones not")
        begun = len(fastcgi_record(1, bytes(8)))
        for length, connection in zip(lengths, stalled):
            if length >= begun:
                answer = fastcgi_answer(connection)
                check(answer is not None and answer[0] == 503, "a request that stalled after", length, "bytes:", answer)
            else:
                check(is_open(connection), "a connection on which no request had begun was closed")
            connection.close()
        good(path, "afterwards")


def a_stalled_request_is_refused_at_the_deadline():
    with Lab() as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        before = time.monotonic()
        with fastcgi_connect(path) as connection:
            connection.sendall(fastcgi_request(press(1), sign(press(1)))[:-1])
            check(fastcgi_answer(connection)[0] == 503, "not 503")
        check(3.5 < time.monotonic() - before, "it was refused too early")
        check(not lab.lines(), "it was kept")
        wait_for(lambda: "the request did not arrive in time" in (lab.logs / "worker").read_text(), "a line in the log")


def a_trickle_that_ends_in_time_is_served():
    with Lab() as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        bodies = map(press, itertools.count())

        def served():
            body, began = next(bodies), time.monotonic()
            with fastcgi_connect(path) as connection:
                request = fastcgi_request(body, sign(body))
                for start in range(0, len(request), 100):
                    connection.sendall(request[start:start + 100])
                    good(path, f"between-{start}-{began}")
                in_time = time.monotonic() - began < 3
                status = fastcgi_answer(connection)[0]
            check(status == 200 or not in_time, "it was not served:", status)
            return in_time
        wait_for(served, "a machine that is fast enough to send it in time")


def large_bodies_come_whole():
    with Lab(MAX_BODY="131072", LOG="off") as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        with socket.socket() as tcp:
            tcp.bind(("127.0.0.1", 0))
            tcp.listen(10)
            lab.worker(tcp)
            for number, size in enumerate((65000, 130000)):
                body = press(number).replace(b'"relationships"', b'"filler":"' + b"x" * size + b'","relationships"')
                check(fastcgi(path, body, sign(body))[0] == 200, size, "over a Unix socket")
                body = body.replace(b"event-", b"tcp-event-").replace(b"request-", b"tcp-request-")
                with socket.create_connection(tcp.getsockname()) as connection:
                    request = fastcgi_request(body, sign(body))
                    for start in range(0, len(request), 7000):
                        connection.sendall(request[start:start + 7000])
                    check(fastcgi_answer(connection)[0] == 200, size, "over TCP")


def too_much_body_is_refused_and_the_answer_arrives():
    with Lab() as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        for size in (65537, 200000, 3000000):
            body = b"x" * size
            check(fastcgi(path, body, sign(body))[0] == 413, size)
        # Whatever its length says, what comes counts too.
        for size, length, status in ((200000, "10", 400), (200000, None, 413), (65537, None, 413), (11, "10", 400)):
            body = b"x" * size
            check(fastcgi(path, body, sign(body), CONTENT_LENGTH=length)[0] == status, size, length)
        check(not lab.lines(), "something was kept")


def a_body_shorter_than_its_length_is_malformed():
    with Lab() as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        body = press(1)
        check(fastcgi(path, body, sign(body), CONTENT_LENGTH=str(len(body) + 5))[0] == 400, "not 400")
        check(fastcgi(path, b"", sign(b""), CONTENT_LENGTH=None)[0] == 411, "not 411")
        check(not lab.lines(), "something was kept")


def nonsense_and_broken_connections_are_dropped():
    with Lab() as lab:
        listener, path = lab.listener()
        worker = lab.worker(listener)
        whole = fastcgi_request(press(1), sign(press(1)))
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, whole[:24] + fastcgi_record(2, b""),
                     b"\x01" * 5000,
                     whole[:16] + fastcgi_record(4, b"\xff\xff\xff\xff\xff\xff\xff\xff") + fastcgi_record(4, b"")
                     + fastcgi_record(5, b"")):
            with fastcgi_connect(path) as connection:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                answer = fastcgi_answer(connection)
                check(answer is None or answer[0] != 200, text, "was answered", answer)
        for length in (0, 8, 100, len(whole)):  # gone before the answer
            connection = fastcgi_connect(path)
            connection.sendall(whole[:length])
            connection.close()
        good(path, 2)
        check(worker.poll() is None, "the worker ended")


def more_silent_connections_than_places_are_survived():
    with Lab(LOG="off") as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        silent = [fastcgi_connect(path) for _ in range(300)]
        good(path, 1)
        check(is_open(silent[-1]), "the newest silent connection was dropped")
        for connection in silent:
            connection.close()


run_tests(a_stall_after_any_byte_delays_nobody, a_stalled_request_is_refused_at_the_deadline,
          a_trickle_that_ends_in_time_is_served, large_bodies_come_whole, too_much_body_is_refused_and_the_answer_arrives,
          a_body_shorter_than_its_length_is_malformed, nonsense_and_broken_connections_are_dropped,
          more_silent_connections_than_places_are_survived)
