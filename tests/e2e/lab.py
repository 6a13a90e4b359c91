"""What the end-to-end tests share: a laboratory (a directory with key, journal and settings), a FastCGI client, and an
independent reading of the journal. The web servers are in servers.py.

Nothing here uses Doorpost's own code: HMAC and BLAKE2b come from Python."""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import pty
import pwd
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("DOORPOST_CGI", ROOT / "build/check/doorpost.cgi"))
TOOL = BINARY.with_name("doorpost")
VECTORS = ROOT / "tests/vectors"
KEY = (VECTORS / "key.txt").read_text().strip()
PATIENCE = int(os.environ.get("PATIENCE", "120"))  # seconds until a condition that must come is given up on, on however slow a machine

# What a shell has started in the background ignores SIGINT, and so would everything that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- tests ----

def run_tests(*tests):
    """Runs the functions (those that the command line names, where it names any), prints TAP, and ends the process. A
    test fails by raising."""
    failed = 0
    tests = [test for test in tests if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        name = getattr(test, "title", test.__name__.replace("_", " "))
        try:
            skipped = test()
            note = f" # SKIP {skipped}" if isinstance(skipped, str) else ""
            print(f"ok {number} - {name}{note}", flush=True)
        except Exception:  # noqa: BLE001: whatever it is, the test failed
            failed += 1
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
            print(f"not ok {number} - {name}", flush=True)
    sys.exit(failed > 0)


def check(condition, *explanation):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in explanation))


def wait_for(condition, what):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        check(time.monotonic() < end, "gave up waiting for", what)
        time.sleep(0.01)
    return value


def make(*arguments, cwd=ROOT):
    """Runs make as a person would, whichever make runs the tests. Returns what it said."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    result = subprocess.run(["make", "-j2", "--no-print-directory", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    return Result(result.returncode, result.stdout, result.stderr).ok()


def copy_door(path):
    """Copies the door page's program there. If it is not built, as for benchmarks, the receiver stands in: another worker."""
    built = BINARY.with_name("doorpost-door.cgi")
    return shutil.copy(built if built.exists() else BINARY, path)


def open_terminal():
    """Both ends of a new terminal, or None where the system has none to give."""
    try:
        return pty.openpty()
    except OSError:
        return None


# ---- deliveries ----

def sign(body, key=KEY):
    return "sha256=" + hmac.new(key.encode() if isinstance(key, str) else key, body, hashlib.sha256).hexdigest()


def press(number, **meta):
    """The body of a press that differs from all others by its number (or name)."""
    device = f"device-{sum(str(number).encode()) % 5}"
    return json.dumps({
        "meta": {"version": "1.1", "time": "2026-02-14T00:02:53.027052438Z", "request_id": f"request-{number}",
                 "account_id": "account-1", **meta},
        "data": {"id": f"event-{number}", "type": "button_press",
                 "attributes": {"source": device, "source_type": "devices", "timestamp": 1771027372393},
                 "relationships": {"devices": {"links": {"self": f"/v1/devices/{device}"}}}}},
        separators=(",", ":")).encode()


def vectors():
    """(file name, body, key, signature) of each sample. `key` is the line for a key file."""
    for line in (VECTORS / "signatures.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            name, reading, signature = line.split("\t")
            key = (VECTORS / reading.split(" ")[0]).read_text().strip()
            yield name, (VECTORS / name).read_bytes(), key, signature


# ---- the laboratory ----

class Result:
    """How a program ended, and what it said."""

    def __init__(self, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr

    def __repr__(self):
        return f"exit status {self.returncode}\n{self.stdout}\n{self.stderr}"

    def ok(self):
        check(self.returncode == 0, "a failure:", self)
        return self

    def fails(self, returncode=1):
        check(self.returncode == returncode, "exit status", returncode, "was expected:", self)
        return self


class Lab:
    """A directory of its own under /tmp, readable for the user that the web servers switch to."""

    def __init__(self, **settings):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-lab-"))
        self.path.chmod(0o755)
        self.journal = self.path / "journal"
        self.key_file = self.path / "keys"
        self.env_file = self.path / "doorpost.env"
        self.bin = self.path / "bin"
        self.logs = self.path / "logs"
        self.certificate = None  # of the web server, where one was started
        self.bin.mkdir()
        self.binary = self.bin / "doorpost.cgi"
        shutil.copy(BINARY, self.binary)
        self.user = pwd.getpwnam("www-data") if os.geteuid() == 0 else None
        for directory in (self.journal, self.logs):
            directory.mkdir(mode=0o700)
        self.write_keys(KEY)
        self.configure(**settings)
        for path in (self.journal, self.logs):
            self.own(path)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stack.close()
        reports = [text for text in self.log_texts() if "Sanitizer" in text or "runtime error" in text]
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
            check(not reports, "a sanitizer reports:", *reports)
        else:
            for text in self.log_texts():
                print("\n".join("# log: " + line for line in text.splitlines()[-10:]))
            shutil.rmtree(self.path, ignore_errors=True)

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def write_keys(self, *keys, mode=None):
        # Made beside and moved over, as an operator's tool would, so that no worker reads half of it.
        fresh = self.path / "keys.new"
        fresh.write_text("".join(key + "\n" for key in keys))
        fresh.chmod(mode or (0o640 if self.user else 0o600))
        if self.user:  # root's, as `doorpost init` has it
            os.chown(fresh, 0, self.user.pw_gid)
        fresh.rename(self.key_file)

    def configure(self, **settings):
        values = {"KEY_FILE": self.key_file, "JOURNAL": self.journal, "LOG": "all", **settings}
        self.env_file.write_text("".join(f"DOORPOST_{name}={value}\n" for name, value in values.items()))

    def environment(self):
        trust = {"CURL_CA_BUNDLE": str(self.certificate)} if self.certificate else {}
        return {"PATH": os.environ["PATH"], "DOORPOST_CONF": str(self.env_file), **trust, **self.sanitizer_environment()}

    def sanitizer_environment(self):
        # What was freed is watched for 16 MiB more, not 256: a runner that starts a command copies the page tables of all that.
        return {"ASAN_OPTIONS": f"log_path={self.logs}/asan:quarantine_size_mb=16", "UBSAN_OPTIONS": f"log_path={self.logs}/ubsan"}

    def log_texts(self):
        return [path.read_text(errors="replace") for path in sorted(self.logs.iterdir()) if path.is_file()]

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def run(self, command, input=None, env=None, **options):
        """Runs a program to its end."""
        result = subprocess.run([str(part) for part in command], input=input, text=True, timeout=options.pop("timeout", PATIENCE),
                                env={**self.environment(), **(env or {})}, stdout=options.pop("stdout", subprocess.PIPE),
                                stderr=subprocess.PIPE, **({} if input is not None else {"stdin": subprocess.DEVNULL}), **options)
        return Result(result.returncode, result.stdout, result.stderr)

    def tool(self, *arguments, **options):
        """Runs the operator's tool with this laboratory's settings."""
        return self.run([self.own_tool if "user" in options else TOOL, *arguments], **options)

    def debian(self, root, *packages):
        """Makes a minimal Debian, of the release that is here, with these packages. Returns why there can be none, or None."""
        archive = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                                 capture_output=True, text=True).stdout.split()
        if os.geteuid() != 0 or not archive or not shutil.which("debootstrap"):
            return "no Debian can be made here"
        settings = root / "etc/dpkg/dpkg.cfg.d"
        settings.mkdir(parents=True)
        (settings / "quick").write_text("force-unsafe-io\n")  # it is thrown away after use
        include = [f"--include={','.join(packages)}"] if packages else []
        result = self.run(["debootstrap", "--variant=minbase", *include, archive[1], root, archive[0]], env={"DEBIAN_FRONTEND": "noninteractive"},
                          timeout=None)
        return None if result.returncode == 0 else f"debootstrap cannot run here: {(result.stdout + result.stderr).splitlines()[-1:]}"

    @property
    def door_program(self):
        """The door page's program, or what a test has put in its place."""
        path = self.bin / "doorpost-door.cgi"
        return path if path.exists() else copy_door(path)

    @property
    def own_tool(self):
        """A copy of the tool that the web servers' user can run, even if the build is closed to that user."""
        copy = self.path / "tools" / "doorpost"
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(TOOL, copy)
        return copy

    def receive(self, *bodies):
        """Has the handler take these bodies, as CGI."""
        for body in bodies:
            check(self.cgi(body, sign(body))[0] in (200, 400), "not taken:", body)

    def segment(self, day=None):
        """The path of a day's segment; of the newest one."""
        return self.journal / f"{day}.jsonl" if day else max(self.journal.glob("*.jsonl"))

    def write_days(self, days, key=KEY):
        """Writes a journal as the handler would have: {day: [body, ...]}, each received at noon and some."""
        chain, seq = "0" * 32, 0
        fingerprint = hashlib.sha256(key.encode()).hexdigest()[:8]
        for day, bodies in days.items():
            path = self.journal / f"{day}.jsonl"
            with open(path, "wb") as segment:
                for number, body in enumerate(bodies):
                    seq += 1
                    head = f'{{"seq":{seq},"received_at":"{day}T12:{number // 60 % 60:02}:{number % 60:02}.000000Z","key":"{fingerprint}",'
                    head += f'"signature":"{sign(body, key)}",'
                    tail = b'"event":' + body + b"}"
                    chain = hashlib.blake2b(chain.encode() + head.encode() + tail, digest_size=16).hexdigest()
                    segment.write(head.encode() + f'"chain":"{chain}",'.encode() + tail + b"\n")
            path.chmod(0o600)
            self.own(path)

    def lines(self):
        return [line for path in sorted(self.journal.glob("*.jsonl")) for line in path.read_bytes().splitlines()]

    def events(self):
        return [json.loads(line)["event"] for line in self.lines()]

    def workers(self):
        """The processes that run this laboratory's binary."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.readlink(entry / "exe") == str(self.binary):
                    found.append(int(entry.name))
        return found

    def shipped(self, name, replacements):
        """A configuration from deploy/, with its paths made this laboratory's. Each must occur."""
        text = (ROOT / "deploy" / name).read_text()
        for old, new in replacements.items():
            check(old in text, name, "does not mention", old)
        for old, new in replacements.items():
            text = text.replace(old, str(new))
        path = self.path / name.replace("/", "-")
        path.write_text(text)
        return path

    def start(self, command, **options):
        process = subprocess.Popen(command, stdin=options.pop("stdin", subprocess.DEVNULL),
                                   env=options.pop("env", self.environment()), **options)

        def stop():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.stack.callback(stop)
        return process

    def worker(self, listener, **options):
        """A FastCGI worker on a listening socket of the test's own."""
        return self.start([self.binary], stdin=listener, stderr=open(self.logs / "worker", "ab"), **options)

    def listener(self):
        path = str(self.path / f"socket-{random.randrange(1 << 30)}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen(1024)
        self.stack.callback(listener.close)
        return listener, path

    def cgi(self, body, signature=None, **variables):
        """Runs the binary once as CGI. Returns (status, header fields, body, standard error)."""
        env = {**self.environment(), "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST",
               "CONTENT_LENGTH": str(len(body)), **variables}
        if signature is not None:
            env["HTTP_X_SIGNATURE"] = signature
        result = subprocess.run([self.binary], input=body, env={k: v for k, v in env.items() if v is not None},
                                capture_output=True, timeout=PATIENCE, **self.as_user())
        check(result.returncode == 0, "exit", result.returncode, result.stderr.decode(errors="replace"))
        return (*parse_answer(result.stdout), result.stderr.decode(errors="replace"))


def parse_answer(text):
    head, _, body = text.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return int(fields["Status"].split()[0]), fields, body


# ---- a FastCGI client of the tests' own ----

# Types of records, roles, flags and kinds of ends (FastCGI 1.0, section 8).
(BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT,
 UNKNOWN_TYPE) = range(1, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)


def fastcgi_record(kind, content=b"", id=1, padding=b"", version=1):
    return struct.pack(">BBHHBx", version, kind, id, len(content), len(padding)) + content + padding


def fastcgi_begin(id=1, role=RESPONDER, flags=0):
    return fastcgi_record(BEGIN_REQUEST, struct.pack(">HB5x", role, flags), id)


def fastcgi_length(length, long=True):
    """The length of a name or a value (section 3.4), in its long form or its short one."""
    return struct.pack(">I", length | 1 << 31) if long else struct.pack(">B", length)


def fastcgi_pair(name, value, long_name=True, long_value=True):
    name, value = name.encode(), value.encode()
    return fastcgi_length(len(name), long_name) + fastcgi_length(len(value), long_value) + name + value


def fastcgi_metadata(body, signature, **parameters):
    """What a web server says of a request; parameters that are None are left out."""
    values = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "HTTP_X_SIGNATURE": signature, **parameters}
    return {name: value for name, value in values.items() if value is not None}


def fastcgi_request(body, signature, id=1, flags=0, **parameters):
    """The bytes of a request as a web server sends them (FastCGI 1.0, section 3)."""
    encoded = b"".join(fastcgi_pair(*pair) for pair in fastcgi_metadata(body, signature, **parameters).items())
    text = fastcgi_begin(id, RESPONDER, flags) + fastcgi_record(PARAMS, encoded, id) + fastcgi_record(PARAMS, b"", id)
    for start in range(0, len(body), 65535):
        text += fastcgi_record(STDIN, body[start:start + 65535], id)
    return text + fastcgi_record(STDIN, b"", id)


def fastcgi_connect(path):
    """Connects to a Unix socket, or where `path` is a pair of host and port, over TCP."""
    connection = socket.socket(socket.AF_UNIX if isinstance(path, str) else socket.AF_INET, socket.SOCK_STREAM)
    # Waits for room in the listen queue; with a timeout of Python's own, connect() would not.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
    connection.connect(path)
    connection.settimeout(PATIENCE)
    return connection


def read_exactly(connection, length):
    """None where the worker closed before."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while len(data) < length and (part := connection.recv(length - len(data))):
            data += part
    return data if len(data) == length else None


def fastcgi_records(connection):
    """Yields (type, id, content) of each record that comes, until the worker closes."""
    while header := read_exactly(connection, 8):
        version, kind, id, length, padding = struct.unpack(">BBHHBx", header)
        check(version == 1, "a record of version", version)
        content = read_exactly(connection, length + padding)
        check(content is not None, "a record of type", kind, "is cut")
        yield kind, id, content[:length]


def fastcgi_reply(connection, id=1):
    """Reads to the end of one request; the connection may stay. Returns as fastcgi_answer() does."""
    out = b""
    for kind, of, content in fastcgi_records(connection):
        out += content if (kind, of) == (STDOUT, id) else b""
        if (kind, of) == (END_REQUEST, id):
            break
    return parse_answer(out) if out else None


def fastcgi_answer(connection):
    """Reads until the worker closes. Returns (status, fields, body), or None where no answer came."""
    out = b"".join(content for kind, _, content in fastcgi_records(connection) if kind == STDOUT)
    return parse_answer(out) if out else None


def all_at_once(worker, path, bodies):
    """Sends them while the worker is stopped, so that all are waiting when it goes on. Returns the connections."""
    os.kill(worker.pid, signal.SIGSTOP)
    connections = []
    for body in bodies:
        connections.append(fastcgi_connect(path))
        connections[-1].sendall(fastcgi_request(body, sign(body)))
    os.kill(worker.pid, signal.SIGCONT)
    return connections


def fastcgi(path, body, signature, **parameters):
    with fastcgi_connect(path) as connection:
        connection.sendall(fastcgi_request(body, signature, **parameters))
        return fastcgi_answer(connection)


# ---- loads, and what must hold after them ----

def load(send, bodies, clients=16):
    """Sends every body by `clients` threads at once. Returns {body: [(status, word, seq), ...]}; where no answer came,
    the status is 0."""
    queue, answers, lock = list(enumerate(bodies)), {}, threading.Lock()
    queue.reverse()

    def client():
        while True:
            with lock:
                if not queue:
                    return
                _, body = queue.pop()
            try:
                status, _, text = send(body, sign(body))
                parsed = json.loads(text) if status == 200 else {}
                result = status, parsed.get("status"), parsed.get("seq")
            except (OSError, http.client.HTTPException, TypeError):
                result = 0, None, None
            with lock:
                answers.setdefault(body, []).append(result)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def verify_journal(lab, keys=(KEY,)):
    """Every line: JSON, numbered without a gap, chained, signed; no identifier twice. Returns the events' numbers by
    event id."""
    chain, numbers, requests = "0" * 32, {}, set()
    for expected, line in enumerate(lab.lines(), 1):
        record = json.loads(line)
        check(record["seq"] == expected, "seq", record["seq"], "where", expected, "was due")
        member = b'"chain":"' + record["chain"].encode() + b'",'
        check(line.count(member) == 1, "no chain in", line)
        chain = hashlib.blake2b(chain.encode() + line.replace(member, b""), digest_size=16).hexdigest()
        check(record["chain"] == chain, "the chain breaks at", expected)
        raw = line[line.index(b'"event":') + 8:-1]
        if record.get("verbatim", True):
            readings = [key.encode() for key in keys]
            for key in keys:
                with contextlib.suppress(ValueError):
                    readings.append(base64.b64decode(key, validate=True))
            check(record["signature"] in [sign(raw, key) for key in readings], "a line whose signature does not hold")
        event, request = record["event"]["data"]["id"], record["event"]["meta"]["request_id"]
        check(event not in numbers and request not in requests, event, "is in the journal twice")
        numbers[event] = expected
        requests.add(request)
    return numbers


def hold_lock(path):
    """Takes the append lock as another process would. Returns the open file; closing it releases the lock."""
    lock = open(path, "r+b")
    fcntl.lockf(lock, fcntl.LOCK_EX)
    return lock


def limit_file_size(pid, size):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
