"""check, prune and rejected: the care of a journal, also while deliveries go on."""

import base64
import contextlib
import datetime
import shutil
import json
import os
import random
import re
import subprocess
import threading

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.journal import hold_lock, verify_journal
from support.laboratory import TOOL, Lab, open_terminal
from support.runner import run_tests
from support.servers import lighttpd_fastcgi

TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def days_ago(days):
    return str(TODAY - datetime.timedelta(days=days))


def presses(first, count):
    return [press(number) for number in range(first, first + count)]


def a_sound_journal_is_well():
    with Lab() as lab:
        lab.write_days({days_ago(3): presses(0, 50), days_ago(2): presses(50, 1)})
        lab.receive(*presses(51, 5))
        out = lab.tool("check").ok().stdout
        check("56 lines, 56 signatures verified, index compared: no problems" in out, out)
        report = json.loads(lab.tool("check", "--json").ok().stdout)
        check(report["lines"] == 56 and report["problems"] == 0 and report["findings"] == [], report)
        check("56 lines, index compared" in lab.tool("check", "--no-signatures", env={"DOORPOST_KEY_FILE": "/none"}).ok().stdout, "no keys")
        lab.write_keys("another signing key of some length")
        check("56 not verified (key not configured)" in lab.tool("check").ok().stdout, "other keys")


def bodies_with_line_breaks_and_escapes_are_no_findings():
    with Lab() as lab:
        pretty = json.dumps(json.loads(press(1)), indent=1).encode()
        escaped = press(2).replace(b"request-2", rb"r\u0065quest-2")
        ids = press(3).replace(b'"relationships"', b'"id2":{"id":"x"},"relationships"')
        lab.receive(pretty, escaped, ids, press(4))
        check("3 signatures verified, 1 not verifiable (body with line breaks" in lab.tool("check").ok().stdout, lab.tool("check"))


def each_damage_is_named_by_file_line_and_byte():
    with Lab() as lab:
        lab.write_days({days_ago(2): presses(0, 5), days_ago(1): presses(5, 5)})
        first, second = lab.segment(days_ago(2)), lab.segment(days_ago(1))
        sound = {path: path.read_bytes() for path in (first, second)}
        lines = sound[first].splitlines(keepends=True)
        at = [sum(map(len, lines[:number])) for number in range(6)]
        edited = lines[2].replace(b"event-2", b"event-X")
        key = lines[2].replace(b'"key":"69ffb5b9"', b'"key":"69ffb5b8"')
        for text, wanted in (
                (b"".join(lines[:2]) + b"\0" * (len(lines[2]) - 1) + b"\n" + b"".join(lines[3:]), [(3, at[2], "damaged")]),
                (b"".join(lines[:2]) + edited + b"".join(lines[3:]), [(3, at[2], "the chain is broken"), (3, at[2], "signature does not match")]),
                (b"".join(lines[:2]) + key + b"".join(lines[3:]), [(3, at[2], "the chain is broken")]),
                (b"".join(lines[:2]) + b"".join(lines[3:]), [(3, at[2], "the chain is broken")]),
                (b"".join(lines[:3]) + lines[2] + b"".join(lines[3:]), [(4, at[3], "the chain is broken")]),
                (b"".join(lines) + b'{"seq":6,"received', [(6, at[5], "incomplete line")])):
            first.write_bytes(text)
            result = lab.tool("check", "--json").fails()
            found = json.loads(result.stdout)["findings"]
            check([one["file"] for one in found] == [first.name] * len(wanted), found)
            for one, (line, byte, what) in zip(found, wanted):
                check((one["line"], one["byte"]) == (line, byte) and what in one["what"], one, "where", line, byte, what)
            human = lab.tool("check").fails().stdout
            check(f"{first.name}:{wanted[0][0]}: byte {wanted[0][1]}: " in human, human)
        first.write_bytes(sound[first])
        lab.tool("check").ok()
        first.unlink()
        check("deleted without" in lab.tool("check").ok().stdout, "the chain's beginning")


def the_index_is_compared():
    with Lab() as lab:
        table = lab.journal / "seen/00"
        lab.receive(*presses(0, 40))
        older = table.read_bytes()
        lab.receive(*presses(40, 20))
        lab.tool("check").ok()
        sound = table.read_bytes()
        table.write_bytes(older)  # each bucket is whole, and some lines are not there
        result = lab.tool("check").fails()
        check("is not in the index" in result.stdout and "--rebuild-index" in result.stdout, result)
        for bucket in (bytes(512), sound[:20] + b"\xff" * 8 + sound[28:512]):
            table.write_bytes(bucket + sound[512:])
            check("damaged" in lab.tool("check").fails().stderr, "a bucket of", bucket[:32])
        lab.tool("check", "--rebuild-index").ok()
        check(not [path for path in lab.journal.iterdir() if path.name.startswith("seen.")], "left behind")
        shutil.rmtree(lab.journal / "seen")
        check("no index" in lab.tool("check").ok().stdout, "absent")
        lab.tool("check", "--rebuild-index").ok()
        body = press(7)
        check(b'"duplicate"' in lab.cgi(body, sign(body))[2] and len(lab.lines()) == 60, "the new index does not serve")
        check("index compared: no problems" in lab.tool("check").ok().stdout, "after all")
        lines = lab.segment().read_bytes().splitlines(keepends=True)
        lines[9] = lines[9].replace(b'"relationships"', bytes(15))  # no event any more, and so not in the index
        lines[19] = bytes(100) + b"\n"
        lines[20] = lines[20].replace(b'"relationships"', bytes(15))  # the same, and no chain to tell
        lab.segment().write_bytes(b"".join(lines))
        said = lab.tool("check", "--rebuild-index").fails().stdout
        for what in (":10: byte", ":20: byte", ":21: byte", "the chain is broken: line 10", "the event of line 21 cannot be read"):
            check(what in said and "not in the index" not in said, what, said)


def a_copy_that_cannot_be_written_to_is_verified():
    with Lab() as lab:
        lab.receive(*presses(0, 5))
        for path in (lab.journal, *lab.journal.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        lab.key_file.chmod(0o440)
        result = lab.tool("check", **lab.as_user()).ok()
        check("5 signatures verified, index not compared" in result.stdout or os.geteuid() != 0, result)
        check(json.loads(lab.tool("check", "--json", **lab.as_user()).ok().stdout)["lines"] == 5, "not read")
        segment = lab.segment()
        segment.chmod(0o644)
        segment.write_bytes(segment.read_bytes().replace(b'"event-3"', b'"event-X"'))
        check("the chain is broken: line 4" in lab.tool("check", "--no-signatures", **lab.as_user()).fails().stdout, "an edit was not seen")
        for path in (lab.journal, *lab.journal.rglob("*")):
            path.chmod(0o755)


def a_damaged_end_is_kept_and_told():
    with Lab() as lab:
        lab.receive(*presses(0, 3))
        text = lab.segment().read_bytes()
        lab.segment().write_bytes(text[:-300] + bytes(300))
        said = lab.tool("check").fails().stdout
        check("without a line break are not a line" in said, said)
        body = press(3)
        _, _, answer, log = lab.cgi(body, sign(body))
        check(json.loads(answer) == {"status": "stored", "event_id": "event-3", "seq": 4}, "a number was given again", answer)
        check("level=warning" in log and "damaged/" in log, log)
        kept, = lab.journal.glob("damaged/*")
        start = text.rindex(b"\n", 0, len(text) - 1) + 1
        check(kept.name == f"{lab.segment().stem}-{start}" and kept.read_bytes() == text[start:-300] + bytes(300), kept)
        said = lab.tool("check").fails().stdout
        check("line 3 is missing" in said and f"damaged/{kept.name}" in said, said)
        kept.unlink()
        check("damaged/" not in lab.tool("check").fails().stdout, "still told")


def under_deliveries(lab, work):
    """Does the work over and over while four senders send new and old presses through lighttpd. All must be answered 200."""
    server = lighttpd_fastcgi(lab)
    answers, stop = [], threading.Event()

    def send(name):
        number = 0
        while not stop.is_set():
            body = press(f"{name}-{number * 2 // 3}")
            answers.append((server.request(body, sign(body))[0]))
            number += 1
    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = len(answers)
            work()
            wait_for(lambda: len(answers) > before + 100, "deliveries")  # noqa: B023
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    check(set(answers) == {200}, "answers", {status: answers.count(status) for status in set(answers)})


def an_index_is_rebuilt_while_deliveries_go_on():
    with Lab() as lab:
        lab.write_days({days_ago(2): presses(0, 2000)})
        lab.tool("check", "--rebuild-index").ok()
        under_deliveries(lab, lambda: lab.tool("check", "--rebuild-index").ok())
        verify_journal(lab)
        lab.tool("check").ok()


def prune_deletes_whole_days_and_keeps_the_chain_checkable():
    with Lab(MAX_AGE="8d") as lab:
        lab.write_days({days_ago(100): presses(0, 5), days_ago(99): presses(5, 5), days_ago(11): presses(10, 5), days_ago(9): presses(15, 5)})
        rejected = lab.journal / "rejected"
        rejected.mkdir()
        lab.own(rejected)
        (rejected / f"{days_ago(99)}.jsonl").write_text("{}\n")
        result = lab.tool("prune", "--keep", "90d", "--dry-run").ok()
        check(f"Would delete 2 days, {days_ago(100)} to {days_ago(99)}" in result.stdout and "warning" not in result.stderr, result)
        check(len(list(lab.journal.glob("*.jsonl"))) == 4, "a rehearsal deletes")
        check("Deleted 2 days" in lab.tool("prune", "--keep", "90d").ok().stdout, "prune")
        check(sorted(path.stem for path in lab.journal.glob("*.jsonl")) == [days_ago(11), days_ago(9)], "other days")
        check(not list(rejected.iterdir()), "rejected/")
        out = lab.tool("check").ok().stdout
        check("10 lines" in out and "deleted by" not in out, out)
        segment = lab.segment(days_ago(11))
        segment.write_bytes(segment.read_bytes().replace(b"event-10", b"event-1X", 1))
        check("the chain is broken" in lab.tool("check").fails().stdout, "the first line that is left can be edited unseen")
        lab.tool("prune", "--keep", "1d").ok()
        check([path.stem for path in lab.journal.glob("*.jsonl")] == [days_ago(9)], "the newest day must stay")
        check("Nothing to delete" in lab.tool("prune", "--keep", "1d").ok().stdout, "again")


def numbers_go_on_after_prune():
    with Lab() as lab:
        lab.write_days({days_ago(5): presses(0, 5)})
        lab.receive(press(5))
        lab.tool("prune", "--keep", "1d").ok()
        lab.receive(press(6), press(5))
        check([json.loads(line)["seq"] for line in lab.lines()] == [6, 7], lab.lines())
        lab.tool("check").ok()


def prune_warns_of_replays():
    with Lab() as lab:
        lab.write_days({days_ago(5): presses(0, 5)})
        check("DOORPOST_MAX_AGE is not set" in lab.tool("prune", "--keep", "90d").ok().stderr, "unset")
        lab.configure(MAX_AGE="100d")
        check("longer than --keep" in lab.tool("prune", "--keep", "90d").ok().stderr, "longer")
        lab.configure(MAX_AGE="90d")
        check(lab.tool("prune", "--keep", "90d").ok().stderr == "", "fitting")


def prune_and_doctor_agree_on_the_age():
    with Lab() as lab:
        def doctor():
            found = json.loads(lab.tool("doctor", "--json").stdout)
            return " ".join(one["text"] for one in found if one["level"] == "warning" and "MAX_AGE" in one["text"])
        lab.write_days({days_ago(60): presses(0, 5), days_ago(20): presses(5, 5), days_ago(0): presses(10, 1)})
        check(doctor() == "", "before prune")
        told = lab.tool("prune", "--keep", "30d").ok().stderr
        check("Set it to 30d or less, but not less than 4d" in told and "73 hours" in told, told)
        check("prune has deleted days" in doctor() and "Set it to 4d or more, but not longer than prune keeps" in doctor(), doctor())
        for age in ("4d", "30d"):  # what both have named
            lab.configure(MAX_AGE=age)
            check(doctor() == "" and lab.tool("prune", "--keep", "30d").ok().stderr == "", age)
        lab.configure(MAX_AGE="3d")
        check("Set it to 4d or more, but not longer than prune keeps" in doctor(), doctor())
        lab.configure(MAX_AGE="4d")
        told = lab.tool("prune", "--keep", "3d").ok().stderr
        check("No value fits" in told and "keep 4d or more" in told, told)
        lab.configure()
        told = lab.tool("prune", "--keep", "80h").ok().stderr
        check("No value fits" in told, "3d or less, and not under 4d:", told)


def prune_keeps_the_index_small_while_deliveries_go_on():
    with Lab() as lab:
        # More than the first table holds (79,360 fingerprints), and more than half of it of a day that goes.
        lab.write_days({days_ago(9): presses(0, 41000), days_ago(5): presses(41000, 20)})
        lab.tool("check", "--rebuild-index").ok()
        check((lab.journal / "seen/01").exists(), "one table is enough?")
        check("Rebuilt" not in lab.tool("prune", "--keep", "8d", "--dry-run").ok().stdout, "a dry run")
        rebuilt = []
        under_deliveries(lab, lambda: rebuilt.append("Rebuilt the index" in lab.tool("prune", "--keep", "6d").ok().stdout))
        check(rebuilt == [True, False, False], rebuilt)
        check(not (lab.journal / "seen/01").exists(), "size")
        lab.tool("check").ok()
        for body, answer in ((press("0-1"), b'"duplicate"'), (press(41001), b'"duplicate"'), (press(7), b'"stored"')):
            check(answer in lab.cgi(body, sign(body))[2], "not", answer)


def prune_reports_an_index_that_cannot_be_rebuilt():
    with Lab() as lab:
        lab.write_days({days_ago(9): presses(0, 30000), days_ago(5): presses(30000, 20)})
        lab.tool("check", "--rebuild-index").ok()
        (lab.journal / "seen.new").write_text("in the way")
        result = lab.tool("prune", "--keep", "6d").fails()
        check("Deleted 1 day" in result.stdout and "Rebuilt" not in result.stdout, result)
        check("seen.new" in result.stderr and "check --rebuild-index" in result.stderr, result)
        (lab.journal / "seen.new").unlink()
        body = press(30001)
        check(b'"duplicate"' in lab.cgi(body, sign(body))[2], "forgotten")
        lab.tool("check", "--rebuild-index").ok()


def prune_leaves_an_index_that_is_mostly_in_use():
    with Lab() as lab:
        lab.write_days({days_ago(9): presses(0, 20000), days_ago(5): presses(20000, 21000)})
        lab.tool("check", "--rebuild-index").ok()
        check("Rebuilt" not in lab.tool("prune", "--keep", "6d").ok().stdout, "the index was rebuilt")
        lab.tool("check").ok()


def killed_in_the_middle_they_lose_nothing():
    with Lab() as lab:
        random.seed(3)
        lab.write_days({days_ago(100 - number): presses(20 * number, 20) for number in range(60)})
        lab.receive(press("today"))
        calls = "openat,unlinkat,renameat,write,pwrite64,fsync,fdatasync"
        for number in range(24):
            verb = ["check", "--no-signatures", "--rebuild-index"] if number % 2 else ["prune", "--keep", f"{99 - number}d"]
            lab.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=KILL:when={random.randrange(3, 40)}", TOOL, *verb],
                    env={"ASAN_OPTIONS": "detect_leaks=0"})
            body = press("today")
            check(b'"duplicate"' in lab.cgi(body, sign(body))[2], "forgotten after", verb)
            lab.receive(press(f"after-{number}"))
            result = lab.tool("check")
            check("damaged" not in result.stdout and "the chain is broken" not in result.stdout, verb, result)
            check(result.returncode == 0, verb, result)
        lab.tool("check", "--rebuild-index").ok()
        lab.tool("prune", "--keep", "1d").ok()
        check("25 lines" in lab.tool("check").ok().stdout, lab.tool("check"))


def rejected_deliveries_are_listed_and_replayed():
    with Lab() as lab:
        bad, worse = press(1).replace(b"request_id", b"request_di"), b"no json \xff"
        lab.receive(bad, worse)
        lines = lab.tool("rejected").ok().stdout.splitlines()
        check(len(lines) == 2 and f"{TODAY}:1 " in lines[0] and "meta.request_id is missing" in lines[0], lines)
        check(lab.tool("rejected", "--body", f"{TODAY}:1").ok().stdout.encode() == bad, "body")
        check(json.loads(lab.tool("rejected", "--json", f"{TODAY}:2").ok().stdout)["length"] == len(worse), "json")
        check("no rejected delivery" in lab.tool("rejected", f"{TODAY}:3").fails().stderr, "no such line")
        check(lab.tool("rejected", "--replay").fails().stdout.count("still not usable") == 2, "replay")
        # As if an earlier version had refused what this one takes.
        path = next((lab.journal / "rejected").iterdir())
        record = json.loads(path.read_text().splitlines()[0])
        record.update(body=base64.b64encode(press(3)).decode(), signature=sign(press(3)), received_at="2026-01-05T00:00:00.000000Z")
        path.write_text(json.dumps(record) + "\n")
        check(f"{TODAY}:1  stored as line 1" in lab.tool("rejected", "--replay").ok().stdout, "stored")
        check("already stored as line 1" in lab.tool("rejected", "--replay").ok().stdout, "twice")
        check(json.loads(lab.lines()[0])["received_at"] == "2026-01-05T00:00:00.000000Z", "the time of receipt")
        verify_journal(lab)
        record.update(signature=sign(press(4)))
        path.write_text(json.dumps(record) + "\nnonsense\n" + "x" * 300000 + "\n")
        result = lab.tool("rejected", "--replay").fails()
        check("no configured key" in result.stdout and result.stderr.count("damaged line in rejected/") == 2, result)


def stale_deliveries_stay_stale_by_their_own_time():
    with Lab(MAX_AGE="8d") as lab:
        lab.receive(press(1))  # of February
        check('"stale"' in lab.tool("rejected").ok().stdout, "not stale")
        check("stale" in lab.tool("rejected", "--replay").fails().stdout, "replayed")
        check("stored as line 1" in lab.tool("rejected", "--replay", env={"DOORPOST_MAX_AGE": "off"}).ok().stdout, "off")


def nobody_but_the_owner_gets_files():
    with Lab() as lab:
        if not lab.user:
            return "not root"
        lab.receive(press(1))
        for path in (lab.journal / "lock", *sorted((lab.journal / "seen").iterdir())):
            path.unlink()
        lab.tool("check", "--rebuild-index").ok()
        lab.tool("prune", "--keep", "1d").ok()
        check(all(path.stat().st_uid == lab.user.pw_uid for path in lab.journal.rglob("*")), "root's files in the journal")
        lab.receive(press(2))


def long_work_shows_a_bar_on_a_terminal_alone():
    with Lab() as lab:
        lab.write_days({days_ago(2): presses(0, 20000)})
        slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pread64:delay_enter=60000", TOOL, "check", "--no-signatures"]
        env = {"ASAN_OPTIONS": "detect_leaks=0"}
        check(lab.run(slow, env=env).ok().stderr == "", "a bar in a pipe")
        terminal = open_terminal()
        if not terminal:
            return "no terminal can be had here"
        master, slave = terminal
        process = lab.start(slow, stdout=subprocess.DEVNULL, stderr=slave, env={**lab.environment(), **env})
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal that nobody has open any more
            while part := os.read(master, 4096):
                shown += part
        os.close(master)
        check(process.wait() == 0 and re.search(rb"checking \[#+ *\] +\d+%  0:\d\d left", shown), shown)
        check(shown.endswith(b"\r\x1b[K"), "the bar stays:", shown)


def trouble_is_told():
    with Lab() as lab:
        lab.receive(press(1))
        missing = lab.path / "none"
        for verb in (["check"], ["prune", "--keep", "9d"], ["rejected"], ["stats"]):
            check("No such file" in lab.tool(*verb, "--journal", missing).fails().stderr, verb)
        check("--no-signatures" in lab.tool("check", env={"DOORPOST_CONF": "/dev/null", "DOORPOST_JOURNAL": str(lab.journal)}).fails().stderr, "no keys")
        with open(lab.journal / f"{days_ago(4)}.jsonl", "wb") as file:
            file.truncate(10 << 30)
        lab.own(file.name)
        check("damaged" in lab.tool("check").fails().stdout, "a hole of 10 GB")


def a_held_lock_is_told():
    with Lab() as lab:
        lab.receive(press(1))
        with hold_lock(lab.journal / "lock"):
            check("lock" in lab.tool("prune", "--keep", "9d").fails().stderr, "prune")


run_tests(a_sound_journal_is_well, bodies_with_line_breaks_and_escapes_are_no_findings, each_damage_is_named_by_file_line_and_byte,
          the_index_is_compared, an_index_is_rebuilt_while_deliveries_go_on, prune_deletes_whole_days_and_keeps_the_chain_checkable,
          numbers_go_on_after_prune, prune_warns_of_replays, prune_and_doctor_agree_on_the_age,
          prune_keeps_the_index_small_while_deliveries_go_on,
          prune_reports_an_index_that_cannot_be_rebuilt, prune_leaves_an_index_that_is_mostly_in_use,
          killed_in_the_middle_they_lose_nothing, rejected_deliveries_are_listed_and_replayed,
          stale_deliveries_stay_stale_by_their_own_time, nobody_but_the_owner_gets_files,
          long_work_shows_a_bar_on_a_terminal_alone, trouble_is_told, a_held_lock_is_told,
          a_copy_that_cannot_be_written_to_is_verified, a_damaged_end_is_kept_and_told)
