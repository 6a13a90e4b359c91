"""Makes every call that processing a delivery needs fail, each time it is made, with each error that it can return.

The answer must be 503, or a 200 that is true; the next delivery, without the fault, must succeed as usual. System calls fail
under ASan and LeakSanitizer, allocations in an ordinary build. QUICK=1 tries one error a call, in turn, and every seventh
allocation."""

import atexit
import collections
import datetime
import errno
import json
import os
import pathlib
import shutil
import tempfile

from preload import BUILD, ROOT, SCRATCH, Handler, event_of, read_rejected, sanitizer
from support.assertions import check, wait_for
from support.deliveries import press
from support.runner import run_tests
from test_crash import read_journal

QUICK = os.environ.get("QUICK") == "1"
FAULTS = {
    "open": (errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.EIO),
    "openat": (errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.EIO),
    "read": (errno.EIO, errno.EINTR, "short"),
    "write": (errno.EIO, errno.EINTR, "short"),
    "pread": (errno.EIO, errno.EINTR, "short"),
    "pwrite": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, "short"),
    "pwritev": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, "short"),
    "ftruncate": (errno.EIO, errno.EINTR),
    "fdatasync": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, "drop"),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR),
    "fcntl": (errno.ENOLCK, errno.EINTR, errno.EIO),
    "mkdirat": (errno.ENOSPC, errno.EDQUOT, errno.EACCES),
    "unlinkat": (errno.EIO,),
}
REJECTED = b'{"signed":"and no event"}'


def prepare_lines(handler, count=5):
    for number in range(count):
        check(handler.send(press(f"old-{number}"))[1] == 200, "the journal was not prepared")


def without_index(handler):
    shutil.rmtree(handler.journal / "seen")


def with_a_scrambled(name):
    def scramble(handler):
        path = handler.journal / "seen" / name
        path.write_bytes(b"scrambled" * (path.stat().st_size // 9))
    return scramble


def with_a_torn_tail(handler):
    segment, = handler.journal.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + segment.read_bytes()[:100])


def with_a_damaged_end(handler):
    segment, = handler.journal.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + bytes(100))


def a_day_later(handler):
    handler.days.write_text("1")
    check(handler.send(press("today"))[1] == 200, "the second day was not begun")


def with_an_edited_older_day(handler):
    a_day_later(handler)
    first = min(handler.journal.glob("*.jsonl"))
    first.write_bytes(b"\xef\xbb\xbf" + first.read_bytes())


def with_a_renamed_older_day(handler):
    a_day_later(handler)
    first = min(handler.journal.glob("*.jsonl"))
    first.rename(first.with_name(f"{datetime.date.fromisoformat(first.stem) - datetime.timedelta(9)}.jsonl"))


def the_index_grows(handler):
    """Checks that the index has two tables (struct state)."""
    state = (handler.journal / "seen/state").read_bytes()
    slots = [state[at:at + 512] for at in (0, 4096)]
    newest = max(slots, key=lambda slot: int.from_bytes(slot[8:16], "little"))
    return newest[TABLES] == 2


TABLES = 404  # offset of the number of tables in the index's struct state
SCENARIOS = {  # number of lines, what is done to them, the delivery, and its effect
    "the first event": (0, None, press("new")),
    "a new event": (5, None, press("new")),
    "a duplicate": (5, None, press("old-2")),
    "a rejected delivery": (5, None, REJECTED),
    "the first rejected delivery": (0, None, REJECTED),
    "a missing index": (5, without_index, press("new")),
    "a scrambled state of the index": (5, with_a_scrambled("state"), press("new")),
    "a scrambled table of the index": (5, with_a_scrambled("00"), press("new")),
    "a torn tail": (5, with_a_torn_tail, press("new")),
    "a damaged end": (5, with_a_damaged_end, press("new")),
    "a duplicate of an older day": (5, a_day_later, press("old-2")),
    "a duplicate of an older day that was edited": (5, with_an_edited_older_day, press("old-2")),
    "a duplicate of an older day that was renamed": (5, with_a_renamed_older_day, press("old-2")),
    "a table of the index is full": (9, None, press("new"), the_index_grows),
}


def restore(handler, snapshot):
    shutil.rmtree(handler.journal, ignore_errors=True)
    shutil.copytree(snapshot, handler.journal)
    handler.fired.unlink(missing_ok=True)


def check_kept(handler, body, old, status):
    """The answer is true, and everything stored before is still there."""
    lines = read_journal(handler.journal)
    events = [event for event, _ in lines]
    check(None not in events, "the journal is damaged:", events)
    check(len(set(events)) == len(events), "an event is in the journal twice:", events)
    check(events[:len(old)] == old, "old events are gone:", events)
    if status == 200:
        check(event_of(body) in events, "answered 200 and not kept")
    if status == 400:
        check(read_rejected(handler.journal).count(body) >= 1, "answered 400 and not kept")


def try_fault(handler, sound, snapshot, body, old, fault):
    """Returns True if the fault happened."""
    restore(handler, snapshot)
    segments = sorted(handler.journal.glob("*.jsonl"))
    size = segments[-1].stat().st_size if segments else 0
    code, status, text, log = handler.send(body, SHIM_FIRED=str(handler.fired), SHIM_DROP_FROM=str(size), **fault)
    if not handler.fired.exists():
        return False
    good = 400 if event_of(body) is None else 200
    # Without memory libfcgi ends the process and json-c 0.16 crashes it, before anything is written; the web server then
    # answers 500, and Ring retries.
    gave_up = fault["SHIM_FAIL"] == "malloc" and code != 0 and status is None
    check(code == 0 or gave_up, "the handler ended with", code, log)
    check("Sanitizer" not in log and "runtime error" not in log, log)
    allowed = {503, good} | ({None} if fault["SHIM_FAIL"] == "write" or gave_up else set())
    check(status in allowed, "answered", status, text, log)
    if status in (200, 400):
        # An unacknowledged torn tail may remain until the next press is stored.
        wait_for(lambda: sound.send(press("between"))[1] == 200, "the next press to be stored")
        check_kept(handler, body, old, status)
    code, status, text, log = sound.send(body)
    check((code, status) == (0, good), "afterwards:", code, status, text, log)
    check_kept(handler, body, old, status)
    if old:
        _, status, text, log = sound.send(press("old-0"))
        check(status == 200 and json.loads(text)["status"] == "duplicate", "the index forgot an old event:", text, log)
    return True


def run_scenario(handler, sound, name, faults, step=1):
    """Returns the number of failures of each function."""
    count, damage, body, *brings_about = SCENARIOS[name]
    tried = collections.Counter()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        snapshot = pathlib.Path(directory, "snapshot")
        shutil.rmtree(handler.journal, ignore_errors=True)
        handler.journal.mkdir()
        prepare_lines(sound, count)
        if damage:
            damage(sound)
        shutil.copytree(handler.journal, snapshot)
        old = [f"event-old-{number}" for number in range(count)]
        for says in brings_about:
            check(not says(handler), "it was so before")
            handler.send(body)
            check(says(handler), "the delivery did not do it")
        for function, errors in faults.items():
            nth, happened = 1, True
            while happened:  # until the call is made fewer times
                chosen = [errors[nth % len(errors)]] if QUICK else errors
                for error in chosen:
                    fault = {"SHIM_FAIL": function, "SHIM_NTH": str(nth), "SHIM_ERRNO": str(error)}
                    try:
                        happened = try_fault(handler, sound, snapshot, body, old, fault)
                    except AssertionError as failure:
                        raise AssertionError(f"{name}, call {nth} of {function} with {error}: {failure}") from None
                    tried[function] += happened
                nth += step
    return tried


faults_tried = collections.Counter()  # by function
atexit.register(lambda: print(f"# {faults_tried.total()} faults", flush=True))


def over_all_scenarios(test):
    tests = []
    for name in SCENARIOS:
        def one(name=name):
            directory = tempfile.mkdtemp(prefix="doorpost-faults-", dir=SCRATCH)
            try:
                faults_tried.update(test(directory, name))
            finally:
                shutil.rmtree(directory, ignore_errors=True)
        one.title = f"{name}: {test.__name__.replace('_', ' ')}"
        tests.append(one)
    return tests


def every_failing_system_call_is_survived(directory, name):
    handler = Handler(directory, ROOT / "build/check/doorpost.cgi", BUILD / "shim-plain.so", sanitizer(), SHIM_INODES="1")
    return run_scenario(handler, Handler(directory, SHIM_INODES="1"), name, FAULTS)


def every_failing_allocation_is_survived(directory, name):
    handler = Handler(directory, SHIM_INODES="1")
    return run_scenario(handler, handler, name, {"malloc": (errno.ENOMEM,)}, 7 if QUICK else 1)


def a_failing_sync_of_the_index_costs_the_index():
    """Whatever the kernel keeps of it, the index is rebuilt, and nothing is forgotten."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        handler = Handler(directory, SHIM_INODES="1")
        handler.journal.mkdir()
        fault = {"SHIM_FAIL": "msync", "SHIM_NTH": "1", "SHIM_ERRNO": str(errno.EIO), "SHIM_FIRED": str(handler.fired)}
        fired = 0
        for number in range(40):
            handler.fired.unlink(missing_ok=True)
            code, status, text, log = handler.send(press(number), **fault)
            check((code, status, json.loads(text)["seq"]) == (0, 200, number + 1), code, status, text, log)
            if handler.fired.exists():
                fired += 1
                check("cannot sync the index" in log, "not said:", log)
                check(not any(handler.journal.glob("seen/*")), "the index is still there")
            for again in {number, number // 2}:
                answer = json.loads(handler.send(press(again))[2])
                check((answer["status"], answer["seq"]) == ("duplicate", again + 1), answer)
        check(fired > 10, "only", fired, "failures")


def each_function_has_failed():
    check(set(+faults_tried) == {*FAULTS, "malloc"}, faults_tried)


if __name__ == "__main__":
    run_tests(a_failing_sync_of_the_index_costs_the_index,
              *over_all_scenarios(every_failing_system_call_is_survived),
              *over_all_scenarios(every_failing_allocation_is_survived),
              each_function_has_failed)
