"""Journals of earlier releases are read and written on, a journal of a later one is left alone, and workers of two versions get on
with each other."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from support.assertions import check
from support.deliveries import KEY, VECTORS, load, press, sign
from support.fastcgi import fastcgi
from support.journal import verify_journal
from support.laboratory import NOWHERE, ROOT, Lab, make
from support.runner import run_tests

GOLDEN = sorted(path for path in (ROOT / "tests/golden").iterdir() if path.is_dir() and path.name[0].isdigit())
KEYS = sorted({line for path in VECTORS.glob("*key*.txt") for line in path.read_text().split()} | {KEY})


def adopt(lab, golden):
    """Makes the journal of a release this laboratory's, open to its owner alone, as it was."""
    shutil.rmtree(lab.journal)
    shutil.copytree(golden, lab.journal)
    for path in [lab.journal, *lab.journal.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        lab.own(path)
    lab.write_keys(*KEYS)


def reads_and_writes_on(golden, with_index):
    with Lab() as lab:
        adopt(lab, golden)
        if not with_index:
            shutil.rmtree(lab.journal / "seen")
        lines = [json.loads(line) for line in lab.lines()]
        check(len(lines) == 20 and lines[0]["seq"] == 3, "the journal is not what make.py writes")
        for line, raw in zip(lines, lab.lines()):
            if line.get("verbatim", True):
                body = raw[raw.index(b'"event":') + 8:-1]
                status, _, text, log = lab.cgi(body, line["signature"])
                answer = json.loads(text)
                check((status, answer["status"], answer["seq"]) == (200, "duplicate", line["seq"]), status, text, log)
        body = press("new")
        check(json.loads(lab.cgi(body, sign(body))[2]) == {"status": "stored", "event_id": "event-new", "seq": 23}, "the next number")

        result = lab.tool("check").ok()
        check("21 lines" in result.stdout and "no problems" in result.stdout, result)
        check("event-new" in lab.tool("log", "--json").ok().stdout, "log")
        check("JSON" in lab.tool("rejected").ok().stdout or "missing" in lab.tool("rejected").ok().stdout, "rejected")
        ran = lab.logs / "ran"
        lab.tool("exec", "--once", "--name", "golden", "--", "sh", "-c", f"echo $DOORPOST_SEQ >>{ran}").ok()
        numbers = sorted(int(line) for line in ran.read_text().split())
        check(numbers == list(range(5, 24)), "the consumer went on at", numbers)
        lab.tool("forward", "--to", NOWHERE, "--once").fails()
        check([one["behind"] for one in json.loads(lab.tool("forward", "--status", "--json").ok().stdout)] == [21], "what is to be forwarded")


def a_later_format_is_left_alone():
    with Lab() as lab:
        lab.receive(press(1))
        before = hashlib.sha256(lab.segment().read_bytes()).digest()
        (lab.journal / "format").write_text("2\n")
        lab.own(lab.journal / "format")
        body = press(2)
        status, fields, _, log = lab.cgi(body, sign(body))
        check(status == 503 and "Retry-After" in fields and "format 2" in log and "newer Doorpost" in log, status, log)
        for verb in (["log"], ["check"], ["stats"], ["prune", "--keep", "1d"], ["rejected"], ["forward", "--to", NOWHERE, "--once"],
                     ["forward", "--status"]):
            check("format 2" in lab.tool(*verb).fails().stderr, verb)
        check("format 2" in lab.tool("doctor").fails().stdout, "doctor")
        check(hashlib.sha256(lab.segment().read_bytes()).digest() == before, "it was written to")
        (lab.journal / "format").write_text("1\n")
        check(lab.cgi(body, sign(body))[0] == 200, "format 1 is ours")


def build(commit, directory):
    """The handler of another commit. Returns its path, or None where this is not a clone that has it."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], capture_output=True)
    if archive.returncode != 0:
        return None
    with tempfile.TemporaryFile() as file:
        file.write(archive.stdout)
        file.seek(0)
        tarfile.open(fileobj=file).extractall(directory)
    make("CFLAGS=-O0 -w", "build/doorpost.cgi", cwd=directory)
    return pathlib.Path(directory, "build/doorpost.cgi")


def two_versions_side_by_side(golden):
    """Workers of that release and of this one on one socket and one journal, replaced one after the other while presses come in."""
    commit = re.search(r"^commit (\w+)$", (golden.parent / "README.md").read_text().split(f"## {golden.name}\n")[-1], re.MULTILINE).group(1)
    with Lab(LOG="problems") as lab:
        other = build(commit, lab.path / "other")
        if other is None:
            return "this is no clone that has the release"
        shutil.copy(other, lab.bin / "other.cgi")
        listener, path = lab.listener()
        bodies = [press(number) for number in range(1200)]
        parts = [bodies[:500] + bodies[:100], bodies[300:800], bodies[700:] + bodies[:100]]
        binaries = [[lab.bin / "other.cgi"] * 2, [lab.bin / "other.cgi", lab.binary], [lab.binary] * 2]
        answers, running = {}, []
        for part, wanted in zip(parts, binaries):
            fresh = [lab.start([str(binary)], stdin=listener, stderr=open(lab.logs / "worker", "ab"), **lab.as_user()) for binary in wanted]
            for worker in running:
                worker.terminate()
            for worker in running:
                check(worker.wait() == 0, "a worker's end")
            running = fresh
            for body, got in load(lambda body, signature: fastcgi(path, body, signature), part, 8).items():
                answers.setdefault(body, []).extend(got)
        numbers = verify_journal(lab)
        check(len(numbers) == len(bodies), len(numbers), "lines")
        for number, body in enumerate(bodies):
            words = sorted(word or "none" for _, word, _ in answers[body])
            check(words.count("stored") == 1 and set(words) <= {"stored", "duplicate"}, words)
            check({seq for _, _, seq in answers[body]} == {numbers[f"event-{number}"]}, answers[body])
        check("no problems" in lab.tool("check").ok().stdout, "check")


def test(function, title, *arguments):
    def one():
        return function(*arguments)
    one.title = one.__name__ = title
    return one


run_tests(*(test(reads_and_writes_on, f"the journal of {golden.name}, {how}", golden, with_index)
            for golden in GOLDEN for how, with_index in (("as it was", True), ("without its index", False))),
          a_later_format_is_left_alone,
          test(two_versions_side_by_side, f"workers of {GOLDEN[0].name} beside these", GOLDEN[0]))
