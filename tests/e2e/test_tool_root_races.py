"""Root's verbs that work in the journal while the web server's user changes whatever this user can change, again and again: none of the
rounds is won."""

import contextlib
import os
import random
import shutil
import subprocess
import time

from hostile import ROUNDS, Root, as_root, put
from support.assertions import PATIENCE, check
from support.deliveries import press, sign
from support.laboratory import NOWHERE, TOOL
from support.runner import run_tests

ROOMS = ("cursors", "rejected", "damaged", "seen", "seen.new")
NAMES = ("lock", "2026-01-01.jsonl", "2026-11-01.jsonl", "pruned", "pruned.new", "counted", "counted.new", "format", "cursors/x", "cursors/x.lock",
         "cursors/x.spare", "cursors/x.new", "cursors/x.failed", "cursors/x.failed.new", "cursors/x.waiting", "cursors/x.waiting.new",
         "rejected/2026-01-01.jsonl", "seen/state", "seen/00", *ROOMS)


class Journal(Root):
    """A journal in a directory of the user's, which so can be exchanged too, and what the user could hope for."""

    def __init__(self):
        super().__init__()
        self.theirs, self.aims, self.proof = self.path / "theirs", self.path / "of-root", self.path / "proof"
        self.theirs.mkdir()
        self.own(self.theirs)
        self.proof.mkdir()
        self.proof.chmod(0o1777)
        self.others = self.path / "of-nobody"
        for path, owner in ((self.aims, 0), (self.others, 65534)):
            path.mkdir(mode=0o700)
            (path / "secret").write_text("secret\n")
            for each in (path, path / "secret"):
                os.chown(each, owner, owner)

    def lay_out(self):
        for path in self.theirs.iterdir():
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
        self.journal = self.theirs / "journal"
        self.journal.mkdir(mode=0o700)
        self.own(self.journal)
        self.configure()
        self.write_days({"2026-01-01": [press(number) for number in range(3)], "2026-11-01": [press(3)]})
        self.receive(b'{"meta":1}')
        for name, text in (("brought", "secret\n"), ("left", '{"seq":')):  # of root's: what it keeps, and what it has made
            path = self.theirs / name
            path.write_text(text)
            path.chmod(0o600)

    def swaps(self):
        """What becomes something else in one round, and itself again: two of the names in the journal, or the journal. If it were all of
        them, no verb would come far."""
        paths = [self.journal / name for name in random.sample(NAMES, 2)] if random.random() < 0.7 else [self.journal]
        own, kept = self.theirs / "own", self.theirs / "kept"

        def act():
            path = random.choice(paths)
            with contextlib.suppress(OSError):
                os.rename(path, kept)
            put(path, own, lambda: os.symlink(random.choice((self.secret, self.aims, self.others, self.aims / "new")), own),
                lambda: os.link(self.secret, own), lambda: os.mkfifo(own), lambda: own.write_text("x"), lambda: own.mkdir(0o777),
                lambda: os.rename(self.theirs / "brought", own), lambda: os.rename(self.theirs / "left", own))
            with contextlib.suppress(OSError):
                os.rename(path, self.theirs / f"was-{path.name}")
            with contextlib.suppress(OSError):
                os.rename(kept, path)
            time.sleep(random.random() / 500)
        return act

    def is_not_won(self, *context):
        self.is_untouched()
        for path, owner in ((self.aims, 0), (self.others, 65534)):
            check([each.name for each in path.iterdir()] == ["secret"], *context, "something was made or lost in", path, list(path.iterdir()))
            check({(each.stat().st_uid, each.stat().st_gid) for each in (path, path / "secret")} == {(owner, owner)}, *context, "was given away", path)
        check(not self.disclosed(self.theirs), *context, self.disclosed(self.theirs))
        made = [path for path in self.theirs.rglob("*") if path.lstat().st_uid == 0 and path.lstat().st_nlink == 1
                and path.read_text() not in ("secret\n", '{"seq":')]
        check(not made, *context, "root has made", made)
        ran = {path.read_text() for path in self.proof.iterdir()}
        check(ran <= {f"{self.user.pw_uid}\n"}, *context, "commands ran as", ran)


def race_of_root(lab, *commands):
    body = lab.path / "body"
    body.write_bytes(press(4))
    request = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(press(4))), "HTTP_X_SIGNATURE": sign(press(4))}  # for the handler
    for number in range(ROUNDS):
        lab.lay_out()
        with lab.race(lab.swaps()):
            running = [subprocess.Popen([str(part) for part in command], stdin=open(body, "rb"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**lab.environment(), **request}) for command in commands]
            for process in running:
                process.wait(PATIENCE)
        lab.is_not_won("round", number, *commands)


@as_root
def with_exec():
    with Journal() as lab:
        command = ["/bin/sh", "-c", f"id -u >$(mktemp {lab.proof}/XXXXXX); exit 78"]
        race_of_root(lab, [TOOL, "exec", "--once", "--name", "x", "--from", "start", "--", *command], [TOOL, "exec", "--failed"])


@as_root
def with_forward():
    with Journal() as lab:
        race_of_root(lab, [TOOL, "forward", "--once", "--name", "x", "--to", NOWHERE], [TOOL, "forward", "--status"])


@as_root
def with_prune_and_exec_drop():
    with Journal() as lab:
        race_of_root(lab, [TOOL, "prune", "--keep", "30d", "--force"], [TOOL, "exec", "--drop", "1", "--name", "x"])


@as_root
def with_check_and_rejected():
    with Journal() as lab:
        race_of_root(lab, [TOOL, "check", "--rebuild-index"], [TOOL, "rejected", "--replay"])


@as_root
def with_doctor_and_stats():
    with Journal() as lab:
        race_of_root(lab, [TOOL, "doctor"], [TOOL, "stats", "--prometheus"])


@as_root
def with_the_handler_and_log():
    with Journal() as lab:
        race_of_root(lab, [lab.binary], [TOOL, "log", "-n", "3"])


@as_root
def with_repair_of_the_journal():
    with Journal() as lab:
        conf = lab.path / "conf"
        conf.mkdir(mode=0o755)
        lab.env_file = lab.env_file.rename(conf / "doorpost.env")
        lab.env_file.chmod(0o640)
        os.chown(lab.env_file, 0, lab.user.pw_gid)
        race_of_root(lab, [TOOL, "init", "--repair", conf], [TOOL, "exec", "--status"])


run_tests(with_exec, with_forward, with_prune_and_exec_drop, with_check_and_rejected, with_doctor_and_stats, with_the_handler_and_log,
          with_repair_of_the_journal)
