"""doorpost exec in a journal that is changed under it, on a disk that is full or fails, with a clock that was wrong: no event is left
out, what was run is not run again, and what it cannot do it says."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.laboratory import TOOL, Lab
from support.runner import run_tests

COMMAND = 'echo "$DOORPOST_EVENT_ID" >> $LAB/out/ran'
EMPTY = "0" * 32


class Bell(Lab):
    """A laboratory with a consumer `bell`, whose commands write down which events they were run for."""

    def __init__(self, command=COMMAND, **settings):
        super().__init__(**settings)
        (self.path / "out").mkdir(mode=0o777)
        (self.path / "out").chmod(0o777)
        self.command = self.path / "command"
        self.command.write_text(f"#!/bin/sh\nLAB={self.path}\n{command}\n")
        self.command.chmod(0o755)

    def arguments(self, *options):
        return [self.own_tool, "exec", "--name", "bell", "--from", "start", *options, "--", self.command]

    def once(self, *options, under=(), **env):
        return self.run([*under, *self.arguments("--once", *options)], env=env, **self.as_user())

    def follow(self, under=(), **env):
        log = self.logs / "exec"
        return self.start([*under, *map(str, self.arguments())], stdout=subprocess.DEVNULL, stderr=open(log, "ab"),
                          env={**self.environment(), **env}, **self.as_user())

    def said(self):
        return (self.logs / "exec").read_text()

    def ran(self):
        path = self.path / "out/ran"
        return path.read_text().split() if path.exists() else []

    def state(self):
        return json.loads(self.tool("exec", "--status", "--json", **self.as_user()).ok().stdout)[0]

    @property
    def cursor(self):
        return self.journal / "cursors/bell"

    def place(self):
        return json.loads(self.cursor.read_text())

    def rewrite(self, change, path=None):
        """Replaces a segment by what `change` makes of its lines, as an editor does: another file of that name."""
        path = path or self.segment()
        fresh = path.with_suffix(".new")
        fresh.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        self.own(fresh)
        fresh.rename(path)

    def failing(self, calls, error, path=None, when="1+"):
        """A prefix that lets these calls fail, on that file."""
        traced = ["-P", str(path), "-P", str(path.relative_to(self.journal))] if path else []  # as it is opened, and what is open
        return ["strace", "-f", "-qq", "-o", "/dev/null", *traced, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"]


UNDER_STRACE = {"ASAN_OPTIONS": "detect_leaks=0"}


# ---- a place proves itself ----

def delete(lab):
    lab.segment().unlink()


def rename_to(day):
    return lambda lab: lab.segment().rename(lab.journal / f"{day}.jsonl")


def add_foreign(lines):
    return [*lines[:2], b"# remember the milk\n", *lines[2:]]


# What can happen to the file that a place is in, and whether anybody has to be told.
CHANGES = {
    "nothing": (lambda lab: None, False),
    "written again as it was": (lambda lab: lab.rewrite(lambda lines: lines), False),
    "deleted": (delete, True),
    "emptied": (lambda lab: lab.segment().write_bytes(b""), True),
    "restored from an older copy": (lambda lab: lab.rewrite(lambda lines: lines[:3]), True),
    "cut in the middle of a line": (lambda lab: os.truncate(lab.segment(), lab.segment().stat().st_size - 40), True),
    "its last line erased": (lambda lab: lab.rewrite(lambda lines: lines[:-1]), True),
    "its first line erased": (lambda lab: lab.rewrite(lambda lines: lines[1:]), True),
    "a line added": (lambda lab: lab.rewrite(add_foreign), True),
    "a byte order mark added": (lambda lab: lab.rewrite(lambda lines: [b"\xef\xbb\xbf", *lines]), True),
    "saved with CR LF": (lambda lab: lab.rewrite(lambda lines: [line.replace(b"\n", b"\r\n") for line in lines]), True),
    "renamed to an earlier day": (rename_to("2020-01-01"), True),
}


def forget(*members):
    """As an earlier release wrote the cursor."""
    def change(lab):
        place = lab.place()
        lab.cursor.write_text(json.dumps({name: value for name, value in place.items() if name not in members}, separators=(",", ":")))
    return change


def a_place_that_does_not_hold_is_found_again():
    for what, (change, told) in CHANGES.items():
        for kind, age in {"of this release": forget(), "of an earlier one": forget("chain", "received_at")}.items():
            if re.search("older|cut|last line", what) and "earlier" in kind:
                continue  # nothing tells a number that was given again from the first one
            with Bell() as lab:
                lab.receive(*map(press, range(6)))
                lab.once().ok()
                age(lab)
                change(lab)
                check(lab.state()["place_holds"] is not told, what, kind, "status:", lab.state())
                new = [f"event-{number}" for number in range(11, 14)]
                lab.receive(*map(press, range(11, 14)))
                behind = lab.state()["behind"]
                result = lab.once().ok()
                repeated = sorted(set(lab.ran()[6:]) - set(new))
                check(set(new) <= set(lab.ran()), what, kind, "left out:", lab.ran(), result)
                check(not repeated or kind == "of an earlier one", what, kind, "run again:", repeated, result)
                check(behind == len(lab.ran()) - 6, what, kind, "status told", behind)
                check(("the position of bell is invalid" in result.stderr) is told, what, kind, result)
                again = lab.once().ok()
                check(again.stderr == "" or "a damaged line" in again.stderr, what, kind, "told twice:", again)
                check(len(lab.ran()) == 9 + len(repeated) and lab.state()["behind"] == 0, what, kind, lab.ran())


def also_under_a_running_one():
    for what, (change, _) in CHANGES.items():
        with Bell() as lab:
            lab.receive(*map(press, range(6)))
            process = lab.follow()
            wait_for(lambda: len(lab.ran()) == 6 and lab.cursor.exists() and lab.place()["seq"] == 6, "the first six")
            change(lab)
            lab.receive(*map(press, range(11, 14)))
            wait_for(lambda: len(lab.ran()) >= 9, what)
            wait_for(lambda: lab.state()["behind"] == 0 and lab.state()["place_holds"], "the place")
            process.send_signal(signal.SIGTERM)
            check(process.wait() == 0, what, "exit status", process.returncode, lab.said())
            check(sorted(lab.ran()) == sorted(f"event-{number}" for number in (*range(6), 11, 12, 13)), what, lab.ran(), lab.said())
            # Once when the place stops holding and, if nothing newer was there by then, once more when there is.
            waited = "there is nothing newer" in lab.said()
            check(lab.said().count("does not hold") <= 1 + waited, what, lab.said())
            check(not list(lab.journal.glob("cursors/*.spare")), what, "left a spare")


def numbers_that_are_given_again():
    """An older copy is restored without the index and the cursors: new events get numbers that others had, up to that of the place
    and beyond it."""
    for count in (1, 3, 5):
        with Bell() as lab, Bell() as other:
            lab.receive(*map(press, range(4)))
            old = lab.segment().read_bytes()
            lab.receive(press(4), press(5), press(6))
            lab.once().ok()
            other.segment_name = other.journal / lab.segment().name
            other.segment_name.write_bytes(old)
            other.own(other.segment_name)
            other.receive(*map(press, range(20, 20 + count)))
            lab.segment().write_bytes(other.segment().read_bytes())
            check(not lab.state()["place_holds"] and lab.state()["behind"] == count, lab.state())
            result = lab.once().ok()
            check(sorted(lab.ran()[7:]) == sorted(f"event-{number}" for number in range(20, 20 + count)), count, lab.ran(), result)
            check("numbers were reused" in result.stderr and lab.place()["done"] == [], result, lab.place())


def the_highest_number_is_kept_when_an_older_copy_is_restored():
    with Bell() as lab:
        lab.receive(*map(press, range(6)))
        lab.once().ok()
        lab.rewrite(lambda lines: lines[:2])
        result = lab.once().ok()
        check("there is nothing newer" in result.stderr and len(lab.ran()) == 6, result)
        check((lab.place()["seq"], lab.place()["highest"]) == (2, 6), lab.place())
        check(lab.once().ok().stderr == "" and lab.state()["place_holds"], "told again")


def what_is_to_be_tried_again_is_found_in_a_changed_file():
    changes = {name: change for name, (change, _) in CHANGES.items() if not re.search("deleted|emptied|cut|older|last line|first line", name)}
    for what, change in changes.items():
        with Bell(f"[ -e $LAB/out/go ] || exit 1\n{COMMAND}") as lab:
            lab.receive(press(1), press(2), press(3))
            process = lab.follow()
            wait_for(lambda: lab.cursor.exists() and len(lab.place()["retry"]) >= 1, "a failure")
            change(lab)
            (lab.path / "out/go").touch()
            wait_for(lambda: len(lab.ran()) == 3, what)
            process.send_signal(signal.SIGTERM)
            check(process.wait() == 0 and "was deleted" not in lab.said() and lab.state()["behind"] == 0, what, lab.said())
    with Bell("exit 78") as lab:
        lab.receive(press(1), press(2))
        lab.once().ok()
        lab.rewrite(add_foreign)
        lab.segment().rename(lab.journal / "2020-01-01.jsonl")
        lab.command.write_text(lab.command.read_text().replace("exit 78", COMMAND))
        result = lab.run(lab.arguments("--retry-failed"), **lab.as_user()).ok()
        check(sorted(lab.ran()) == ["event-1", "event-2"] and lab.state()["failed"] == 0, result)
        lab.journal.joinpath("cursors/bell.failed").write_text('{"seq":1,"day":"2026-01-01","offset":0,"event_id":"another"}\n')
        check("event 1 (another) is no longer in the journal" in lab.run(lab.arguments("--retry-failed"), **lab.as_user()).stderr, "id")


def prune_asks_the_place_that_holds():
    with Bell() as lab:
        lab.write_days({"2020-01-01": [press(1)], "2020-01-02": [press(2)], "2020-01-03": [press(3)]})
        lab.once().ok()
        for day in ("2020-01-01", "2020-01-02"):  # another history, that nobody has run
            lab.rewrite(lambda lines: [line.replace(b'"2020-', b'"2030-').replace(b"event-", b"other-") for line in lines], lab.segment(day))
        lab.segment("2020-01-03").unlink()
        result = lab.tool("prune", "--keep", "1d", **lab.as_user()).fails()
        check("has not run its events of 2020-01-01" in result.stderr, result)


# ---- an error is not an absence ----

def a_file_that_cannot_be_opened_is_waited_for():
    with Bell(f'[ "$DOORPOST_EVENT_ID" = event-3 ] || [ -e $LAB/out/go ] || exit 1\n{COMMAND}') as lab:
        if not lab.user:
            return "needs another user"
        lab.write_days({"2020-01-01": [press(1), press(2)]})
        lab.receive(press(3))
        lab.follow()
        wait_for(lambda: lab.cursor.exists() and len(lab.place()["retry"]) >= 1, "a failure")
        lab.segment("2020-01-01").chmod(0)
        wait_for(lambda: "event-3" in lab.ran() and "; its events are deferred" in lab.said(), "the event of the other day")
        (lab.path / "out/go").touch()
        time.sleep(3)
        check(lab.said().count("Permission denied") == 1 and lab.place()["retry"], lab.said())
        lab.segment("2020-01-01").chmod(0o600)
        wait_for(lambda: sorted(lab.ran()) == ["event-1", "event-2", "event-3"], "the others")
        check("deleted" not in lab.said(), lab.said())


def every_call_that_fails_while_an_event_is_read_is_waited_for():
    for error in ("EIO", "ESTALE", "EMFILE", "ENOMEM", "EACCES"):
        for calls in ("openat", "pread64"):
            if calls == "pread64" and error in ("EMFILE", "EACCES"):
                continue
            with Bell() as lab:
                lab.receive(*map(press, range(4)))
                process = lab.follow(under=lab.failing(calls, error, lab.segment(), "3..4"), **UNDER_STRACE)
                wait_for(lambda: len(lab.ran()) >= 4, f"{calls} fails with {error}")
                lab.receive(press(5))
                wait_for(lambda: len(lab.ran()) >= 5, f"{calls} fails with {error}")
                wait_for(lambda: lab.place()["seq"] == 5, "the place")
                os.kill(lab.state()["process"], signal.SIGTERM)  # strace does not pass it on
                process.wait()
                check(len(lab.ran()) == 5 and "deleted" not in lab.said() and "damaged" not in lab.said(), calls, error, lab.ran(), lab.said())


def lists_that_cannot_be_read_stay_as_they_are():
    with Bell("exit 78") as lab:
        lab.receive(press(1), press(2))
        lab.once().ok()
        path = lab.journal / "cursors/bell.failed"
        listed = path.read_bytes()
        check(listed.count(b"\n") == 2, listed)
        result = lab.run([*lab.failing("read,pread64", "EIO", path), *lab.arguments("--retry-failed")], env=UNDER_STRACE, **lab.as_user()).fails()
        check("cannot read cursors/bell.failed: Input/output error" in result.stderr and path.read_bytes() == listed, result)
        lab.receive(press(3))
        for call in ("pread64", "pwrite64", "fdatasync"):
            result = lab.once(under=lab.failing(call, "EIO", path), **UNDER_STRACE).fails()
            check("given up" not in result.stderr and path.read_bytes() == listed and lab.state()["behind"] == 1, call, result)
        lab.once().ok()
        check(path.read_bytes().startswith(listed) and lab.state()["failed"] == 3 and lab.state()["behind"] == 0, lab.state())
        result = lab.run([*lab.failing("openat", "EIO", lab.segment(), "1+"), *lab.arguments("--retry-failed")], env=UNDER_STRACE, **lab.as_user()).fails()
        check(result.stderr.count("remains on the list") == 3 and "no longer" not in result.stderr and lab.state()["failed"] == 3, result)
        path.write_bytes(listed + b'{"seq":1,"offset":0,"day":null}\n[]\nnull\n"x"\n{"seq":"5","offset":[],"day":"2026-01-01"}\n\0\n')
        result = lab.run(lab.arguments("--retry-failed"), **lab.as_user()).fails()
        check(result.stderr.count("is damaged, and was left unchanged") == 6 and lab.state()["failed"] == 8, result)
        path.write_bytes(b'{"seq":1,"offset":0,"day":null}\n')
        check("is damaged, and was left unchanged" in lab.run(lab.arguments("--retry-failed"), **lab.as_user()).fails().stderr, "all of it damaged")


def numbers_that_nobody_wrote_are_damage():
    lines = ['[-9,"2026-11-23",8123,"0000000000000001","0000000000000001",2,0]', '[9,"2026-11-23",-8123,"0000000000000001","0000000000000001",2,0]',
             '[9,"2026-11-23",8123,"0000000000000001","0000000000000001",-2,0]', '[9,"2026-11-23",8123,"0000000000000001","0000000000000001",2,999999999999]',
             '[9,"2026-11-23",8123,"1","0000000000000001",2,0]', '[9,"2026-11-23",8123,"0000000000000001","0000000000000001",2,17', '\0' * 127]
    with Bell() as lab:
        lab.receive(press(1))
        lab.once().ok()
        path = lab.journal / "cursors/bell.waiting"
        path.write_text("".join(f"{line:127}\n" for line in ("", *lines)))
        lab.own(path)
        for verb in (["--status"], ["--failed"]):
            check(f"bell.waiting has {len(lines)} damaged lines" in lab.tool("exec", *verb).ok().stderr, verb, lab.tool("exec", *verb))
        check("damaged lines" in lab.tool("prune", "--keep", "1d").fails().stderr, "prune")
        check(f"{len(lines)} damaged lines, whose events are not run" in lab.once().ok().stderr and len(lab.ran()) == 1, lab.ran())
        lists = lab.journal / "cursors/bell.failed"
        lists.write_text('{"seq":5')  # cut off
        lab.own(lists)
        lab.receive(press(2))
        lab.command.write_text("#!/bin/sh\nexit 78\n")
        lab.once().ok()
        check("event-2" in lab.tool("exec", "--failed").ok().stdout, "what follows a line that is cut off is lost:", lists.read_text())


def cursors_that_cannot_be_read_are_not_called_damaged():
    with Bell() as lab:
        lab.receive(press(1))
        lab.once().ok()
        result = lab.once(under=lab.failing("read,pread64", "EIO", lab.cursor), **UNDER_STRACE).fails()
        check("cannot read cursors/bell: Input/output error" in result.stderr, result)
        status = [lab.own_tool, "exec", "--status"]
        result = lab.run([*lab.failing("getdents64", "EIO", lab.journal / "cursors"), *status], env=UNDER_STRACE, **lab.as_user()).fails()
        check("cannot list cursors/: Input/output error" in result.stderr, result)
        prune = [lab.own_tool, "prune", "--keep", "1d"]
        result = lab.run([*lab.failing("read,pread64", "EIO", lab.cursor), *prune], env=UNDER_STRACE, **lab.as_user()).fails()
        check("cannot read cursors/bell" in result.stderr, result)
        lab.cursor.unlink()
        os.mkfifo(lab.cursor)
        lab.own(lab.cursor)
        for command in (lab.arguments("--once"), status, prune):
            check("cursors/bell is not a regular file" in lab.run(command, **lab.as_user()).fails().stderr, command)


# ---- a clock that was wrong ----

def a_retry_is_never_later_than_its_delay():
    with Bell(f"[ -e $LAB/out/go ] || exit 1\n{COMMAND}") as lab:
        lab.receive(press(1))
        process = lab.follow()
        wait_for(lambda: lab.cursor.exists() and lab.place()["retry"], "a failure")
        process.send_signal(signal.SIGTERM)
        process.wait()
        (lab.path / "out/go").touch()
        for due in (int(time.time()) + 10 * 365 * 86400, 999999999999999999):
            place = lab.place()
            place["retry"] = [[1, 1, due]]
            lab.cursor.write_text(json.dumps(place))
            (lab.path / "out/ran").unlink(missing_ok=True)
            started = time.monotonic()
            lab.once().ok()
            check(lab.ran() == ["event-1"] and time.monotonic() - started < 60, due, lab.ran())
            lab.cursor.write_text(json.dumps(place))


# ---- a place that cannot be kept ----

def nothing_is_run_whose_place_cannot_be_kept():
    with Bell() as lab:
        lab.receive(press(1))
        lab.once().ok()
        spare = lab.journal / "cursors/bell.spare"
        lab.receive(press(2), press(3))
        for error in ("ENOSPC", "EDQUOT", "EROFS", "EIO"):
            calls = "openat" if error == "EROFS" else "write"
            result = lab.once(under=lab.failing(calls, error, spare), **UNDER_STRACE).fails()
            check("; no command is run until this works: free disk space" in result.stderr and len(lab.ran()) == 1, error, result)
        spare.unlink(missing_ok=True)
        spare.mkdir()
        check("no command is run until this works" in lab.once().fails().stderr and len(lab.ran()) == 1, lab.ran())
        lab.follow()
        wait_for(lambda: "no command is run until this works" in lab.said(), "to be told")
        time.sleep(3)
        check(len(lab.ran()) == 1 and lab.said().count("\n") == 1, lab.ran(), lab.said())
        spare.rmdir()
        wait_for(lambda: len(lab.ran()) == 3, "the others")


def a_disk_that_fills_up_while_commands_run_repeats_none():
    """From the start of the first command on nothing can be created or made longer; what was reserved is enough."""
    with Bell(f"{COMMAND}; touch $LAB/out/started; until [ -e $LAB/out/go ]; do sleep 0.05; done") as lab:
        lab.receive(*map(press, range(4)))
        process = lab.follow()
        wait_for(lambda: len(lab.ran()) == 4, "the commands")
        spare = lab.journal / "cursors/bell.spare"
        check(spare.stat().st_blocks * 512 >= spare.stat().st_size > lab.cursor.stat().st_size, "no spare with blocks")
        inode = spare.stat().st_ino
        (lab.path / "out/go").touch()
        wait_for(lambda: lab.place()["seq"] == 4, "the place")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0 and not spare.exists(), "the spare is left")
        check(stat.S_IMODE(lab.cursor.stat().st_mode) == 0o600 and inode, "mode")


def a_spare_that_a_crash_left_is_used_again():
    with Bell() as lab:
        lab.receive(press(1))
        (lab.journal / "cursors").mkdir()
        lab.own(lab.journal / "cursors")
        (lab.journal / "cursors/bell.spare").write_bytes(b"#" * 100000)
        lab.own(lab.journal / "cursors/bell.spare")
        lab.once().ok()
        check(lab.place()["seq"] == 1 and not (lab.journal / "cursors/bell.spare").exists(), lab.place())
        check([one["name"] for one in json.loads(lab.tool("exec", "--status", "--json").ok().stdout)] == ["bell"], "a consumer?")


def a_failure_that_cannot_be_listed_is_not_done():
    with Bell(f"{COMMAND}; exit 78") as lab:
        lab.receive(press(1))
        blocked = lab.journal / "cursors/bell.failed"
        (lab.journal / "cursors").mkdir()
        lab.own(lab.journal / "cursors")
        blocked.mkdir()
        result = lab.once().fails()
        check("cannot write cursors/bell.failed" in result.stderr and "given up" not in result.stderr, result)
        lab.follow()
        wait_for(lambda: "cannot write cursors/bell.failed" in lab.said(), "to be told")
        check(lab.place()["seq"] == 0, lab.place())
        blocked.rmdir()
        wait_for(lambda: lab.state()["failed"] == 1 and lab.state()["behind"] == 0, "the list")
        check(json.loads((lab.journal / "cursors/bell.failed").read_text())["event_id"] == "event-1", "list")


def a_read_only_journal_runs_nothing():
    with Bell() as lab:
        if not lab.user:
            return "needs another user"
        lab.receive(press(1))
        lab.once().ok()
        lab.receive(press(2))
        (lab.journal / "cursors").chmod(0o500)
        for options in (("--once",), ()):
            result = lab.run(lab.arguments(*options), **lab.as_user()).fails()
            check("cannot write cursors/bell.spare: Permission denied" in result.stderr and lab.ran() == ["event-1"], result)
        (lab.journal / "cursors").chmod(0o700)
        lab.once().ok()
        check(lab.ran() == ["event-1", "event-2"], lab.ran())


def a_file_system_without_hard_links_does():
    with Bell() as lab:
        lab.configure(ON_EVENT=lab.command)
        shutil.copy(TOOL, lab.bin / "doorpost")
        for number in range(3):
            body = press(number)
            result = lab.run([*lab.failing("link,linkat", "EPERM"), lab.binary], input=body.decode(), **lab.as_user(), env={
                "REQUEST_METHOD": "POST", "GATEWAY_INTERFACE": "CGI/1.1", "CONTENT_LENGTH": str(len(body)), "HTTP_X_SIGNATURE": sign(body), **UNDER_STRACE}).ok()
            check("warning" not in result.stderr, result)
            wait_for(lambda: len(lab.ran()) == number + 1, "the command")  # noqa: B023


# ---- a directory that is replaced ----

def a_directory_that_is_replaced_under_a_running_one():
    for what in ("empty", "a copy", "an older copy", "no cursors"):
        with Bell() as lab:
            aside = lab.path / "aside"
            lab.receive(*map(press, range(3)))
            older = shutil.copytree(lab.journal, lab.path / "older")
            process = lab.follow()
            wait_for(lambda: len(lab.ran()) == 3 and lab.cursor.exists() and lab.place()["seq"] == 3, "the first three")
            if what == "no cursors":
                (lab.journal / "cursors").rename(lab.path / "gone")  # at once: the process may be about to write in it
            else:
                if what == "a copy":
                    shutil.copytree(lab.journal, lab.path / "copy")
                lab.journal.rename(aside)
                {"empty": lambda: lab.journal.mkdir(mode=0o700), "a copy": lambda: (lab.path / "copy").rename(lab.journal),
                 "an older copy": lambda: older.rename(lab.journal)}[what]()
                subprocess.run(["chown", "-R", "--reference", aside, lab.journal], check=True)
            before = (aside / "cursors/bell").read_bytes() if aside.exists() else b""
            lab.receive(press(11), press(12))
            wait_for(lambda: len(lab.ran()) == 5, what)
            wait_for(lambda: lab.cursor.exists() and lab.state()["behind"] == 0 and lab.state()["process"] == process.pid, "the place")
            process.send_signal(signal.SIGTERM)
            check(process.wait() == 0, what, lab.said())
            check(sorted(lab.ran()) == sorted(f"event-{number}" for number in (0, 1, 2, 11, 12)), what, lab.ran(), lab.said())
            check("was replaced: bell continues" in lab.said(), what, lab.said())
            check(not aside.exists() or (aside / "cursors/bell").read_bytes() == before, what, "the old one was written to")


def another_journal_with_a_place_of_its_own():
    with Bell() as lab, Bell() as other:
        other.receive(press(20), press(21))
        other.once().ok()
        other.receive(press(22))
        lab.receive(*map(press, range(3)))
        process = lab.follow()
        wait_for(lambda: len(lab.ran()) == 3 and lab.cursor.exists() and lab.place()["seq"] == 3, "the first three")
        lab.journal.rename(lab.path / "aside")
        other.journal.rename(lab.journal)
        other.journal.mkdir()
        wait_for(lambda: len(lab.ran()) == 4, "the one that it has not run")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0 and lab.ran()[3:] == ["event-22"] and lab.place()["seq"] == 3, lab.ran(), lab.said())


run_tests(a_place_that_does_not_hold_is_found_again, also_under_a_running_one, numbers_that_are_given_again,
          the_highest_number_is_kept_when_an_older_copy_is_restored, what_is_to_be_tried_again_is_found_in_a_changed_file,
          prune_asks_the_place_that_holds, a_file_that_cannot_be_opened_is_waited_for,
          every_call_that_fails_while_an_event_is_read_is_waited_for, lists_that_cannot_be_read_stay_as_they_are,
          cursors_that_cannot_be_read_are_not_called_damaged, numbers_that_nobody_wrote_are_damage, a_retry_is_never_later_than_its_delay,
          nothing_is_run_whose_place_cannot_be_kept, a_disk_that_fills_up_while_commands_run_repeats_none,
          a_spare_that_a_crash_left_is_used_again, a_failure_that_cannot_be_listed_is_not_done, a_read_only_journal_runs_nothing,
          a_file_system_without_hard_links_does, a_directory_that_is_replaced_under_a_running_one, another_journal_with_a_place_of_its_own)
