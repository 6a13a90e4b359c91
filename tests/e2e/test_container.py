"""The container image as deploy/container makes it, from a Debian that is made here: built, and run as its commands say, by an ordinary
user, with a root file system that cannot be written to. It takes some minutes: `make check-more`."""

import json
import os
import re
import shutil
import subprocess

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.laboratory import ROOT, Lab
from support.runner import run_tests

VOLUMES = ("/etc/doorpost", "/var/lib/doorpost", "/var/lib/doorpost-door", "/run/doorpost")


class Builder:
    def __init__(self, lab):
        self.lab, self.path = lab, lab.path / "containers"

    def run(self, *arguments):
        store = ["--root", self.path / "root", "--runroot", self.path / "run", "--storage-driver", "vfs"]
        result = subprocess.run([str(part) for part in ("buildah", *store, *arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                env={"PATH": os.environ["PATH"], "BUILDAH_ISOLATION": "chroot", "HOME": str(self.path), "TMPDIR": str(self.lab.path)})
        check(result.returncode == 0, arguments, result.stdout[-2000:], result.stderr[-2000:])
        return result.stdout.strip()

    def base(self):
        """A minimal Debian as an image. Returns why there can be none, or None."""
        root = self.lab.path / "debian"
        reason = self.lab.debian(root)
        if reason:
            return reason
        container = self.run("from", "scratch")
        self.run("add", container, root, "/")
        self.run("commit", "--rm", container, "localhost/debian")
        shutil.rmtree(root)
        return None


def the_image():
    if os.environ.get("MORE") != "1":
        return "make check-more runs it"
    if os.geteuid() != 0 or not shutil.which("buildah"):
        return "no buildah here, or not root"
    with Lab() as lab:
        builder = Builder(lab)
        lab.stack.callback(lambda: subprocess.run(["chmod", "-R", "u+w", builder.path], capture_output=True))
        reason = builder.base()
        if reason:
            return reason
        builder.run("build", "--build-arg", "BASE=localhost/debian", "-t", "doorpost", "-f", ROOT / "deploy/container/Containerfile", ROOT)
        config = json.loads(builder.run("inspect", "--type", "image", "doorpost"))["OCIv1"]["config"]
        check(config["User"] == "doorpost" and set(config["Volumes"]) == set(VOLUMES), config)
        container = builder.run("from", "doorpost")
        root = builder.run("mount", container)
        user = int(re.search(r"^doorpost:\w*:(\d+):", open(f"{root}/etc/passwd").read(), re.MULTILINE).group(1))
        check(user != 0 and not os.path.exists(f"{root}/usr/bin/cc"), "the image has a compiler")

        # The volumes begin as the image has them.
        mounts = []
        for volume in VOLUMES:
            place = lab.path / volume.replace("/", "-")
            shutil.copytree(root + volume, place)
            shutil.copystat(root + volume, place)
            os.chown(place, os.stat(root + volume).st_uid, os.stat(root + volume).st_gid)
            check(place.stat().st_uid == user, volume, "does not belong to the user")
            mounts.append(f"mount --bind {place} {root}{volume}\n")
        cage = ["unshare", "--mount", "--net", "sh", "-c", f"mount --bind {root} {root}\nmount -o remount,bind,ro {root}\n" + "".join(mounts) +
                f'exec chroot --userspec={user}:{user} {root} "$@"', "sh"]
        env = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOORPOST_CONF": "/etc/doorpost/doorpost.env"}
        check(lab.run([*cage, "touch", "/usr/here"]).returncode != 0, "the root file system can be written to")
        lab.run([*cage, "doorpost", "init", "/etc/doorpost", "--journal", "/var/lib/doorpost", "--key-file", "-"], input=KEY + "\n", env=env).ok()

        socket = lab.path / "-run-doorpost/doorpost.sock"
        for first in (0, 20):  # and once more, as after a restart: the socket of the last time is there
            worker = lab.start([*cage, *config["Cmd"]], env=env, stderr=open(lab.logs / "worker", "ab"))

            def answer(number):
                body = press(number)
                try:
                    return fastcgi(str(socket), body, sign(body))
                except OSError:
                    return None
            wait_for(lambda: answer(first), "the worker")
            check([answer(number)[0] for number in range(first, first + 20)] == [200] * 20, *lab.log_texts())
            worker.terminate()
            check(worker.wait() == 0, "the worker's end:", worker.returncode)
        check("40 lines" in lab.run([*cage, "doorpost", "check"], env=env).ok().stdout, "the tool")
        check("status=" in "".join(lab.log_texts()) or not "".join(lab.log_texts()), "the log")


def the_file_says_how_it_is_run():
    text = (ROOT / "deploy/container/Containerfile").read_text()
    for option in ("--read-only", "--network none", "--cap-drop all", "no-new-privileges"):
        check(option in text, option)
    check("\nUSER doorpost\n" in text and all(volume in re.search(r"^VOLUME (.*)", text, re.MULTILINE).group(1) for volume in VOLUMES), text)


run_tests(the_file_says_how_it_is_run, the_image)
