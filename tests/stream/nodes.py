"""What the tests of the stream share: nodes, each with a journal of its own, and the comparison of the merged stream with the journals.
The comparison trusts neither the tool nor the receiver: it reads the segments and the table by itself."""

import collections
import contextlib
import datetime
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.journal import CHAIN_START, make_line
from support.laboratory import Lab
from support.postgres import Postgres, missing_postgres
from support.runner import run_tests

QUICK = os.environ.get("QUICK") == "1"
SEED = int(os.environ.get("SEED", "20261127"))

TEXTS = "node", "type", "sub_type", "device", "account", "request_id", "event_id", "key", "signature"
COLUMNS = {"number": "number", "seq": "seq", "received_at": """to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
           "pressed_at": "(extract(epoch FROM pressed_at) * 1000)::bigint", "verbatim": "verbatim", "body": "encode(body, 'hex')",
           **{name: f"encode(convert_to({name}, 'UTF8'), 'hex')" for name in TEXTS}}  # psql leaves out some characters
Row = collections.namedtuple("Row", COLUMNS)


class Node(Lab):
    """A web node. Its journal is written by the receiver, or much faster by write()."""

    def __init__(self, name, **settings):
        super().__init__(**{"LOG": "off", **settings})
        self.name, self.chain, self.seq = name, CHAIN_START, 0
        self.kept = set()  # lines that have been in the journal and are no longer, but may be in the stream
        self.own_tool  # noqa: B018: is copied now

    def write(self, bodies, at=None):
        """Adds lines to the segment of a day, as the receiver does, with one write. `at`: when they were received; default: now."""
        at = at or datetime.datetime.now(datetime.timezone.utc)
        text = b""
        for body in bodies:
            self.seq += 1
            line, self.chain = make_line(self.chain, self.seq, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), body, sign(body))
            text += line + b"\n"
        path = self.journal / f"{at:%Y-%m-%d}.jsonl"
        fresh = not path.exists()
        with open(path, "ab", buffering=0) as segment:
            if fresh:
                path.chmod(0o600)
                self.own(path)
            check(segment.write(text) == len(text), "not written whole:", path)

    def command(self, to, *options):
        return [self.own_tool, "forward", "--to", to, "--node", self.name, *options]

    def forwarder(self, to, *options, log="forward", **env):
        """Starts `doorpost forward`; what it says is in logs/LOG."""
        return self.start([str(part) for part in self.command(to, *options)], stdout=subprocess.DEVNULL, stderr=open(self.logs / log, "ab"),
                          env={**self.environment(), **env}, **self.as_user())

    def forward(self, to, *options, **env):
        """Runs it to its end, as the journal's owner."""
        return self.run(self.command(to, *options), env=env, **self.as_user())

    def said(self, log="forward"):
        path = self.logs / log
        return [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []


def end(*forwarders):
    """Ends them as systemd does. Each says with its exit status that nothing was wrong with that."""
    for forwarder in forwarders:
        wait_for(lambda: forwarder.poll() is not None or expects(forwarder.pid, signal.SIGTERM), "it to expect SIGTERM")
        forwarder.terminate()
    for forwarder in forwarders:
        check(forwarder.wait() == 0, "SIGTERM ended it with status", forwarder.returncode)


def expects(pid, number):
    """Has the process begun to catch this signal, or to block it?"""
    masks = re.findall(r"^Sig(?:Cgt|Blk):\t([0-9a-f]+)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> number - 1 & 1 for mask in masks)


def alive(forwarder, node):
    check(forwarder.poll() is None, "the forwarder ended with status", forwarder.returncode, *node.said())
    return True


def count(postgres, database="doorpost"):
    return int(postgres.value("SELECT count(*) FROM events", database=database))


def wait_for_events(postgres, number, running=(), database="doorpost"):
    """Waits until the stream has that many. `running`: pairs of a forwarder and its node. The server looks again and again for a second, because
    each question of the test's own is a process."""
    look = f"""DO $$ BEGIN FOR i IN 1..50 LOOP EXIT WHEN (SELECT count(*) FROM events) >= {number}; PERFORM pg_sleep(0.02); END LOOP; END $$;
               SELECT count(*) FROM events"""
    wait_for(lambda: all(alive(*pair) for pair in running) and int(postgres.value(look, database=database)) >= number, f"{number} events in {database}")


@contextlib.contextmanager
def locked(server, database):
    """Meanwhile a session holds the table."""
    session = subprocess.Popen([server.bin / "psql", "-Xq", "-d", server.url("postgres", database)], stdin=subprocess.PIPE, text=True, **server.options())
    session.stdin.write("BEGIN; LOCK TABLE events;\n")
    session.stdin.flush()
    wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND mode = 'AccessExclusiveLock' AND granted",
                                  database=database) == "1", "the lock")
    try:
        yield
    finally:
        session.communicate()


def rows(postgres, database="doorpost"):
    found = []
    for values in postgres.sql(f"SELECT {', '.join(COLUMNS.values())} FROM events ORDER BY number", database=database):
        row = Row(*values)
        texts = {name: bytes.fromhex(getattr(row, name)).decode() for name in TEXTS}
        found.append(row._replace(number=int(row.number), seq=int(row.seq), body=bytes.fromhex(row.body), **texts))
    return found


class Reader(threading.Thread):
    """Follows the stream by its numbers, as a consumer does that remembers the last one, until stop(). What it has missed by then it has missed
    for ever."""

    def __init__(self, postgres, database):
        super().__init__()
        self.postgres, self.database, self.numbers, self.over = postgres, database, [], threading.Event()
        self.start()

    def look(self):
        after = self.numbers[-1] if self.numbers else 0
        self.numbers += [int(number) for number, in self.postgres.sql(f"SELECT number FROM events WHERE number > {after} ORDER BY number", self.database, "reader")]

    def run(self):
        while not self.over.wait(0.02):
            self.look()

    def stop(self):
        self.over.set()
        self.join()
        self.look()
        every = [row.number for row in rows(self.postgres, self.database)]
        check(self.numbers == every, "a reader has missed", sorted(set(every) - set(self.numbers))[:20])


def body_of(line):
    return line[line.index(b'"event":') + 8:-1]


def identifiers(event):
    return event["meta"]["request_id"], event["data"]["id"]


def compare(postgres, nodes, in_order=True, database="doorpost"):
    """Checks that each event of the journals is in the stream, once; that each row is a line that its node has or had, to the byte; and that
    the rows of each node follow each other as its lines do. Returns the rows."""
    stream = rows(postgres, database)
    lines, wanted = {}, {}
    for node in nodes:
        for line in {*node.lines(), *node.kept}:
            record = json.loads(line)
            lines[node.name, record["seq"], body_of(line)] = record
            wanted[identifiers(record["event"])] = node.name, record["seq"]
    found = {(row.request_id, row.event_id) for row in stream}
    lost = sorted(f"{where} {ids}" for ids, where in wanted.items() if ids not in found)
    check(not lost, len(lost), "events of the journals are not in the stream:", *lost[:20])
    check(found == set(wanted), "the stream has what no journal has:", *list(found - set(wanted))[:20])
    for what, values in (("request_id", [row.request_id for row in stream]), ("event_id", [row.event_id for row in stream])):
        check(len(set(values)) == len(values), "twice in the stream:", what, [value for value, times in collections.Counter(values).items() if times > 1][:20])
    last = {}
    for row in stream:
        record = lines.get((row.node, row.seq, row.body))
        check(record, "no such line:", row)
        wants = {"received_at": record["received_at"], "key": record["key"], "signature": record["signature"],
                 "verbatim": "t" if record.get("verbatim", True) else "f"}
        for name, value in wants.items():
            check(getattr(row, name) == value, name, "is", getattr(row, name), "instead of", value, "in", row)
        check(not in_order or row.seq > last.get(row.node, 0), "number", row.number, "has line", row.seq, "of", row.node, "after line", last.get(row.node))
        last[row.node] = row.seq
    return stream


def shared(number, first=0, name="press"):
    """Presses for two nodes, in turn: every fourth reaches both, as when Ring tries again. Returns a list for each."""
    bodies = [press(f"{name}-{first + i:06}") for i in range(number)]
    return [body for i, body in enumerate(bodies) if i % 2 == 0 or i % 8 == 1], [body for i, body in enumerate(bodies) if i % 2 == 1 or i % 8 == 0]


SERVERS = []


def postgres(database, **options):
    """The server that the tests of one file share, with a new database."""
    if not SERVERS:
        SERVERS.append(Postgres(fsync=False))
    SERVERS[0].create(database, **options)
    return SERVERS[0]


def run(*tests):
    """Runs the tests of a file, which are skipped if there is no PostgreSQL."""
    def one(test):
        return functools.wraps(test)(lambda: missing_postgres() or test())
    try:
        run_tests(*map(one, tests))
    finally:
        for server in SERVERS:
            server.close()
