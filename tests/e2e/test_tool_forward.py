"""`doorpost forward` without a database: its command line, and what --status, doctor, stats and prune say about a forwarder. Its lock file
says how it fares, so these tests write one. What a forwarder does with a database is proved elsewhere."""

import contextlib
import fcntl
import json
import signal
import time

from consumer import execute, script
from support.assertions import check, wait_for
from support.deliveries import press
from support.laboratory import NOWHERE, TOOL, Lab
from support.runner import run_tests

COUNTS = "1042 sent, 12 duplicates, 3 errors"


def status(lab, *arguments):
    return json.loads(lab.tool("forward", "--status", "--json", *arguments).ok().stdout)


def state(lab, name="forward"):
    return next(one for one in status(lab) if one["name"] == name)


def found_by_doctor(lab):
    return [f"{one['level']}: {one['text']}" for one in json.loads(lab.tool("doctor", "--json").stdout) if one["check"] in ("forwarder", "consumer")]


def metrics(lab):
    lines = lab.tool("stats", "--prometheus").ok().stdout.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("doorpost_forward_"))


def write_note(lab, *lines, name="forward"):
    path = lab.journal / f"cursors/{name}.lock"
    path.write_bytes("\n".join(("forward", *lines, "")).encode("latin-1"))
    lab.own(path)


def forwarder_at_the_end(lab, *lines, name="forward"):
    """One that has forwarded the whole journal, with these lines in its lock file."""
    (lab.journal / f"cursors/{name}.lock").unlink(missing_ok=True)
    execute(lab, "--name", name, "--once", "--", "/bin/true").ok()
    write_note(lab, *lines, name=name)


@contextlib.contextmanager
def held(lab, name="forward"):
    """The forwarder runs: its lock is held."""
    with open(lab.journal / f"cursors/{name}.lock", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
        yield


def ago(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - seconds))


def the_command_line_is_checked():
    with Lab() as lab:
        for arguments, said in ((["--to", "postgresql://ring:secret@host/doorpost"], "put it into ~/.pgpass"),
                                (["--to", "postgresql://host/doorpost?password=secret"], "put it into ~/.pgpass"),
                                (["--to", "host=x sslpassword=secret"], "put it into ~/.pgpass"),
                                (["--to", "postgresql://[::1/x"], "malformed database location"), (["--to", "doorpost"], "is not a database"),
                                ([], "--to postgresql://"), (["--to", NOWHERE, "--name", "a/b"], "a consumer's name"),
                                (["--to", NOWHERE, "--node", "a b"], "choose one with --node"), (["--to", NOWHERE, "--verify"], "belong together"),
                                (["--to", NOWHERE, "--since", "8d"], "belong together"),
                                (["--to", NOWHERE, "--verify", "--since", "once"], "--since must be a time")):
            result = lab.tool("forward", *arguments).fails(2)
            check(said in result.stderr and "secret" not in result.stderr, arguments, result)
        schema = lab.tool("forward", "--schema").ok().stdout
        check("CREATE TABLE IF NOT EXISTS events" in schema and schema.endswith("COMMIT;\n"), "--schema")
        check(status(lab) == [] and metrics(lab) == {}, "there is no forwarder yet")


def without_libpq_all_else_works():
    with Lab() as lab:
        lab.receive(press(1))
        (lab.path / "broken").mkdir()
        (lab.path / "broken/libpq.so.5").write_text("no library")
        broken = {"LD_LIBRARY_PATH": str(lab.path / "broken")}
        said = lab.tool("forward", "--to", NOWHERE, env=broken).fails(2).stderr
        check("cannot load " in said and "libpq.so.5" in said and "install the package libpq5" in said, said)
        check("button_press" in lab.tool("log", env=broken).ok().stdout, "log")


def one_whose_database_is_away():
    with Lab() as lab:
        lab.receive(press(1), press(2))
        execute(lab, "--name", "bell", "--once", "--", "/bin/true").ok()
        said = lab.tool("forward", "--to", NOWHERE, "--once").fails().stderr
        check("cannot connect to the database" in said, said)
        lab.receive(press(3))
        one, = status(lab)
        check((one["name"], one["process"], one["behind"], one["place_holds"]) == ("forward", None, 3, True), one)
        check((one["sent"], one["duplicates"], one["errors"], one["failing"]) == (0, 0, 1, True), one)
        check(0 <= one["behind_seconds"] < 3600 and "cannot connect" in one["last_failure"]["how"] and one["last_failure"]["at"] > "2026", one)
        process = lab.start([TOOL, "forward", "--to", NOWHERE], stderr=open(lab.logs / "forward", "ab"))
        wait_for(lambda: state(lab)["process"] == process.pid, "it to run")
        wait_for(lambda: state(lab)["errors"] >= 2, "the next failure, counted on")
        check(state(lab)["last_failure"]["at"] == one["last_failure"]["at"], "it has been failing since then")
        check("forward: running, at " in lab.tool("forward", "--status").ok().stdout, "running")
        check("is already running" in lab.tool("forward", "--to", NOWHERE).fails().stderr, "one instance")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0, "exit status")
        lines = lab.tool("forward", "--status").ok().stdout.splitlines()
        check(len(lines) == 2 and "forward: not running, at " in lines[0] and " 3 events and " in lines[0] and " 0 sent, 0 duplicates, " in lines[0], lines)
        check(lines[1].startswith(f"  failing since {one['last_failure']['at']}: cannot connect"), lines)


def what_its_file_says_cannot_move_the_cursor():
    """The file belongs to the web server's user; root may look at it."""
    with Lab() as lab:
        lab.tool("forward", "--to", NOWHERE, "--once").fails()
        lock = lab.journal / "cursors/forward.lock"
        lock.write_text(lock.read_text().replace("cannot connect", "cannot \x1b[2Jconnect"))
        for command in (["forward", "--status"], ["forward", "--status", "--json"], ["doctor"]):
            said = lab.tool(*command).stdout
            check("[2J" in said and "\x1b[2J" not in said, *command, said)


def runners_and_forwarders_are_told_apart():
    with Lab() as lab:
        lab.receive(press(1))
        execute(lab, "--name", "bell", "--from", "start", "--once", "--", script(lab, "exit 78")).ok()
        lab.tool("forward", "--to", NOWHERE, "--once", "--name", "one").fails()
        forwarder_at_the_end(lab, COUNTS, name="two")
        check("bell is a consumer of `doorpost exec`: choose another" in lab.tool("forward", "--to", NOWHERE, "--name", "bell").fails().stderr, "bell")
        check("one is a forwarder: choose another" in execute(lab, "--name", "one", "--", "/bin/true").fails().stderr, "one")
        check([one["name"] for one in json.loads(execute(lab, "--status", "--json").ok().stdout)] == ["bell"], "exec --status")
        check({one["name"] for one in json.loads(execute(lab, "--failed", "--json").ok().stdout)} == {"bell"}, "exec --failed")
        check(sorted(one["name"] for one in status(lab)) == ["one", "two"], status(lab))
        check([one["name"] for one in status(lab, "--name", "two")] == ["two"] and status(lab, "--name", "bell") == [], "--name")
        told = found_by_doctor(lab)
        check(sum(": bell " in line for line in told) == 1 and not any("program" in line for line in told), told)


def a_new_forwarder_is_known_as_one_at_once():
    """Before it has anything to say: there are no events."""
    with Lab() as lab:
        process = lab.start([TOOL, "forward", "--to", NOWHERE], stderr=open(lab.logs / "forward", "ab"))
        wait_for((lab.journal / "cursors/forward").exists, "the cursor")
        wait_for(lambda: [one["process"] for one in status(lab)] == [process.pid], "its note")
        check(json.loads(execute(lab, "--status", "--json").ok().stdout) == [], "exec --status")
        (lab.journal / "cursors").rename(lab.path / "away")  # as before a restored backup
        wait_for(lambda: [one["process"] for one in status(lab)] == [process.pid], "its note in the new directory")


def how_it_fares_is_told():
    """By --status, doctor and stats."""
    with Lab() as lab:
        lab.receive(press(1), press(2))
        forwarder_at_the_end(lab, COUNTS)
        check(found_by_doctor(lab) == ["ok: forward has nothing left to forward: 1042 events sent, 12 that the database already had, 3 errors overcome"],
              found_by_doctor(lab))
        with held(lab):
            check(found_by_doctor(lab)[0].startswith("ok: forward is running: 1042 events sent"), found_by_doctor(lab))
        check((state(lab)["behind"], state(lab)["behind_seconds"], state(lab)["last_failure"]) == (0, 0, None), state(lab))
        lab.receive(press(3))
        check(found_by_doctor(lab) == ["note: forward is not running, and has events left to forward: see `doorpost forward --status`"], found_by_doctor(lab))
        told = metrics(lab)
        expected = {"lag_events": 1, "sent_total": 1042, "duplicates_total": 12, "errors_total": 3}
        check(all(told[f'doorpost_forward_{name}{{name="forward"}}'] == str(value) for name, value in expected.items()), told)
        check(len(told) == 5 and 0 <= int(told['doorpost_forward_lag_seconds{name="forward"}']) < 3600, told)
        since = ago(3600)
        write_note(lab, COUNTS, f"failing since {since}: the database refuses: \x1b[2Jno\xff")
        with held(lab):
            told = found_by_doctor(lab)
            check(told[0].startswith("problem: forward has not been able to forward events for 36") and "the database refuses: ?[2Jno?" in told[0], told)
            lab.tool("doctor").fails()
        check("problem: forward, which is not running, has not been able" in found_by_doctor(lab)[0], found_by_doctor(lab))
        write_note(lab, COUNTS, f"failing since {ago(1)}: it is failing over")
        check(found_by_doctor(lab)[0].startswith("warning: forward, which"), found_by_doctor(lab))
        write_note(lab, COUNTS, f"failed at {since}: the disk was full")
        check((state(lab)["failing"], state(lab)["last_failure"]) == (False, {"at": since, "how": "the disk was full"}), state(lab))
        said = lab.tool("forward", "--status").ok().stdout.splitlines()
        check(said[1] == f"  the last failure, now over, began at {since}: the disk was full", said)


def a_position_that_does_not_hold_means_everything_again():
    with Lab() as lab:
        lab.write_days({"2026-01-01": [press(n) for n in range(5)]})
        forwarder_at_the_end(lab, COUNTS)
        lab.write_days({"2026-01-01": [press(n) for n in range(7, 10)]})
        one = state(lab)
        check((one["behind"], one["place_holds"]) == (3, False), one)
        said = lab.tool("forward", "--status").ok().stdout
        check("at that position: the whole journal will be sent again" in said, said)


def prune_waits_for_it():
    with Lab() as lab:
        lab.write_days({"2020-01-01": [press(1)], "2020-01-02": [press(2)]})
        lab.tool("forward", "--to", NOWHERE, "--once").fails()
        said = lab.tool("prune", "--keep", "1d").fails().stderr
        check("the forwarder forward has not forwarded its events of 2020-01-01 yet: run it, delete cursors/forward, or use --force" in said, said)
        check(len(list(lab.journal.glob("*.jsonl"))) == 2, "deleted nevertheless")
        forwarder_at_the_end(lab, COUNTS)
        lab.tool("prune", "--keep", "1d").ok()
        check([path.stem for path in lab.journal.glob("*.jsonl")] == ["2020-01-02"], "left")


run_tests(the_command_line_is_checked, without_libpq_all_else_works, one_whose_database_is_away, what_its_file_says_cannot_move_the_cursor, runners_and_forwarders_are_told_apart, a_new_forwarder_is_known_as_one_at_once,
          how_it_fares_is_told, a_position_that_does_not_hold_means_everything_again, prune_waits_for_it)
