"""Three database nodes on this machine: PostgreSQL under Patroni, and etcd, with the file that deploy/postgresql ships.

Each node is in a network namespace of its own; a fourth one contains the switch that joins them. Each has two addresses: one for
PostgreSQL, one for Patroni and etcd. So a node can be unplugged, be cut off from the others while clients still reach it, or lose
only its replication. Clients stay in the namespace of the test, which has a port of the switch too."""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from support import servers
from support.assertions import PATIENCE, check
from support.laboratory import ROOT
from support.postgres import OWNER, missing_postgres, programs

NAMES = ("db1", "db2", "db3")
NOWHERE = "02:00:00:00:00:ff"  # no card has this address: the switch drops what is sent there
PASSWORD = "a-password-for-everything"


def patroni_version():
    if not shutil.which("patroni"):
        return 0, 0, 0
    text = subprocess.run(["patroni", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.search(r"(\d+)\.(\d+)\.(\d+)", text).groups())


# As patroni.yml says. Patroni 3 knows one synchronous standby by name; version 4, any of several.
DRIVER = "etcd3" if patroni_version() >= (3, 0, 3) else "etcd"
MODE = "quorum" if patroni_version() >= (4, 0, 0) else "true"


def missing():
    """Why there can be no cluster here, or None."""
    reason = servers.missing("patroni", "etcd", "ip", "nsenter", "setpriv", "openssl") or missing_postgres()
    if reason or os.geteuid() != 0:
        return reason or "only root can make network namespaces"
    name = f"doorpost-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return None if made.returncode == 0 else f"no network namespaces here: {made.stderr.strip()}"


def ip(*arguments):
    result = subprocess.run(["ip", *map(str, arguments)], capture_output=True, text=True)
    check(result.returncode == 0, "ip", *arguments, "failed:", result.stderr)
    return result.stdout


def eventually(condition, what, seconds=PATIENCE):
    """wait_for() for things that take seconds and are asked over the network."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        check(time.monotonic() < end, "gave up waiting for", what)
        time.sleep(0.1)
    return value


def ask(host, port, method, path, body=None):
    """A JSON answer, or None."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request(method, path, body)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


class Node:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.number = int(name[-1])
        self.namespace = f"{cluster.label}-{name}"
        self.control, self.data = (f"{network}.{self.number}" for network in (cluster.control, cluster.data))
        self.directory = cluster.path / name
        self.processes = {}

    def start(self):
        self.start_etcd()
        self.start_patroni()

    def start_etcd(self):
        peers = ",".join(f"{node.name}=http://{node.control}:2380" for node in self.cluster.nodes)
        self.run("etcd", ["etcd", "--name", self.name, "--data-dir", self.directory / "etcd",
                          "--initial-cluster", peers, "--initial-advertise-peer-urls", f"http://{self.control}:2380",
                          "--listen-peer-urls", f"http://{self.control}:2380", "--listen-client-urls", f"http://{self.control}:2379",
                          "--advertise-client-urls", f"http://{self.control}:2379", *(["--enable-v2"] if DRIVER == "etcd" else []),
                          # This machine may be busy.
                          "--heartbeat-interval", "250", "--election-timeout", "2500"])

    def start_patroni(self):
        self.run("patroni", ["patroni", self.directory / "patroni.yml"])

    def run(self, name, command):
        check(name not in self.processes or self.processes[name].poll() is not None, name, "runs already on", self.name)
        user = self.cluster.user.pw_name
        with open(self.directory / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--",
                 *map(str, command)],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"})

    def pids(self, *programs):
        """The processes of this node; or those of some programs, by the names of their files."""
        pids = [int(pid) for pid in ip("netns", "pids", self.namespace).split()]
        return [pid for pid in pids if not programs or program_of(pid) in programs]

    def signal(self, what, *programs):
        for pid in self.pids(*programs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)

    def kill(self, *programs):
        """Ends processes at once; those that they start meanwhile, too."""
        self.signal(signal.SIGSTOP, *programs)
        while self.pids(*programs):
            self.signal(signal.SIGKILL, *programs)
            time.sleep(0.01)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0 if programs else PATIENCE)

    def die(self):
        """As a machine without power: nobody on the network hears a last word."""
        self.unplug()
        self.kill()

    def unplug(self):
        ip("-n", self.cluster.switch, "link", "set", self.name, "down")

    def plug(self):
        ip("-n", self.cluster.switch, "link", "set", self.name, "up")

    def others(self):
        return [node for node in self.cluster.nodes if node is not self]

    def cut(self, networks=("control", "data")):
        """What this node and the others send each other is dropped."""
        for here, there in [(self, other) for other in self.others()] + [(other, self) for other in self.others()]:
            for network in networks:
                ip("-n", here.namespace, "neigh", "replace", getattr(there, network), "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")

    def heal(self):
        self.plug()
        for node in self.cluster.nodes:
            ip("-n", node.namespace, "neigh", "flush", "dev", "eth0", "nud", "permanent")

    def is_primary(self):
        connection = http.client.HTTPConnection(self.control, 8008, timeout=3)
        try:
            connection.request("GET", "/primary")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def leads_etcd(self):
        status = ask(self.control, 2379, "POST", "/v3/maintenance/status", "{}")
        return status is not None and status.get("leader") == status["header"]["member_id"]

    def query(self, sql, seconds=30):
        """Runs a query as a superuser on this very node. Returns its rows as lists of texts, or None if that fails."""
        try:
            result = subprocess.run([programs().parent / "psql", "-XqAt", "-F", "\t", "-d", self.cluster.url(self, user=OWNER), "-c", sql],
                                    env=self.cluster.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        return [row.split("\t") for row in result.stdout.splitlines()] if result.returncode == 0 else None


def program_of(pid):
    """etcd, postgres, or patroni, which is a script."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None
    return "patroni" if any(word.endswith(b"/patroni") for word in words[:3]) else executable


class Cluster:
    """The nodes, running when entered. Everything that it made is gone at the end."""

    def __init__(self):
        self.user = pwd.getpwnam(OWNER)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-cluster-"))
        self.path.chmod(0o755)
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.path, ignore_errors=True)
        self.make_switch()
        self.nodes = [Node(self, name) for name in NAMES]

    def make_switch(self):
        """Addresses are from 198.18.0.0/15, which is set aside for tests (RFC 2544)."""
        used = ip("-4", "address")
        while True:
            number = random.SystemRandom().randrange(256)
            self.label, self.control, self.data = f"doorpost-{number}", f"198.18.{number}", f"198.19.{number}"
            self.switch = f"{self.label}-switch"
            if f"{self.control}." not in used and subprocess.run(["ip", "netns", "add", self.switch], capture_output=True).returncode == 0:
                break
        self.stack.callback(ip, "netns", "delete", self.switch)
        self.port = f"doorpost-{number}"

    def connect(self):
        ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        ip("-n", self.switch, "link", "set", "switch", "up")
        ip("link", "add", self.port, "type", "veth", "peer", "name", "clients", "netns", self.switch)
        for network in (self.control, self.data):
            ip("address", "add", f"{network}.254/24", "dev", self.port)
        ip("link", "set", self.port, "up")
        for node in self.nodes:
            ip("netns", "add", node.namespace)
            self.stack.callback(ip, "netns", "delete", node.namespace)
            self.stack.callback(node.kill)
            ip("-n", self.switch, "link", "add", node.name, "type", "veth", "peer", "name", "eth0", "netns", node.namespace)
            for network in (node.control, node.data):
                ip("-n", node.namespace, "address", "add", f"{network}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", node.namespace, "link", "set", device, "up")
        for port in ("clients", *NAMES):
            ip("-n", self.switch, "link", "set", port, "master", "switch", "up")

    def configure(self):
        addresses = ",".join(f"IP:{node.data}" for node in self.nodes)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=doorpost", "-addext", f"subjectAltName={addresses}", "-keyout", self.path / "server.key", "-out", self.certificate],
                       check=True, capture_output=True)
        self.write("passwords", f"*:*:*:*:{PASSWORD}\n", os.geteuid())
        shutil.chown(self.path / "server.key", self.user.pw_uid, self.user.pw_gid)
        shipped = (ROOT / "deploy/postgresql/patroni.yml").read_text()
        for node in self.nodes:
            node.directory.mkdir(mode=0o700)
            shutil.chown(node.directory, self.user.pw_uid, self.user.pw_gid)
            text = shipped
            for old, new in {"name: db1": f"name: {node.name}", "10.0.0.1:5432": f"{node.data}:5432", "10.0.0.1:8008": f"{node.control}:8008",
                             "10.0.0.0/24": f"{self.data}.0/24", "10.0.0.": f"{self.control}.", "/usr/lib/postgresql/15/bin": programs().parent,
                             "/var/lib/postgresql/15/doorpost": node.directory / "data", "/var/lib/postgresql": node.directory,
                             "/var/run/postgresql": node.directory, "/etc/patroni/server.crt": self.certificate,
                             "/etc/patroni/server.key": self.path / "server.key", "wal_keep_size: 1GB": "wal_keep_size: 256MB",
                             "\netcd:\n": f"\n{DRIVER}:\n",
                             "synchronous_mode: true # with Patroni 4 and later: quorum": f"synchronous_mode: {MODE}",
                             # On a machine that has one, a paused node would restart it.
                             "mode: automatic": "mode: off",
                             **{f"{name}-PASSWORD": PASSWORD for name in ("API", "SUPERUSER", "REPLICATION", "REWIND")}}.items():
                check(old in text, "patroni.yml does not mention", old)
                text = text.replace(old, str(new))
            self.write(f"{node.name}/patroni.yml", text, self.user.pw_uid)

    def write(self, name, text, owner):
        path = self.path / name
        path.write_text(text)
        path.chmod(0o600)
        shutil.chown(path, owner)

    @property
    def certificate(self):
        return self.path / "server.crt"

    def environment(self):
        return {"PATH": os.environ["PATH"], "PGPASSFILE": str(self.path / "passwords"), "PGCONNECT_TIMEOUT": "5"}

    def url(self, *nodes, user, database="postgres", more=""):
        hosts = ",".join(f"{node.data}:5432" for node in nodes or self.nodes)
        return f"postgresql://{user}@{hosts}/{database}?sslmode=verify-full&sslrootcert={self.certificate}{more}"

    def __enter__(self):
        try:
            self.connect()
            self.configure()
            for node in self.nodes:
                node.start()
            self.wait_until_healthy()
        except BaseException:
            self.show_logs()
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def show_logs(self):
        for log in sorted(self.path.glob("*/*.log")):
            print("\n".join(f"# {log.parent.name} {log.stem}: {line}" for line in log.read_text(errors="replace").splitlines()[-15:]), flush=True)

    def primary(self):
        """The node that Patroni says is the primary, or None."""
        return next((node for node in self.nodes if node.is_primary()), None)

    def wait_for_primary(self):
        return eventually(self.primary, "a primary")

    def synchronous_standby(self, primary):
        """The node that would become the primary."""
        rows = primary.query("SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')")
        return next((node for node in self.nodes if rows and [node.name] in rows), None)

    def is_healthy(self):
        """Two standbys that follow the primary, and one of them may become the primary. Returns the primary, or None."""
        primary = self.primary()
        state = primary and ask(primary.control, 8008, "GET", "/cluster")
        members = state["members"] if state else []
        roles = sorted(member["role"] for member in members)
        rows = primary and primary.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
        good = len(members) == len(self.nodes) and {member["state"] for member in members} <= {"running", "streaming"} and \
            any(role in ("sync_standby", "quorum_standby") for role in roles) and rows is not None and len(rows) == 2
        return primary if good else None

    def wait_until_healthy(self):
        return eventually(self.is_healthy, "the cluster", 2 * PATIENCE)


class Watch:
    """Notes when rows became visible on a primary. One psql a node looks ten times a second."""

    QUERY = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(max(number), 0) END FROM events \\watch 0.1\n"

    def __init__(self, cluster):
        self.cluster, self.ending, self.lock = cluster, threading.Event(), threading.Lock()
        self.last, self.longest, self.processes = time.monotonic(), 0, {}
        self.threads = [threading.Thread(target=self.follow, args=(node,), daemon=True) for node in cluster.nodes]
        for thread in self.threads:
            thread.start()

    def follow(self, node):
        while not self.ending.wait(0.2):
            process = subprocess.Popen([programs().parent / "psql", "-XqAt", "-d", self.cluster.url(node, user=OWNER, database="doorpost",
                                                                                more="&keepalives_idle=2&tcp_user_timeout=3000")],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       env={**self.cluster.environment(), "PGCONNECT_TIMEOUT": "2"})
            self.processes[node] = process
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(self.QUERY)
                process.stdin.flush()
            seen = None
            for line in process.stdout:
                if line.strip().isdigit():
                    number = int(line)
                    if number and seen is not None and number != seen:
                        self.row()
                    seen = number or None
            process.kill()
            process.communicate()

    def row(self):
        with self.lock:
            now = time.monotonic()
            self.longest, self.last = max(self.longest, now - self.last), now

    def reset(self):
        with self.lock:
            self.last, self.longest = time.monotonic(), 0

    def stop(self):
        self.ending.set()
        for process in list(self.processes.values()):
            process.kill()
        for thread in self.threads:
            thread.join(PATIENCE)
