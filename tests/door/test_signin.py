#!/usr/bin/env python3
"""The door page's requests, by CGI and by a FastCGI worker: who may sign in, which requests are refused, and the fields that every
answer has."""

import contextlib
import fcntl
import os
import pathlib
import select
import signal
import struct
import subprocess
import threading
import time

from door import OURS, PASSWORD, Door, cookie_of, end, form, is_signed_in, sign_in
from support.assertions import PATIENCE, check, wait_for
from support.fastcgi import KEEP_CONN, fastcgi_begin, fastcgi_connect, fastcgi_reply, parse_answer
from support.runner import run_tests

MUTATIONS = [("POST", "/login"), ("POST", "/logout"), ("POST", "/link&nonce=abc&time=1"), ("POST", "/live/device&id=" + "0" * 32),
             ("DELETE", "/live/" + "0" * 32)]
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


# ---- signing in ----

def signing_in_and_out():
    with Door() as door:
        for ask in door.ways():
            check(not is_signed_in(ask), "nobody is signed in")
            status, fields, _ = answer = sign_in(ask)
            check((status, fields["Location"]) == (303, "/door"), answer)
            value, *attributes = fields["Set-Cookie"].split("; ")
            check(value.startswith("__Host-doorpost=") and value.endswith(".me"), value)
            check(set(attributes) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=7776000"}, attributes)
            check(is_signed_in(ask, HTTP_COOKIE=value), "signed in")
            check(is_signed_in(ask, HTTP_COOKIE=f"a=b; {value}; c=d"), "among other cookies")
            check(not is_signed_in(ask, HTTP_COOKIE="x" + value), "another cookie's name")
            status, fields, _ = ask("POST", "/logout", HTTP_COOKIE=value, **OURS)
            check(status == 303 and fields["Set-Cookie"].startswith("__Host-doorpost=;") and "Max-Age=0" in fields["Set-Cookie"], fields)


def wrong_names_and_passwords_are_refused():
    with Door() as door:
        for ask in door.ways():
            for user, password in (("me", "wrong horse"), ("you", PASSWORD), ("", ""), ("../users/me", PASSWORD), ("me\0", PASSWORD),
                                   ("me", PASSWORD + "\0"), ("m" * 500, "x" * 5000)):
                status, fields, page = answer = sign_in(ask, user, password)
                check(status == 403 and "Set-Cookie" not in fields and b"wrong" in page, user, answer)
        text = "".join(door.log_texts())
        check("wrong horse" not in text and PASSWORD not in text, "a password is in the log:", text)


def forged_cookies_sign_nobody_in():
    with Door() as door:
        door.tool("door", "user", "add", "you", input=PASSWORD + "\n").ok()
        for ask in door.ways():
            cookie = cookie_of(sign_in(ask))
            name, value = cookie.split("=")
            seconds, proof, _ = value.split(".")
            for forged in (f"{seconds}.{proof}.you", f"{int(seconds) + 1}.{proof}.me", f"{seconds}.{'0' * 32}.me", f"{seconds}..me",
                           f"{seconds}.{proof}", "", ".", "x" * 10000, f"{seconds}.{proof}.me "):
                answer = ask("GET", "/devices", HTTP_COOKIE=f"{name}={forged}")
                check((answer[0], b'"signin"' in answer[2]) == (401, True) or forged.endswith(" "), forged, answer)


def a_new_password_ends_sessions():
    with Door() as door:
        for ask in door.ways():
            cookie = cookie_of(sign_in(ask))
            door.tool("door", "user", "add", "me", input=PASSWORD + "\n").ok()
            check(not is_signed_in(ask, HTTP_COOKIE=cookie), "an earlier session")
            cookie = cookie_of(sign_in(ask))
            check(is_signed_in(ask, HTTP_COOKIE=cookie), "the new one")


@contextlib.contextmanager
def lock_held(path):
    """Holds a whole file's lock as another program would."""
    with open(path, "w+b") as file:
        fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
        yield


def an_attempt_waits_for_others_and_stalls_nobody():
    with Door() as door:
        door.start_worker()
        sign_in(door.by_fastcgi)  # makes the lock's file
        ends = {}

        def attempt():
            ends["answer"] = sign_in(door.by_fastcgi)
            ends["attempt"] = time.monotonic()
        with lock_held(door.door / "login.lock"):
            thread = threading.Thread(target=attempt)
            thread.start()
            check(not is_signed_in(door.by_fastcgi), "the page")
            ends["page"] = time.monotonic()
            thread.join()
        check(ends["page"] < ends["attempt"], "the page waited for an attempt to sign in")
        status, fields, page = ends["answer"]
        check(status == 429 and int(fields["Retry-After"]) > 0 and b"Try again" in page, ends["answer"])
        check(sign_in(door.by_fastcgi)[0] == 303, "afterwards")


def a_stranger_keeps_nobody_from_signing_in():
    with Door() as door:
        door.start_worker()
        wrong = form(user="me", password="wrong horse")
        with contextlib.ExitStack() as stack:
            strangers = [stack.enter_context(door.send("POST", "/login", wrong, REMOTE_ADDR=f"2001:db8::{n}", **OURS)) for n in range(12)]
            check(sign_in(door.by_fastcgi)[0] == 303, "another address")
            statuses = [fastcgi_reply(one)[0] for one in strangers]
            check(set(statuses) == {403, 429}, "one network's attempts at once:", statuses)


def remote_user_counts_only_if_the_settings_say_so():
    with Door() as door:
        for ask in door.ways():
            check(not is_signed_in(ask, REMOTE_USER="me"), "REMOTE_USER")
            check(not is_signed_in(ask, HTTP_REMOTE_USER="me"), "a field of that name")
            check(ask("GET", "/devices", REMOTE_USER="me")[0] == 401, "REMOTE_USER")
    with Door(DOOR_LOGIN="remote-user") as door:
        for ask in door.ways():
            check(is_signed_in(ask, REMOTE_USER="me"), "REMOTE_USER")
            for value in ("", "a b", "../x", "x" * 500, '"><script>'):
                status, fields, _ = ask("GET", REMOTE_USER=value)
                check(status == 403, "REMOTE_USER", value, status)
            check(ask("GET", "/devices")[0] == 401, "nobody")
            check(sign_in(ask)[0] == 404, "there is no other sign-in")


# ---- what is refused ----

def other_sites_start_nothing():
    foreign = [{"HTTP_SEC_FETCH_SITE": site, "HTTP_ORIGIN": "https://door.example"} for site in ("cross-site", "same-site", "none", "x")]
    foreign += [{"HTTP_ORIGIN": origin} for origin in ("https://evil.example", "null", "https://door.example.evil.example", "door.example")]
    foreign += [{}, {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "null"}]
    with Door() as door:
        for ask in door.ways():
            cookie = cookie_of(sign_in(ask))
            for method, query in MUTATIONS:
                for variables in foreign:
                    answer = ask(method, query, form(user="me", password=PASSWORD), HTTP_COOKIE=cookie, **variables)
                    check(answer[0] == 403 and b'"foreign"' in answer[2] and "Set-Cookie" not in answer[1], method, query, variables, answer)
                answer = ask(method, query, form(user="me", password=PASSWORD), HTTP_ORIGIN="https://door.example")
                check(b'"foreign"' not in answer[2], "our own page's", method, query, answer)


def next_leads_nowhere_else():
    with Door() as door:
        for ask in door.ways():
            for value in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x", "door", "?a\r\nSet-Cookie: b=c", "?a b",
                          "?\u00e4", "?" + "x" * 5000, "", "\t?a"):
                status, fields, _ = sign_in(ask, next=value)
                check((status, fields["Location"]) == (303, "/door"), "next", value, fields)
            _, fields, _ = sign_in(ask, next="?nonce=a-b_c&time=1")
            check(fields["Location"] == "/door?nonce=a-b_c&time=1", fields)
            for uri in ("//evil.example/door", "/\\evil.example/door", "///door"):
                _, fields, _ = ask("POST", "/login", form(user="me", password=PASSWORD), **OURS, REQUEST_URI=uri + "?/login")
                check(fields["Location"] in ("?", "/door", "/evil.example/door"), uri, fields)
            status, _, page = ask("GET", 'nonce=a&time=1&"><script>')
            check(status == 200 and b'"><script>' not in page and b"nonce=a&amp;time=1" in page, "the form keeps the query, escaped:", page)


def methods_and_names():
    with Door() as door:
        for ask in door.ways():
            for query in ("", "/app.css", "/app.js", "/icon.svg", "/manifest.json", "/devices"):
                status, fields, body = ask("GET", query)
                head = ask("HEAD", query)
                check((head[0], head[2]) == (status, b"") and head[1] == fields, "HEAD", query, head)
                check(int(fields["Content-Length"]) == len(body) > 0, "GET", query, fields)
            for method, query, allowed in (("PUT", "", "GET, HEAD, POST"), ("GET", "/login", "POST"), ("PUT", "/live/x", "POST, DELETE"),
                                           ("POST", "/events", "GET, HEAD"), ("OPTIONS", "/app.js", "GET, HEAD"), ("DELETE", "/logout", "POST")):
                status, fields, _ = ask(method, query)
                check((status, fields.get("Allow")) == (405, allowed), method, query, fields)
            for query in ("/", "//", "/nothing", "/index.html", "/signin.html", "/app.cssx", "/../key", "/" + "x" * 5000,
                          '/a"\x1b[2J cause=x'):
                check(ask("GET", query)[0] == 404, query)
            _, fields, _ = ask("GET", "/app.css")
            status, _, body = ask("GET", "/app.css", HTTP_IF_NONE_MATCH=fields["ETag"])
            check((status, body) == (304, b""), "the ETag", status)
        text = "".join(door.log_texts())
        check("verdict=unknown" in text and "cause=x" not in text and "\x1b" not in text, "a stranger's text is in the log")


def every_answer_has_the_security_fields():
    with Door() as door:
        for ask in door.ways():
            cookie = cookie_of(sign_in(ask))
            for method, query, variables in ([("GET", "", {}), ("GET", "", {"HTTP_COOKIE": cookie}), ("GET", "/app.js", {}), ("GET", "/nothing", {}),
                                              ("PUT", "", {}), ("POST", "", {}), ("GET", "/devices", {}), ("GET", "nonce=a&time=1", {"HTTP_COOKIE": cookie}),
                                              ("POST", "/logout", OURS), ("POST", "/link", {**OURS, "HTTP_COOKIE": cookie})] +
                                             [(method, query, {}) for method, query in MUTATIONS]):
                _, fields, _ = answer = ask(method, query, **variables)
                check(fields["Content-Security-Policy"] == POLICY and fields["X-Content-Type-Options"] == "nosniff" and
                      fields["Referrer-Policy"] == "same-origin" and fields["Cross-Origin-Resource-Policy"] == "same-origin", method, query, answer)
                check(fields["Cache-Control"] == ("max-age=3600" if query == "/app.js" else "no-store"), method, query, fields)


def bodies_have_limits():
    with Door() as door:
        for ask in door.ways():
            check(ask("POST", "", b"")[0] == 400, "no code")
            for body in (b"{}", b'{"code":1}', b'{"code":""}', b'{"code":"a b"}', b'{"code":"a\\u0000b"}', b"code=", b"code=a&code=b", b"x" * 65536,
                         b"[" * 65536):
                check(ask("POST", "", body)[0] == 400, "no code in", body[:40])
            check(ask("POST", "", b"x" * 65537)[0] == 413, "a large body")
            check(ask("POST", "", b"", CONTENT_LENGTH="")[0] == 411, "no length")
            check(ask("POST", "", b"code", CONTENT_LENGTH="four")[0] == 400, "no number")
            check(ask("POST", "", b"code=x", CONTENT_LENGTH="9")[0] == 400, "a short body")


# ---- the process ----

def settings_are_read_again_until_they_are_right():
    with Door() as door:
        right = door.env_file.read_text()
        door.env_file.write_text("\n".join(line for line in right.splitlines() if "DOOR=" not in line) + "\n")
        for ask in door.ways():
            door.env_file.write_text("\n".join(line for line in right.splitlines() if "DOOR=" not in line) + "\n")
            status, fields, page = ask("GET")
            check(status == 503 and b"doorpost doctor" in page and "Retry-After" in fields, status, page)
            check(any("DOORPOST_DOOR is not set" in text for text in door.log_texts()), "the log:", *door.log_texts())
            door.env_file.write_text(right)
            check(ask("GET")[0] == 200, "with the right settings")


def threads(worker):
    return len(os.listdir(f"/proc/{worker.pid}/task"))


def threads_come_and_go():
    with Door() as door:
        worker = door.start_worker()
        check(door.by_fastcgi("GET")[0] == 200, "the page")
        few = 3 + 4  # the main thread, two that follow the journal, and those that wait
        stalled = [fastcgi_connect(door.socket) for _ in range(30)]
        for connection in stalled:
            connection.sendall(fastcgi_begin())
        wait_for(lambda: threads(worker) > 30, "a thread for each")
        check(door.by_fastcgi("GET")[0] == 200, "the page, among stalled requests")
        for connection in stalled:
            connection.close()
        wait_for(lambda: threads(worker) <= few, "them to end")
        end(worker)


def a_trickled_body_is_given_up():
    if os.environ.get("QUICK"):
        return "make door-check runs it: it takes half a minute"
    with Door() as door:
        worker = door.start_worker()
        with fastcgi_connect(door.socket) as connection:
            whole = door.request("POST", "/login", b"x" * 60000, **OURS)
            start = len(whole) - 60000 - 100  # somewhere before the body's end
            connection.sendall(whole[:start])
            began = time.monotonic()
            while not select.select([connection], [], [], 0.3)[0]:
                check(time.monotonic() - began < PATIENCE, "it is read for ever")
                connection.sendall(whole[start:start + 1])
                start += 1
            check(b"400 Bad Request" in connection.recv(65536), "the answer")
        end(worker)


def a_stalled_request_is_given_up():
    with Door() as door:
        worker = door.start_worker()
        with fastcgi_connect(door.socket) as half, door.send("POST", "", b"", CONTENT_LENGTH="5", HTTP_X="y") as short:
            half.sendall(door.request("GET")[:-12])
            check(half.recv(1) == b"", "half a request is answered")
            check(fastcgi_reply(short)[0] == 400, "a short body")
        end(worker)


def a_kept_connection_serves_on():
    with Door() as door:
        worker = door.start_worker()
        with door.send("GET", "/app.css", flags=KEEP_CONN) as connection:
            first = fastcgi_reply(connection)
            for method, body in (("GET", b""), ("PUT", b"x" * 70000), ("POST", b"{}"), ("GET", b"")):
                connection.sendall(door.request(method, "" if method == "POST" else "/app.css", body, KEEP_CONN))
                answer = fastcgi_reply(connection)
                check(answer[0] == {"GET": 200, "PUT": 405, "POST": 400}[method], method, answer)
            check(first == answer, "the same file twice")
            worker.send_signal(signal.SIGUSR1)
            check(connection.recv(1) == b"", "an idle connection at the end")
        check(worker.wait(PATIENCE) == 0, "exit status", worker.returncode)


def a_cgi_program_whose_viewer_has_left_finishes():
    with Door() as door:
        sign_in(door.by_cgi)  # makes the lock's file
        body = form(user="me", password=PASSWORD)
        env = {**door.environment(), **door.variables("POST", "/login", body, OURS)}
        with lock_held(door.door / "login.lock"):
            process = subprocess.Popen([door.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       env=env, **door.as_user())
            process.stdin.write(body)
            process.stdin.close()
            ignored = 1 << signal.SIGTERM - 1
            wait_for(lambda: int(pathlib.Path(f"/proc/{process.pid}/status").read_text().split("SigIgn:")[1].split()[0], 16) & ignored, "a start")
            process.send_signal(signal.SIGTERM)
        answer = parse_answer(process.stdout.read())
        check(process.wait(PATIENCE) == 0 and answer[0] in (303, 429), process.returncode, answer)


def root_becomes_the_directorys_owner():
    if os.geteuid() != 0:
        return "only root can do it"
    with Door() as door:
        worker = door.start_worker(user=0)
        check(door.by_fastcgi("GET")[0] == 200, "the page")
        status = pathlib.Path(f"/proc/{worker.pid}/status").read_text()
        check(f"Uid:\t{door.user.pw_uid}\t{door.user.pw_uid}" in status, status)
        check(sign_in(door.by_fastcgi)[0] == 303, "signing in")
        end(worker)


run_tests(signing_in_and_out, wrong_names_and_passwords_are_refused, forged_cookies_sign_nobody_in, a_new_password_ends_sessions,
          an_attempt_waits_for_others_and_stalls_nobody, a_stranger_keeps_nobody_from_signing_in, remote_user_counts_only_if_the_settings_say_so, other_sites_start_nothing,
          next_leads_nowhere_else, methods_and_names, every_answer_has_the_security_fields, bodies_have_limits,
          settings_are_read_again_until_they_are_right, threads_come_and_go, a_trickled_body_is_given_up, a_stalled_request_is_given_up, a_kept_connection_serves_on,
          a_cgi_program_whose_viewer_has_left_finishes, root_becomes_the_directorys_owner)
