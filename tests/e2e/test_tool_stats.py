"""Counters that never go down, numbers of any size, labels without end, and text that would speak to a terminal."""

import base64
import json
import os
import re
import subprocess
import time

from support.assertions import check
from support.deliveries import press
from support.laboratory import TOOL, Lab, open_terminal
from support.runner import run_tests

RAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
EVIL = "\x1b]0;pwned\x07\x1b[31m\u202e\u009b31m\u2028\u2066\u0085\x7f"


def day(ago):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * ago))


def counters(lab):
    lines = lab.tool("stats", "--prometheus").ok().stdout.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
            if "_total" in name or name.endswith(("_sum", "_count"))}


def rejection(when, body):
    return json.dumps({"received_at": f"{when}T12:00:00.000000Z", "key": "69ffb5b9", "signature": "sha256=" + "0" * 64, "reason": "no event",
                       "body": base64.b64encode(body).decode()}, separators=(",", ":")) + "\n"


def prune_lets_no_counter_go_down():
    with Lab() as lab:
        lab.write_days({day(100): [press(n) for n in range(50)], day(60): [press(n) for n in range(50, 60)], day(1): [press(n) for n in range(60, 70)]})
        (lab.journal / "rejected").mkdir()
        for when in (day(100), day(1)):
            (lab.journal / f"rejected/{when}.jsonl").write_text(rejection(when, b"x"))
        for path in (lab.journal / "rejected", *lab.journal.glob("rejected/*")):
            lab.own(path)
        before = counters(lab)
        check(before['doorpost_events_total{type="button_press"}'] == 70 and before['doorpost_rejected_total{reason="no event"}'] == 2, before)
        lab.tool("prune", "--keep", "30d", "--dry-run").ok()
        for keep in ("80d", "30d", "30d"):
            kept = lab.segment(day(60)).read_bytes() if keep == "80d" else kept
            lab.tool("prune", "--keep", keep).ok()
            check(counters(lab) == before, keep, counters(lab), before)
        check(not lab.segment(day(60)).exists(), "not pruned")
        # As if the machine had failed before the day was gone, or a backup put it back.
        lab.segment(day(60)).write_bytes(kept)
        lab.own(lab.segment(day(60)))
        check(counters(lab) == before, "counted twice:", counters(lab))
        check(json.loads(lab.tool("stats", "--json").ok().stdout)["presses"] == 20, "--json tells of the lines that are there")
        check('"button_press"} 10' in lab.tool("stats", "--prometheus", "--since", "9d").ok().stdout, "with a filter")
        for text in ("", "x", "{}", "[]", '{"through":null,"events":{},"rejected":{},"delays":0,"delay_seconds":0}',
                     '{"through":"2026-01-01","events":{"a":-1},"rejected":{},"delays":0,"delay_seconds":0}',
                     '{"through":"2026-01-01","events":{},"rejected":{},"delays":0,"delay_seconds":"x"}'):
            (lab.journal / "counted").write_text(text)
            check("counted is damaged" in lab.tool("stats", "--prometheus").fails().stderr, text)
            check("counted is damaged" in lab.tool("prune", "--keep", "1d").fails().stderr, text)


def a_prune_that_is_killed_counts_nothing_twice():
    with Lab() as lab:
        for when in range(1, 30):
            lab.write_days({day(100): [press(n) for n in range(20)], day(1): [press(n) for n in range(20, 30)]})
            (lab.journal / "counted").unlink(missing_ok=True)
            lab.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=openat,renameat,unlinkat,fsync:signal=KILL:when={when}", TOOL, "prune", "--keep", "30d"],
                    env={"ASAN_OPTIONS": "detect_leaks=0"})
            check(counters(lab)['doorpost_events_total{type="button_press"}'] == 30, when, counters(lab))
            lab.tool("prune", "--keep", "30d").ok()
            check(counters(lab)['doorpost_events_total{type="button_press"}'] == 30, when, counters(lab))


def times_of_any_size_are_counted():
    with Lab() as lab:
        bodies = []
        for number, at in enumerate((300000000000000, 3000000000000000, 9223372036854775, 253402300799999, 1, 0, -1, -9223372036854775)):
            event = json.loads(press(number))
            event["data"]["attributes"]["timestamp"] = at
            bodies.append(json.dumps(event).encode())
        lab.write_days({day(1): bodies})
        for zone in ([], ["--utc"]):
            for form in ([], ["--json"], ["--prometheus"]):
                lab.tool("stats", *zone, *form, env={"TZ": "Pacific/Kiritimati"}).ok()
        total = json.loads(lab.tool("stats", "--json", "--utc").ok().stdout)
        check(sum(total["presses_by_hour"]) == len(bodies) and all(re.fullmatch(r"\d{4}-\d\d-\d\d", one) for one in total["presses_by_day"]), total)


def labels_are_bounded():
    with Lab() as lab:
        def typed(number):
            return json.dumps({"meta": {"request_id": f"r{number}"}, "data": {"id": f"i{number}", "type": f"t{number}"}}).encode()
        lab.write_days({day(50): [typed(number) for number in range(150)], day(1): [typed(number + 1000) for number in range(50)]})
        before = counters(lab)
        check(sum("events_total" in name for name in before) == 101 and before['doorpost_events_total{type="other"}'] == 100, before)
        lab.tool("prune", "--keep", "30d").ok()
        check(counters(lab) == before, counters(lab))


def on_terminal(lab, *verb):
    """What a terminal gets."""
    terminal = open_terminal()
    if not terminal:
        return None
    master, slave = terminal
    process = subprocess.Popen([TOOL, *verb], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env={**lab.environment(), "NO_COLOR": "1"})
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 65536):
            text += part
    except OSError:
        pass
    os.close(master)
    process.wait()
    return text


def nothing_speaks_to_the_terminal():
    with Lab() as lab:
        event = json.dumps({"meta": {"request_id": "r" + EVIL, "account_id": "\u00e9" + EVIL}, "data": {"id": "i" + EVIL, "type": "t" + EVIL}}, ensure_ascii=False)
        for escaped in (chr(code) for code in (*range(32), 127)):
            event = event.replace(escaped, f"\\u{ord(escaped):04x}")
        lab.receive(event.encode(), b'{"meta":"' + EVIL.encode() + b'"}')
        (lab.journal / "damaged").mkdir(exist_ok=True)
        for number, damaged in enumerate(("x", '{"seq":')):
            (lab.journal / "damaged" / (f"2026-01-01-{number}" + EVIL.replace("/", ""))).write_text(damaged)
        lab.configure(MAX_AEG="1")
        for verb in (["log"], ["log", "--json"], ["stats"], ["stats", "--json"], ["stats", "--prometheus"], ["rejected"], ["rejected", "--json"],
                     ["rejected", "--body", f"{day(0)}:1"], ["exec", "--once", "--name", "c", "--from", "start", "--", "/bin/cat"],
                     ["exec", "--once", "--name", "f", "--from", "start", "--", "/bin/sh", "-c", "cat; exit 78"], ["exec", "--failed"],
                     ["exec", "--failed", "--json"], ["exec", "--status"], ["trigger", "--print", "--device", EVIL], ["log", "--device", EVIL], ["check"], ["check", "--json"], ["doctor"], ["doctor", "--json"], ["exec", "--status", "--json"]):
            text = on_terminal(lab, *verb)
            if text is None:
                return "no terminal can be had here"
            check(not RAW.search(text), verb, sorted(set(RAW.findall(text))), text)
        shown = on_terminal(lab, "log", "--json")
        check("\u00e9" in shown.decode() and json.loads(shown) == json.loads(event), "not the same JSON:", shown)
        check(lab.tool("log", "--json").ok().stdout.rstrip("\n") == event, "a pipe gets Ring's bytes")
        (lab.journal / "format").write_text("\x1b]0;pwned\x07\x1b[31m")
        check(not RAW.search(on_terminal(lab, "log")), "format")


run_tests(prune_lets_no_counter_go_down, a_prune_that_is_killed_counts_nothing_twice, times_of_any_size_are_counted, labels_are_bounded,
          nothing_speaks_to_the_terminal)
