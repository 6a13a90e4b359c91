"""One journal, the answers given for it, and the invariants that follow.

A line is whole if each of its bytes is in a day file, under a day's name, in the journal's directory (oracle.py).

- An event with a whole line is never stored again; an event answered with 200 has a whole line at that time, exactly one.
- A whole line stays whole. What must be cut off at the end of a day is kept in damaged/ and logged.
- No number is given again while lines, index or cursor show that it was given.
- Answers are 200, or 400 for rejected deliveries; 503 a few times while the index is rebuilt, and while an act prevents storing.
- A consumer runs every whole line, and none twice unless its cursor was replaced or removed; if it cannot, it reports that.
- At the end `doorpost check` finds existing damage, and no error in the index."""

import collections
import datetime
import json
import os
import pathlib
import pwd
import re
import socket
import subprocess
import time

from preload import Handler, event_of, read_rejected, remove
from support.assertions import check
from support.deliveries import press
from support.fastcgi import all_at_once, fastcgi_answer
from oracle import Journal, is_proven, soundness

FIRST_DAY = datetime.date(2026, 11, 20)
PATIENCE = 3  # deliveries in a row that may be refused while the index is rebuilt
CONSUMER = "main"
USER = pwd.getpwnam("www-data") if os.geteuid() == 0 else None

# sent: [(body, seq or None)]; ran: the consumer's list; lines: {text: (event, seq)}
Snapshot = collections.namedtuple("Snapshot", "files days sent ran lines")


def rejected_body(number):
    return b'{"signed":"and no event %s"}' % str(number).encode()


class Worker:
    def __init__(self, process, socket_path):
        self.process, self.path, self.pid = process, socket_path, process.pid


class World:
    """The journal in a state, the answers given for it, and the invariants that follow."""

    def __init__(self, path, programs, shim, before=""):
        self.handler = Handler(path, programs / "doorpost.cgi", shim, before)
        self.programs, self.path, self.journal = programs, self.handler.path, self.handler.journal
        self.ran, self.log = self.path / "out" / "ran", self.path / "out" / "log"
        self.ran.parent.mkdir(exist_ok=True)
        self.own(self.path / "key")
        self.own(self.ran.parent)
        if USER:
            self.handler.identity = {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []}
        # Noon, so that midnight does not pass unintentionally.
        noon = datetime.datetime.combine(FIRST_DAY, datetime.time(12), datetime.timezone.utc)
        self.noon = int(noon.timestamp() - time.time())
        self.handler.environment.update(PATH=os.environ["PATH"], RAN=str(self.ran))

    def begin(self, snapshot, chance, past=(), other=None):
        for name in ("journal", "journal.away", "journal.aside"):
            remove(self.path / name)
        self.ran.write_text(snapshot.ran)
        self.own(self.ran)
        self.log.write_text("")
        self.handler.read_only.unlink(missing_ok=True)
        self.handler.boot.write_text("the first boot")
        self.shift, self.boots = 0, 0  # boots: if not 0, every process sees another boot
        self.set_day(snapshot.days)
        self.lay_out(snapshot.files, self.journal)
        self.chance, self.past, self.other, self.snapshot = chance, past, other, snapshot
        self.act, self.standing = None, False
        self.workers, self.sent = [], list(snapshot.sent)
        self.stored = collections.Counter(event_of(body) for body, seq in dict(snapshot.sent).items() if seq)
        self.lines = dict(snapshot.lines)  # every line that the program has written, by its text: (event, seq)
        for older in past:
            self.lines.update(older.lines)
        self.top = max((seq for _, seq in self.sent if seq), default=0)  # the highest number in an answer
        self.out_of_order = set()  # events moved to where the consumer has already been
        self.must_say = []  # what the log must mention
        self.number = 1000

    # -- files --

    def own(self, path):
        if USER:
            os.chown(path, USER.pw_uid, USER.pw_gid)

    def lay_out(self, tree, root):
        for name, content in tree.items():
            if content is None:
                (root / name).mkdir(mode=0o700)
                self.own(root / name)
            else:
                self.put(root / name, content)

    def put(self, path, content):
        """Writes a new file."""
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        self.own(path)

    def put_either_way(self, path, content):
        """Writes a new file, like an editor, or overwrites the old one in place, like `cat >`."""
        if self.chance.random() < 0.5 or not path.exists():
            self.put(path, content)
        else:
            path.write_bytes(content)

    def day_files(self):
        """The day files by name, oldest first."""
        return sorted(path for path in self.journal.iterdir() if re.fullmatch(r"\d{4}-\d\d-\d\d\.jsonl", path.name))

    def look(self, learn_after=None):
        """Reads the day files. Learns the lines written since an earlier look."""
        journal = Journal(self.journal)
        if learn_after is not None:
            old = b"".join(learn_after.days.values())
            for text in journal.candidates():
                if text not in self.lines and text not in old and is_proven(text):
                    line = json.loads(text)
                    self.lines[text] = line["event"]["data"]["id"], line["seq"]
        journal.find(self.lines)
        return journal

    def cursor(self):
        try:
            return json.loads((self.journal / "cursors" / CONSUMER).read_bytes())
        except (OSError, ValueError):
            return {}

    def pruned(self):
        """The number of the last line that was pruned; 0: none."""
        path = self.journal / "pruned"
        found = re.search(rb"\d+", path.read_bytes()) if path.exists() else None
        return int(found.group()) if found else 0

    # -- time --

    def set_day(self, day, shift=None):
        self.day = day
        self.shift = self.shift if shift is None else shift
        self.handler.days.write_text(str(day))
        self.handler.seconds.write_text(str(self.noon + self.shift))

    def before_process(self):
        if self.boots:
            self.boots += 1
            self.handler.boot.write_text(f"boot {self.boots}")

    # -- programs --

    def start_worker(self):
        self.before_process()
        path = str(self.path / f"socket-{len(self.workers)}")
        pathlib.Path(path).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, open(self.log, "ab") as log:
            listener.bind(path)
            listener.listen(64)
            process = subprocess.Popen([self.handler.binary], stdin=listener, stdout=subprocess.DEVNULL, stderr=log,
                                       env=self.handler.environment, **self.handler.identity)
        worker = Worker(process, path)
        self.workers.append(worker)
        return worker

    def stop(self, worker):
        self.workers.remove(worker)
        check(worker.process.poll() is None, "the worker ended by itself:", worker.process.returncode, self.log.read_text())
        worker.process.terminate()
        check(worker.process.wait() == 0, "the worker ended with", worker.process.returncode, self.log.read_text())

    def end(self):
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        self.workers = []

    def tool(self, *arguments):
        self.before_process()
        result = subprocess.run([self.programs / "doorpost", *arguments], capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
                                env=self.handler.environment, **self.handler.identity)
        said = (result.stdout + result.stderr).decode(errors="replace")
        fine = result.returncode in (0, 1) and "Sanitizer" not in said and "runtime error" not in said
        check(fine, "doorpost", *arguments, "ended with", result.returncode, said)
        return Told(result.returncode, said)

    def send(self, bodies, worker):
        """Returns [(status, answer)]: from CGI processes one after another, or from a worker concurrently."""
        if worker is not None:
            results = [fastcgi_answer(connection) for connection in all_at_once(worker, worker.path, bodies)]
            check(None not in results, "no answer", worker.process.poll(), self.log.read_text())
            return [(status, json.loads(text)) for status, _, text in results]
        answers = []
        for body in bodies:
            self.before_process()
            code, status, text, log = self.handler.send(body)
            with open(self.log, "a") as kept:
                kept.write(log)
            check(code == 0, "the handler ended with", code, log)
            answers.append((status, json.loads(text)))
        return answers

    # -- deliveries --

    def new_press(self):
        self.number += 1
        return press(self.number)

    def repetition(self):
        """Any delivery answered before; the newest ones as often as all others together."""
        usable = [body for body, seq in self.sent if seq]
        return self.chance.choice(usable if self.chance.random() < 0.5 else usable[-2:]) if usable else self.new_press()

    def may_refuse(self, body):
        if not self.standing or not self.act.refuses:
            return False
        kinds = {"all"} | ({"rejected"} if event_of(body) is None else set())
        return self.act.refuses in kinds or (self.act.refuses == "repetitions" and any(body == sent for sent, _ in self.sent))

    def deliver(self, bodies, worker):
        """Sends them, and retries refused ones, as Ring would, until a refusal is an error."""
        for _ in range(PATIENCE + 1):
            before = self.look()
            known_to_cursor, rejected = self.cursor().get("seq", 0), read_rejected(self.journal)
            excused = any(self.may_refuse(body) for body in bodies)
            answers = self.send(bodies, worker)
            self.judge(bodies, answers, before, self.look(learn_after=before), known_to_cursor)
            gone = set(rejected) - set(read_rejected(self.journal))
            check(not gone, "rejected deliveries are gone:", gone)
            bodies = [body for body, (status, _) in zip(bodies, answers) if status == 503]
            if not bodies or excused:
                return
        check(False, "refused", PATIENCE + 1, "times:", [event_of(body) for body in bodies], self.log.read_text()[-600:])

    def judge(self, bodies, answers, before, after, known_to_cursor):
        self.check_what_was_there(before, after)
        fresh = set()
        for body, (status, answer) in zip(bodies, answers):
            event, seq, word = event_of(body), answer.get("seq"), answer["status"]
            if status == 503:
                continue
            if event is None:
                check(status == 400 and body in read_rejected(self.journal), "a rejected delivery is not kept:", status, answer)
                self.sent.append((body, None))
                continue
            check(status == 200 and word in ("stored", "duplicate"), "answered", status, answer)
            places = [line for line in after.lines if line.event == event]
            check(seq in [line.seq for line in places], event, "was answered", word, seq, "and is not in the journal:", after)
            if word == "stored":
                check(event not in before.events() and event not in fresh, event, "is stored a second time", before, after)
                check(sum(line.whole for line in places) == 1, event, "was stored and is there", len(places), "times", after)
                floor = max(self.top, known_to_cursor, before.last_seq())
                check(seq > floor, "number", seq, "is given again; the last one was", floor, before)
                fresh.add(event)
                self.stored[event] += 1
            self.sent.append((body, seq))
        self.top = max([self.top, *(answer["seq"] for status, answer in answers if status == 200)])

    def check_what_was_there(self, before, after):
        """The program removes nothing from the day files, except for what it must cut off and then keeps."""
        for line in before.lines:
            if line.whole:
                there = any(other.text == line.text and other.whole for other in after.lines)
                check(there, line, "was whole and is gone", before, after)
        for day, old in before.days.items():
            new = after.days.get(day)
            check(new is not None, day, "was deleted")
            same = len(old) if new.startswith(old) else len(os.path.commonprefix([old, new]))
            lost = old[same:]
            if len(lost) > 1 and lost.strip(b"\0\r\n \t"):  # a single byte: a damaged line break that is repaired
                check(self.kept_apart(day, old, same), "cut off", day, "from byte", same, "or before, and not kept:", lost[:200],
                      list(self.journal.glob("damaged/*")))
                self.must_say.append(day)

    def kept_apart(self, day, old, same):
        """Returns True if damaged/DAY-OFFSET has what was cut off. The line written in its place may begin with the same bytes."""
        for path in self.journal.glob(f"damaged/{day}-*"):
            match = re.match(r"\d+", path.name[len(day) + 1:])
            if match and int(match.group()) <= same and path.read_bytes().endswith(old[int(match.group()):]):
                return True
        return False

    # -- the consumer --

    def ran_text(self):
        return self.ran.read_text()

    def consume(self):
        command = 'echo "$DOORPOST_EVENT_ID" >>"$RAN"'
        result = self.tool("exec", "--once", "--name", CONSUMER, "--from", "start", "--", "sh", "-c", command)
        excused = self.standing and self.act.stops_consumers
        check(result.code == 0 or excused, "the consumer failed:", result)
        ran = collections.Counter(self.ran_text().split())
        if result.code == 0:
            journal = self.look()
            missed = journal.events() - set(ran) - self.out_of_order
            check(not missed, "the consumer has not run", missed, result, journal)
        if self.act is None or not self.act.repeats:
            twice = {event: count for event, count in ran.items() if count > max(1, self.stored[event])}
            check(not twice, "the consumer has run again:", twice, result, self.look())

    def do(self, function):
        """Does or undoes the act, and records the events that it moved to days before the consumer's cursor: Doorpost never adds to
        a finished day, so the consumer need not look there again while its current day exists."""
        before, cursor = self.look(), self.cursor()
        undo = function(self)
        after = self.look() if self.journal.exists() else before
        if (self.journal / f"{cursor.get('day')}.jsonl").exists():
            places = {(line.day, line.text) for line in before.lines}
            self.out_of_order |= {line.event for line in after.lines
                                  if line.day < cursor["day"] and (line.day, line.text) not in places}
        return undo

    # -- the course of a state --

    def go_on(self, count):
        """Sends new events, repetitions and rejected deliveries, at least one of each of the first two."""
        kinds = ["new", "again", *self.chance.choices(["new", "again", "again", "rejected", "batch"], k=count - 2)]
        self.chance.shuffle(kinds)
        for kind in kinds:
            if self.chance.random() < 0.15:
                self.set_day(self.day + 1)
            bodies = {"new": lambda: [self.new_press()], "again": lambda: [self.repetition()],
                      "rejected": lambda: [rejected_body(self.chance.random())],
                      "batch": lambda: [first := self.new_press(), self.repetition(), self.new_press(), first]}[kind]()
            self.deliver(bodies, self.chance.choice(self.workers) if self.workers else None)

    def run(self, act, with_worker):
        if with_worker:
            self.start_worker()
        if with_worker or self.chance.random() < 0.5:
            self.go_on(2)
        else:
            self.deliver([self.repetition()], None)  # the restored index is a copy: this makes the journal create its own
        if self.chance.random() < 0.3:
            self.consume()
        undo = self.do(act.do)
        self.act, self.standing = act, True
        if act.forgets:
            self.top = 0
        if with_worker and self.chance.random() < 0.7:
            self.start_worker()
        self.go_on(self.chance.randrange(2, 5))
        if self.chance.random() < 0.5:
            self.consume()
        if undo is not None and (act.refuses or self.chance.random() < 0.8):
            self.do(lambda _: undo())
            if act.forgets:
                self.top = 0
        if undo is not None or not act.refuses:
            self.standing = False
        self.go_on(self.chance.randrange(2, 4))
        self.check_end()

    def check_end(self):
        for worker in list(self.workers):
            self.stop(worker)
        self.consume()
        days = Journal(self.journal).days
        sound = soundness(days, self.pruned())
        check(sound != "damaged" or not self.act.intact, "the journal is damaged, and nobody has changed it", days)
        told = self.tool("check")
        check("not in the index" not in told.said, "doorpost check says", told)
        hurt = self.act.hurts_index and "index" in told.said
        expected = {"sound": {0, 1} if hurt else {0}, "damaged": {1}, "either": {0, 1}}[sound]
        check(told.code in expected, "the journal is", sound, "and doorpost check says", told, days)
        log = self.log.read_text(errors="replace")
        check("Sanitizer" not in log and "runtime error" not in log, log)
        for day in self.must_say:
            check(day in log or "damaged" in log, "what was cut off", day, "is not in the log:", log)


class Told:
    def __init__(self, code, said):
        self.code, self.said = code, said

    def __repr__(self):
        return f"exit status {self.code}: {self.said}"

    def ok(self):
        check(self.code == 0, self)
        return self
