"""The ready examples in deploy/on-press, as they ship, each against a stand-in for what it talks to."""

import http.server
import json
import re
import shutil
import threading
import time

from lab import Lab, ROOT, check, press, run_tests

EXAMPLES = ROOT / "deploy/on-press"


def now(number):
    event = json.loads(press(number))
    event["data"]["attributes"].update(timestamp=int(time.time() * 1000), source="front-door")
    return json.dumps(event).encode()


def stand_in(lab, *answers):
    """An HTTP server that gives these answers, the last one for ever. Returns its URL and the list of what it got."""
    left, got = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            got.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            status, fields, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for last in (thread.join, server.server_close, server.shutdown):
        lab.stack.callback(last)
    return f"http://127.0.0.1:{server.server_port}", got


def program(lab, name):
    """A program of that name, first on the path, that writes down its arguments and its input."""
    directory = lab.path / "stand-in"
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f'#!/bin/sh\nfor argument; do echo "$argument"; done > {lab.logs}/arguments\n'
                                  f'[ {name} = notify-send ] || cat > {lab.logs}/input\n')
    (directory / name).chmod(0o755)
    return {"PATH": f"{directory}:/usr/local/bin:/usr/bin:/bin"}


def run(lab, example, *arguments, name="test", env=None):
    # The journal's owner runs them; the checkout may be closed to that user.
    copy = lab.path / example
    shutil.copy(EXAMPLES / example, copy)
    return lab.tool("exec", "--once", "--name", name, "--from", "start", "--", copy, *arguments,
                    env={"no_proxy": "*", **(env or {})})


def a_notification():
    with Lab() as lab:
        lab.receive(now(1), press(2))  # the second is of February
        run(lab, "notify.sh", env=program(lab, "notify-send")).ok()
        arguments = (lab.logs / "arguments").read_text().splitlines()
        check(arguments[-3:] == ["--", "Someone is at the door", "front-door"], arguments)


def any_url():
    with Lab() as lab:
        body = now(1)
        lab.receive(body)
        url, got = stand_in(lab, (503, {}, b""), (200, {}, b""))
        result = run(lab, "http-post.sh", url + "/hook").ok()
        check("exit status 1; retrying in 1 s" in result.stderr, result)
        check([path for path, _, _ in got] == ["/hook"] * 2 and got[1][2] == body + b"\n", got)
        check(got[1][1]["Content-Type"] == "application/json" and got[0][1]["Idempotency-Key"] == "1", got)
        url, got = stand_in(lab, (404, {}, b""))
        check("given up" in run(lab, "http-post.sh", url, name="refused").ok().stderr and len(got) == 1, got)


def ntfy():
    with Lab() as lab:
        lab.receive(now(1))
        url, got = stand_in(lab, (200, {}, b"{}"))
        run(lab, "ntfy.sh", url + "/topic").ok()
        path, fields, text = got[0]
        check(path == "/topic" and fields["Title"] == "Someone is at the door", got)
        check(re.fullmatch(rb"front-door at \d\d:\d\d:\d\d", text), text)


def mqtt():
    with Lab() as lab:
        body = now(1)
        lab.receive(body)
        run(lab, "mqtt.sh", "broker.local", "home", env=program(lab, "mosquitto_pub")).ok()
        check((lab.logs / "arguments").read_text().split() == ["-h", "broker.local", "-q", "1", "-t", "home/button_press", "-s"], "arguments")
        check((lab.logs / "input").read_bytes() == body + b"\n", "the message")


def a_live_session():
    with Lab() as lab:
        lab.receive(now(1))
        url, got = stand_in(lab, (401, {}, b""), (201, {"Location": "/sessions/7"}, b"v=0 answer"))
        sessions = lab.path / "sessions"
        sessions.mkdir()
        lab.own(sessions)
        token, offer = lab.path / "token", lab.path / "offer.sdp"
        token.write_text("secret-token\n")
        offer.write_text("v=0 offer")
        settings = lab.path / "settings"
        settings.write_text(f"API={url}\nTOKEN_FILE={token}\nOFFER={offer}\nANSWERS={sessions}\n")
        result = run(lab, "ring-live.sh", settings).ok()
        check("Ring refused the token" in result.stdout and "secret" not in result.stdout + result.stderr, result)
        path, fields, body = got[1]
        check(path == "/v1/devices/front-door/media/streaming/whep/sessions" and body == b"v=0 offer", got)
        check(fields["Authorization"] == "Bearer secret-token" and fields["Content-Type"] == "application/sdp", fields)
        check((sessions / "front-door.sdp").read_text() == "v=0 answer", "the answer")
        check((sessions / "front-door.session").read_text() == "/sessions/7\n", "the session")
        check(sorted(path.name for path in sessions.iterdir()) == ["front-door.sdp", "front-door.session"], "left behind")


run_tests(a_notification, any_url, ntfy, mqtt, a_live_session)
