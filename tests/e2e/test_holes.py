"""Files that are said to be larger than any disk (truncate -s, a copy that was cut off, a damaged file system): a hole is passed over, so
that it takes neither time nor memory, and nobody copies it anywhere."""

import os
import subprocess
import time

from support.assertions import PATIENCE, check
from support.deliveries import press, sign
from support.laboratory import NOWHERE, TOOL, Lab
from support.runner import run_tests

SIZE = 10 ** 12


def day(ago):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * ago))


def blow_up(path, end):
    with open(path, "ab") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell() + SIZE
        file.truncate(size)
    with open(path, "r+b") as file:
        file.seek(size)
        file.write(end)


def used(lab):
    return sum(path.stat().st_blocks * 512 for path in lab.journal.rglob("*"))


def in_time(lab, *verb):
    began = time.monotonic()
    try:
        result = subprocess.run([TOOL, *verb], env=lab.environment(), capture_output=True, text=True, errors="replace", timeout=PATIENCE,
                                stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        check(False, verb, "hangs")
    check(result.returncode in (0, 1) and time.monotonic() - began < PATIENCE, verb, result)
    return result


def try_file(name, end):
    with Lab() as lab:
        lab.write_days({day(100): [press(n) for n in range(3)], day(1): [press(n) for n in range(3, 6)]})
        lab.receive(press(6), b'{"meta":1}')
        lab.tool("exec", "--once", "--name", "x", "--from", "start", "--", "/bin/sh", "-c", "exit 78", **lab.as_user()).ok()
        path = next(lab.journal.glob(name), lab.journal / name)
        path.touch()
        lab.own(path)
        try:
            blow_up(path, end)
        except OSError as error:
            return f"no such file can be here: {error.strerror}"
        before = used(lab)
        for verb in (["log"], ["log", "-n", "2"], ["log", "--json"], ["stats"], ["stats", "--prometheus"], ["rejected"], ["check"], ["doctor"],
                     ["exec", "--status"], ["exec", "--failed"], ["exec", "--drop", "1", "--name", "x"], ["prune", "--keep", "30d", "--dry-run"],
                     ["exec", "--once", "--name", "x", "--", "/bin/true"], ["exec", "--once", "--name", "y", "--from", "end", "--", "/bin/true"],
                     ["forward", "--once", "--to", NOWHERE], ["forward", "--status"]):
            result = in_time(lab, *verb)
            if verb[:1] == ["log"] and "-n" not in verb:
                check(len(result.stdout.splitlines()) == 7, name, end, "lines are missing:", result)
        status, _, _, log = lab.cgi(press(7), sign(press(7)))
        check(status == 200, name, end, status, log)
        in_time(lab, "check", "--rebuild-index")
        in_time(lab, "prune", "--keep", "30d")
        check(len(lab.tool("log").stdout.splitlines()) in (5, 8), name, end)
        check(used(lab) < before + (64 << 20), name, end, "a hole was written to the disk")
    return None


def of(name):
    def run():
        for end in (b"", b"x", b"x\n", b'{"seq":'):
            reason = try_file(name, end)
            if reason:
                return reason
        return None
    run.__name__ = f"a_hole_in_{name.replace('/', '_').replace('.', '_').replace('*', 'a_day')}"
    return run


run_tests(*(of(name) for name in (f"{day(0)}.jsonl", f"{day(1)}.jsonl", "rejected/*", "cursors/x", "cursors/x.failed", "cursors/x.waiting",
                                  "counted", "pruned")))
