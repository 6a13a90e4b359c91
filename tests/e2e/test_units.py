"""systemd's units do what they say: limits, system calls, what can be run, whose rights. And what AppArmor's profile lets out."""

import os
import re
import shutil
import signal
import subprocess
import sys

from support.assertions import PATIENCE, check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi, fastcgi_answer, fastcgi_connect, fastcgi_request
from support.journal import verify_journal
from support.laboratory import ROOT, Lab
from support.postgres import Postgres, missing_postgres
from support.runner import run_tests

SYSTEMD = ROOT / "deploy/systemd"
PLAIN = ROOT / "build/crash/doorpost.cgi"  # as it ships, without sanitizers, but for an index that soon grows


def values(unit, name):
    """What a unit says by all lines of that name."""
    lines = re.findall(rf"^{name}=(.*)$", (SYSTEMD / unit).read_text(), re.MULTILINE)
    return " ".join(lines).split()


def the_units_have_limits():
    check(re.fullmatch(r"\d+M", values("doorpost.service", "MemoryMax")[0]), "MemoryMax=")
    check(re.fullmatch(r"\d+M", values("doorpost-door.service", "MemoryMax")[0]), "MemoryMax=")
    check(re.fullmatch(r"\d+M", values("doorpost-forward.service", "MemoryMax")[0]), "MemoryMax=")
    programs = [path for path in values("doorpost-forward.service", "ExecPaths") if not re.fullmatch(r"-?(/usr)?/lib(64)?", path)]
    check(values("doorpost-forward.service", "NoExecPaths") == ["/"] and programs == ["/usr/local/bin/doorpost"], programs)
    for unit in ("doorpost-door.service", "doorpost-account-refresh.service"):
        check(values(unit, "LimitCORE") == ["0"] and values(unit, "NoExecPaths") == ["/"] and "/usr/bin/curl" in values(unit, "ExecPaths"), unit)
    for unit in ("doorpost.service", "doorpost-exec.service", "doorpost-forward.service", "doorpost-door.service"):
        check(values(unit, "LimitCORE") == ["0"] and values(unit, "StartLimitIntervalSec") == ["0"], unit)
        check(values(unit, "Restart")[0] in ("always", "on-failure"), unit)
    check(not [name for name in values("doorpost.service", "SystemCallFilter") if name[0] in "@~"], "the worker's calls are not listed one by one")


# Becomes a user, lets through the system calls whose numbers it is given, ends the process at any other, and becomes a program.
CAGE = """
import ctypes, os, struct, sys
numbers, user, program = [int(number) for number in sys.argv[1].split(",")], int(sys.argv[2]), sys.argv[3]
code = [struct.pack("HBBI", 0x20, 0, 0, 0)]                                  # load the number
code += [struct.pack("HBBI", 0x15, 0, 1, number) + struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000) for number in numbers]
code = b"".join(code) + struct.pack("HBBI", 0x06, 0, 0, 0x80000000)          # else end the process
buffer = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(user), os.setuid(user)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, ctypes.addressof(buffer))), 0, 0):
    sys.exit("no seccomp here")
os.execv(program, [program])
"""


def system_calls():
    """{name: number} on this machine."""
    text = subprocess.run([os.environ.get("CC", "cc"), "-dM", "-E", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
                          capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


def the_worker_needs_no_other_system_call():
    """A worker that would be killed by any other call does all that a worker has to do."""
    if not PLAIN.exists():
        return f"{PLAIN} is not built"
    known = system_calls()
    allowed = ",".join(str(known[name]) for name in values("doorpost.service", "SystemCallFilter") if name in known)
    with Lab(MAX_AGE="36500d") as lab:
        shutil.copy(PLAIN, lab.binary)
        listener, path = lab.listener()

        def start():
            return lab.start([sys.executable, "-c", CAGE, allowed, str(lab.user.pw_uid if lab.user else 0), lab.binary], stdin=listener,
                             stderr=open(lab.logs / "worker", "ab"))

        def answer(body, signature=None):
            got = fastcgi(path, body, signature or sign(body))
            check(got, "no answer, and the worker's end:", worker.poll(), *lab.log_texts())
            return got[0]

        def end(number=signal.SIGTERM):
            worker.send_signal(number)
            check(worker.wait(PATIENCE) == 0, "the worker's end:", worker.returncode, *lab.log_texts())

        worker = start()
        check([answer(press(number)) for number in range(300)] == [200] * 300, "presses")
        check([answer(press(number)) for number in range(5)] == [200] * 5, "duplicates")
        connections = []
        for number in range(1000, 1100):
            connections.append(fastcgi_connect(path))
            connections[-1].sendall(fastcgi_request(press(number), sign(press(number))))
        check([fastcgi_answer(connection)[0] for connection in connections] == [200] * 100, "many at once")
        check(answer(press(1), "sha256=" + "0" * 64) == 401, "a wrong signature")
        check(answer(b"{}") == 400 and answer(press(2000, time="1900-01-01T00:00:00Z")) == 400, "unusable")
        lab.write_keys("another-signing-key-of-32-bytes!", KEY)
        check(answer(press(2001)) == 200, "a changed file of keys")
        lab.key_file.unlink()
        check(answer(press(2002)) == 503, "no key")
        lab.write_keys(KEY)
        lab.journal.rename(lab.path / "aside")
        check(answer(press(2002)) == 503, "no journal")
        (lab.path / "aside").rename(lab.journal)
        wait_for(lambda: answer(press(2002)) == 200, "the journal")
        end()
        with open(lab.segment(), "ab") as segment:
            segment.write(b'{"seq":')  # as a crash leaves it
        shutil.rmtree(lab.journal / "seen")
        worker = start()
        check(answer(press(2003)) == 200 and any((lab.journal / "damaged").iterdir()), "a torn tail")
        check(len(verify_journal(lab)) == 403, "not all are kept")
        end(signal.SIGUSR1)


def the_worker_runs_where_it_can_run_nothing_else():
    """NoExecPaths=/ and ExecPaths=, by the mounts that systemd makes of them."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return "no mounts can be made here"
    check(values("doorpost.service", "NoExecPaths") == ["/"], "NoExecPaths=")
    with Lab() as lab:
        paths = [path.removeprefix("-").replace("/usr/local/lib/doorpost/doorpost.cgi", str(lab.binary))
                 for path in values("doorpost.service", "ExecPaths")]
        check(str(lab.binary) in paths and all(path == str(lab.binary) or re.fullmatch(r"(/usr)?/lib(64)?", path) for path in paths), paths)
        mounted = sorted({os.path.realpath(path) for path in paths if os.path.exists(path)})
        script = "".join(f"mount --bind {path} {path}\n" for path in mounted) + """
            for mount in / $(findmnt -rno TARGET | grep -E '^/(usr|bin|tmp)'); do
              case $mount in """ + "|".join(mounted) + """) ;; /) ;; *) mount -o remount,bind,noexec "$mount" ;; esac
            done
            [ "$(stat -c %d:%i /)" = "$(stat -c %d:%i /..)" ] && findmnt / >/dev/null || { echo "/ is no mount"; exit 77; }
            mount -o remount,bind,noexec / || exit 77
            (exec /bin/true) 2>/dev/null && { echo "/bin/true runs"; exit 1; }
            exec "$0" """
        listener, path = lab.listener()
        worker = lab.start(["unshare", "--mount", "sh", "-c", script, str(lab.binary)], stdin=listener, stdout=open(lab.logs / "mounts", "wb"),
                           stderr=open(lab.logs / "worker", "ab"))
        wait_for(lambda: worker.poll() is not None or worker.pid in lab.workers(), "the worker")
        if worker.poll() == 77:
            return "the root of this machine cannot be mounted noexec"
        body = press(1)
        got = fastcgi(path, body, sign(body))
        check(got and got[0] == 200, got, *lab.log_texts())


def a_command_for_each_event_starts_as_shipped():
    """As the unit starts it, by root with the rights that are left, whichever user owns settings, key and journal."""
    unit = "doorpost-exec.service"
    command = values(unit, "ExecStart")
    check(not values(unit, "User") and command[0] == "/usr/local/bin/doorpost" and "--type" in command, command)
    installed = subprocess.run(["make", "-pn"], cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).stdout
    check(re.search(rf"^755 deploy/on-press/log.sh {command[-1].removeprefix('/usr/local/').rpartition('/')[0]} {command[-1].rpartition('/')[2]}$",
                    installed, re.MULTILINE), command[-1], "is not installed")
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return "not root"
    rights = ",".join("+" + name.removeprefix("CAP_").lower() for name in values(unit, "CapabilityBoundingSet"))
    for user in (33, 54321):  # the web server's, and one of its own
        with Lab() as lab:
            lab.receive(press(1))
            for owned in (lab.journal, *lab.journal.rglob("*")):
                os.chown(owned, user, user)
                owned.chmod(0o700 if owned.is_dir() else 0o600)
            tools = lab.path / "stand-in"
            tools.mkdir()
            tools.chmod(0o755)
            (tools / "logger").write_text(f'#!/bin/sh\nprintf "%s\n" "$(id -u)" "$(grep CapPrm /proc/self/status)" "$@" >{lab.path}/out/said\n')
            (tools / "logger").chmod(0o755)
            (lab.path / "out").mkdir()
            (lab.path / "out").chmod(0o777)
            script = shutil.copy(ROOT / "deploy/on-press/log.sh", tools / "log-press")
            os.chmod(lab.own_tool, 0o755)
            lab.run(["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{rights}", lab.own_tool, *command[1:-1][:1], "--once",
                     "--from", "start", *command[2:-1], script], env={"PATH": f"{tools}:/usr/bin:/bin"}).ok()
            said = (lab.path / "out/said").read_text().split("\n")
            check(said[0] == str(user) and int(said[1].split()[1], 16) == 0, said)
            check(said[-2].startswith("button_press device-"), said)


def the_forwarder_starts_as_shipped():
    """With root's rights reduced, the unit's environment, and the service file of deploy/postgresql."""
    unit = "doorpost-forward.service"
    command, environment = values(unit, "ExecStart"), dict(word.split("=", 1) for word in values(unit, "Environment"))
    if os.geteuid() != 0 or not shutil.which("setpriv") or missing_postgres():
        return missing_postgres() or "not root"
    readme = (ROOT / "deploy/postgresql/README.md").read_text()
    shipped = re.search(r"cat >(\S+) <<END\n((?: +.*\n)+?) +END", readme[readme.index("## 2."):])
    check(shipped.group(1) == environment["PGSERVICEFILE"] and environment["PGPASSFILE"] in readme, "other files than in deploy/postgresql")
    rights = ",".join("+" + name.removeprefix("CAP_").lower() for name in values(unit, "CapabilityBoundingSet"))
    with Postgres() as server:
        server.sql("CREATE ROLE web1 LOGIN PASSWORD 'a-password'; GRANT doorpost_writer TO web1")
        allowed = server.data / "pg_hba.conf"
        allowed.write_text("local doorpost web1 scram-sha-256\n" + allowed.read_text())
        server.restart()
        for count, user in enumerate((33, 54321), 1):  # the web server's, and one of its own
            with Lab() as lab:
                lab.receive(press(user))
                for owned in (lab.journal, *lab.journal.rglob("*")):
                    os.chown(owned, user, user)
                service, passwords = lab.path / "pg_service.conf", lab.path / "pgpass"
                service.write_text(re.sub("^ +", "", shipped.group(2), flags=re.MULTILINE).replace("db1.example.org", str(server.path)))
                passwords.write_text("*:*:doorpost:web1:a-password\n")
                passwords.chmod(0o600)
                os.chown(passwords, user, user)
                os.chmod(lab.own_tool, 0o755)
                lab.run(["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{rights}", lab.own_tool, *command[1:], "--once"],
                        env={"PGSERVICEFILE": str(service), "PGPASSFILE": str(passwords)}).ok()
                check(server.value("SELECT count(*) FROM events") == str(count), "what was forwarded by user", user)


def nothing_leaves_the_apparmor_profile():
    """Of the handler only the runner is started, in a profile of its own, and what that starts stays there. So the runner's rights are
    looked at too."""
    text = (ROOT / "deploy/apparmor/doorpost.cgi").read_text()
    rules = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    handler, runner = rules[:rules.index("profile runner {")], rules[rules.index("profile runner {"):]
    started = [rule for rule in handler if re.search(r"\s\w*[xX]\b.*,$", rule)]
    check(started == ["/usr/local/bin/doorpost Cx -> runner,"], started)
    started = [rule for rule in runner if re.search(r"\s\w*[xX]\b.*,$", rule)]
    check(started and all(re.search(r"\s[mr]*ix,$", rule) for rule in started), started)
    check(not [rule for rule in started if "**" in rule or "/var" in rule or "/etc" in rule], started)
    check(not [rule for rule in runner if re.match(r"(network|capability|change_profile|ptrace|mount)", rule)], runner)
    check(not re.search(r"flags=|unconfined|change_profile", "\n".join(rules)), "flags")


def the_door_page_runs_curl_alone_under_apparmor():
    """And curl, which has the network, reads none of its files."""
    text = (ROOT / "deploy/apparmor/doorpost-door.cgi").read_text()
    rules = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    program, curl = rules[:rules.index("profile curl {")], rules[rules.index("profile curl {"):]
    started = [rule for rule in rules if re.search(r"\s\w*[xX]\b.*,$", rule)]
    check(started == ["/usr/bin/curl Cx -> curl,"], started)
    check("deny network inet," in program and "network inet stream," in curl, "the network")
    check(not [rule for rule in curl if re.match("/(var|etc)", rule)], curl)
    check(not re.search(r"flags=|unconfined|change_profile", "\n".join(rules)), "flags")


run_tests(the_units_have_limits, the_door_page_runs_curl_alone_under_apparmor, the_worker_needs_no_other_system_call, the_worker_runs_where_it_can_run_nothing_else,
          a_command_for_each_event_starts_as_shipped, the_forwarder_starts_as_shipped, nothing_leaves_the_apparmor_profile)
