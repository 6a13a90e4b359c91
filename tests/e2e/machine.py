"""A new Debian whose process 1 is systemd, as a container manager would start it. It takes some minutes to make, and root."""

import os
import re
import subprocess

from support.assertions import wait_for

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
PATHS = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOORPOST_CONF": "", "DEBIAN_FRONTEND": "noninteractive"}
PROXIES = {name: value for name, value in os.environ.items() if name.lower() in ("http_proxy", "https_proxy", "no_proxy")}


class Machine:
    def __init__(self, lab):
        self.lab, self.root, self.pid = lab, lab.path / "machine", None

    def make(self, *packages):
        """Returns why there can be none, or None."""
        return self.lab.debian(self.root, *packages)

    def prepare(self, *command, **options):
        """Runs a command in the machine before it is started, with the network that there is here."""
        return self.lab.run(["unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" "$@"',
                             self.root, *command], env={**PATHS, **PROXIES}, **options)

    def boot(self):
        """Starts it, with a network of its own that leads nowhere. Returns why it does not run, or None."""
        outside = self.lab.start(["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child", "sh", "-c", BOOT,
                                  str(self.root)], stdout=open(self.lab.logs / "boot", "ab"), stderr=subprocess.STDOUT)
        self.lab.stack.callback(outside.kill)  # unshare passes no other signal on

        def process_1():
            if outside.poll() is not None:
                return -1
            pids = open(f"/proc/{outside.pid}/task/{outside.pid}/children").read().split()
            return int(pids[0]) if pids and open(f"/proc/{pids[0]}/comm").read() == "systemd\n" else None
        self.pid = wait_for(process_1, "systemd")
        if self.pid > 0:
            wait_for(lambda: outside.poll() is not None or re.match("running|degraded", self.run("systemctl", "is-system-running").stdout),
                     "the machine")
        if self.pid < 0 or outside.poll() is not None:
            return "systemd cannot be process 1 of a container here: " + (self.lab.logs / "boot").read_text().strip().replace("\n", "; ")
        return None

    def run(self, *command, **options):
        return self.lab.run(["nsenter", "-t", self.pid, "--mount", "--pid", "--uts", "--ipc", "--net", "--root", *command], env=PATHS, **options)
