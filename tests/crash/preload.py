"""What the crash and the fault tests share: the handler run once under the shim, in a directory made to measure."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from lab import KEY, parse_answer, sign  # noqa: E402

BUILD = pathlib.Path(os.environ.get("CRASH_BUILD", ROOT / "build/crash"))
# The disk's contents are made by the tests, so the files may live in memory.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Handler:
    """The handler as CGI, with key and settings in `path` and the journal in path/journal."""

    def __init__(self, path, binary=BUILD / "doorpost.cgi", shim=BUILD / "shim.so", before="", **environment):
        self.path, self.binary = pathlib.Path(path), binary
        self.journal = self.path / "journal"
        self.boot, self.days, self.fired = self.path / "boot", self.path / "days", self.path / "fired"
        (self.path / "key").write_text(KEY + "\n")
        (self.path / "key").chmod(0o600)
        self.boot.write_text("the first boot")
        self.days.write_text("0")
        self.environment = {
            "DOORPOST_KEY_FILE": str(self.path / "key"), "DOORPOST_JOURNAL": str(self.journal), "DOORPOST_LOG": "problems",
            "LD_PRELOAD": f"{before}{shim}", "SHIM_BOOT": str(self.boot), "SHIM_DAYS": str(self.days),
            "SHIM_DIRECTORY": str(self.journal.resolve()), "SHIM_INODES": "1", **environment}

    def send(self, body, **environment):
        """Returns (exit status, HTTP status or None, body, log)."""
        result = subprocess.run(
            [self.binary], input=body, capture_output=True, timeout=60,
            env={**self.environment, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
                 "HTTP_X_SIGNATURE": sign(body), **environment})
        status, _, text = parse_answer(result.stdout) if result.stdout.startswith(b"Status: ") else (None, None, b"")
        return result.returncode, status, text, result.stderr.decode(errors="replace")
