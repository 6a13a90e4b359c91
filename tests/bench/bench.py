#!/usr/bin/env python3
"""make bench: everything side by side in one run, in rounds that alternate, so that drift hits all alike.

Prints tables of medians and ratios, and writes every single figure to build/bench/results.tsv. Environment: ROUNDS (5),
SECONDS (3, of one measurement), PARTS (fastcgi,cgi,servers,cost,exec,check,stream,growth), EVENTS (30000000, of the growth
part), SYNCED (all: how many of them are synced batch by batch on the way; fewer are faster), BESIDE (the directory of
another build with `make BUILD=... bench-programs`, of the last release, say, to be measured too) and ONLY (of the first
two parts, the candidates whose names this regular expression finds)."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.laboratory import ROOT, Lab
from support.postgres import OWNER, Postgres, missing_postgres
from support.servers import SERVERS, free_port, lighttpd_fastcgi, nginx, program, without_keep_alive, without_tls

BUILD = ROOT / "build/bench"
PEERS = ROOT / "tests/bench/peers"
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS", "3"))
PARTS = os.environ.get("PARTS", "fastcgi,cgi,servers,cost,exec,check,stream,growth").split(",")
EVENTS = os.environ.get("EVENTS", "30000000")
SYNCED = os.environ.get("SYNCED", EVENTS)
PRESSES = 200_000
STREAMED, LAG = 100_000, 1_000_000  # events of the stream part
results = []  # (part, candidate, setting, round, figure)


def note(*row):
    results.append(row)
    print("\t".join(str(field) for field in row), file=sys.stderr, flush=True)


def median(part, candidate, setting):
    figures = [row[4] for row in results if row[:3] == (part, candidate, setting)]
    return statistics.median(figures) if figures else None


# ---- candidates ----

class Candidate:
    """One program behind lighttpd. `configure` returns lines of its configuration, and may start a process."""

    def __init__(self, name, configure):
        self.name, self.configure = name, configure

    def measure(self, connections, presses):
        """Requests a second, with a journal of its own and nothing in it."""
        with Lab(binary=BUILD / "doorpost.cgi", web_server_user=False, LOG="problems") as lab:
            os.environ["PEER_JOURNAL"] = str(lab.journal / "peer")
            port = free_port()
            config = lab.path / "lighttpd.conf"
            config.write_text("\n".join([
                f"server.port = {port}", 'server.bind = "127.0.0.1"', f'server.document-root = "{lab.path}/bin"',
                f'server.errorlog = "{lab.logs}/error.log"', "server.max-connections = 1024",
                *self.configure(lab), ""]))
            environment = {**os.environ, **lab.environment(), "DOORPOST_KEY_FILE": str(lab.key_file)}
            lab.start(["lighttpd", "-D", "-f", str(config)], env=environment)
            url = f"http://127.0.0.1:{port}/doorpost"
            wait_until_ready(url)
            return load(lab, self.name, url, connections, presses)


class Shipped:
    """Doorpost behind a web server as deploy/ has it, over HTTPS with connections that are kept."""

    def __init__(self, name, start):
        self.name, self.start = name, start

    def measure(self, connections, presses):
        with Lab(binary=BUILD / "doorpost.cgi", LOG="problems") as lab:
            server = self.start(lab)
            return load(lab, self.name, server.url, connections, presses)


def load(lab, name, url, connections, presses):
    """Requests a second, and the 99th percentile in microseconds."""
    text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", "-s",
                           str(ROOT / "tests/bench/presses.lua"), url, "--", str(presses), "1"],
                          capture_output=True, text=True, check=True).stdout
    requests, microseconds, bad, broken, p99 = map(int, re.search(r"RESULT (.*)", text).group(1).split())
    check(bad + broken <= requests / 1000, name, "answered", bad, "otherwise than 200, and broke", broken)
    kept = sum(path.read_bytes().count(b"\n") for path in lab.journal.iterdir() if path.is_file())
    check("nothing" in name or kept >= requests - bad, name, "kept", kept, "of", requests)
    return requests / microseconds * 1e6, p99


def wait_until_ready(url):
    body = press("warm-up")
    for _ in range(200):
        with contextlib.suppress(subprocess.CalledProcessError):
            code = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"X-Signature: {sign(body)}",
                                   "--data-binary", body.decode(), url], capture_output=True, text=True).stdout
            if code == "200":
                return
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer 200")


def worker(binary, count):
    def configure(lab):
        # The file that ships, with another binary and number of workers.
        shutil.copy(binary, lab.binary)
        shipped = lab.shipped("lighttpd/fastcgi.conf", {**program(lab), "/run/lighttpd": lab.path,
                                                        "/var/log/lighttpd": lab.logs})
        text = without_tls(shipped.read_text())
        shipped.write_text(re.sub(r'("m..-procs"\s*=> )\d+', rf"\g<1>{count}", text) if count else text)
        return [f'include "{shipped}"']
    return configure


def cgi(program):
    def configure(lab):
        shutil.copy(program, lab.bin / "program")
        variables = {"DOORPOST_CONF": lab.env_file, "DOORPOST_KEY_FILE": lab.key_file,
                     "PEER_JOURNAL": os.environ["PEER_JOURNAL"]}  # lighttpd hands its own environment to no CGI program
        return ['server.modules += ( "mod_alias", "mod_cgi", "mod_setenv" )',
                "setenv.set-environment = ( " + ", ".join(f'"{k}" => "{v}"' for k, v in variables.items()) + " )",
                f'alias.url = ( "/doorpost" => "{lab.bin}/program" )', 'cgi.assign = ( "program" => "" )']
    return configure


def proxied(command):
    """A server of its own, behind lighttpd's mod_proxy."""
    def configure(lab):
        port = free_port()
        lab.start(command(lab, port), env={**os.environ, "DOORPOST_KEY_FILE": str(lab.key_file), "PORT": str(port)},
                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return ['server.modules += ( "mod_proxy" )',
                f'$HTTP["url"] == "/doorpost" {{ proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {port} )) ) }}']
    return configure


def flask(lab, port):
    return ["/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "-b", f"127.0.0.1:{port}", "--chdir", str(PEERS), "flask_app:app"]


def node(lab, port):
    return ["node", str(PEERS / "server.js")]


def webhook(lab, port):
    hooks = lab.path / "hooks.json"
    hooks.write_text(json.dumps([{
        "id": "doorpost", "execute-command": "/bin/dd", "response-message": '{"status":"stored"}',
        "pass-arguments-to-command": [
            {"source": "string", "name": value} for value in (f"of={lab.journal}/peer", "oflag=append", "conv=notrunc,fdatasync",
                                                              "status=none")],
        "include-command-output-in-response": True,
        "pass-file-to-command": [{"source": "entire-payload", "envname": "BODY", "base64decode": False}],
        "trigger-rule": {"match": {"type": "payload-hmac-sha256", "secret": KEY,
                                   "parameter": {"source": "header", "name": "X-Signature"}}}}]))
    hooks.write_text(hooks.read_text().replace('"/bin/dd"', f'"{lab.bin}/keep"'))
    keep = lab.bin / "keep"
    keep.write_text(f'#!/bin/sh\n{{ cat "$BODY"; echo; }} | dd oflag=append conv=notrunc,fdatasync status=none of={lab.journal}/peer\n')
    keep.chmod(0o755)
    return ["webhook", "-hooks", str(hooks), "-urlprefix", "", "-ip", "127.0.0.1", "-port", str(port)]


def php(lab):
    program = next(iter(sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))))
    pool = lab.path / "fpm.conf"
    pool.write_text(f"""[global]
error_log = {lab.logs}/fpm.log
[www]
listen = {lab.path}/fpm.sock
listen.backlog = 1024
pm = static
pm.max_children = 8
clear_env = no
""")
    lab.start([str(program), "-F", "-R", "-y", str(pool)], env={**os.environ, "DOORPOST_KEY_FILE": str(lab.key_file)},
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.copy(PEERS / "handler.php", lab.bin / "handler.php")
    return ['server.modules += ( "mod_alias", "mod_fastcgi" )', f'alias.url = ( "/doorpost" => "{lab.bin}/handler.php" )',
            f'fastcgi.server = ( ".php" => (( "socket" => "{lab.path}/fpm.sock" )) )']


FASTCGI = [
    Candidate("do-nothing FastCGI", worker(BUILD / "nothing", 4)),  # with four workers it is fastest
    Candidate("Doorpost, not synced", worker(BUILD / "doorpost-nosync.cgi", None)),
    Candidate("Doorpost", worker(BUILD / "doorpost.cgi", None)),
    Candidate("Node", proxied(node)),
    Candidate("PHP-FPM", php),
    Candidate("Flask, gunicorn", proxied(flask)),
    Candidate("adnanh/webhook", proxied(webhook)),
]
CGI = [
    Candidate("do-nothing CGI, static", cgi(BUILD / "nothing-static")),
    Candidate("Doorpost CGI, static", cgi(BUILD / "doorpost-static.cgi")),
    Candidate("Doorpost CGI, dynamic", cgi(BUILD / "doorpost.cgi")),
    Candidate("Perl CGI", cgi(PEERS / "cgi.pl")),
    Candidate("Python CGI", cgi(PEERS / "cgi.py")),
]
if "BESIDE" in os.environ:
    BESIDE = pathlib.Path(os.environ["BESIDE"])
    FASTCGI.insert(3, Candidate("Doorpost beside", worker(BESIDE / "doorpost.cgi", None)))
    CGI.insert(3, Candidate("Doorpost beside, CGI, static", cgi(BESIDE / "doorpost-static.cgi")))
    CGI.insert(4, Candidate("Doorpost beside, CGI, dynamic", cgi(BESIDE / "doorpost.cgi")))
FASTCGI, CGI = ([one for one in some if re.search(os.environ.get("ONLY", ""), one.name)] for some in (FASTCGI, CGI))


# ---- parts ----

def sync_rate(directory):
    """How many times a second a line can be appended and synced here, one after another."""
    path = pathlib.Path(directory, "sync-rate")
    with path.open("wb", buffering=0) as file:
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 1:
            file.write(b"x" * 700)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count


def rounds(part, candidates, settings, presses):
    for number in range(ROUNDS):
        note("sync", "syncs a second", "one writer", number, sync_rate("/tmp"))
        for connections in settings:
            for candidate in candidates:
                rate, p99 = candidate.measure(connections, presses)
                note(part, candidate.name, connections, number, round(rate, 1))
                note(part + "-p99", candidate.name, connections, number, p99 / 1000)


def table(part, candidates, settings, base):
    print(f"\nRequests a second (and as a ratio to {base}), medians of {ROUNDS} rounds\n")
    print("| | " + " | ".join(f"{connections} connections" for connections in settings) + " |")
    print("| --- |" + " --- |" * len(settings))
    for candidate in candidates:
        cells = [f"{median(part, candidate.name, c):,.0f} ({median(part, candidate.name, c) / median(part, base, c):.3f})"
                 for c in settings]
        print(f"| {candidate.name} | " + " | ".join(cells) + " |")
    print(f"\nThis machine syncs {median('sync', 'syncs a second', 'one writer'):,.0f} times a second.")


def instructions(binary, requests):
    """What one more request costs in a worker's user-mode instructions: exact, from the difference of two runs."""
    totals = []
    for count in (requests, 2 * requests):
        with Lab(binary=BUILD / "doorpost.cgi", LOG="problems") as lab:
            listener, path = lab.listener()
            out = lab.logs / "callgrind"
            time.sleep(3)  # a key file that was just written is read again with each batch
            process = lab.start(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q", str(binary)],
                                stdin=listener, stderr=subprocess.DEVNULL, **lab.as_user())  # valgrind cannot follow a change of user
            for number in range(count):
                body = press(number)
                check(fastcgi(path, body, sign(body))[0] == 200, "not served")
            process.terminate()
            if "nothing" in str(binary):  # libfcgi looks at the signal when the next request comes
                with contextlib.suppress(OSError, TypeError):
                    fastcgi(path, body, sign(body))
            process.wait(60)
            totals.append(int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE).group(1)))
    return (totals[1] - totals[0]) / requests


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def memory():
    """Of one worker, at rest and after a million requests (each of the same 200,000 presses five times)."""
    with Lab(binary=BUILD / "doorpost.cgi", web_server_user=False, LOG="problems") as lab:
        config = lab.path / "lighttpd.conf"
        port = free_port()
        config.write_text("\n".join([f"server.port = {port}", 'server.bind = "127.0.0.1"',
                                     f'server.document-root = "{lab.path}/bin"', *worker(BUILD / "doorpost.cgi", 1)(lab), ""]))
        lab.start(["lighttpd", "-D", "-f", str(config)])
        url = f"http://127.0.0.1:{port}/doorpost"
        wait_until_ready(url)
        pid, = lab.workers()
        note("memory", "Doorpost", "KiB at rest", 0, resident(pid))
        served = 0
        while served < 1_000_000:
            text = subprocess.run(["wrk", "-t1", "-c64", "-d15s", "-s", str(ROOT / "tests/bench/presses.lua"), url, "--",
                                   str(BUILD / "presses.tsv"), "1"], capture_output=True, text=True, check=True).stdout
            if served == 0:
                note("memory", "Doorpost", "KiB after the first 15 seconds", 0, resident(pid))
            served += int(re.search(r"RESULT (\d+)", text).group(1))
        note("memory", "Doorpost", "KiB after 10^6 requests", 0, resident(pid))


def cost():
    for name, binary in (("do-nothing FastCGI", BUILD / "nothing"), ("Doorpost", BUILD / "doorpost.cgi")):
        note("instructions", name, "a request", 0, round(instructions(binary, 200)))
    memory()
    print("\nOne request costs " + ", ".join(
        f"{median('instructions', name, 'a request'):,.0f} instructions in {name}" for name in ("do-nothing FastCGI", "Doorpost")))
    print("A worker has " + " and ".join(f"{median('memory', 'Doorpost', setting):,} {setting}"
                                       for setting in ("KiB at rest", "KiB after the first 15 seconds", "KiB after 10^6 requests")))


def growth():
    with Lab(binary=BUILD / "doorpost.cgi") as lab:
        process = subprocess.Popen([BUILD / "grow", lab.key_file, lab.journal, EVENTS, SYNCED], stdout=subprocess.PIPE, text=True)
        print("\n| events in the journal | one new event, µs | 99th percentile, µs | longest stall on the way, ms | of it in syncs, ms | "
              "of that a sector beside waits too, ms | over 50 ms | over 50 ms without that |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for line in process.stdout:
            events, one, p99, stall, waited, beside, over, without = line.split()
            for name, value in (("µs, one event", one), ("µs, p99", p99), ("ms, longest stall", stall), ("ms, of it in syncs", waited),
                                ("ms, beside it too", beside), ("over 50 ms", over), ("over 50 ms without that", without)):
                note("growth", name, int(events), 0, float(value))
            print(f"| {int(events):,} | {one} | {p99} | {stall} | {waited} | {beside} | {over} | {without} |", flush=True)
        check(process.wait() == 0, "the generator failed")


def reaction():
    """From the handler's 200, as the sender sees it, to the first instruction of the command that `doorpost exec` starts."""
    with Lab(binary=BUILD / "doorpost.cgi") as lab:
        server = lighttpd_fastcgi(lab)
        stamps = lab.logs / "stamps"
        lab.start([BUILD / "doorpost", "exec", "--from", "start", "--", BUILD / "stamp", stamps], stdout=subprocess.DEVNULL)
        answered = {}
        for number in range(ROUNDS * 100):
            body = press(number)
            check(server.request(body, sign(body))[0] == 200, "no 200")
            answered[f"event-{number}"] = time.time_ns()
            time.sleep(0.02)
        wait_for(lambda: len(stamps.read_text().splitlines()) == len(answered), "the commands")
        for line in stamps.read_text().splitlines():
            at, event = line.split("\t")
            note("exec", "ms", 0, 0, (int(at) - answered[event]) / 1e6)
        delays("exec", "ms", "to the command's first instruction")


def delays(part, candidate, what):
    taken = sorted(row[-1] for row in results if row[:2] == (part, candidate))
    print(f"\nFrom the 200 {what}, {len(taken)} presses: median {taken[len(taken) // 2]:.2f} ms, "
          f"99th percentile {taken[len(taken) * 99 // 100]:.2f} ms")


def peak(pid):
    """The largest resident set that a running process has had, in KiB; 0 where it has just ended."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    except (OSError, AttributeError):
        return 0


def checking():
    """`doorpost check` over a journal of 2 GB, beside the programs that only hash the same files."""
    tool = BUILD / "doorpost"
    with Lab(binary=BUILD / "doorpost.cgi") as lab:
        subprocess.run([BUILD / "grow", lab.key_file, lab.journal, "3600000", "0"], check=True, stdout=subprocess.DEVNULL)
        for path in lab.journal.rglob("*"):
            lab.own(path)
        segments = sorted(lab.journal.glob("*.jsonl"))
        candidates = {"b2sum": ["b2sum", *segments], "doorpost check --no-signatures": [tool, "check", "--no-signatures"],
                      "sha256sum": ["sha256sum", *segments], "doorpost check": [tool, "check"]}
        kib = {}
        for number in range(ROUNDS):
            for name, command in candidates.items():
                began = time.monotonic()
                process = subprocess.Popen([str(part) for part in command], env=lab.environment(), stdout=subprocess.DEVNULL)
                while process.poll() is None:
                    kib[name] = max(kib.get(name, 0), peak(process.pid))
                    time.sleep(0.02)
                check(process.returncode == 0, name, "failed")
                note("check", name, 0, number, time.monotonic() - began)
        size = sum(path.stat().st_size for path in segments)
        print(f"\n| over a journal of {size / 1e9:.1f} GB | MB/s | ratio | KiB |\n| --- | --- | --- | --- |")
        for base, name in (("b2sum", "b2sum"), ("b2sum", "doorpost check --no-signatures"), ("sha256sum", "sha256sum"), ("sha256sum", "doorpost check")):
            print(f"| {name} | {size / 1e6 / median('check', name, 0):.0f} | {median('check', base, 0) / median('check', name, 0):.2f} | {kib[name]} |")


# ---- the merged stream ----

COLUMNS = "node, seq, received_at, pressed_at, type, sub_type, device, account, request_id, event_id, key, signature, verbatim, body"
# Reads as soon as there is something to read, and tells when that was.
READER = """DO $$
DECLARE
    last bigint := 0;
    event record;
BEGIN
    WHILE last < {last} LOOP
        FOR event IN SELECT seq, event_id, clock_timestamp() AS at FROM events WHERE seq > last ORDER BY seq LOOP
            RAISE NOTICE '% %', (extract(epoch FROM event.at) * 1000000)::bigint * 1000, event.event_id;
            last := event.seq;
        END LOOP;
        COMMIT; -- a reader that keeps its snapshot keeps the dead rows of the runners' tables
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$"""


def streaming():
    check(not missing_postgres(), missing_postgres())
    with Postgres(schema=False, shared_buffers="128MB", max_connections=100) as server:  # as PostgreSQL's own default is
        server.load_schema()
        forwarding(server)
        following(server)
        lagging(server)


def grown(events):
    """A laboratory with a journal of so many events, and a few more."""
    lab = Lab(binary=BUILD / "doorpost.cgi", LOG="problems")
    subprocess.run([BUILD / "grow", lab.key_file, lab.journal, str(events), "0"], check=True, stdout=subprocess.DEVNULL)
    for path in lab.journal.rglob("*"):
        lab.own(path)
    return lab


def forwarder(lab, server, *options):
    return [str(lab.own_tool), "forward", "--to", server.url("writer"), "--node", "bench", *options]


def emptied(server):
    server.sql("TRUNCATE events, nodes")
    server.sql("CHECKPOINT")


def timed(server, command, **options):
    """Seconds that a command takes, and seconds of the processor that the server takes for it."""
    others, used = server.processes(), {}
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    while process.poll() is None:
        for pid in set(server.processes()).difference(others):
            with contextlib.suppress(OSError):
                used[pid] = int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        time.sleep(0.005)
    check(process.returncode == 0, command, "failed")
    return time.monotonic() - began, sum(used.values())


def forwarding(server):
    """A journal into the table, beside COPY of the same rows."""
    with grown(STREAMED) as lab:
        rows = server.path / "rows"
        for number in range(-1, ROUNDS):
            emptied(server)
            seconds, work = timed(server, forwarder(lab, server, "--once", "--name", f"round{number}"), env=lab.environment(), **lab.as_user())
            count = int(server.value("SELECT count(*) FROM events"))
            if number < 0:
                server.sql(f"COPY (SELECT {COLUMNS} FROM events ORDER BY number) TO '{rows}' (FORMAT binary)")
                continue
            note("forward", "doorpost forward", "events a second", number, count / seconds)
            note("forward", "doorpost forward", "µs of the server", number, work / count * 1e6)
            emptied(server)
            seconds, work = timed(server, [server.bin / "psql", "-Xq", "-d", server.url(OWNER), "-c", f"\\copy events ({COLUMNS}) FROM '{rows}' (FORMAT binary)"])
            check(int(server.value("SELECT count(*) FROM events")) == count, "COPY did not copy everything")
            note("forward", "COPY", "events a second", number, count / seconds)
            note("forward", "COPY", "µs of the server", number, work / count * 1e6)
    print(f"\n| {count:,} events | events a second | ratio | of the server's processor, an event | ratio |\n| --- | --- | --- | --- | --- |")
    for name in ("COPY", "doorpost forward"):
        rate, work = (median("forward", name, setting) for setting in ("events a second", "µs of the server"))
        print(f"| {name} | {rate:,.0f} | {rate / median('forward', 'COPY', 'events a second'):.2f} | {work:.1f} µs | "
              f"{work / median('forward', 'COPY', 'µs of the server'):.2f} |")


def following(server):
    """From the handler's 200, as the sender sees it, until another session sees the event in the table, and to the first instruction of the
    command that a runner starts, which could be on another machine."""
    with Lab(binary=BUILD / "doorpost.cgi") as lab:
        emptied(server)
        web, stamps, seen = lighttpd_fastcgi(lab), lab.logs / "stamps", lab.logs / "seen"
        number, answered = ROUNDS * 100, {}
        lab.start(forwarder(lab, server), **lab.as_user())
        lab.start([lab.built_tool, "exec", "--from", server.url("runner"), "--name", "bell", "--", BUILD / "stamp", stamps], stdout=subprocess.DEVNULL)
        with open(seen, "wb") as output:
            reader = lab.start([server.bin / "psql", "-Xq", "-d", server.url("reader"), "-c", READER.format(last=number)], stderr=output)
        wait_for(lambda: server.value("SELECT count(*) FROM runners") == "1", "the runner")
        wait_for(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'") == "1", "the reader")
        for i in range(number):
            body = press(i)
            check(web.request(body, sign(body))[0] == 200, "no 200")
            answered[f"event-{i}"] = time.time_ns()
            time.sleep(0.02)
        reader.wait()
        wait_for(lambda: len(stamps.read_text().splitlines()) == number, "the commands")
        for candidate, lines in (("visible", [line.split()[-2:] for line in seen.read_text().splitlines()]),
                                 ("runner", [line.split("\t") for line in stamps.read_text().splitlines()])):
            check(len(lines) == number, candidate, "has", len(lines))
            for at, event in lines:
                note("stream", candidate, "ms", 0, (int(at) - answered[event]) / 1e6)
        delays("stream", "visible", "until the event is visible in the stream")
        delays("stream", "runner", "to the first instruction of a runner's command")


def lagging(server):
    """The memory of `doorpost forward` while it works off a long journal."""
    with grown(LAG) as lab:
        emptied(server)
        process = lab.start(forwarder(lab, server), **lab.as_user())
        began, done = time.monotonic(), 0
        while done < LAG:
            time.sleep(0.5)
            check(process.poll() is None, "the forwarder ended")
            done = int(server.value("SELECT coalesce(max(seq), 0) FROM nodes"))
            note("lag", "doorpost forward", "KiB", done, resident(process.pid))
        note("lag", "doorpost forward", "events a second", 0, done / (time.monotonic() - began))
        kib = [row[-1] for row in results if row[:3] == ("lag", "doorpost forward", "KiB")]
        print(f"\nWorking off {LAG:,} events, `doorpost forward` has {kib[0]:,} KiB at first, {kib[len(kib) // 2]:,} half-way, {kib[-1]:,} in the end, "
              f"{peak(process.pid):,} at most; {median('lag', 'doorpost forward', 'events a second'):,.0f} events a second")


def main():
    presses = BUILD / "presses.tsv"
    if not presses.exists():
        with presses.open("w") as file:
            for number in range(PRESSES):
                body = press(number)
                file.write(f"{sign(body)}\t{body.decode()}\n")
    few = BUILD / "few.tsv"  # where a process is started for each, a tenth is plenty
    few.write_text("".join(line + "\n" for line in presses.read_text().splitlines()[:PRESSES // 10]))
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{os.cpu_count()} cores, {model.group(1) if model else 'unknown'}, Linux {os.uname().release}")
    try:
        if "fastcgi" in PARTS:
            rounds("fastcgi", FASTCGI, (8, 32, 128), presses)
            table("fastcgi", FASTCGI, (8, 32, 128), "do-nothing FastCGI")
        if "cgi" in PARTS:
            rounds("cgi", CGI, (8,), few)
            table("cgi", CGI, (8,), "do-nothing CGI, static")
        if "servers" in PARTS:
            shipped = [Shipped("nginx, keep-alive" if start is nginx else name, start) for name, start in SERVERS.items()]
            shipped.append(Shipped("nginx, no keep-alive", lambda lab: nginx(lab, edit=without_keep_alive)))
            rounds("servers", shipped, (8, 32), presses)
            table("servers", shipped, (8, 32), "lighttpd/fastcgi.conf")
        if "cost" in PARTS:
            cost()
        if "exec" in PARTS:
            reaction()
        if "check" in PARTS:
            checking()
        if "stream" in PARTS:
            streaming()
        if "growth" in PARTS:
            growth()
    finally:
        with (BUILD / "results.tsv").open("w") as file:
            file.write("part\tcandidate\tsetting\tround\tfigure\n")
            file.writelines("\t".join(str(field) for field in row) + "\n" for row in results)
    print(f"\nEvery figure: {BUILD.relative_to(ROOT)}/results.tsv")


if __name__ == "__main__":
    main()
