"""doorpost log: what it shows, follows, filters and survives."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from support.assertions import PATIENCE, check
from support.deliveries import press
from support.laboratory import TOOL, Lab, open_terminal
from support.runner import run_tests


def at(body, device, account="account-1"):
    event = json.loads(body)
    event["data"]["attributes"]["source"] = device
    event["meta"]["account_id"] = account
    return json.dumps(event).encode()


def copy_of_another_day(lab, day):
    """Makes today's segment an older day's, so that the next event goes to another file."""
    path = lab.segment()
    path.rename(lab.journal / f"{day}.jsonl")


def lines_are_one_an_event_and_in_order():
    with Lab() as lab:
        lab.receive(*(press(i) for i in range(5)))
        lines = lab.tool("log").ok().stdout.splitlines()
        check(len(lines) == 5 and all(re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  button_press +device-\d +account-1", line) for line in lines), lines)
        check(lab.tool("log", "--utc").ok().stdout.count("Z  ") == 5, "--utc")
        there, here = (lab.tool("log", env={"TZ": zone}).ok().stdout[11:13] for zone in ("UTC0", "XYZ-5"))
        check((int(there) + 5) % 24 == int(here), "the local zone", there, here)
        check([json.loads(line)["data"]["id"] for line in lab.tool("log", "--json").ok().stdout.splitlines()]
              == [f"event-{i}" for i in range(5)], "--json")


def the_last_n_across_days():
    with Lab() as lab:
        lab.receive(*(press(i) for i in range(3)))
        copy_of_another_day(lab, "2026-01-01")
        lab.receive(*(press(i) for i in range(3, 6)))
        ids = lambda *arguments: [json.loads(line)["data"]["id"][6:] for line in  # noqa: E731
                                  lab.tool("log", "--json", *arguments).ok().stdout.splitlines()]
        for count in range(9):
            check(ids("-n", str(count)) == [str(i) for i in range(6)][max(0, 6 - count):], count)
        lab.receive(*(press(i) for i in range(6, 300)))
        check(ids("-n", "290") == [str(i) for i in range(10, 300)], "a long one")
        check(ids("-n", "2", "--device", "device-0")[-1] in [str(i) for i in range(295, 300)], "with a filter")


def filters_are_by_device_account_type_and_time():
    with Lab() as lab:
        lab.receive(at(press(1), "front"), at(press(2), "back"), at(press(3), "front", "other"))
        count = lambda *arguments: len(lab.tool("log", *arguments).ok().stdout.splitlines())  # noqa: E731
        check(count("--device", "front") == 2 and count("--device", "front", "--device", "back") == 3, "device")
        check(count("--device", "front", "--account", "other") == 1 and count("--type", "motion_detected") == 0, "account")
        check(count("--since", "1 hour ago") == 3 and count("--since", "today", "--utc") <= 3, "since")
        check(count("--until", "1 hour ago") == 0 and count("--since", "2020-01-01", "--until", "now") == 3, "until")
        for since in ("yesterday", "2020-01-01 08:00", "2020-01-01T08:00:30Z", "@5", "8d", "90m ago", "2 weeks ago", "1h"):
            check(count("--since", since) == 3, since)


def it_follows_across_midnight():
    with Lab() as lab:
        log = lab.start([TOOL, "log", "-f", "--json"], stdout=subprocess.PIPE)  # begins before there is any event
        lab.receive(press(1))
        read = lambda: json.loads(log.stdout.readline())["data"]["id"]  # noqa: E731
        check(read() == "event-1", "the first")
        lab.receive(press(2))
        check(read() == "event-2", "the second")
        # Tomorrow's segment, as the handler makes it: the line is another journal's, which the log does not mind.
        today = lab.segment()
        tomorrow = lab.journal / (time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400)) + ".jsonl")
        line = today.read_bytes().splitlines(keepends=True)[-1].replace(b"event-2", b"event-3")
        with open(tomorrow, "wb") as file:
            file.write(line[:100])
            file.flush()
            time.sleep(0.05)  # half a line is shown as soon as it is whole, and not before
            file.write(line[100:])
        check(read() == "event-3", "the next day's")
        log.send_signal(signal.SIGINT)
        check(log.wait() == -signal.SIGINT, "Ctrl-C")


def it_follows_without_inotify():
    with Lab() as lab:
        limited = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=inotify_init1",
                   "-e", "inject=inotify_init1:error=EMFILE", TOOL, "log", "-f", "--json"]
        log = lab.start(limited, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**lab.environment(), "ASAN_OPTIONS": "detect_leaks=0"})
        for number in (1, 2):
            lab.receive(press(number))
            check(json.loads(log.stdout.readline())["data"]["id"] == f"event-{number}", number)
        for child in open(f"/proc/{log.pid}/task/{log.pid}/children").read().split():
            os.kill(int(child), signal.SIGTERM)  # strace itself does not listen


def it_ends_with_its_journal():
    with Lab() as lab:
        log = lab.start([TOOL, "log", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lab.receive(press(1))
        log.stdout.readline()
        os.rename(lab.journal, lab.path / "gone")
        shutil.rmtree(lab.path / "gone")
        check(b"was deleted" in log.communicate(timeout=PATIENCE)[1] and log.returncode == 1, "it goes on")


def a_closed_pipe_ends_it_quietly():
    with Lab() as lab:
        lab.receive(*(press(i) for i in range(400)))
        result = lab.run(["bash", "-c", f"{TOOL} log --json | head -n 1"]).ok()
        check(result.stdout.count("\n") == 1 and result.stderr == "", result)


def colour_is_for_terminals_alone():
    if not open_terminal():
        return "no terminal can be had here"
    with Lab() as lab:
        lab.receive(press(1))

        def on_terminal(**env):
            master, slave = open_terminal()
            lab.tool("log", stdout=slave, env={"TERM": "xterm", **env}).ok()
            os.close(slave)
            text = os.read(master, 65536).decode()
            os.close(master)
            return text
        check("\x1b[" in on_terminal(), "no colour")
        check("\x1b[" not in on_terminal(NO_COLOR="1") and "\x1b[" not in lab.tool("log").stdout, "colour")


def nothing_is_explained_on_a_terminal_alone():
    if not open_terminal():
        return "no terminal can be had here"

    def said_first(lab, *verb):
        master, slave = open_terminal()
        try:
            return lab.tool(*verb, stdout=slave).ok().stderr
        finally:
            os.close(slave)
            os.close(master)

    def said(lab, *verb):
        check(lab.tool(*verb).ok().stderr == "", verb, "speaks in a pipe")
        return said_first(lab, *verb)
    with Lab() as lab:
        for verb in (["log"], ["log", "--json"], ["log", "-n", "3"], ["stats"]):
            check(f"No events in {lab.journal} yet" in said(lab, *verb), verb)
        check("No rejected deliveries." in said(lab, "rejected"), "rejected")
        check("No consumers in" in said(lab, "exec", "--status"), "exec --status")
        check("Nothing to retry" in said(lab, "exec", "--retry-failed", "--", "true"), "exec --retry-failed")
        check(said_first(lab, "exec", "--once", "--name", "early", "--", "true") == "", "nothing is left out")
        lab.receive(press(1))
        day = lab.segment().stem
        for verb in (["log", "--device", "none"], ["log", "--since", "2020-01-01", "--until", "2020-01-02"], ["log", "-n", "2", "--type", "none"],
                     ["stats", "--device", "none"]):
            check(f"No event matches; {lab.journal} has events from {day} to {day}." in said(lab, *verb), verb)
        check("late is new, and starts after the newest event" in said_first(lab, "exec", "--once", "--name", "late", "--", "true"), "exec")
        for question in ("--status", "--failed"):
            check("No consumer none in" in said(lab, "exec", question, "--name", "none"), question)
        check("in that time" in said(lab, "rejected", "--until", "2020-01-01"), "rejected")
        check(said(lab, "log") == "" and said(lab, "log", "-n", "0") == "" and said(lab, "stats") == "", "something")
    with Lab() as lab:
        lab.receive(at(press(1), "doorpost.test"))
        check("doctor's test presses" in said(lab, "stats"), "the test device")


def what_senders_choose_is_escaped():
    with Lab() as lab:
        lab.receive(at(press(1), "\x1b[2J\nfake  line \u202e"))
        out = lab.tool("log").ok().stdout
        check(out.isascii() and len(out.splitlines()) == 1 and r'"\u001b[2J\nfake  line \u202e"' in out, out)


def damage_is_passed_over_and_told():
    with Lab() as lab:
        lab.receive(*(press(i) for i in range(3)))
        path = lab.segment()
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + b"\0" * (len(lines[1]) - 1) + b"\n" + lines[2])
        result = lab.tool("log").fails()
        check(len(result.stdout.splitlines()) == 2 and f"byte {len(lines[0])}: skipped a damaged line" in result.stderr, result)


def a_huge_sparse_file_is_no_trouble():
    with Lab() as lab:
        lab.receive(press(1))
        copy_of_another_day(lab, "2026-01-02")
        with open(lab.journal / "2026-01-01.jsonl", "wb") as file:
            file.truncate(10 << 30)
        lab.receive(press(2))
        out = lab.tool("log", "-n", "2").ok().stdout  # from the end: the hole is never read
        check(len(out.splitlines()) == 2, out)


def trouble_is_told():
    with Lab() as lab:
        check("cannot open the journal directory" in lab.tool("log", "--journal", lab.path / "none").fails().stderr, "missing")
        check("--journal DIR" in lab.tool("log", env={"DOORPOST_CONF": "/dev/null"}).fails().stderr, "not set")
        check("cannot read the settings" in lab.tool("log", "--conf", lab.path / "none").fails().stderr, "no conf")
        check("Not a directory" in lab.tool("log", "--journal", lab.env_file).fails().stderr, "a file")
        if lab.user:
            lab.journal.chmod(0o700)
            copy = lab.bin / "doorpost"  # the checkout may be closed to others
            copy.write_bytes(TOOL.read_bytes())
            copy.chmod(0o755)
            check("Permission denied" in lab.run([copy, "log"], user=lab.user.pw_uid + 1).fails().stderr, "no permission")



run_tests(lines_are_one_an_event_and_in_order, the_last_n_across_days, filters_are_by_device_account_type_and_time,
          it_follows_across_midnight, it_follows_without_inotify, it_ends_with_its_journal, a_closed_pipe_ends_it_quietly, colour_is_for_terminals_alone,
          nothing_is_explained_on_a_terminal_alone,
          what_senders_choose_is_escaped, damage_is_passed_over_and_told, a_huge_sparse_file_is_no_trouble, trouble_is_told)
