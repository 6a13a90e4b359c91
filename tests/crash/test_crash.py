"""Starts the handler in every state that a crash could leave on the disk.

A worker's operations on the journal's directory are recorded together with its answers. The disk is then rebuilt as it could be
after a crash following each operation: of the process alone (everything written is there), or of the system. After a system
crash, unsynced data is there, or missing, or there in part, by 512-byte sectors, in any order between files, or as zeros of
the right length, and unsynced names may be missing. In each state the delivery in progress is sent again, as Ring would do.

STATES is the minimum number of states, SEED the random seed of the sample."""

import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import tempfile

from preload import BUILD, SCRATCH, Handler, event_of, read_rejected
from support.assertions import check
from support.deliveries import press, sign
from support.fastcgi import all_at_once, fastcgi, fastcgi_answer
from support.journal import CHAIN_START, chain_of
from support.laboratory import Lab
from support.runner import run_tests

STATES = int(os.environ.get("STATES", "500"))
SEED = int(os.environ.get("SEED", "20261123"))
SECTOR = 512
CHECKPOINT = 208  # offset of the checkpoint in the index's struct state


# ---- the recording ----

def record():
    """Runs a worker through every kind of delivery. Returns its operations: tuples (operation, path, number, bytes), and
    for an answer ("answer", body of the delivery, status, seq)."""
    with Lab(binary=BUILD / "doorpost.cgi", LOG="off") as lab:
        listener, path = lab.listener()
        recording, days = lab.path / "recording", lab.path / "days"
        days.write_text("0")
        worker = lab.worker(listener, env={
            **lab.environment(), "LD_PRELOAD": str(BUILD / "shim.so"), "SHIM_RECORD": str(recording),
            "SHIM_DIRECTORY": str(lab.journal.resolve()), "SHIM_DAYS": str(days), "SHIM_INODES": "1"})
        sent = []

        def one(body):
            sent.append(body)
            check(fastcgi(path, body, sign(body)) is not None, "no answer")

        def batch(bodies):
            sent.extend(bodies)
            for connection in all_at_once(worker, path, bodies):
                check(fastcgi_answer(connection) is not None, "no answer")

        def long_press(number, size):
            return press(number).replace(b'"relationships"', b'"filler":"' + b"f" * size + b'","relationships"')

        def midnight():
            with days.open("a"):
                pass
            sent.append(None)
            days.write_text("1")
        for number in range(1, 5):
            one(press(number))
        one(press(2))
        one(b'{"signed":"and no event"}')
        batch([press(number) for number in range(5, 10)])
        batch([long_press(10, 3000), press(3), b"neither this", press(11), press(10)])
        midnight()
        one(press(12))
        one(press(1))
        batch([long_press(number, 700) for number in range(13, 17)])
        for number in range(17, 20):
            one(press(number))
        for number in range(20, 200, 2):  # until each file of the index has been reused for a later table
            batch([press(number), press(number + 1)])
        worker.terminate()
        worker.wait()
        answers = [body for body in sent if body is not None]
        first_of_day_two = len(sent[:sent.index(None)])
        return parse_recording(recording, answers), first_of_day_two


def parse_recording(path, deliveries):
    operations, answered = [], 0
    for line in path.read_text().splitlines():
        operation, name, number, data = line.split("\t")
        if operation != "answer":
            operations.append((operation, name, int(number), bytes.fromhex(data)))
            continue
        text = bytes.fromhex(data)
        status = int(re.search(rb"Status: (\d+)", text).group(1))
        seq = re.search(rb'"seq":(\d+)', text)
        operations.append(("answer", deliveries[answered], status, int(seq.group(1)) if seq else None))
        answered += 1
    check(answered == len(deliveries), answered, "answers for", len(deliveries), "deliveries")
    return operations


# ---- the disk ----

class File:
    def __init__(self):
        self.durable, self.pending = b"", []  # pending: (offset, bytes), or (size, None) for a truncation


class Disk:
    """What is certainly on the disk, and what may be."""

    def __init__(self):
        self.files, self.names, self.pending_names = {}, {"."}, set()

    def apply(self, operation, path, number, data):
        if operation in ("create", "mkdir"):
            self.pending_names.add(path)
            if operation == "create":
                self.files[path] = File()
        elif operation == "write":
            self.files[path].pending.append((number, data))
        elif operation == "truncate":
            self.files[path].pending.append((number, None))
        elif operation == "sync" and path in self.files:
            self.files[path].durable = replay(self.files[path].durable, self.files[path].pending)
            self.files[path].pending = []
        elif operation == "sync part":  # what was written from `number` to the end that `data` specifies
            file, end = self.files[path], int(data)
            final = replay(file.durable, file.pending)
            file.durable = put(file.durable, number, final[number:end])
            file.pending = [rest for write in file.pending for rest in outside(write, number, end)]
        elif operation == "sync":
            synced = {name for name in self.pending_names if (os.path.dirname(name) or ".") == path}
            self.names |= synced
            self.pending_names -= synced
        else:
            check(operation not in ("unlink",), "the scenario does not expect", operation, path)

    def state(self, kind, chance):
        """{path: contents, or None for a directory} after a crash of this kind."""
        state = {}
        for name in sorted(self.names | self.pending_names):
            kept = name in self.names or kind in ("process", "all") or (kind != "none" and chance.random() < 0.7)
            parent = os.path.dirname(name) or "."
            if not kept or name == "." or (parent != "." and parent not in state):
                continue
            file = self.files.get(name)
            state[name] = None if file is None else contents(file, kind, chance)
        return state


def put(content, offset, data):
    content = content + bytes(max(0, offset - len(content)))
    return content[:offset] + data + content[offset + len(data):]


def outside(write, start, end):
    """The parts of a pending write outside `start` to `end`."""
    at, data = write
    if data is None:
        return [write]
    parts = [(at, data[:max(0, start - at)]), (max(at, end), data[max(0, end - at):])]
    return [part for part in parts if part[1]]


def replay(content, pending):
    for number, data in pending:
        if data is None:
            content = content[:number] + bytes(max(0, number - len(content)))
        else:
            content = put(content, number, data)
    return content


def contents(file, kind, chance):
    final = replay(file.durable, file.pending)
    if kind == "mixed":
        kind = chance.choice(("none", "all", "zeros", "prefix", "sectors", "sectors"))
    if kind in ("process", "all") or not file.pending:
        return final
    if kind == "none":
        return file.durable
    if kind == "zeros":  # the new length was written, the new data was not
        return (file.durable + bytes(max(0, len(final) - len(file.durable))))[:max(len(final), len(file.durable))]
    if kind == "prefix":
        return replay(file.durable, file.pending[:chance.randrange(len(file.pending) + 1)])
    content, size = file.durable, len(file.durable)
    for number, data in file.pending:
        if data is None:
            if chance.random() < 0.5:
                content = replay(content, [(number, None)])
            continue
        start = number
        while start < number + len(data):
            end = min((start // SECTOR + 1) * SECTOR, number + len(data))
            if chance.random() < 0.5:
                content = put(content, start, data[start - number:end - number])
            start = end
        size = max(size, number + len(data))
    return put(content, size, b"") if chance.random() < 0.5 else content


# ---- the invariants ----

def read_journal(journal):
    """[(event id or None for a damaged line, seq)], after checking number and chain of every line that can be read."""
    lines, chain, seq, damaged = [], CHAIN_START, 0, 0
    for path in sorted(journal.glob("*.jsonl")):
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        check(text == b"" or text.endswith(b"\n"), "a torn tail is left")
        for line in text.split(b"\n")[:-1]:
            start = line.find(b'{"seq":') if line[:1] != b"{" else 0  # zeros may precede a whole line
            try:
                line = line[max(start, 0):]
                entry = json.loads(line)
                recorded, number = entry["chain"], entry["seq"]
            except (ValueError, KeyError):
                damaged += 1
                lines.append((None, None))
                continue
            if start > 0:
                damaged += 1
                lines.append((None, None))
            follows = recorded == chain_of(chain, line, recorded) or (damaged > 0 and number > seq)
            check(follows, "the chain breaks at", number, "in", path.name)
            chain, seq, damaged = recorded, number, 0
            lines.append((entry["event"]["data"]["id"], seq))
    return lines


def expect(handler, body, word=None, seq=None):
    code, status, text, log = handler.send(body)
    check(code == 0, "the handler ended with", code, log)
    wanted = 400 if event_of(body) is None else 200
    check(status == wanted, "answered", status, log)
    if word is not None:
        answer = json.loads(text)
        check(answer["status"] == word and answer["seq"] == seq, answer, "and not", word, seq)


def check_state(handler, state, answers, in_hand, kind, chance):
    shutil.rmtree(handler.journal, ignore_errors=True)
    handler.journal.mkdir()
    for path, content in state.items():
        if content is None:
            (handler.journal / path).mkdir()
        else:
            (handler.journal / path).write_bytes(content)
    handler.boot.write_text("the first boot" if kind == "process" else "the boot after the crash")
    if in_hand is not None:
        expect(handler, in_hand)
    else:
        expect(handler, press("a new one"))
    lines = read_journal(handler.journal)
    check(kind != "process" or (None, None) not in lines, "damage, though only a process crashed")
    seqs = {}
    for event, seq in lines:
        check(event is None or event not in seqs, event, "is in the journal twice")
        seqs[event] = seq
    rejected = read_rejected(handler.journal)
    kept = [(body, seq) for body, status, seq in answers if status == 200]
    for body, status, seq in answers:
        if status == 200:
            check(seqs.get(event_of(body)) == seq, "answered 200 and lost:", event_of(body), seq, seqs)
        else:
            check(body in rejected, "answered 400 and lost:", body)
    again = [chance.choice(kept), chance.choice(kept[-6:])] if kept else []  # any, and one whose index entry may not be synced
    if in_hand is not None and event_of(in_hand) is not None:
        again.append((in_hand, seqs[event_of(in_hand)]))
    for body, seq in again:
        expect(handler, body, "duplicate", seq)
    if again and chance.random() < 0.01:  # the interrupted merge in the index is restarted and completed
        for number in range(1000, 1024):
            expect(handler, press(number))
        for body, seq in [*again, *chance.sample(kept, min(len(kept), 12))]:
            expect(handler, body, "duplicate", seq)
    if chance.random() < 0.5:
        check_index(handler)


def check_index(handler):
    """The index equals one rebuilt from the journal. (Damage is found when it is read, and the index is then rebuilt.)"""
    result = subprocess.run([BUILD / "doorpost", "check", "--no-signatures"], capture_output=True, text=True, timeout=60,
                            env={**os.environ, **handler.environment})
    said = result.stdout + result.stderr
    check("line" in said and "not in the index" not in said, "doorpost check says", said)


def run_share(work):
    """Tries this process's share of the states. Returns the number tried, and the first failure."""
    operations, day_two, share, shares, stride, samples = work
    tried, handler = 0, Handler(tempfile.mkdtemp(prefix="doorpost-crash-", dir=SCRATCH), SHIM_INODES="1")
    try:
        disk, answers = Disk(), []
        for position in range(len(operations) + 1):
            rest = [operation[1] for operation in operations[position:] if operation[0] == "answer"]
            in_hand = rest[0] if rest else None
            handler.days.write_text("1" if len(answers) >= day_two or not rest else "0")
            kinds = ["process", "none", "all", "zeros"] + ["mixed"] * samples
            for number, kind in enumerate(kinds if position % stride == 0 else ()):
                if (position * len(kinds) + number) % shares != share:
                    continue
                chance = random.Random(f"{SEED}-{position}-{number}")
                tried += 1
                try:
                    check_state(handler, disk.state(kind, chance), answers, in_hand, kind, chance)
                except Exception as error:  # noqa: BLE001
                    return tried, f"crash after operation {position} of {len(operations)}, kind {kind} ({number}): {error!r}"
            if position < len(operations):
                operation = operations[position]
                if operation[0] == "answer":
                    answers.append(operation[1:])
                else:
                    disk.apply(*operation)
    finally:
        shutil.rmtree(handler.path, ignore_errors=True)
    return tried, None


def no_crash_loses_or_repeats_what_was_answered():
    operations, day_two = record()
    names = [operation[0] for operation in operations]
    check(names.count("answer") > 20 and names.count("sync") > 15, names)
    made = [operation[1] for operation in operations if operation[0] in ("create", "truncate")]
    check({f"seen/{number:02}" for number in range(3)} <= set(made), "the index did not grow", made)
    parts = {operation[1:3] for operation in operations if operation[0] == "sync part"}
    check({at for _, at in parts} >= {0, 4096}, "synced", parts)
    states = {operation[3][CHECKPOINT:CHECKPOINT + 8] for operation in operations
              if operation[0] == "write" and operation[1] == "seen/state"}
    check(len(states) > 10, "the index was not synced", len(states))
    stride = max(1, 5 * len(operations) // STATES)
    samples = max(1, -(-STATES // (len(operations) + 1)) - 4)
    shares = os.cpu_count() or 1
    with multiprocessing.Pool(shares) as pool:
        results = pool.map(run_share, [(operations, day_two, share, shares, stride, samples) for share in range(shares)])
    tried, failures = sum(count for count, _ in results), [failure for _, failure in results if failure]
    print(f"# {tried} states after {len(operations)} operations, seed {SEED}", flush=True)
    check(not failures, *failures)
    check(tried >= min(STATES, 5 * len(operations)), "only", tried, "states")


if __name__ == "__main__":
    run_tests(no_crash_loses_or_repeats_what_was_answered)
