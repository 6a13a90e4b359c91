"""doorpost log, stats and check --from: the merged stream is read as a journal is."""

import datetime
import itertools
import json
import os
import subprocess

from nodes import QUICK, Node, locked, postgres, rows, run
from support.assertions import check, wait_for
from support.deliveries import press
from support.laboratory import TOOL
from support.postgres import Postgres, Proxy

MANY = int(os.environ.get("EVENTS", "20000" if QUICK else "200000"))
MEBIBYTE = 1 << 20


def event(number, kind="button_press", device="device-1", account="account-1", timestamp=1771027372393, **attributes):
    """An event whose members can be left out (None), or be whatever Ring may send one day."""
    meta = {"version": "1.1", "time": "2026-02-14T00:02:53Z", "request_id": f"request-{number}", "account_id": account}
    members = {"source": device, "source_type": "devices", "timestamp": timestamp, **attributes}
    value = {"meta": {name: member for name, member in meta.items() if member is not None},
             "data": {"id": f"event-{number}", "type": kind, "attributes": members if device is not None else {"timestamp": timestamp, **attributes}}}
    return json.dumps(value, ensure_ascii=number % 2 == 0).encode()


KINDS = ({}, {"device": "device-2"}, {"device": "device-2", "account": "account-2"}, {"kind": "motion_detected", "sub_type": "human"},
         {"kind": "device_removed", "device": None}, {"kind": "device_removed", "device": None, "account": "account-2"},
         {"account": None, "kind": "motion_detected"}, {"device": "doorpost.test"}, {"device": "Tür \U0001f6aa \x1b[31m\t'\"\\"},
         {"timestamp": 0}, {"timestamp": -5}, {"timestamp": 10**15}, {"timestamp": 2**62}, {"timestamp": 1771200000000, "device": "device-3"},
         {"device": "{device-2}"}, {"device": "device-1,device-2"}, {"kind": "a new type"})


# The tool asks for 100,000 numbers at a time. These gaps let such a step end between events, forwards (from 1) and backwards (from the
# last), and be empty.
GAPS = {1: 99500, 2: 99500, 3: 299520, 4: 0}


def fill(node, server, database):
    """A journal of four days, and the stream that is filled from it; between the days its numbers jump."""
    numbers = itertools.count()
    for day, gap in GAPS.items():
        noon = datetime.datetime(2026, 2, day, 12, tzinfo=datetime.timezone.utc)
        for step in range(40):  # every fourth was received before the one before it, as after `doorpost rejected --replay`
            at = noon + datetime.timedelta(minutes=step - 7 * (step % 4 == 3), microseconds=step)
            node.write([event(next(numbers), **KINDS[(3 * step + day + i) % len(KINDS)]) for i in range(8)], at)
        node.forward(server.url(database=database), "--once").ok()
        server.sql(f"SELECT setval(pg_get_serial_sequence('events', 'number'), max(number) + {gap}) FROM events", database)
    found = [row.number for row in rows(server, database)]
    check(99900 in found and 100100 in found and found[-1] - 300000 in found, "the gaps are elsewhere:", *found[::100])
    return next(numbers)


FILTERS = ([], ["--device", "device-1"], ["--device", "device-2", "--device", "device-1", "--device", "device-2"], ["--device", ""],
           ["--device", "", "--device", "device-2"], ["--device", "device-"], ["--device", "device-1,device-2"], ["--device", "{device-2}"],
           ["--device", KINDS[8]["device"]], ["--account", "account-2"], ["--account", ""], ["--account", "account-2", "--account", "x", "--account", ""],
           ["--type", "motion_detected"], ["--type", "motion_detected", "--type", "a new type"], ["--type", ""],
           ["--type", "button_press", "--device", "device-2", "--account", "account-1"])
TIMES = ([], ["--since", "2026-02-02T12:10:00Z"], ["--until", "2026-02-02T12:10:00Z"], ["--since", "2026-02-01T12:20:00Z", "--until", "2026-02-03T12:01:00Z"],
         ["--since", "2026-02-02T12:10:00.000010Z", "--until", "2026-02-02T12:10:00.000011Z"], ["--since", "2026-02-02T12:10:00.000011Z"],
         ["--until", "2026-02-02T12:10:00.000010Z"], ["--until", "2026-01-01"], ["--since", "8h"], ["--until", "@0"], ["--since", "1970-01-01"])
COUNTS = ([], ["-n", "0"], ["-n", "1"], ["-n", "7"], ["-n", "251"], ["-n", "100000"])


def read(node, *arguments):
    """What the tool prints, and its exit status."""
    result = node.tool(*arguments)
    check(not result.stderr, *arguments, "says:", result.stderr)
    return result.returncode, result.stdout


def comparable(output):
    """The output of stats without what only a journal has: rejected deliveries."""
    return output.replace("; 0 signed but unusable", "").replace('"rejected":0,', "").replace(',"rejected_by_reason":{}', "")


def a_journal_and_its_stream_read_alike():
    server = postgres("alike")
    with Node("alike") as node:
        total = fill(node, server, "alike")
        url = server.url("reader", "alike")
        check(read(node, "log", "--from", url)[1].count("\n") == total, "not all")
        shapes = ([], ["--json"], ["--utc"], ["--json", "--utc"])
        # Each filter with each time, and in turn with one of the other options.
        for number, (chosen, times) in enumerate(itertools.product(FILTERS, TIMES)):
            if QUICK and number % 5:
                continue
            options = [*chosen, *times, *COUNTS[number % len(COUNTS)], *shapes[number % len(shapes)]]
            journal, stream = read(node, "log", *options), read(node, "log", *options, "--from", url)
            check(journal == stream, "log", *options, "\njournal:", *journal, "\nstream:", *stream)
        for number, (chosen, times) in enumerate(itertools.product(FILTERS, TIMES)):
            if QUICK and number % 13:
                continue
            options = [*chosen, *times, *(["--utc"] if number % 2 else []), *(["--json"] if number % 4 > 1 else [])]
            journal, stream = read(node, "stats", *options), read(node, "stats", *options, "--from", url)
            check((journal[0], comparable(journal[1])) == stream, "stats", *options, "\njournal:", *journal, "\nstream:", *stream)
        for count in COUNTS:
            journal, stream = read(node, "log", *count), read(node, "log", *count, "--from", url)
            check(journal == stream, "log", *count, "\njournal:", *journal, "\nstream:", *stream)


def events_of_many_nodes_come_in_the_order_of_their_numbers():
    server = postgres("ordered")
    with Node("left") as left, Node("right") as right:
        for i in range(6):
            for node, name in ((left, "left"), (right, "right")):
                node.write([press(f"{name}-{i}-{j}") for j in range(60)])
                node.forward(server.url(database="ordered"), "--once").ok()
        wanted = b"".join(row.body + b"\n" for row in rows(server, "ordered")).decode()
        for node in (left, right):
            check(node.tool("log", "--json", "--from", server.url("reader", "ordered")).ok().stdout == wanted, "another order or other bytes")
        check(json.loads(left.tool("stats", "--json", "--from", server.url("reader", "ordered")).ok().stdout)["events"] == 720, "the sum")


def metrics_have_the_size_of_the_table_and_nothing_of_a_journal():
    server = postgres("metrics")
    with Node("metrics") as node:
        node.write([press(i) for i in range(20)] + [event(100, "motion_detected"), event(101, device="doorpost.test")])
        node.forward(server.url(database="metrics"), "--once").ok()
        text = node.tool("stats", "--prometheus", "--from", server.url("reader", "metrics")).ok().stdout
        size = server.value("SELECT pg_total_relation_size('events')", database="metrics")
        for line in ('doorpost_events_total{type="button_press"} 20', 'doorpost_events_total{type="motion_detected"} 1',
                     "doorpost_delivery_delay_seconds_count 21", f"doorpost_stream_bytes {size}"):
            check(line in text.splitlines(), line, "is not in", text)
        check("rejected" not in text and "journal" not in text and "prune" not in text, text)


def no_settings_are_needed():
    server = postgres("bare")
    with Node("bare") as node:
        node.write([press(1)])
        node.forward(server.url(database="bare"), "--once").ok()
        for command in (["log"], ["stats"], ["check", "--no-signatures"], ["check", "--key-file", node.key_file]):
            result = node.tool(*command, "--from", server.url("reader", "bare"), env={"DOORPOST_CONF": "/dev/null"}).ok()
            check(result.stdout and not result.stderr, *command, result)


# ---- following ----

class Follower:
    """doorpost log -f --json, and what it has printed."""

    def __init__(self, node, url, *options):
        self.node, self.complaints = node, node.logs / f"follower-{len(list(node.logs.iterdir()))}"
        self.process = node.start([TOOL, "log", "-f", "--json", "--from", url, *options], stdout=subprocess.PIPE, stderr=open(self.complaints, "wb"))

    def read(self, count):
        return [json.loads(self.process.stdout.readline())["data"]["id"] for _ in range(count)]

    def said(self):
        return self.complaints.read_text().splitlines()

    def attached(self, server, database):
        """Waits until it listens, so that what comes is new."""
        wait_for(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'doorpost'"
                                      " AND state = 'idle'", database=database) != "0", "the follower to wait")


def names(*numbers):
    return [f"event-{number}" for number in numbers]


def it_follows_from_the_first_event_on():
    server = postgres("follow")
    with Node("follow") as node:
        url, to = server.url("reader", "follow"), server.url(database="follow")
        follower = Follower(node, url)
        follower.attached(server, "follow")
        for i in range(5):
            node.write([press(2 * i), press(2 * i + 1)])
            node.forward(to, "--once").ok()
            check(follower.read(2) == names(2 * i, 2 * i + 1), "not in order")
        later = Follower(node, url)
        check(later.read(10) == names(*range(10)), "the last ten")
        filtered = Follower(node, url, "-n", "0", "--device", "back")
        filtered.attached(server, "follow")
        wait_for(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'doorpost'"
                                      " AND state = 'idle'", database="follow") == "3", "all to wait")
        node.write([event(20, device="front"), event(21, device="back"), event(22, device="front"), event(23, device="back")])
        node.forward(to, "--once").ok()
        check(filtered.read(2) == names(21, 23), "filtered")
        check(later.read(4) == follower.read(4) == names(20, 21, 22, 23), "unfiltered")
        check(not any(one.said() for one in (follower, later, filtered)), "something was said")


def a_follower_survives_the_loss_of_its_connection():
    server = postgres("loss")
    with Node("loss") as node, Proxy(server) as proxy:
        to = server.url(database="loss")
        node.write([press(0)])
        node.forward(to, "--once").ok()
        follower = Follower(node, proxy.url("reader", "loss"))
        check(follower.read(1) == names(0), "the first")
        for i in range(1, 4):
            before = len(follower.said())
            proxy.refuse()
            proxy.cut()
            wait_for(lambda: len(follower.said()) > before, "a complaint")
            node.write([press(10 * i + j) for j in range(10)])
            node.forward(to, "--once").ok()
            proxy.accept()
            check(follower.read(10) == names(*range(10 * i, 10 * i + 10)), "after loss", i, *follower.said())
            complaints = follower.said()[before:]
            check(all("trying again" in line for line in complaints) and len(complaints) == len(set(complaints)), "not once:", *complaints)
        # In the middle of an answer, of which nothing was shown yet.
        proxy.cut_before = b"event-1005"
        node.write([press(1000 + i) for i in range(10)])
        node.forward(to, "--once").ok()
        cuts = proxy.cuts
        wait_for(lambda: proxy.cuts >= cuts + 1, "a cut")
        proxy.cut_before = None
        check(follower.read(10) == names(*range(1000, 1010)), "after a cut answer", *follower.said())


def a_standby_is_read_and_followed():
    with Postgres(fsync=False) as primary, Node("standby") as node, Postgres(fsync=False, standby_of=primary) as standby:
        url = standby.url("reader")
        node.write([press(i) for i in range(3)])
        node.forward(primary.url(), "--once").ok()
        wait_for(lambda: standby.value("SELECT count(*) FROM events") == "3", "the standby")
        follower = Follower(node, url)
        check(follower.read(3) == names(0, 1, 2), "what was there")
        node.write([press(3)])
        node.forward(primary.url(), "--once").ok()
        check(follower.read(1) == names(3), "what came")
        check(not follower.said(), *follower.said())
        check(node.tool("stats", "--json", "--from", url).ok().stdout == node.tool("stats", "--json", "--from", primary.url("reader")).ok().stdout, "stats")
        node.tool("check", "--from", url).ok()


def an_event_that_commits_late_is_not_missed():
    """Numbers are drawn before the commit: one that is not visible yet must not be passed over."""
    server = postgres("late")
    with Node("late") as node:
        node.write([press(0)])
        node.forward(server.url(database="late"), "--once").ok()
        follower = Follower(node, server.url("reader", "late"))
        check(follower.read(1) == names(0), "the first")
        copy = """INSERT INTO events (node, seq, received_at, type, request_id, event_id, key, signature, verbatim, body)
                  SELECT node, seq, received_at, type, 'request-{0}', 'event-{0}', key, signature, verbatim,
                         convert_to(replace(convert_from(body, 'UTF8'), '-0"', '-{0}"'), 'UTF8') FROM events ORDER BY number LIMIT 1;"""
        slow = subprocess.Popen([server.bin / "psql", "-Xq", "-d", server.url("postgres", "late")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                **server.options())
        slow.stdin.write("BEGIN;" + copy.format(1) + "SELECT FROM pg_advisory_xact_lock(1);\n")
        slow.stdin.flush()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted", database="late") != "0", "the lock")
        quick = subprocess.Popen([server.bin / "psql", "-Xq", "-d", server.url("postgres", "late"), "-c", copy.format(2)], **server.options())
        wait_for(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", database="late") != "0", "the other to wait")
        slow.communicate("COMMIT;\n")
        quick.wait()
        check(follower.read(2) == names(1, 2), "order")


# ---- trouble ----

def what_cannot_be_read_is_an_error():
    server = postgres("trouble")
    server.create("unprepared", schema=False)
    with Node("trouble") as node, Proxy(server) as proxy:
        node.write([press(i) for i in range(2000)])
        node.forward(server.url(database="trouble"), "--once").ok()
        verbs = ["log"], ["log", "-f"], ["log", "-n", "5"], ["stats"], ["stats", "--prometheus"], ["check"], ["check", "--no-signatures"]
        for verb in verbs:
            for url, words in ((server.url("reader", "nowhere"), "does not exist"), (server.url("reader", "unprepared"), "forward --schema"),
                               (server.url("writer", "trouble"), "grant"), ("service=nothing", "nothing"),
                               ("postgresql:///x?host=/nonexistent", "/nonexistent")):
                result = node.tool(*verb, "--from", url)
                check(result.returncode == 1, *verb, url, result)
                check(words in result.stderr and not result.stdout, *verb, url, result)
            for url in ("postgresql://reader:secret@localhost/x", "host=localhost password=secret", "postgresql://[", "somewhere", "", "postgresql://h/x?no=1"):
                result = node.tool(*verb, "--from", url).fails(2)
                check("secret" not in result.stderr and not result.stdout, *verb, url, result)
            node.tool(*verb, "--from", server.url("reader", "trouble"), "--journal", node.journal).fails(2)
        node.tool("check", "--rebuild-index", "--from", server.url("reader", "trouble")).fails(2)
        proxy.cut_before = b"event-1500"
        for verb in (["log", "--json"], ["stats"], ["check"]):
            result = node.tool(*verb, "--from", proxy.url("reader", "trouble")).fails(1)
            check("connection" in result.stderr and len(result.stderr.splitlines()) == 1, *verb, result)
            check("no problems" not in result.stdout and "presses" not in result.stdout, *verb, result)


def reading_blocks_no_writer():
    """A reader whose output is not read holds neither a transaction nor a lock."""
    server = postgres("idle")
    with Node("idle") as node:
        node.write([press(i) for i in range(5000)])
        node.forward(server.url(database="idle"), "--once").ok()
        reader = node.start([TOOL, "log", "--json", "--from", server.url("reader", "idle")], stdout=subprocess.PIPE)
        reader.stdout.readline()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doorpost' AND state = 'idle'"
                                      " AND datname = current_database()", database="idle") == "1", "the reader to wait for us")
        with locked(server, "idle"):
            pass
        check(len(reader.stdout.readlines()) == 4999 and reader.wait() == 0, "the rest")


# ---- check ----

def check_accepts_what_forward_has_written():
    server = postgres("sound")
    with Node("sound") as node:
        total = fill(node, server, "sound")
        url = server.url("reader", "sound")
        result = node.tool("check", "--from", url).ok()
        check(result.stdout == f"{total} events, {total} signatures verified: no problems\n", result)
        check(node.tool("check", "--no-signatures", "--from", url).ok().stdout == f"{total} events: no problems\n", "--no-signatures")
        check(json.loads(node.tool("check", "--json", "--from", url).ok().stdout) ==
              {"events": total, "signatures_verified": total, "signatures_without_key": 0, "signatures_not_verbatim": 0, "problems": 0, "findings": []}, "--json")
        node.write_keys("another-key-of-the-same-length-0123456789abcdef")
        check(f"{total} not verified (key not configured): no problems" in node.tool("check", "--from", url).ok().stdout, "without the key")


def numbers_that_a_node_uses_again_are_no_finding():
    """After its journal was restored from a backup."""
    server = postgres("again")
    with Node("again") as node:
        for name in "first", "second":
            node.write([press(f"{name}-{i}") for i in range(5)])
            node.forward(server.url(database="again"), "--once").ok()
            for segment in node.journal.glob("*.jsonl"):
                segment.unlink()
            node.seq = 0
        check(sorted(row.seq for row in rows(server, "again"))[:2] == [1, 1], "used again")
        node.tool("check", "--from", server.url("reader", "again")).ok()


def check_finds_every_changed_row():
    server = postgres("changed")
    with Node("changed") as node:
        node.write([event(i, "motion_detected", sub_type="human") for i in range(40)])
        node.forward(server.url(database="changed"), "--once").ok()
        changes = [("request_id", "'other'", "request_id"), ("event_id", "'event-4'", "event_id"), ("type", "'x'", "type"), ("sub_type", "NULL", "sub_type"),
                   ("device", "'device-2'", "device"), ("device", "NULL", "device"), ("account", "'account-2'", "account"), ("account", "NULL", "account"),
                   ("pressed_at", "pressed_at + interval '1 ms'", "pressed_at"), ("pressed_at", "NULL", "pressed_at"), ("pressed_at", "'infinity'", "pressed_at"),
                   ("signature", "'sha256=' || repeat('0', 64)", "signature"), ("signature", "''", "signature"), ("key", "''", "key"),
                   ("key", "repeat('x', 1000)", "key"), ("body", "body || ' '", "signature"), ("body", "'\\x'", "signature"),
                   ("body", "'not JSON'", "cannot be read"), ("body", "overlay(body placing 'f' from 3)", "signature")]
        changed = [row.number for row in rows(server, "changed")][::2]
        server.sql("UPDATE events SET event_id = 'gone' WHERE event_id = 'event-4'; ALTER TABLE events ALTER type DROP NOT NULL", "changed")
        other = [row for row in rows(server, "changed") if row.event_id == "gone"][0].number
        for (column, value, _), number in zip(changes, (number for number in changed if number != other)):
            server.sql(f"UPDATE events SET {column} = {value} WHERE number = {number}", "changed")
        seqs = {int(number): int(seq) for number, seq in server.sql("SELECT number, seq FROM events", "changed")}
        result = json.loads(node.tool("check", "--json", "--from", server.url("reader", "changed")).fails(1).stdout)
        found = {}
        for finding in result["findings"]:
            check((finding["node"], finding["seq"]) == ("changed", seqs[finding["number"]]), finding)
            found.setdefault(finding["number"], []).append(finding["what"])
        for (column, value, word), number in zip(changes, (number for number in changed if number != other)):
            check(any(word in what for what in found.pop(number, [])), column, "=", value, "was not found:", json.dumps(result))
        check(found.pop(other) and not found, "unchanged rows:", found)
        check(result["problems"] == len(result["findings"]), result)
        text = node.tool("check", "--from", server.url("reader", "changed")).fails(1).stdout
        check(f"event {changed[0]}: line {seqs[changed[0]]} of changed: " in text and "problems found" in text, text)
        # The others show what can be shown, and say what cannot.
        for verb in ("log", "stats"):
            result = node.tool(verb, "--from", server.url("reader", "changed")).fails(1)
            check("skipped" in result.stderr and result.stdout, verb, result)


def what_a_row_says_cannot_move_the_cursor():
    server = postgres("escape")
    with Node("escape") as node:
        node.write([press(1)])
        node.forward(server.url(database="escape"), "--once").ok()
        server.sql("UPDATE events SET node = E'\\x1b[2J\\nx', request_id = E'\\x1b]0;x\\x07', body = E'\\\\x1b5b324a'", "escape")
        for verb in (["check"], ["check", "--no-signatures"], ["log"]):
            result = node.tool(*verb, "--from", server.url("reader", "escape")).fails(1)
            check("\x1b" not in result.stdout + result.stderr and "\x07" not in result.stdout, repr(result))


# ---- cost ----

COPIES = """INSERT INTO events (node, seq, received_at, pressed_at, type, device, account, request_id, event_id, key, signature, verbatim, body)
    SELECT node, i, received_at + i * interval '1 s', pressed_at, type, 'copy-' || i % 1000, account, 'copy-' || i, 'copy-' || i, key, signature, verbatim,
           convert_to(replace(replace(convert_from(body, 'UTF8'), '-0"', '-' || i || '"'), 'device-3', 'copy-' || i % 1000), 'UTF8')
    FROM (SELECT * FROM events LIMIT 1) AS e, generate_series({0}, {1}) AS i"""


def memory_is_constant_and_the_last_lines_cost_little():
    server = postgres("many")
    with Node("many") as node:
        node.write([press(0)])
        node.forward(server.url(database="many"), "--once").ok()
        url = server.url("reader", "many")

        def peak(*arguments):
            process = subprocess.Popen([TOOL, *arguments, "--from", url], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=node.environment())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            check(status in (0, 256), *arguments, "ended with", status)  # 1: the copies have no signature of their own
            return usage.ru_maxrss * 1024

        verbs = ["log", "--json"], ["stats"], ["check", "--json"]
        server.sql(COPIES.format(1, MANY // 10), "many")
        few = [peak(*verb) for verb in verbs]
        server.sql(COPIES.format(MANY // 10 + 1, MANY), "many")
        for verb, before in zip(verbs, few):
            after = peak(*verb)
            check(after - before < 4 * MEBIBYTE, *verb, "uses", after - before, "bytes more for", MANY, "events than for", MANY // 10)
        if int(server.value("SHOW server_version_num")) < 150000:
            return  # its counters come some time later
        # Before the server has statistics of the table, and after.
        read = "SELECT coalesce(sum(seq_tup_read), 0) + coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname = 'events'"
        for prepare in ("SELECT 1", "VACUUM ANALYZE events"):
            server.sql(prepare, "many")
            for options, most in ((["-n", "10"], 100), (["-n", "10", "--since", "2000-01-01"], 100), (["-n", "10", "--device", "copy-7"], 100), (["-n", "10", "--device", "copy-7", "--device", "copy-8"], 200),
                                  (["--device", "copy-7"], MANY // 1000 * 3 + 100), (["--device", "nothing"], 100)):
                def reading():
                    return server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doorpost' AND datname = current_database()",
                                        database="many") != "0"
                wait_for(lambda: not reading(), "the last reader's session to end")
                before = int(server.value(read, database="many"))
                node.tool("log", *options, "--from", url).ok()
                wait_for(lambda: not reading(), "the session to end")
                rows_read = int(server.value(read, database="many")) - before
                check(rows_read <= most, "log", *options, "read", rows_read, "rows after", prepare)


run(a_journal_and_its_stream_read_alike, events_of_many_nodes_come_in_the_order_of_their_numbers,
    metrics_have_the_size_of_the_table_and_nothing_of_a_journal, no_settings_are_needed, it_follows_from_the_first_event_on,
    a_follower_survives_the_loss_of_its_connection, a_standby_is_read_and_followed, an_event_that_commits_late_is_not_missed,
    what_cannot_be_read_is_an_error, reading_blocks_no_writer, check_accepts_what_forward_has_written,
    numbers_that_a_node_uses_again_are_no_finding, check_finds_every_changed_row, what_a_row_says_cannot_move_the_cursor,
    memory_is_constant_and_the_last_lines_cost_little)
