"""The units under a real systemd, that is process 1 of a new Debian: in each layout (a worker of its own; a web server's worker), they start
as shipped, a press is stored, its command runs, and the worker can do no more than it should. It takes a minute: `make check-more`."""

import os
import re
import shutil
import subprocess

from lab import DOWNLOAD, KEY, Lab, ROOT, check, fastcgi, press, run_tests, sign, wait_for

PACKAGES = "systemd,systemd-sysv,dbus,adduser,libfcgi0ldbl,libjson-c5,libsodium23"

# What a container manager does: a root, devices, and the two hierarchies of control groups that systemd takes.
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mkdir -p old
pivot_root . old
mount -t proc proc /proc
umount -l /old
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev
mkdir /dev/shm /dev/pts
set -- null 1 3 zero 1 5 full 1 7 random 1 8 urandom 1 9 tty 5 0 ptmx 5 2
while [ $# -gt 0 ]; do mknod -m 666 /dev/$1 c $2 $3; shift 3; done
ln -s /proc/self/fd /dev/fd
mount -t cgroup2 cgroup2 /sys/fs/cgroup || {
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
}
export container=test
exec /lib/systemd/systemd --system --log-target=journal
"""


class Machine:
    def __init__(self, lab):
        self.lab, self.root, self.pid = lab, lab.path / "machine", None

    def make(self):
        """Returns why there can be none, or None."""
        archive = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                                 capture_output=True, text=True).stdout.split()
        if not archive or not shutil.which("debootstrap"):
            return "no Debian can be made here"
        result = self.lab.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", archive[1], self.root, archive[0]],
                              timeout=DOWNLOAD)
        if result.returncode != 0:
            return f"debootstrap cannot run here: {result.stdout.strip().splitlines()[-1]}"
        for source, place in ((ROOT / "build/crash/doorpost.cgi", "lib/doorpost/doorpost.cgi"), (ROOT / "build/crash/doorpost", "bin/doorpost"),
                              (ROOT / "deploy/on-press/log.sh", "lib/doorpost/log-press")):
            (self.root / "usr/local" / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.root / "usr/local" / place)
        for unit in (ROOT / "deploy/systemd").iterdir():
            shutil.copy(unit, self.root / "etc/systemd/system")
        return None

    def boot(self):
        """Returns whether it runs."""
        outside = self.lab.start(["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "sh", "-c", BOOT,
                                  str(self.root)], stdout=open(self.lab.logs / "boot", "ab"), stderr=subprocess.STDOUT)

        def process_1():
            if outside.poll() is not None:
                return -1
            children = (f"/proc/{outside.pid}/task/{outside.pid}/children")
            pids = open(children).read().split()
            return int(pids[0]) if pids and open(f"/proc/{pids[0]}/comm").read() == "systemd\n" else None
        self.pid = wait_for(process_1, "systemd")
        if self.pid < 0:
            return False
        return wait_for(lambda: outside.poll() is not None or re.match("running|degraded", self.run("systemctl", "is-system-running").stdout),
                        "the machine") and outside.poll() is None

    def run(self, *command, **options):
        return self.lab.run(["nsenter", "-t", self.pid, "--mount", "--pid", "--uts", "--ipc", "--root", *command],
                            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOORPOST_CONF": ""}, **options)

    def deliver(self, number):
        body = press(number)
        return fastcgi(f"/proc/{self.pid}/root/run/doorpost.sock", body, sign(body))


def they_start_as_shipped():
    if os.environ.get("MORE") != "1":
        return "make check-more runs it"
    if os.geteuid() != 0:
        return "not root"
    with Lab() as lab:
        machine = Machine(lab)
        reason = machine.make()
        if reason:
            return reason
        if not machine.boot():
            return "systemd cannot be process 1 of a container here: " + (lab.logs / "boot").read_text().strip().replace("\n", "; ")
        machine.run("adduser", "--system", "--group", "--quiet", "--no-create-home", "--home", "/var/lib/doorpost", "doorpost").ok()
        machine.run("doorpost", "init", "/etc/doorpost", "--journal", "/var/lib/doorpost", "--user", "doorpost", "--key-file", "-",
                    input=KEY + "\n").ok()
        machine.run("systemctl", "start", "doorpost.socket", "doorpost-exec.service").ok()
        check([machine.deliver(number)[0] for number in range(5)] == [200] * 5, machine.run("journalctl", "-n", "20"))

        def said(text):
            return text in machine.run("journalctl", "-t", "doorpost").stdout
        wait_for(lambda: said("number 5"), "the command of a press")

        worker = int(machine.run("systemctl", "show", "-P", "MainPID", "doorpost.service").ok().stdout)
        status = machine.run("cat", f"/proc/{worker}/status").ok().stdout
        check("Seccomp:\t2" in status and "NoNewPrivs:\t1" in status and "CapPrm:\t0000000000000000" in status, status)
        inside = machine.run("nsenter", "-t", worker, "--mount", "/bin/true")
        check(inside.returncode == 126 and "Permission denied" in inside.stderr, "the worker can run /bin/true:", inside)
        # Killed again and again, it comes again.
        for number in range(5, 15):
            machine.run("systemctl", "kill", "--signal=KILL", "doorpost.service").ok()
            wait_for(lambda: (machine.deliver(number) or [0])[0] == 200, "the worker, once more")

        # The other layout: the journal is the web server's user's.
        machine.run("systemctl", "stop", "doorpost-exec.service", "doorpost.socket", "doorpost.service").ok()
        machine.run("chown", "-R", "www-data:www-data", "/var/lib/doorpost").ok()
        machine.run("chgrp", "-R", "www-data", "/etc/doorpost").ok()
        machine.run("systemctl", "start", "doorpost-exec.service").ok()
        body = press(100)
        result = machine.run("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "env", "-i", "REQUEST_METHOD=POST",
                             "GATEWAY_INTERFACE=CGI/1.1", f"CONTENT_LENGTH={len(body)}", f"HTTP_X_SIGNATURE={sign(body)}",
                             "/usr/local/lib/doorpost/doorpost.cgi", input=body.decode())
        check('"stored"' in result.stdout, result)
        wait_for(lambda: said("number 16"), "the command of a press")
        runner = machine.run("systemctl", "show", "-P", "MainPID", "doorpost-exec.service").ok().stdout.strip()
        check(machine.run("stat", "-c", "%U", f"/proc/{runner}").stdout == "www-data\n", "the runner's user")


run_tests(they_start_as_shipped)
