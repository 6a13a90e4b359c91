"""A PostgreSQL server of the test's own, in a directory of its own, behind a Unix socket in that directory; and a proxy between it and
its clients, which cuts and stalls connections."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse

from support.assertions import PATIENCE, check, wait_for
from support.laboratory import TOOL
from support.servers import free_port

OWNER = "postgres"  # the superuser; if the tests run as root, the server's user is called so too, because PostgreSQL refuses root
USERS = {"writer": "doorpost_writer", "reader": "doorpost_reader", "runner": "doorpost_runner"}  # who logs in, with which role
FIELD, ROW = "\x1f", "\x1e"
ENDINGS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}  # as pg_ctl stop -m


def programs():
    """The directory with the programs of the newest PostgreSQL that is installed, or None."""
    return max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(re.sub(r"\D", "", path.parts[-3])), default=None)


def missing_postgres():
    """Why a test that needs a server is skipped, or None."""
    if not programs():
        return "PostgreSQL is not installed here: deploy/deps.sh stream"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(OWNER)
        except KeyError:
            return f"PostgreSQL refuses to run as root, and there is no user {OWNER}"
    return None


def location(directory, port, database, user=None, **parameters):
    """The URL of a database behind a Unix socket in a directory, or on a host."""
    parameters = {"host": directory, "port": port, **parameters}
    return f"postgresql://{f'{user}@' if user else ''}/{database}?{urllib.parse.urlencode(parameters)}"


def free_room(size):
    """A function that makes a directory a file system of so many MiB, which a test can fill; None if that is not possible here."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
        return None
    return lambda path: subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0700", "doorpost-test", path], check=True)


class Postgres:
    """The server, running, with the database `doorpost`, the schema, and a user for each role. `room`: from free_room(). Without `tcp` it
    has no port; without `fsync` a crash of the machine would cost data, and tests of anything else are faster. `standby_of`: it is a copy of
    that server, which follows it and can only be read until promote()."""

    def __init__(self, fsync=True, tcp=False, room=None, schema=True, standby_of=None, **settings):
        self.user = pwd.getpwnam(OWNER) if os.geteuid() == 0 else None
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-pg-", dir="/tmp"))  # a socket's path has at most 107 bytes
        self.path.chmod(0o755)
        self.data, self.log, self.mounted, self.process = self.path / "data", self.path / "log", False, None
        self.bin, self.port = programs().parent, free_port() if tcp else 5432
        self.settings = {"listen_addresses": "127.0.0.1" if tcp else "", "unix_socket_directories": self.path, "port": self.port,
                         "fsync": "on" if fsync else "off", "max_connections": 50, "shared_buffers": "32MB", "timezone": "UTC",
                         "log_min_messages": "warning", "log_line_prefix": "%t [%p] %d ", **settings}
        try:
            self.data.mkdir()
            if room:
                room(self.data)
                self.mounted = True
            for path in (self.path, self.data):
                self.own(path)
            if standby_of:
                self.data.chmod(0o700)
                self.as_owner("pg_basebackup", "--no-sync", "--checkpoint=fast", "--write-recovery-conf", "-D", self.data, "-d", standby_of.url(OWNER))
            else:
                self.as_owner("initdb", "--no-sync", "-A", "trust", "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8",
                              *(["--wal-segsize=1"] if room else []), "-D", self.data)
            self.start()
            if not standby_of:
                self.create(schema=schema)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("\n".join(f"# postgres: {line[:300]}" for line in self.said().splitlines()[-20:]))
        self.close()

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def options(self):
        drop = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        return {"cwd": self.path, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **drop}

    def as_owner(self, program, *arguments, input=None):
        """Runs one of PostgreSQL's programs as the server's user, and returns what it prints."""
        stdin = {"input": input.encode()} if input is not None else {"stdin": subprocess.DEVNULL}
        result = subprocess.run([self.bin / program, *map(str, arguments)], capture_output=True, timeout=PATIENCE, **stdin, **self.options())
        output, errors = result.stdout.decode(), result.stderr.decode(errors="replace")  # with line breaks as they are
        check(result.returncode == 0, program, "failed:", output, errors)
        return output

    # ---- the server ----

    def start(self):
        """Starts the server, and waits until it is ready."""
        command = [self.bin / "postgres", "-D", self.data, *(f"--{name}={value}" for name, value in self.settings.items())]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.options())
        self.wait_until_ready()

    def answers(self):
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.path, "-p", str(self.port)], **self.options()).returncode == 0

    def wait_until_ready(self):
        def ready():
            check(self.process.poll() is None, "the server ended:", self.said())
            return self.answers()
        wait_for(ready, "PostgreSQL")

    def stop(self, mode="fast"):
        """What pg_ctl stop -m MODE does."""
        self.process.send_signal(ENDINGS[mode])
        self.process.wait(PATIENCE)

    def processes(self):
        """The pids of the server's processes other than the first."""
        with contextlib.suppress(OSError):
            return [int(pid) for pid in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]
        return []

    def kill(self):
        """Kills the first process, as the kernel does that is out of memory; the others notice it and end."""
        others = self.processes()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in others), "the processes of the server to end")

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def promote(self):
        """Makes a standby a server that can be written to."""
        self.sql("SELECT pg_promote()", database="postgres")

    def said(self):
        """The server's log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.stop("immediate")
        if self.mounted:
            subprocess.run(["umount", self.data], check=True)
        shutil.rmtree(self.path, ignore_errors=True)

    # ---- databases ----

    def url(self, user="writer", database="doorpost", **parameters):
        """For clients on the Unix socket; without a user, libpq takes the name of the process's own."""
        return location(self.path, self.port, database, user, **parameters)

    def sql(self, text, database="doorpost", user=OWNER):
        """Executes statements. Returns the rows of the last one that has any: tuples of strings, with "" for NULL."""
        output = self.as_owner("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", FIELD, "-R", ROW, "-d", self.url(user, database), "-f", "-", input=text)
        return [tuple(row.split(FIELD)) for row in output.removesuffix("\n").split(ROW)] if output.strip("\n") else []

    def value(self, text, **where):
        """The only value that a query returns."""
        (only,), = self.sql(text, **where)
        return only

    def create(self, database="doorpost", schema=True, encoding="UTF8"):
        """Creates a database, empty or with the schema."""
        locale = "C.UTF-8" if encoding == "UTF8" else "C"
        self.sql(f"CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE '{locale}' LC_CTYPE '{locale}'", database="postgres")
        if schema:
            self.load_schema(database)
        return database

    def load_schema(self, database="doorpost"):
        self.sql(schema_text(), database)
        for user, role in USERS.items():
            self.sql(f"""DO $$ BEGIN CREATE USER {user}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                         GRANT {role} TO {user}""", database)

    def drop(self, database="doorpost"):
        self.sql(f"DROP DATABASE {database} WITH (FORCE)", database="postgres")


def schema_text():
    """What an operator loads."""
    return subprocess.run([TOOL, "forward", "--schema"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True).stdout


class Proxy:
    """Stands between clients and a server. What happens to the connections is what the test says:

    cut()        ends all of them, also in the middle of an answer
    cut_before   bytes: a connection ends when the server sends them; the client does not get them
    stall()      nothing gets through, in either direction, until resume(); new connections are accepted, and stall too
    strand()     nothing gets through the connections that there are any more, as if a firewall had forgotten them
    refuse()     no connection is possible until accept()

    It listens on a Unix socket of its own, or with `tcp` on a port."""

    def __init__(self, server, tcp=False):
        self.server, self.target = server, str(server.path / f".s.PGSQL.{server.port}")
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-px-", dir="/tmp"))
        self.path.chmod(0o755)
        self.port = free_port() if tcp else 5432
        self.host, self.address = ("127.0.0.1", ("127.0.0.1", self.port)) if tcp else (self.path, str(self.path / f".s.PGSQL.{self.port}"))
        self.connections = self.cuts = 0  # how many there were
        self.cut_before = self.listener = None
        self.flowing, self.lock, self.pairs = threading.Event(), threading.Lock(), set()
        self.stranded = set()
        self.flowing.set()
        self.accept()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.refuse()
        self.cut()
        self.flowing.set()
        shutil.rmtree(self.path, ignore_errors=True)

    def url(self, user="writer", database="doorpost", **parameters):
        return location(self.host, self.port, database, user, **parameters)

    def accept(self):
        self.listener = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(self.address)
        if isinstance(self.address, str):
            os.chmod(self.address, 0o777)
        self.listener.listen(64)
        threading.Thread(target=self.take, args=(self.listener,), daemon=True).start()

    def refuse(self):
        if self.listener:
            with contextlib.suppress(FileNotFoundError, TypeError):
                os.unlink(self.address)
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self.listener.close()
        self.listener = None

    def cut(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.end(pair)

    def end(self, pair):
        with self.lock:
            self.cuts += pair in self.pairs
            self.pairs.discard(pair)
        for connection in pair:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stall(self):
        self.flowing.clear()

    def resume(self):
        self.flowing.set()

    def strand(self):
        with self.lock:
            self.stranded |= self.pairs

    def take(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self.target)
                except OSError:
                    client.close()
                    server.close()
                    continue
                pair = (client, server)
                with self.lock:
                    self.connections += 1
                    self.pairs.add(pair)
                for source, sink in (pair, pair[::-1]):
                    threading.Thread(target=self.pass_on, args=(pair, source, sink), daemon=True).start()

    def pass_on(self, pair, source, sink):
        from_server = source is pair[1]
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.flowing.wait()
                if pair in self.stranded:
                    continue
                at = data.find(self.cut_before) if from_server and self.cut_before else -1
                sink.sendall(data[:at] if at >= 0 else data)
                if at >= 0:
                    break
        self.end(pair)
        source.close()
