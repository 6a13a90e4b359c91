"""The units under a real systemd, that is process 1 of a new Debian: in each layout (a worker of its own; a web server's worker), they start
as shipped, a press is stored, its command runs, and the worker can do no more than it should. It takes a minute: `make check-more`."""

import os
import shutil

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.laboratory import ROOT, Lab
from support.runner import run_tests
from machine import Machine

PACKAGES = ("systemd", "systemd-sysv", "dbus", "adduser", "libfcgi0ldbl", "libjson-c5", "libpq5", "libsodium23")

def install(machine):
    for source, place in ((ROOT / "build/crash/doorpost.cgi", "lib/doorpost/doorpost.cgi"), (ROOT / "build/crash/doorpost", "bin/doorpost"),
                          (ROOT / "deploy/on-press/log.sh", "lib/doorpost/log-press")):
        (machine.root / "usr/local" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, machine.root / "usr/local" / place)
    for unit in (ROOT / "deploy/systemd").iterdir():
        shutil.copy(unit, machine.root / "etc/systemd/system")


def deliver(machine, number):
    body = press(number)
    return fastcgi(f"/proc/{machine.pid}/root/run/doorpost.sock", body, sign(body))


def they_start_as_shipped():
    if os.environ.get("MORE") != "1":
        return "make check-more runs it"
    with Lab() as lab:
        machine = Machine(lab)
        reason = machine.make(*PACKAGES)
        if reason:
            return reason
        install(machine)
        reason = machine.boot()
        if reason:
            return reason
        machine.run("adduser", "--system", "--group", "--quiet", "--no-create-home", "--home", "/var/lib/doorpost", "doorpost").ok()
        machine.run("doorpost", "init", "/etc/doorpost", "--journal", "/var/lib/doorpost", "--user", "doorpost", "--key-file", "-",
                    input=KEY + "\n").ok()
        machine.run("systemctl", "start", "doorpost.socket", "doorpost-exec.service").ok()
        check([deliver(machine, number)[0] for number in range(5)] == [200] * 5, machine.run("journalctl", "-n", "20"))

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
            wait_for(lambda: (deliver(machine, number) or [0])[0] == 200, "the worker, once more")

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
