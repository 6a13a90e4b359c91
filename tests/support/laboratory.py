"""A laboratory: a directory with a key, a journal and settings, the programs under test, and the processes started there."""

import contextlib
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
import subprocess
import tempfile

from support.assertions import PATIENCE, check
from support.deliveries import KEY, sign
from support.fastcgi import parse_answer
from support.journal import CHAIN_START, make_line

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("DOORPOST_CGI", ROOT / "build/check/doorpost.cgi"))
TOOL = BINARY.with_name("doorpost")
NOWHERE = "host=/nowhere dbname=doorpost"  # a database that cannot be reached


class Result:
    """A program's exit status and output."""

    def __init__(self, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr

    def __repr__(self):
        return f"exit status {self.returncode}\n{self.stdout}\n{self.stderr}"

    def ok(self):
        check(self.returncode == 0, "failed:", self)
        return self

    def fails(self, returncode=1):
        check(self.returncode == returncode, "exit status", returncode, "was expected:", self)
        return self


class Lab:
    """A new directory under /tmp, readable by the user that the web servers switch to."""

    def __init__(self, binary=BINARY, web_server_user=True, **settings):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-lab-"))
        self.path.chmod(0o755)
        self.journal = self.path / "journal"
        self.key_file = self.path / "keys"
        self.env_file = self.path / "doorpost.env"
        self.bin = self.path / "bin"
        self.logs = self.path / "logs"
        self.certificate = None  # of the web server, if one was started
        self.bin.mkdir()
        self.binary = self.bin / "doorpost.cgi"
        shutil.copy(binary, self.binary)
        self.built_tool = pathlib.Path(binary).with_name("doorpost")
        self.user = pwd.getpwnam("www-data") if os.geteuid() == 0 and web_server_user else None
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
        # Written to a new file and renamed, as an operator's tool does, so that no worker reads half of it.
        fresh = self.path / "keys.new"
        fresh.write_text("".join(key + "\n" for key in keys))
        fresh.chmod(mode or (0o640 if self.user else 0o600))
        if self.user:  # root owns it, as after `doorpost init`
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
        """Runs a program and waits for its end."""
        result = subprocess.run([str(part) for part in command], input=input, text=True, timeout=options.pop("timeout", PATIENCE),
                                env={**self.environment(), **(env or {})}, stdout=options.pop("stdout", subprocess.PIPE),
                                stderr=subprocess.PIPE, **({} if input is not None else {"stdin": subprocess.DEVNULL}), **options)
        return Result(result.returncode, result.stdout, result.stderr)

    def tool(self, *arguments, **options):
        """Runs the operator's tool with this laboratory's settings."""
        return self.run([self.own_tool if "user" in options else self.built_tool, *arguments], **options)

    def debian(self, root, *packages):
        """Makes a minimal Debian of this machine's release, with these packages. Returns None, or why that is not possible."""
        archive = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                                 capture_output=True, text=True).stdout.split()
        if os.geteuid() != 0 or not archive or not shutil.which("debootstrap"):
            return "debootstrap, root or a Debian archive is missing"
        settings = root / "etc/dpkg/dpkg.cfg.d"
        settings.mkdir(parents=True)
        (settings / "quick").write_text("force-unsafe-io\n")  # it is deleted after use
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
            shutil.copy(self.built_tool, copy)
        return copy

    def receive(self, *bodies):
        """Sends these bodies to the handler, as CGI."""
        for body in bodies:
            check(self.cgi(body, sign(body))[0] in (200, 400), "not taken:", body)

    def segment(self, day=None):
        """The path of a day's segment, or of the newest one."""
        return self.journal / f"{day}.jsonl" if day else max(self.journal.glob("*.jsonl"))

    def write_days(self, days, key=KEY):
        """Writes a journal as the handler does: {day: [body, ...]}, received from noon on, a second apart."""
        chain, seq = CHAIN_START, 0
        for day, bodies in days.items():
            path = self.journal / f"{day}.jsonl"
            with open(path, "wb") as segment:
                for number, body in enumerate(bodies):
                    seq += 1
                    received_at = f"{day}T12:{number // 60 % 60:02}:{number % 60:02}.000000Z"
                    line, chain = make_line(chain, seq, received_at, body, sign(body, key), key)
                    segment.write(line + b"\n")
            path.chmod(0o600)
            self.own(path)

    def lines(self):
        """The journal's lines as bytes, without their line breaks, oldest day first."""
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
        """A configuration from deploy/, with its paths replaced by this laboratory's. Each of them must occur."""
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
        """A FastCGI worker on the test's own listening socket."""
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


def make(*arguments, cwd=ROOT):
    """Runs make as from a shell, even if make runs the tests. Returns its Result."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    result = subprocess.run(["make", "-j2", "--no-print-directory", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    return Result(result.returncode, result.stdout, result.stderr).ok()


def copy_door(path):
    """Copies the door page's program there. If it is not built, as for benchmarks, the receiver stands in: another worker."""
    built = BINARY.with_name("doorpost-door.cgi")
    return shutil.copy(built if built.exists() else BINARY, path)


def open_terminal():
    """Both ends of a new terminal, or None if the system has none left."""
    try:
        return pty.openpty()
    except OSError:
        return None


def limit_file_size(pid, size):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
