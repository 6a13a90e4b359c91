"""doctor against each broken set-up that it can name, trigger as Ring, and stats."""

import grp
import http.server
import json
import os
import re
import shutil
import socket
import threading

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign
from support.journal import hold_lock
from support.laboratory import TOOL, Lab
from support.runner import run_tests
from support.servers import lighttpd_fastcgi


def findings(lab, *arguments, level="problem", **options):
    result = lab.tool("doctor", "--json", *arguments, **options)
    found = json.loads(result.stdout)
    check((result.returncode == 1) == any(one["level"] == "problem" for one in found), "exit status", result)
    return [f"{one['check']}: {one['text']}" for one in found if one["level"] == level]


def only(found, *words):
    check(len(found) == 1 and all(word in found[0] for word in words), words, "was expected:", found)


def settings():
    with Lab() as lab:
        only(findings(lab, env={"DOORPOST_CONF": "/dev/null"}), "DOORPOST_KEY_FILE is not set")
        only(findings(lab, env={"DOORPOST_CONF": "/none"}), "cannot read the settings")
        lab.configure(MAX_AGE="1h")
        only(findings(lab, level="warning"), "73 hours")
        lab.configure(MAX_AEG="9d")
        only(findings(lab, level="warning"), 'unknown setting DOORPOST_MAX_AEG ignored: did you mean "DOORPOST_MAX_AGE"?')
        lab.env_file.write_text(f"DOORPOST_KEYFILE={lab.key_file}\nDOORPOST_JOURNAL={lab.journal}\n")
        only(findings(lab), "DOORPOST_KEY_FILE is not set", 'did you mean "DOORPOST_KEY_FILE"?')


def keys():
    with Lab() as lab:
        for text, mode, words in ((KEY, 0o644, "accessible to all users"), ("short", 0o600, "shorter than 16 bytes"), ("", 0o600, "contains no key")):
            lab.write_keys(text, mode=mode)
            only(findings(lab), "keys", words)
        lab.key_file.unlink()
        only(findings(lab), "No such file")
        lab.write_keys(KEY, KEY)
        only(findings(lab, level="warning"), "line 2", "repeats a key")
        lab.write_keys(KEY, mode=0o660)
        if lab.user:
            only(findings(lab), "a group can write to", "chmod g-w")
        only(findings(lab, level="warning", **lab.as_user()), "writable by its group")
        lab.write_keys("a signing key that is no base64")
        check(any("no key is base64" in one for one in findings(lab, level="note")), "the reading")


def directory():
    with Lab() as lab:
        lab.journal.chmod(0o777)
        only(findings(lab), "everyone can write")
        lab.journal.chmod(0o755)
        only(findings(lab, level="warning"), "readable by all users")
        lab.journal.chmod(0o700)
        if lab.user:
            only([one for one in findings(lab, "--user", "nobody") if "user nobody" in one], "the user nobody cannot read the key file")
            os.chown(lab.key_file, 0, 65534)
            only([one for one in findings(lab, "--user", "nobody") if "user nobody" in one], "the user nobody cannot write to the journal")
            os.chown(lab.key_file, 0, lab.user.pw_gid)
            os.chown(lab.journal, 0, 0)
            check(any("belongs to root" in one for one in findings(lab, level="warning")), "root's journal")
        shutil.rmtree(lab.journal)
        only(findings(lab), "No such file", "doorpost init")


def file_system():
    with Lab() as lab:
        def injected(call, error, when=""):
            return lab.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error={error}{when}", TOOL, "doctor", "--json"],
                           env={"ASAN_OPTIONS": "detect_leaks=0"})
        for call, error, words in (("fdatasync", "EIO", "cannot write and sync"), ("fcntl", "ENOLCK", "locks")):
            found = [one["text"] for one in json.loads(injected(call, error).fails().stdout) if one["level"] == "problem"]
            check(any(words in one for one in found) or call == "fcntl" and found, call, found)
        lab.receive(press(1))
        with hold_lock(lab.journal / "lock"):
            only(findings(lab), "locks", "another process holds it")


def journal_and_index():
    with Lab() as lab:
        lab.receive(press(1), press(2))
        check(findings(lab) == [], "sound")
        sound = lab.segment().read_bytes()
        lab.segment().write_bytes(b"x" + sound[1:])
        only(findings(lab), "1 damaged lines in the newest day")
        lab.segment().write_bytes(sound)
        table = lab.journal / "seen/00"
        index = table.read_bytes()
        table.write_bytes(bytes([index[0] ^ 1]) + index[1:])  # it begins with a random number
        only(findings(lab), "index", "--rebuild-index")
        shutil.rmtree(lab.journal / "seen")
        only(findings(lab, level="warning"), "index: missing")
        lab.receive(b"[]")
        check(any("1 signed but unusable" in one for one in findings(lab, level="note")), "rejected")
        (lab.journal / "2149-01-01.jsonl").write_bytes(sound)
        check(any("in the future" in one and " mv " in one for one in findings(lab)), "clock")
        (lab.journal / "2149-01-01.jsonl").unlink()
        (lab.journal / "damaged").mkdir()
        (lab.journal / "damaged/2026-11-20-17").write_bytes(bytes(40))
        for path in (lab.journal / "damaged", lab.journal / "damaged/2026-11-20-17"):
            lab.own(path)
        only([one for one in findings(lab) if "damaged" in one], "40 bytes at the end of a day were damaged", "2026-11-20-17")


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers with what the test has put on the list; the last one for ever."""
    answers = []
    seen = []

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Stub.seen.append((body, self.headers["X-Signature"], self.headers["Content-Type"]))
        status, text = Stub.answers.pop(0) if len(Stub.answers) > 1 else Stub.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def stub(lab, *answers, address=None):
    """At a free port, or the one that the socket `address` is bound to."""
    Stub.answers, Stub.seen = list(answers), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub, bind_and_activate=address is None)
    if address:
        server.socket.close()
        server.socket = address.dup()
        server.server_port = address.getsockname()[1]
        server.server_activate()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    lab.stack.callback(thread.join)
    lab.stack.callback(server.server_close)
    lab.stack.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_port}/doorpost"


def the_round_trip():
    with Lab() as lab:
        for answers, words in (
                ([(404, b"not here")], "nothing is served at this path"), ([(401, b'{"status":"unauthorized"}')], "a different key"),
                ([(401, b"<html>")], "requires a password"), ([(413, b"<html>")], "web server's limit"), ([(413, b'{"status":"too_large"}')], "DOORPOST_MAX_BODY"),
                ([(400, b"<html>")], "an HTTPS port"), ([(400, b'{"status":"rejected","reason":"stale"}')], "stale"),
                ([(405, b"")], "does not accept POST"), ([(403, b"")], "denies access"), ([(301, b"")], "a redirect"), ([(302, b"")], "a redirect"),
                ([(500, b"")], "could not run doorpost.cgi"), ([(502, b"<html>")], "but the worker is not"), ([(504, b"")], "does not answer"),
                ([(503, b'{"status":"unavailable"}')], "Doorpost could not store the event"), ([(503, b"<html>")], "check that the worker is running"), ([(200, b"hello")], "check that this is Doorpost's URL"),
                ([(200, b'{"status":"stored"}')], "was not recognized"),
                ([(200, b'"stored"'), (200, b'"duplicate"'), (200, b'"stored"')], "a wrong signature was not rejected")):
            only(findings(lab, "--url", stub(lab, *answers)), "round trip", words)
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            only(findings(lab, "--url", f"http://127.0.0.1:{port}/"), "no answer from", "nothing listens there")
            closed.listen()
            only(findings(lab, "--url", f"http://127.0.0.1:{port}/"), "no answer from", "Ring does not wait longer")
        nowhere = 64 * "x"  # longer than a part of a name can be, so that no name server has to be waited for
        only(findings(lab, "--url", f"https://{nowhere}.invalid/doorpost"), "does not resolve")
        for url in ("your.host/doorpost", "localhost:8080/doorpost", "ftp://127.0.0.1/"):
            only(findings(lab, "--url", url), "not an HTTP URL", "use https://YOUR.HOST/doorpost")
            check("not an HTTP URL" in lab.tool("trigger", "--url", url).fails().stderr, url)
        url = stub(lab, (404, b"")).replace("127.0.0.1", "0.0.0.0")
        check(any("only to https://" in one for one in findings(lab, "--url", url)), "http://")


def a_web_server_that_is_being_restarted_is_waited_for():
    """A curl that finds nobody there waits until somebody is, and then says what it has found."""
    with Lab() as lab, socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{place.getsockname()[1]}/doorpost"
        meeting = lab.path / "meeting"
        meeting.mkdir()
        lab.own(meeting)
        curl = lab.bin / "curl"
        curl.write_text(f"""#!/bin/sh
            {shutil.which("curl")} "$@"
            status=$?
            [ $status -ne 7 ] || touch {meeting}/refused
            [ $status -ne 7 ] || while [ -e {meeting} ] && [ ! -e {meeting}/listening ]; do sleep 0.05; done
            exit $status""")
        curl.chmod(0o755)

        def start():
            wait_for((meeting / "refused").exists, "a refused connection")
            stub(lab, (200, b'"stored"'), (200, b'"duplicate"'), (401, b'"unauthorized"'), address=place)
            (meeting / "listening").touch()
        starter = threading.Thread(target=start)
        starter.start()
        found = findings(lab, "--url", url, env={"PATH": f"{lab.bin}:{os.environ['PATH']}"})
        starter.join()
        check(found == [], found)


def certificates_that_ring_would_refuse_are_named():
    with Lab() as lab:
        server = lighttpd_fastcgi(lab)
        check(findings(lab, "--url", server.url) == [], "trusted")
        found = findings(lab, "--url", server.url, env={"CURL_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"})
        only(found, "the certificate is not trusted", "certbot")
        for path in ("/other", "/", "/doorpost/"):  # the shipped sites close them
            only(findings(lab, "--url", server.url.replace("/doorpost", path)), "round trip", "check the path")
        check(findings(lab, "--url", server.url.replace("https:", "http:")), "http:// to a port for HTTPS")


def the_log_of_this_set_up_is_named():
    with Lab() as lab, Lab() as other:
        for one in (lab, other):
            listener, _ = one.listener()
            worker = one.worker(listener)
            wait_for(lambda: open(f"/proc/{worker.pid}/comm").read() == "doorpost.cgi\n", "the worker")
        only(findings(lab, "--url", stub(lab, (503, b"no"))), "round trip", f"the reason is in the log: {lab.logs}/worker")
        lab.configure(LOG="off")
        only(findings(lab, "--url", stub(lab, (503, b"no"))), f"{lab.logs}/worker, if DOORPOST_LOG is not off")


def missing_and_closed_settings_are_helped_with():
    with Lab() as lab:
        nothing = {"DOORPOST_CONF": ""}
        if os.path.exists("/etc/doorpost/doorpost.env"):
            return "this machine has settings"
        found = findings(lab, env=nothing)
        only(found, "DOORPOST_KEY_FILE is not set", "doorpost/doorpost.env in ", "/etc/doorpost/doorpost.env", "sudo doorpost init", "--conf FILE")
        check("doorpost init" in lab.tool("log", env=nothing).fails().stderr, "log")
        check("doorpost init" in lab.tool("key", "list", env=nothing).fails().stderr, "key")
        lab.receive(press(1))
        if not lab.user:
            return "not root"
        group = grp.getgrgid(lab.user.pw_gid).gr_name
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(lab.env_file, 0, lab.user.pw_gid)
        lab.env_file.chmod(0o640)
        for verb in (["log"], ["stats"], ["key", "list"], ["sign"]):
            result = lab.tool(*verb, **nobody).fails()
            check("Permission denied" in result.stderr and "sudo" in result.stderr and f"member of group {group}" in result.stderr, result)
        only(findings(lab, **nobody), "settings", "Permission denied", "sudo", f"group {group}")
        lab.env_file.chmod(0o600)
        result = lab.tool("log", **nobody).fails()
        check("sudo" in result.stderr and "group" not in result.stderr, result)
        lab.env_file.chmod(0o644)
        for verb in (["log"], ["check", "--no-signatures"], ["prune", "--keep", "9d"], ["rejected"], ["exec", "--once", "--", "true"]):
            check(f"as {lab.user.pw_name}" in lab.tool(*verb, **nobody).fails().stderr, verb)
        check(f"group {group}" in lab.tool("key", "list", **nobody).fails().stderr, "the key")
        check(all("sudo" in one for one in findings(lab, **nobody)), findings(lab, **nobody))


def what_the_command_line_has_needs_no_settings():
    with Lab() as lab:
        lab.receive(press(1))
        broken = {"DOORPOST_CONF": str(lab.path / "none")}
        journal, keys = ["--journal", lab.journal], ["--key-file", lab.key_file]
        for env in ({"DOORPOST_CONF": str(lab.path)}, broken):
            for verb in (["log", *journal], ["stats", *journal], ["check", *journal, *keys], ["key", "list", *keys], ["rejected", *journal],
                         ["exec", "--status", *journal]):
                result = lab.tool(*verb, env=env).ok()
                check("warning: cannot read the settings" in result.stderr, verb, result)
            check(lab.tool("sign", *keys, input="x", env=env).ok().stdout.strip() == sign(b"x"), "sign")
        if not os.path.exists("/etc/doorpost/doorpost.env"):  # no settings anywhere
            check(lab.tool("log", *journal, env={"DOORPOST_CONF": ""}).ok().stderr == "", lab.tool("log", *journal, env={"DOORPOST_CONF": ""}))
        check("cannot read the settings" in lab.tool("rejected", *keys, env=broken).fails().stderr, "keys are no journal")
        check("cannot read the settings" in lab.tool("log", *journal, "--conf", lab.path / "none").fails().stderr, "--conf is meant")
        if not os.path.exists("/etc/doorpost/doorpost.env"):  # none at all is no reason to warn
            check(lab.tool("log", *journal, env={"DOORPOST_CONF": ""}).ok().stderr == "", "a warning")
        check(findings(lab, *journal, *keys, env=broken) == [], "doctor")
        only(findings(lab, *journal, *keys, env=broken, level="warning"), "cannot read the settings")


def trigger_signs_as_ring_does():
    with Lab() as lab:
        url = stub(lab, (200, b'{"status":"stored","seq":1}'))
        types = re.search(r"Types: (.*)", lab.tool("trigger", "--help").ok().stdout).group(1).split()
        check(len(types) > 20, types)
        for kind in types:
            lab.tool("trigger", kind, "--url", url, "--device", 'a "bell"', "--account", "me").ok()
            body, signature, content = Stub.seen[-1]
            event = json.loads(body)
            check(event["data"]["type"] == kind and event["meta"]["account_id"] == "me" and content == "application/json", body)
            check(signature == sign(body), "signature")
            check(lab.cgi(body, signature)[0] == 200, "the handler does not take", body)
        lab.tool("trigger", "--url", url, "--count", "4", "--duplicate").ok()
        check(len({body for body, _, _ in Stub.seen[-8:]}) == 4, "--duplicate")
        lab.tool("trigger", "--url", url, "--bad-signature").fails()
        check(Stub.seen[-1][1] != sign(Stub.seen[-1][0]), "--bad-signature")
        lab.tool("trigger", "--url", url, "--stale").ok()
        check(lab.tool("trigger", "--print").ok().stdout.count("\n") == 1, "--print")


def trigger_retries_as_ring_does():
    with Lab() as lab:
        url = stub(lab, (503, b"later"), (200, b'{"status":"stored"}'))
        result = lab.tool("trigger", "--url", url, "--retry").ok()
        check("retrying in 1 s" in result.stderr and len(Stub.seen) == 2 and Stub.seen[0] == Stub.seen[1], result)
        url = stub(lab, (400, b"no"))
        lab.tool("trigger", "--url", url, "--retry").fails()
        check(len(Stub.seen) == 1, "a 4xx is final")
        lab.tool("trigger", "--url", "ftp://127.0.0.1/").fails()


def stale_events_are_refused_where_that_is_set():
    with Lab(MAX_AGE="8d") as lab:
        server = lighttpd_fastcgi(lab)
        check('"stale"' in lab.tool("trigger", "--stale", "--url", server.url).ok().stdout, "stored")


def stats_add_up():
    with Lab() as lab:
        def pressed(number, at, device):
            event = json.loads(press(number))
            event["data"]["attributes"].update(timestamp=at, source=device)
            return json.dumps(event).encode()
        noon = 1767268800000  # 2026-01-01T12:00:00Z; each is received a second after the one before
        lab.write_days({"2026-01-01": [pressed(i, noon + 1000 * i - 1500, "front" if i % 3 else "back") for i in range(60)],
                        "2026-01-02": [pressed(i, noon + 86400000 - 7200000, "side") for i in range(60, 61)]})
        lab.receive(b"[]")
        totals = json.loads(lab.tool("stats", "--json", env={"TZ": "UTC0"}).ok().stdout)
        check(totals["presses_by_day"] == {"2026-01-01": 60, "2026-01-02": 1}, totals)
        check(totals["presses_by_device"] == {"back": 20, "front": 40, "side": 1}, totals)
        check(totals["presses_by_hour"][11] == 2 and totals["presses_by_hour"][12] == 58 and totals["presses_by_hour"][10] == 1, totals)
        check(abs(totals["delay_seconds"]["median"] - 1.5) < 0.02 and abs(totals["delay_seconds"]["p99"] - 7200) < 80
              or abs(totals["delay_seconds"]["p99"] - 1.5) < 0.02, totals)
        check(totals["rejected"] == 1 and totals["rejected_by_reason"] == {"the body is not a JSON object": 1}, totals)
        shifted = json.loads(lab.tool("stats", "--json", env={"TZ": "XYZ-5"}).ok().stdout)
        check(shifted["presses_by_hour"][17] == 58, "the local zone", shifted)
        text = lab.tool("stats", "--device", "front").ok().stdout
        check(re.search(r"front +40  #+\n", text) and "back" not in text and "2026-01-02" not in text, text)
        metrics = lab.tool("stats", "--prometheus").ok().stdout
        check('doorpost_events_total{type="button_press"} 61\n' in metrics and
              'doorpost_rejected_total{reason="the body is not a JSON object"} 1\n' in metrics, metrics)
        for line in metrics.splitlines():
            check(re.fullmatch(r'# (HELP|TYPE) doorpost_\w+ .+|doorpost_\w+({\w+="[^"]*"})? [0-9.e+-]+', line), line)


run_tests(settings, keys, directory, file_system, journal_and_index, the_round_trip, a_web_server_that_is_being_restarted_is_waited_for, certificates_that_ring_would_refuse_are_named,
          the_log_of_this_set_up_is_named, missing_and_closed_settings_are_helped_with, what_the_command_line_has_needs_no_settings, trigger_signs_as_ring_does,
          trigger_retries_as_ring_does, stale_events_are_refused_where_that_is_set, stats_add_up)
