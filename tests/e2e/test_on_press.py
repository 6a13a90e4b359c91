"""The ready examples in deploy/on-press, as they ship, each against a stand-in for what it talks to."""

import http.server
import json
import re
import shutil
import threading
import time

from support.assertions import check
from support.deliveries import press
from support.laboratory import ROOT, Lab
from support.runner import run_tests

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

        do_PUT = do_POST  # noqa: N815

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
    shutil.copy(EXAMPLES / "settings.sh", lab.path)
    return lab.tool("exec", "--once", "--name", name, "--from", "start", "--", copy, *arguments,
                    env={"no_proxy": "*", "DOORPOST_TOOL": "/bin/false", **(env or {})})


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


def picture_tool(lab):
    """A stand-in for `doorpost door picture`, which has one."""
    tool = lab.path / "tool"
    tool.write_text(f'#!/bin/sh\n[ "$1 $2" = "door picture" ] && cat >{lab.logs}/event && printf JPEG\n')
    tool.chmod(0o755)
    return {"DOORPOST_TOOL": str(tool)}


def ntfy():
    with Lab() as lab:
        lab.receive(now(1))
        url, got = stand_in(lab, (200, {}, b"{}"))
        run(lab, "ntfy.sh", url + "/topic").ok()
        path, fields, text = got[0]
        check(path == "/topic" and fields["Title"] == "Someone is at the door" and "Click" not in fields, got)
        check(re.fullmatch(rb"front-door at \d\d:\d\d:\d\d", text), text)


def ntfy_with_a_picture_and_a_link():
    with Lab() as lab:
        lab.receive(now(1))
        url, got = stand_in(lab, (200, {}, b"{}"))
        settings = {"NTFY_TOKEN": "secret-token", "DOOR_URL": "https://your.host/door"}
        result = run(lab, "ntfy.sh", url + "/topic", env={**picture_tool(lab), **settings}).ok()
        _, fields, body = got[0]
        check(body == b"JPEG" and fields["Filename"] == "door.jpg" and fields["Message"].startswith("front-door at"), got)
        check(fields["Click"] == "https://your.host/door#seq=1" and fields["Authorization"] == "Bearer secret-token", fields)
        check(b"front-door" in (lab.logs / "event").read_bytes() and "secret" not in str(result), result)


def messages(lab):
    """A mosquitto_pub that keeps each message. Returns the environment, and a function that reads {topic: (options, bytes)}."""
    env = program(lab, "mosquitto_pub")
    stand_in = lab.path / "stand-in/mosquitto_pub"
    stand_in.write_text(f"""#!/usr/bin/python3
import json, os, sys
options = sys.argv[1:]
topic = options[options.index("-t") + 1]
if "-s" in options: data = sys.stdin.buffer.read()
elif "-f" in options: data = open(options[options.index("-f") + 1], "rb").read()
else: data = options[options.index("-m") + 1].encode()
config = open(os.environ["XDG_CONFIG_HOME"] + "/mosquitto_pub").read()
with open("{lab.logs}/messages", "a") as out:
    print(json.dumps([topic, options, data.decode("latin1"), config]), file=out)
""")
    return env, lambda: {topic: (options, data, config) for topic, options, data, config in
                         map(json.loads, (lab.logs / "messages").read_text().splitlines())}


def mqtt():
    with Lab() as lab:
        body = now(1)
        lab.receive(body)
        env, read = messages(lab)
        run(lab, "mqtt.sh", "broker.local", "home", env=env).ok()
        options, data, _ = read()["home/button_press"]
        check(options == ["-h", "broker.local", "-p", "1883", "-q", "1", "-t", "home/button_press", "-s"], options)
        check(data.encode() == body + b"\n", data)


def mqtt_announces_the_door_to_home_assistant():
    with Lab() as lab:
        lab.receive(now(1))
        env, read = messages(lab)
        secrets = {"MQTT_USER": "bell", "MQTT_PASSWORD": "pass word"}
        run(lab, "mqtt.sh", "broker.local", env={**env, **picture_tool(lab), **secrets}).ok()
        got = read()
        event, image = (json.loads(got[f"homeassistant/{kind}/doorpost_front-door/config"][1]) for kind in ("event", "image"))
        check(event["device_class"] == "doorbell" and event["event_types"] == ["press"], event)
        check(event["device"] == image["device"] and event["unique_id"] != image["unique_id"], image)
        check(json.loads(got[event["state_topic"]][1])["event_type"] == "press", got)
        options, data, config = got[image["image_topic"]]
        check(data == "JPEG" and "-r" in options and image["content_type"] == "image/jpeg", got)
        check(config == "-u bell\n-P pass word\n" and not any("pass word" in str(options) for options, _, _ in got.values()), got)


def the_settings_file():
    """One file for all commands, beside doorpost.env; what is missing in it is named, and not retried."""
    with Lab() as lab:
        lab.receive(now(1))
        result = run(lab, "ntfy.sh", name="none").ok()
        check("NTFY_URL is not set (the topic's address" in result.stderr and "given up" in result.stderr, result)
        url, got = stand_in(lab, (200, {}, b""))
        settings = lab.path / "on-press.conf"
        settings.write_text(f"NTFY_URL={url}/mine\nPOST_URL={url}/hook\n")
        conf = {"ON_PRESS_CONF": str(settings)}
        run(lab, "ntfy.sh", name="one", env=conf).ok()
        run(lab, "http-post.sh", name="two", env=conf).ok()
        check([path for path, _, _ in got] == ["/mine", "/hook"], got)
        if lab.user:
            settings.chmod(0o600)
            result = run(lab, "ntfy.sh", name="three", env=conf).ok()
            check(f"cannot read {settings}: it must be readable by the user www-data" in result.stderr, result)


run_tests(a_notification, any_url, ntfy, ntfy_with_a_picture_and_a_link, mqtt, mqtt_announces_the_door_to_home_assistant, the_settings_file)
