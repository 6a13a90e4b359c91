"""The Debian package in a new Debian: installed, used, upgraded, removed and purged. And `make install`, and `make uninstall`."""

import json
import os
import pathlib
import re
import shutil

from support.assertions import check
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.laboratory import BINARY, ROOT, Lab, make
from support.runner import run_tests

LIBRARIES = ("libfcgi0ldbl", "libjson-c5", "libpq5", "libsodium23", "adduser", "ca-certificates", "curl")


class Chroot:
    def __init__(self, lab):
        self.lab, self.path = lab, lab.path / "debian"

    def run(self, *command, **options):
        return self.lab.run(["chroot", self.path, *command],
                            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DOORPOST_CONF": "", "DEBIAN_FRONTEND": "noninteractive"},
                            **options)

    def files(self):
        """What a package may not leave behind: everything but dpkg's and adduser's own records."""
        ignored = ("var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/", "run/", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow",
                   "etc/sub")
        found = set()
        for directory, names, files in os.walk(self.path):
            for name in names + files:
                path = os.path.relpath(os.path.join(directory, name), self.path)
                if not path.startswith(ignored):
                    found.add(path)
        return found


def use(lab, root):
    """The worker as doorpost.service runs it: that user, that program, the listening socket as descriptor 0."""
    listener, path = lab.listener()
    worker = lab.start(["chroot", "--userspec=doorpost:doorpost", str(root.path), "/usr/lib/doorpost/doorpost.cgi"], stdin=listener,
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, stderr=open(lab.logs / "worker", "ab"))
    for number in range(50):
        body = press(number)
        answer = fastcgi(path, body, sign(body))
        check(answer and answer[0] == 200, answer, *lab.log_texts())
    body = press(0)
    check(json.loads(fastcgi(path, body, sign(body))[2])["status"] == "duplicate", "a duplicate")
    worker.terminate()
    worker.wait()
    check(worker.returncode == 0, "the worker's end")
    check("50 lines" in root.run("doorpost", "check").ok().stdout, root.run("doorpost", "check"))


def use_door(lab, root):
    """The door page is turned on as README.Debian says, and its worker shows the sign-in form."""
    settings = root.path / "etc/doorpost/doorpost.env"
    settings.write_text(re.sub(r"^# (DOORPOST_(DOOR|CLIENT_FILE)=)", r"\1", settings.read_text(), flags=re.MULTILINE))
    client = root.path / "etc/doorpost/client"
    client.write_text("an-id\na-secret\n")
    client.chmod(0o640)
    root.run("chgrp", "doorpost", "/etc/doorpost/client").ok()
    root.run("doorpost", "door", "user", "add", "me", input="a long password\n").ok()
    root.run("doorpost", "account", "refresh").ok()
    result = root.run("setpriv", "--reuid=doorpost", "--regid=doorpost", "--clear-groups", "env", "-i", "REQUEST_METHOD=GET",
                      "GATEWAY_INTERFACE=CGI/1.1", "/usr/lib/doorpost/doorpost-door.cgi")
    check("Status: 200" in result.stdout and 'name="password"' in result.stdout, result)


def the_package():
    package = ROOT / make("deb").stdout.splitlines()[-1]
    with Lab() as lab:
        root = Chroot(lab)
        reason = lab.debian(root.path, *LIBRARIES)
        if reason:
            return reason
        before = root.files()
        shutil.copy(package, root.path / "doorpost.deb")
        root.run("dpkg", "--install", "doorpost.deb").ok()
        owner = root.run("stat", "-c", "%U %a", "/var/lib/doorpost", "/var/lib/doorpost-door").ok().stdout
        check(owner == "doorpost 700\n" * 2, owner)
        check(root.run("doorpost", "--version").ok().stdout == f"doorpost {package.name.split('_')[1]}\n", "the version")

        root.run("doorpost", "init", "/etc/doorpost", "--journal", "/var/lib/doorpost", "--user", "doorpost", "--key-file", "-",
                 input=KEY + "\n").ok()
        use(lab, root)
        doctor = root.run("doorpost", "doctor")
        check(doctor.returncode == 0, doctor)
        use_door(lab, root)

        # An upgrade keeps what the administrator has written.
        settings = root.path / "etc/doorpost/doorpost.env"
        settings.write_text(settings.read_text() + "DOORPOST_MAX_AGE=8d\n")
        root.run("dpkg", "--force-confold", "--install", "doorpost.deb").ok()
        check("MAX_AGE=8d" in settings.read_text().splitlines()[-1], "a changed setting was lost")

        root.run("dpkg", "--remove", "doorpost").ok()
        check(not (root.path / "usr/lib/doorpost").exists() and not (root.path / "usr/bin/doorpost").exists(), "programs are left")
        check(settings.exists() and (root.path / "etc/doorpost/key").exists(), "removal took the settings")
        result = root.run("dpkg", "--purge", "doorpost").ok()
        check("The events in /var/lib/doorpost were not removed" in result.stderr, result)
        left = {path for path in root.files() - before if not path.startswith("var/lib/doorpost")}
        check(left == {"doorpost.deb"}, "purging leaves", left)
        check(len(next((root.path / "var/lib/doorpost").glob("*.jsonl")).read_bytes().splitlines()) == 50, "events were lost")


def uninstalled_nothing_but_data_is_left():
    with Lab() as lab:
        where = [f"BUILD={os.path.relpath(BINARY.parent, ROOT)}", f"DESTDIR={lab.path}/root", "PREFIX=/opt/doorpost"]
        before = os.umask(0o077)  # a careful administrator's
        make("install", *where)
        os.umask(before)
        prefix = lab.path / "root/opt/doorpost"
        closed = [str(path) for path in prefix.rglob("*") if path.stat().st_mode & 0o044 != 0o044]
        check(not closed, "others cannot read", closed)
        installed = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
        for wanted in ("bin/doorpost", "lib/doorpost/doorpost.cgi", "lib/doorpost/doorpost-door.cgi", "share/man/man1/doorpost.1", "share/man/man5/doorpost-journal.5",
                       "share/man/man8/doorpost.cgi.8", "share/man/man8/doorpost-door.cgi.8", "share/bash-completion/completions/doorpost",
                       "share/zsh/site-functions/_doorpost", "share/doc/doorpost/examples/nginx/doorpost.conf",
                       "share/doc/doorpost/examples/ring.md"):
            check(wanted in installed, wanted, "was not installed")
        check({"lib/doorpost/commands/mqtt.sh", "lib/doorpost/commands/settings.sh"} <= installed, "on-press was not installed")
        example = (prefix / "share/doc/doorpost/examples/lighttpd/fastcgi.conf").read_text()
        check("/opt/doorpost/lib/doorpost/doorpost.cgi" in example and "/usr/local" not in example, "an example names other paths")
        own = prefix / "lib/doorpost/on-press"
        own.write_text("the administrator's\n")
        make("uninstall", *where)
        left = [str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()]
        check(left == ["lib/doorpost/on-press"], left)
        own.unlink()
        make("uninstall", *where)
        left = {str(path.relative_to(prefix)) for path in prefix.rglob("*")}
        check(left == {"bin", "lib", "share", "share/man"}, left)


def the_versions_agree():
    version = next(line.split()[2] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("VERSION ="))
    check((ROOT / "deploy/debian/changelog").read_text().startswith(f"doorpost ({version}) "), "deploy/debian/changelog")
    check(pathlib.Path(ROOT / "tests/golden" / version).is_dir(), "tests/golden has no journal of", version)


run_tests(the_versions_agree, uninstalled_nothing_but_data_is_left, the_package)
