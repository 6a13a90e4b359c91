"""Trouble with keys, settings, storage and locks: 503, nothing half kept, and service again by itself afterwards. Each
case runs against a FastCGI worker that lives through it, and against CGI."""

import json
import os
import shutil
import subprocess
import time

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.journal import hold_lock, verify_journal
from support.laboratory import Lab, limit_file_size
from support.runner import run_tests


class Case:
    """A laboratory with a worker; send() goes to the worker and to CGI, each with an event of its own."""

    def __init__(self, lab):
        self.lab = lab
        self.listener, self.path = lab.listener()
        self.worker = lab.worker(self.listener, **lab.as_user())
        self.number = 0

    def send(self):
        self.number += 1
        over_cgi, over_fastcgi = press(f"{self.number}-cgi"), press(f"{self.number}-fastcgi")
        status, fields, text, _ = self.lab.cgi(over_cgi, sign(over_cgi))
        return [(status, fields, text), fastcgi(self.path, over_fastcgi, sign(over_fastcgi))]

    def expect_trouble(self):
        for status, fields, text in self.send():
            check(status == 503, status, text)
            check("Retry-After" in fields and json.loads(text) == {"status": "unavailable"}, fields, text)

    def expect_service(self):
        for status, _, text in self.send():
            check(status == 200 and json.loads(text)["status"] == "stored", status, text)


def with_trouble(make_it, end_it, kept_before=2):
    with Lab() as lab:
        case = Case(lab)
        if kept_before:
            case.expect_service()
        make_it(lab)
        case.expect_trouble()
        case.expect_trouble()
        end_it(lab)
        case.expect_service()
        check(len(verify_journal(lab)) == kept_before + 2, "the journal has", len(lab.lines()), "lines")
        return "".join(lab.log_texts())


def write_key_file(text, mode=0o640):
    def make(lab):
        lab.key_file.write_text(text)
        lab.key_file.chmod(mode)
    return make


def repair_key(lab):
    lab.write_keys(KEY)


def a_missing_key_file():
    log = with_trouble(lambda lab: lab.key_file.unlink(), repair_key)
    check("cannot read the key file" in log and "No such file" in log, log)


def a_missing_key_file_from_the_start():
    with Lab() as lab:
        lab.key_file.unlink()
        case = Case(lab)
        case.expect_trouble()
        repair_key(lab)
        case.expect_service()


def an_empty_key_file():
    check("contains no key" in with_trouble(write_key_file(""), repair_key), "no advice in the log")


def a_short_key():
    log = with_trouble(write_key_file("too-short-a-key\n"), repair_key)
    check("line 1: the key is shorter than 16 bytes" in log and "too-short-a-key" not in log, log)


def a_key_file_open_to_everybody():
    check("chmod" in with_trouble(write_key_file(KEY, 0o644), repair_key), "no advice in the log")


def missing_settings():
    with Lab() as lab:
        settings = lab.env_file.read_text()
        lab.env_file.write_text("# nothing\n")
        case = Case(lab)
        case.expect_trouble()
        lab.env_file.write_text("DOORPOST_MAX_AGE=soon\n")
        case.expect_trouble()
        lab.env_file.unlink()
        case.expect_trouble()
        lab.env_file.write_text(settings)
        case.expect_service()


def a_missing_journal_directory():
    def remove(lab):
        lab.journal.rename(lab.path / "away")

    def bring_back(lab):
        (lab.path / "away").rename(lab.journal)
    check("cannot open the journal directory" in with_trouble(remove, bring_back), "no advice in the log")


def a_read_only_journal_directory():
    """Files are there already: the segment still takes lines, so what is new in the directory is what fails."""
    with Lab() as lab:
        lab.journal.chmod(0o500)
        case = Case(lab)
        case.expect_trouble()
        lab.journal.chmod(0o700)
        case.expect_service()


def a_journal_directory_that_is_not_ours():
    with Lab() as lab:
        lab.journal.chmod(0o000)
        case = Case(lab)
        case.expect_trouble()
        lab.journal.chmod(0o700)
        case.expect_service()


def a_lock_held_for_too_long():
    with Lab() as lab:
        case = Case(lab)
        case.expect_service()
        with hold_lock(lab.journal / "lock"):
            body = press("held")

            def refused_in_time():
                before = time.monotonic()
                status, _, _ = fastcgi(case.path, body, sign(body))
                spent = time.monotonic() - before
                check(status == 503 and spent > 3, status, "after", spent)
                return spent < 5
            wait_for(refused_in_time, "an answer within 5 s")
            status, _, _, log = lab.cgi(body, sign(body))
            check(status == 503 and "waiting for the append lock" in log, status, log)
        case.expect_service()


def a_file_size_limit_that_is_reached():
    """As a full disk, for the worker alone: writes come back short, then fail."""
    with Lab() as lab:
        listener, path = lab.listener()
        os.chown(lab.journal, os.geteuid(), -1)  # a worker of the test's own user, who may change its limits
        worker = lab.worker(listener)

        def status(body):
            return fastcgi(path, body, sign(body))[0]
        check(status(press("before")) == 200, "before")
        segment, = lab.journal.glob("*.jsonl")
        size = segment.stat().st_size
        for room in (0, 1, 100, 400):
            limit_file_size(worker.pid, size + room)
            check(status(press("full")) == 503, "not 503 with room for", room)
            check(segment.stat().st_size == size, "half a line was kept")
        body = b"signed, and no event"
        limit_file_size(worker.pid, 10)
        check(status(body) == 503, "a rejected delivery was answered without being kept")
        limit_file_size(worker.pid, -1)
        check(status(body) == 400, "the rejected delivery")
        check(status(press("full")) == 200, "afterwards")
        check(len(verify_journal(lab)) == 2, "not two lines")


def a_full_disk():
    """A small tmpfs, filled: neither journal nor index nor rejected/ can grow."""
    if os.geteuid() != 0:
        return "needs root to mount a tmpfs"
    with Lab() as lab:
        result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=256k,mode=700,uid={lab.user.pw_uid}", "tmpfs",
                                 lab.journal], capture_output=True)
        if result.returncode != 0:
            return "cannot mount a tmpfs here"
        lab.stack.callback(subprocess.run, ["umount", "-l", lab.journal], check=True)
        case = Case(lab)
        case.expect_service()
        answered = 2
        filler = lab.journal / "filler"
        try:
            with filler.open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        except OSError:
            pass
        statuses = [status for _ in range(30) for status, _, _ in case.send()]
        check(503 in statuses and set(statuses) <= {200, 503}, statuses)  # the last page may have room for some
        answered += statuses.count(200)
        check(statuses[-4:] == [503] * 4, statuses)
        numbers = verify_journal(lab)
        check(len(numbers) == answered, len(numbers), "lines, and", answered, "answers 200")
        filler.unlink()
        case.expect_service()
        check(len(verify_journal(lab)) == answered + 2, "the journal")


def deleting_the_index_changes_no_answer():
    with Lab() as lab:
        case = Case(lab)
        for _ in range(10):
            case.expect_service()
        case.worker.terminate()
        case.worker.wait()
        before = verify_journal(lab)
        shutil.rmtree(lab.journal / "seen")
        case = Case(lab)
        for number in range(1, 11):
            for kind in ("cgi", "fastcgi"):
                body = press(f"{number}-{kind}")
                status, _, text = fastcgi(case.path, body, sign(body))
                check((status, json.loads(text)) == (200, {"status": "duplicate", "event_id": f"event-{number}-{kind}",
                                                           "seq": before[f"event-{number}-{kind}"]}), status, text)


def earlier_days_may_be_made_read_only():
    """An archive that nobody may write to any more still continues the chain, and still tells duplicates."""
    with Lab() as lab:
        case = Case(lab)
        for _ in range(3):
            case.expect_service()
        case.worker.terminate()
        case.worker.wait()
        segment, = lab.journal.glob("*.jsonl")
        segment = segment.rename(lab.journal / "2026-01-31.jsonl")
        segment.chmod(0o400)
        shutil.rmtree(lab.journal / "seen")
        case.worker = lab.worker(case.listener, **lab.as_user())
        case.expect_service()
        for kind in ("cgi", "fastcgi"):
            body = press(f"1-{kind}")
            status, _, text = fastcgi(case.path, body, sign(body))
            check(status == 200 and json.loads(text)["status"] == "duplicate", status, text)
        check(len(verify_journal(lab)) == 8, "not eight lines")


def keys_rotate_while_deliveries_flow():
    with Lab() as lab:
        case = Case(lab)
        old, new = KEY, "the-signing-key-of-the-next-year"

        def status(number, key):
            body = press(f"rotation-{number}")
            return fastcgi(case.path, body, sign(body, key))[0]
        check((status(1, old), status(2, new)) == (200, 401), "before")
        lab.write_keys(new, old)
        check((status(3, old), status(4, new)) == (200, 200), "while both are valid")
        lab.write_keys(new)
        check((status(5, old), status(6, new)) == (401, 200), "afterwards")


run_tests(a_missing_key_file, a_missing_key_file_from_the_start, an_empty_key_file, a_short_key,
          a_key_file_open_to_everybody, missing_settings, a_missing_journal_directory, a_read_only_journal_directory,
          a_journal_directory_that_is_not_ours, a_lock_held_for_too_long, a_file_size_limit_that_is_reached, a_full_disk,
          deleting_the_index_changes_no_answer, earlier_days_may_be_made_read_only, keys_rotate_while_deliveries_flow)
