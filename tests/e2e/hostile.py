"""A web server's user who wants to become root."""

import contextlib
import os
import random
import shutil
import signal
import stat
import subprocess

from support.assertions import check
from support.deliveries import KEY, press, sign
from support.laboratory import Lab


ROUNDS = int(os.environ.get("ROUNDS", "50"))


def put(path, own, *makers):
    """Something else gets the path: what one of the makers makes as `own`."""
    with contextlib.suppress(OSError):
        os.unlink(own)  # if the last one was not moved
    with contextlib.suppress(OSError):
        random.choice(makers)()
    with contextlib.suppress(OSError):
        os.rename(own, path)


class Root(Lab):
    """A directory as `init` of earlier releases left it: all of it the web server's user's."""

    def __init__(self):
        super().__init__()
        self.home = self.path / "home"
        self.secret = self.path / "root-only"
        self.secret.write_text("# root's secret, which is longer than sixteen bytes\n")
        self.secret.chmod(0o600)

    def old_layout(self):
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "journal").mkdir(parents=True)
        (self.home / "key").write_text(KEY + "\n")
        (self.home / "doorpost.env").write_text(f"DOORPOST_KEY_FILE={self.home}/key\nDOORPOST_JOURNAL={self.home}/journal\n")
        for path, mode in ((self.home, 0o700), (self.home / "journal", 0o700), (self.home / "key", 0o600), (self.home / "doorpost.env", 0o600)):
            path.chmod(mode)
            self.own(path)
        self.use_home()

    def use_home(self):
        self.env_file, self.journal, self.key_file = self.home / "doorpost.env", self.home / "journal", self.home / "key"

    def hostile(self, script):
        return subprocess.run(["sh", "-c", script], cwd="/", capture_output=True, text=True, **self.as_user())

    def is_untouched(self):
        status = self.secret.stat()
        check((status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o600) and "root's secret" in self.secret.read_text(),
              "a file of root's was changed:", status, self.secret.read_text())

    def receives(self, name):
        status, _, _, log = self.cgi(press(name), sign(press(name)))
        check(status == 200, name, status, log)

    @contextlib.contextmanager
    def race(self, act):
        """The user calls act(), again and again, until the end of a `with`."""
        process = os.fork()
        if process == 0:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
            while True:
                act()
        try:
            yield
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    def disclosed(self, *places):
        """The files that the user can read and that say what root alone knows."""
        return self.hostile(f"find {' '.join(map(str, places))} -type f -exec grep -ls secret {{}} +").stdout.split()


def as_root(test):
    def run():
        return test() if os.geteuid() == 0 else "only root can try that"
    run.__name__ = test.__name__
    return run
