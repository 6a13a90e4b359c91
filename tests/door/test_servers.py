#!/usr/bin/env python3
"""The door page through each web server that deploy/ has a file for: every kind of request, while presses come."""

import concurrent.futures
import json
import os
import threading
import time
import urllib.parse

from ring import find_python
from served import BATTERY, DEVICE, OFFER, OURS, served
from support.assertions import check, wait_for
from support.runner import run_tests
from support.servers import SERVERS

HELD = {"lighttpd/fastcgi.conf", "lighttpd/socket.conf", "nginx/doorpost.conf"}  # where requests for new presses are held
NO_DOOR_WORKER = {"lighttpd/socket.conf", "apache/proxy.conf", "nginx/doorpost.conf"}
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
          "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"}


def headers(fields, kind=None, cache="no-store"):
    check(all(fields.get(name) == value for name, value in ALWAYS.items()), fields)
    check(fields.get("Cache-Control") == cache, cache, "is expected:", fields)
    check(kind is None or fields.get("Content-Type", "").startswith(kind), kind, "is expected:", fields)


def page(site, user):
    status, fields, body = site.ask("GET")
    headers(fields, "text/html")
    check(status == 200 and (b'data-user="me"' in body) == user, status, body)


def events(site, query="", **options):
    status, fields, body = site.ask("GET", "/events" + query, **options)
    check(status == 200, status, fields, body)
    headers(fields, "application/json")
    answer = json.loads(body)
    check(fields["X-Next"] == str(answer["next"]) and fields["Etag" if "Etag" in fields else "ETag"] == f'"{answer["next"]}"', fields)
    return answer


def session(site, id, device=DEVICE):
    """Live video, and its end."""
    status, fields, body = site.ask("POST", f"/live/{urllib.parse.quote(device)}&id={id}", OFFER, {"Content-Type": "application/sdp", **OURS})
    check(status == 201 and b"a=sendonly" in body, status, fields, body)
    headers(fields, "application/sdp")
    check(fields["X-Seconds"] == ("30" if device == BATTERY else "60") and "Location" not in fields, fields)
    status, fields, body = site.ask("DELETE", f"/live/{id}", fields=OURS)
    check(status == 204 and body == b"", "the end:", status, body)
    headers(fields)


def every_request(name):
    def test():
        with served(SERVERS[name], name in NO_DOOR_WORKER) as site:
            ring = site.ring
            page(site, False)
            status, fields, body = site.ask("GET", "/events")
            check(status == 401 and json.loads(body)["error"] == "signin", status, body)
            headers(fields, "application/json")
            for file, kind in (("app.js", "text/javascript"), ("app.css", "text/css"), ("icon.svg", "image/svg+xml"),
                               ("manifest.json", "application/manifest+json")):
                status, fields, body = site.ask("GET", "/" + file)
                check(status == 200 and body, file, status)
                headers(fields, kind, "max-age=3600")
                status, again, body = site.ask("GET", "/" + file, fields={"If-None-Match": fields["ETag"]})
                check(status == 304 and body == b"", file, status)

            # Sign-in, and the account.
            _, fields, _ = site.sign_in()
            headers(fields)
            check(urllib.parse.urlsplit(fields["Location"]).path == "/door", fields)
            cookie = fields["Set-Cookie"]
            check(cookie.startswith("__Host-doorpost=") and
                  {part.strip() for part in cookie.split(";")[1:]} == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=7776000"}, cookie)
            page(site, True)
            code, asked, done = site.link()
            check(json.loads(code[2]) == {"status": "ok"}, code)
            headers(code[1], "application/json")
            check(asked[0] == 200 and b"<form" in asked[2], asked)
            headers(asked[1], "text/html")
            headers(done[1])
            check(site.ask("POST", "", b"code=x", {"Content-Type": "application/x-www-form-urlencoded"})[0] in (502, 504), "a wrong code")
            status, fields, body = site.ask("GET", "/devices")
            headers(fields, "application/json")
            check(status == 200 and [one["id"] for one in json.loads(body)["devices"]] == [DEVICE, BATTERY], status, body)

            # Presses: at once, and while a request waits for them.
            check(site.deliver(1)[0] == 200, "the delivery was not taken")
            answer = events(site)
            check([one["seq"] for one in answer["events"]] == [1] and answer["hold"] == (name in HELD), answer)
            status, _, body = site.ask("GET", "/events&after=1", fields={"If-None-Match": '"1"'})
            check(status == 304 and body == b"", status, body)
            with concurrent.futures.ThreadPoolExecutor(1) as other:
                began = time.monotonic()
                held = other.submit(events, site, "&after=1&wait=25")
                if name in HELD:
                    time.sleep(1)  # it proves nothing if the request comes later
                    check(site.deliver(2)[0] == 200, "the delivery was not taken")
                    check([one["seq"] for one in held.result()["events"]] == [2], held.result())
                    print(f"# {time.monotonic() - began - 1:.2f} s from a delivery to the answer of a request that is held, by {name}")
                else:
                    check(held.result()["events"] == [], "there was no press")
                    check(site.deliver(2)[0] == 200, "the delivery was not taken")
                    check([one["seq"] for one in events(site, "&after=1")["events"]] == [2], "the press")

            # Its picture.
            status, fields, _ = wait_for(lambda: (found := site.ask("GET", "/picture&seq=2"))[0] == 200 and found, "the picture")
            headers(fields, "image/jpeg", "private, max-age=31536000, immutable")
            status, fields, body = site.ask("GET", "/picture&seq=77")
            check(status == 404 and b"<svg" in body, status, body)
            headers(fields, "image/svg+xml")

            # Live video, while presses come and Ring takes its time.
            session(site, "1" * 32, BATTERY)
            ring.set(slow={"whep": 2})
            stop, answers = threading.Event(), []

            def deliver():
                number = 10
                while not stop.is_set():
                    number += 1
                    answers.append(site.deliver(number)[0])
            with concurrent.futures.ThreadPoolExecutor(3) as others:
                presses = others.submit(deliver)
                waiting = [others.submit(session, site, f"{number}" * 32, device) for number, device in ((2, DEVICE), (3, BATTERY))]
                try:
                    for one in waiting:
                        one.result()
                finally:
                    stop.set()
                presses.result()
            check(answers and set(answers) == {200}, "presses meanwhile:", answers)
            print(f"# {len(answers)} presses answered while live video was asked for, by {name}")
            check([entry["status"] for entry in ring.log("end")] == [204] * 3, ring.log("end"))

            # Foreign pages, and sign-out.
            status, fields, _ = site.ask("POST", "/logout", b"", {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"})
            check(status == 403 and "Set-Cookie" not in fields, status, fields)
            headers(fields)
            status, fields, _ = site.ask("POST", "/logout", b"", OURS)
            check(status == 303 and fields["Set-Cookie"].startswith("__Host-doorpost=;") and "Max-Age=0" in fields["Set-Cookie"], status, fields)
            check(site.ask("PUT", "", b"")[0] == 405, "another method")
    test.title = f"{name}: every request of the door page"
    test.__name__ = name.replace("/", "_").removesuffix(".conf")
    return test


NAMES = ["lighttpd/fastcgi.conf"] if os.environ.get("QUICK") else list(SERVERS)
if find_python() is None:
    print("1..0 # SKIP python3-aiohttp is not installed")
else:
    run_tests(*map(every_request, NAMES))
