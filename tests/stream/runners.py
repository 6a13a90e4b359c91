"""What the tests of `doorpost exec --from` share: machines with a runner, events in the database, and what the runs were.

Commands write a line at their start and one at their end into one file. A line is one write at the end of the file, so the order of the
lines is the order in which all that happened, on whichever machine."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import threading

from nodes import postgres
from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.laboratory import TOOL, Lab
from support.postgres import FIELD, OWNER, ROW

STARTED = 'echo "start $DOORPOST_SEQ $DOORPOST_ATTEMPT ${DOORPOST_DEVICE_ID:--} $MACHINE" >> $LAB/out/ran\n'
ENDED = 'echo "end $DOORPOST_SEQ $DOORPOST_ATTEMPT ${DOORPOST_DEVICE_ID:--} $MACHINE" >> $LAB/out/ran\n'
BRIEF = STARTED + ENDED
END = "\x1d"
Line = collections.namedtuple("Line", "what number attempt device machine")


def body(number, device="device-1", kind="button_press", account="account-1"):
    """The body of an event; without a device if there is none."""
    event = json.loads(press(number, account_id=account))
    event["data"]["type"] = kind
    event["data"]["attributes"]["source"] = device or "user-1"
    event["data"]["attributes"]["source_type"] = "devices" if device else "users"
    return json.dumps(event, separators=(",", ":")).encode()


def array(values):
    return "'{" + ",".join('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}'"


class Session:
    """A session of psql, driven step by step. An error ends it if it is `strict`."""

    def __init__(self, server, database, user=OWNER, strict=False):
        self.server, self.database = server, database
        options = ["-F", FIELD, "-R", ROW, "-v", "ON_ERROR_STOP=1"] if strict else ["-F", " ", "-v", "VERBOSITY=sqlstate"]
        self.process = subprocess.Popen([server.bin / "psql", "-XAtq", *options, "-d", server.url(user, database)], text=True, bufsize=1, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **server.options())
        (self.pid,) = self.do("SELECT pg_backend_pid()")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.communicate()

    def begin(self, text):
        """Sends a statement; end() returns what it says."""
        self.process.stdin.write(f"{text};\n\\echo {END}\n")

    def end(self):
        said = []
        while (line := self.process.stdout.readline().rstrip("\n")) != END:
            check(line or self.process.poll() is None, "psql ended:", *said)
            said.append(line)
        return said

    def do(self, text):
        self.begin(text)
        return self.end()

    def waits(self):
        """Is its statement waiting for a lock?"""
        return self.server.value(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {self.pid} AND wait_event_type = 'Lock'", database=self.database) == "1"


class World(Lab):
    """A database with a consumer `bell`, and machines that run its events."""

    def __init__(self, database, server=None):
        super().__init__()
        self.database, self.stored = database, 0
        self.server = server or postgres(database)
        self.out = self.path / "out"
        self.out.mkdir(mode=0o777)
        self.out.chmod(0o777)
        self.sessions = {}

    def session(self, user, **options):
        """One that stays open: psql starts too slowly for what is asked again and again."""
        if user not in self.sessions:
            self.sessions[user] = self.stack.enter_context(Session(self.server, self.database, user, **options))
        return self.sessions[user]

    def sql(self, text):
        """Executes statements as the database's owner. Returns the rows, as tuples of strings."""
        output = "\n".join(self.session(OWNER, strict=True).do(text))
        return [tuple(row.split(FIELD)) for row in output.split(ROW)] if output else []

    def value(self, text):
        """The only value that a query returns."""
        (only,), = self.sql(text)
        return only

    def url(self, user="runner"):
        return self.server.url(user, database=self.database)

    # ---- events ----

    def store(self, *events):
        """Stores events, which are keywords of body(), as a node does. Returns the numbers of the first and the last one."""
        first = self.stored + 1
        self.stored += len(events)
        bodies = [body(first + i, **event) for i, event in enumerate(events)]
        parsed = [json.loads(one) for one in bodies]
        numbers = [first + i for i in range(len(events))]
        statement = f"""CALL store_events('node', {array(numbers)}, {array([1771027372000000] * len(numbers))}, {array([1771027372393] * len(numbers))},
            {array(one["data"]["type"] for one in parsed)}, {array("" for _ in numbers)},
            {array(one["data"]["attributes"]["source"] if one["data"]["attributes"]["source_type"] == "devices" else "" for one in parsed)},
            {array(one["meta"]["account_id"] for one in parsed)}, {array(one["meta"]["request_id"] for one in parsed)},
            {array(one["data"]["id"] for one in parsed)}, {array("key" for _ in numbers)}, {array(map(sign, bodies))}, {array(1 for _ in numbers)},
            {array(chr(92) + "x" + one.hex() for one in bodies)})"""
        said = self.session("writer").do(" ".join(statement.split("\n")))
        check(said == [str(len(events))], "not stored:", said)
        return first, self.stored

    def store_many(self, count, device):
        """The same, much faster; `device`: an SQL expression over the number i."""
        self.sql(f"""INSERT INTO events (node, seq, received_at, type, device, account, request_id, event_id, key, signature, verbatim, body)
            SELECT 'node', i, now(), 'button_press', {device}, 'account-1', 'request-' || i, 'event-' || i, 'key', 'signature', true,
                   convert_to(replace(replace('{body("NUMBER", "DEVICE").decode()}', 'NUMBER', i::text), 'DEVICE', {device}), 'UTF8')
            FROM generate_series({self.stored + 1}, {self.stored + count}) AS i ORDER BY i""")
        self.stored += count

    # ---- runners ----

    def command(self, text, name="command"):
        path = self.path / name
        path.write_text(f"#!/bin/sh\nLAB={self.path}\n{text}\n")
        path.chmod(0o755)
        return path

    def arguments(self, *arguments, where=None, name="bell"):
        return [str(part) for part in (TOOL, "exec", "--from", where or self.url(), "--name", name, *arguments)]

    def runner(self, *arguments, machine="a", log=None, where=None, name="bell"):
        """Starts a runner, and returns its process when it has registered; its number is its `runner`."""
        before = set(self.sql("SELECT runner FROM runners"))
        process = self.start(self.arguments(*arguments, where=where, name=name), stdout=subprocess.DEVNULL,
                             stderr=open(self.logs / (log or machine), "ab"), env={**self.environment(), "MACHINE": machine})

        def registered():
            check(process.poll() is None, "the runner ended:", self.said(log or machine))
            return set(self.sql(f"SELECT runner FROM runners WHERE consumer = '{name}'")) - before
        ((process.runner,),) = wait_for(registered, "it to register")
        return process

    def exec(self, *arguments, where=None, name="bell", machine="a"):
        """Runs `doorpost exec` to its end."""
        return self.run(self.arguments(*arguments, where=where, name=name), env={"MACHINE": machine})

    def said(self, log):
        path = self.logs / log
        return path.read_text(errors="replace") if path.exists() else ""

    def lines(self):
        """What the commands have written, in its order."""
        path = self.out / "ran"
        text = path.read_text() if path.exists() else ""
        return [Line(what, int(number), int(attempt), device, machine)
                for what, number, attempt, device, machine in (line.split(" ") for line in text.split("\n")[:-1])]

    def ran(self):
        """The numbers of the runs that have ended, in the order of their ends."""
        return [line.number for line in self.lines() if line.what == "end"]

    def left(self, name="bell"):
        """How many devices and events are not finished."""
        return int(self.value(f"""SELECT (SELECT count(*) FROM turns WHERE consumer = '{name}' AND (done < last OR head IS NOT NULL OR runner IS NOT NULL))
            + (SELECT count(*) FROM events WHERE number > (SELECT position FROM consumers WHERE consumer = '{name}'))"""))

    def wait_for_the_end(self):
        """Waits until all events are finished, for as long as there are runs."""
        while self.left() > 0:
            size = (self.out / "ran").stat().st_size
            wait_for(lambda: self.left() == 0 or (self.out / "ran").stat().st_size > size, "runs")  # noqa: B023

    def turn_of(self, device, name="bell"):
        (row,) = self.sql(f"SELECT done, last, head, runner, attempts FROM turns WHERE consumer = '{name}' AND device = '{device}'")
        return row

    def held(self, process):
        """The events whose turns a runner has."""
        return {int(head) for head, in self.sql(f"SELECT head FROM turns WHERE runner = {process.runner}")}

    def lost(self, process):
        """Was it declared dead, or has it ended?"""
        return self.value(f"SELECT count(*) FROM runners WHERE runner = {process.runner}") == "0"

    def hurry(self):
        """What is to be tried again is due now."""
        self.sql("UPDATE turns SET due = clock_timestamp() WHERE done < last AND due > clock_timestamp(); NOTIFY doorpost")


def check_order(lines, doubled=()):
    """Checks that each event ran, once but for those in `doubled`, and that of each device one event at a time ran, in order. Of an event that
    ran more than once the run that began last counts. Returns the number of runs that were too many."""
    counts = collections.Counter(line.number for line in lines if line.what == "end")
    again = {number for number, count in counts.items() if count > 1}
    check(again <= set(doubled), "ran twice:", sorted(again - set(doubled))[:20])
    runs, open_runs = collections.defaultdict(dict), {}
    for place, line in enumerate(lines):
        run = line.number, line.attempt, line.machine
        if line.what == "start":
            open_runs.setdefault(run, []).append(place)
        else:
            start = open_runs[run].pop(0)
            if start > runs[line.device].get(line.number, (-1,))[0]:
                runs[line.device][line.number] = start, place
    for device, of_device in runs.items():
        last = -1
        for number, (start, end) in sorted(of_device.items()):
            check(start > last, "event", number, "of", device, "began before the end of the one before")
            last = end
    return sum(counts.values()) - len(counts)


def cpu_time(process):
    """Seconds."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process):
    """KiB."""
    return int(pathlib.Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1].split()[0])


def stop(process):
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it to stop")


def go_on(process):
    process.send_signal(signal.SIGCONT)


def end(*processes):
    """Ends runners as systemd does."""
    for process in processes:
        process.terminate()
    for process in processes:
        check(process.wait() == 0, "SIGTERM ended it with status", process.returncode)


def in_background(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread
