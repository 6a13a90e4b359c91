"""What the tests of this directory share: running the handler once under the shim, in a prepared directory, and reading what
it has stored."""

import base64
import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

from support.deliveries import KEY, sign
from support.fastcgi import parse_answer

BUILD = pathlib.Path(os.environ.get("CRASH_BUILD", ROOT / "build/crash"))
# The tests build the disk's contents, so the files can be in memory.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def sanitizer():
    """The sanitizer's library, which must be loaded before the shim."""
    result = subprocess.run([os.environ.get("CC", "cc"), "-print-file-name=libasan.so"], capture_output=True, text=True,
                            check=True)
    return str(pathlib.Path(result.stdout.strip()).resolve()) + ":"


def event_of(body):
    """The event's id, or None if the body is not an event."""
    try:
        return json.loads(body)["data"]["id"]
    except (ValueError, KeyError):
        return None


def read_rejected(journal):
    """The bodies in rejected/."""
    bodies = []
    for path in sorted((journal / "rejected").glob("*.jsonl")) if (journal / "rejected").is_dir() else ():
        for line in path.read_bytes().splitlines():
            try:
                bodies.append(base64.b64decode(json.loads(line)["body"]))
            except (ValueError, KeyError):
                pass  # never acknowledged; otherwise the check of acknowledged ones fails
    return bodies


def read_tree(root):
    """{path: bytes, or None for a directory}, "." first."""
    tree = {".": None}
    for path in sorted(root.rglob("*")):
        tree[str(path.relative_to(root))] = None if path.is_dir() else path.read_bytes()
    return tree


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Handler:
    """The handler as CGI, with key and settings in `path` and the journal in path/journal."""

    def __init__(self, path, binary=BUILD / "doorpost.cgi", shim=BUILD / "shim.so", before="", **environment):
        self.path, self.binary = pathlib.Path(path), binary
        self.journal = self.path / "journal"
        self.boot, self.days, self.fired = self.path / "boot", self.path / "days", self.path / "fired"
        self.seconds, self.read_only = self.path / "seconds", self.path / "read-only"
        self.identity = {}  # for subprocess: user and group, if not the test's own
        (self.path / "key").write_text(KEY + "\n")
        (self.path / "key").chmod(0o600)
        self.boot.write_text("the first boot")
        self.days.write_text("0")
        self.environment = {
            "DOORPOST_KEY_FILE": str(self.path / "key"), "DOORPOST_JOURNAL": str(self.journal), "DOORPOST_LOG": "problems",
            "LD_PRELOAD": f"{before}{shim}", "SHIM_BOOT": str(self.boot), "SHIM_DAYS": str(self.days),
            "SHIM_SECONDS": str(self.seconds), "SHIM_READONLY": str(self.read_only),
            "SHIM_DIRECTORY": str(self.journal.resolve()), **environment}

    def send(self, body, **environment):
        """Returns (exit status, HTTP status or None, body, log)."""
        result = subprocess.run(
            [self.binary], input=body, capture_output=True, timeout=60, **self.identity,
            env={**self.environment, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
                 "HTTP_X_SIGNATURE": sign(body), **environment})
        status, _, text = parse_answer(result.stdout) if result.stdout.startswith(b"Status: ") else (None, None, b"")
        return result.returncode, status, text, result.stderr.decode(errors="replace")
