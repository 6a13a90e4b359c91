"""The bundle for shared hosts: the same bytes twice; unpacked and installed by an ordinary user into an empty home, with install.sh
and by hand; served by an Apache that runs with that user's rights alone, as suEXEC would have it, and sets nothing."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

from support.assertions import PATIENCE, check, wait_for
from support.deliveries import KEY, load, press, sign
from support.journal import verify_journal
from support.laboratory import ROOT, Lab, Result, make
from support.runner import run_tests
from support.servers import Server, free_port

USER = 54321  # of no name, and without any right


def make_bundle(root):
    result = make("bundle", cwd=root)
    told = [line for line in result.stderr.splitlines() if line.strip()]
    check(not told, "warnings:", *told)
    return root / result.stdout.splitlines()[-1]


BUNDLE = []


def bundle():
    if not BUNDLE:
        BUNDLE.append(make_bundle(ROOT))
    return BUNDLE[0]


def two_builds_give_the_same_bytes():
    first = bundle()
    with Lab() as lab:
        other = lab.path / "elsewhere"
        shutil.copytree(ROOT, other, ignore=shutil.ignore_patterns("build", ".git"))
        digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, make_bundle(other))}
        check(len(digests) == 1, "the bundle depends on where it is built")


class Home:
    """An empty home directory, and what its user does in it."""

    def __init__(self, lab):
        self.lab, self.path = lab, lab.path / "home"
        self.path.mkdir(mode=0o755)
        self.root = self.path / "public_html"
        self.private = self.path / "doorpost"
        self.user = {"user": USER, "group": USER, "extra_groups": []} if lab.user else {}
        if lab.user:
            os.chown(self.path, USER, USER)
        self.run("mkdir", self.root)
        self.run("tar", "xzf", shutil.copy(bundle(), lab.path))
        self.unpacked = next(self.path.glob("doorpost-*"))

    def run(self, *command, check_it=True, input=""):
        done = subprocess.run([str(part) for part in command], cwd=self.path, env={"HOME": str(self.path), "PATH": os.environ["PATH"]},
                              input=input, capture_output=True, text=True, timeout=PATIENCE, umask=0o022, **self.user)
        result = Result(done.returncode, done.stdout, done.stderr)
        return result.ok() if check_it else result

    def serve(self, port):
        """Apache for this home alone, with this user's rights, and no word about Doorpost in its configuration."""
        modules = pathlib.Path("/usr/lib/apache2/modules")
        logs = self.path / "logs"
        self.run("mkdir", "-p", logs)
        config = self.path / "apache.conf"
        config.write_text("\n".join([
            f"ServerRoot {self.path}", f"Listen 127.0.0.1:{port}", "ServerName localhost", f"PidFile {logs}/pid",
            f"ErrorLog {logs}/error.log", f"DefaultRuntimeDir {logs}", f"ScriptSock {logs}/cgisock", f"DocumentRoot {self.root}",
            *(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in ("mpm_event", "authz_core", "cgid")),
            f"<Directory {self.root}>", "AllowOverride All", "Require all granted", "</Directory>", ""]))
        process = self.lab.start(["apache2", "-DFOREGROUND", "-f", str(config)],
                                 env={"PATH": os.environ["PATH"]}, stderr=subprocess.DEVNULL, **self.user)
        server = Server(self.lab, port, process, "/cgi-bin/doorpost.cgi")

        def up():
            with contextlib.suppress(OSError):
                return server.request(b"", None, method="GET", path="/")[0]
            return None
        wait_for(up, "Apache")
        return server

    def is_well_protected(self):
        for path, mode in ((self.private, 0o700), (self.private / "key", 0o600), (self.private / "doorpost.env", 0o600),
                           (self.private / "journal", 0o700), (self.private / "client", 0o600), (self.private / "door", 0o700),
                           (self.root / "cgi-bin/doorpost.cgi", 0o755), (self.root / "cgi-bin/door.cgi", 0o755),
                           (self.root / "cgi-bin", 0o755)):
            check(path.stat().st_mode & 0o777 == mode, path, oct(path.stat().st_mode))

    def takes_presses(self, server, first):
        self.lab.journal = self.private / "journal"
        bodies = [press(number) for number in range(first, first + 200)]
        for body, answers in load(server.request, bodies, 8).items():
            check(answers[0][:2] == (200, "stored"), answers, (self.path / "logs/error.log").read_text())
        one = bodies[0]
        check(json.loads(server.request(one, sign(one))[2])["status"] == "duplicate", "a duplicate")
        check(server.request(one, sign(one, "another key altogether"))[0] == 401, "a wrong signature")
        return verify_journal(self.lab)


def install_sh_does_it_all():
    with Lab() as lab:
        home, port = Home(lab), free_port()
        home.run("mkdir", home.root / "cgi-bin")
        server = home.serve(port)
        (home.path / "ring-key").write_text(KEY + "\n")
        # The place of cgi-bin is proposed, the site has to be said.
        out = home.run("./" + home.unpacked.name + "/install.sh", "--key-file", "ring-key", input=f"\nhttp://127.0.0.1:{port}/\n").stdout
        door = f"http://127.0.0.1:{port}/cgi-bin/door.cgi"
        urls = "".join(f"    {name:<18}  {url}\n" for name, url in (
            ("Webhook URL", server.url), ("Token Exchange URL", door), ("Account Link URL", door), ("App Homepage URL", door)))
        check(f"Register these URLs with Ring:\n\n{urls}" in out and "All checks passed" in out, out)
        check(f"client secret, a line each, into {home.private}/client" in out, out)
        home.is_well_protected()
        check(len(home.takes_presses(server, 0)) == 201, "200 presses and the one of doctor")

        # An update while deliveries come in: the programs alone are replaced.
        key = (home.private / "key").stat()
        out = home.run(home.unpacked / "install.sh", "--url", server.url, "--cgi-bin", home.root / "cgi-bin").stdout
        check("All checks passed" in out and (home.private / "key").stat().st_ino == key.st_ino, out)
        home.takes_presses(server, 1000)
        check("event-1000" in home.run(home.private / "doorpost", "log", "--json", "-n", "300").stdout, "the tool finds the journal")

        # The door page: off until Ring's client id and secret are there.
        check(server.request(b"", None, method="GET", path="/cgi-bin/door.cgi")[0] == 503, "the door page")
        home.run("tee", "-a", home.private / "client", input="an-id\na-secret\n")
        out = home.run(home.unpacked / "install.sh", "--url", server.url, "--cgi-bin", home.root / "cgi-bin").stdout
        check("All checks passed" in out and "client secret" not in out, out)
        status, _, text = server.request(b"", None, method="GET", path="/cgi-bin/door.cgi")
        check(status == 200 and b'name="password"' in text, status, text)
        home.run(home.private / "doorpost", "door", "user", "add", "me", input="a long password\n")

        # A press starts something; the runner is beside the settings.
        seen = home.path / "seen"
        with open(home.private / "doorpost.env", "a") as settings:
            settings.write(f"DOORPOST_ON_EVENT=/usr/bin/touch {seen}\n")
        body = press(5000)
        check(server.request(body, sign(body))[0] == 200, "a press")
        wait_for(seen.exists, "the command for a press")


def what_goes_wrong_is_told():
    with Lab() as lab:
        home = Home(lab)
        install = [home.unpacked / "install.sh", "--url", f"http://127.0.0.1:{free_port()}/", "--cgi-bin", "public_html/cgi-bin"]
        result = home.run(*install, "--private", home.root / "doorpost", check_it=False).fails()
        check("in a directory that the web server serves" in result.stderr, result)
        check(not (home.root / "cgi-bin/doorpost.cgi").exists(), "half an installation")
        check("needs a value" in home.run(*install, "--private", check_it=False).fails().stderr, "no value")
        check("unknown option --help-me" in home.run(*install, "--help-me", check_it=False).fails().stderr, "an unknown option")
        (home.path / "short").write_text("short\n")
        check("16 bytes" in home.run(*install, "--key-file", "short", check_it=False).fails().stderr, "a short key")
        (home.path / "ring-key").write_text(KEY + "\n")
        result = home.run(*install, "--key-file", "ring-key", check_it=False).fails()  # nobody serves that URL
        check("no answer from" in result.stdout and "When it reports no problem" in result.stdout, result)
        (home.unpacked / "doorpost/doorpost").chmod(0o600)
        check("unpack the bundle again with tar" in home.run(*install, check_it=False).fails().stderr, "a program that cannot be run")


def by_file_manager_alone():
    """The page of instructions, step by step: nothing is run."""
    with Lab() as lab:
        home, port = Home(lab), free_port()
        home.run("cp", "-R", home.unpacked / "doorpost", home.private)
        home.run("chmod", "700", home.private)
        home.run("sh", "-c", f"printf '%s\\n' '{KEY}' >>doorpost/key && chmod 600 doorpost/key")
        home.run("mkdir", home.root / "cgi-bin")
        home.run("cp", *(home.unpacked / "cgi-bin" / name for name in ("doorpost.cgi", "door.cgi", ".htaccess")), home.root / "cgi-bin")
        home.run("chmod", "755", home.root / "cgi-bin/doorpost.cgi", home.root / "cgi-bin/door.cgi")
        server = home.serve(port)
        status, _, text = server.request(b"", None, method="GET")
        shown = re.search(r'^ +(\{"status":"method_not_allowed"\})$', (home.unpacked / "INSTRUCTIONS.md").read_text(), re.MULTILINE)
        check(status == 405 and text.decode().strip() == shown.group(1), text)
        check(len(home.takes_presses(server, 0)) == 200, "not all are kept")
        # The door page's step.
        home.run("sh", "-c", "printf 'an-id\\na-secret\\n' >>doorpost/client && chmod 600 doorpost/client && chmod 700 doorpost/door && "
                 "sed -i 's/^# \\(DOORPOST_\\(DOOR\\|CLIENT_FILE\\)=\\)/\\1/' doorpost/doorpost.env")
        status, _, text = server.request(b"", None, method="GET", path="/cgi-bin/door.cgi")
        check(status == 200 and b'name="password"' in text, status, text)


def each_answer_is_in_the_instructions():
    instructions = (ROOT / "deploy/shared-hosting/INSTRUCTIONS.md").read_text()
    answers = set(re.findall(r'\{(\d{3}), "(\w+)"\}', (ROOT / "cgi/response.c").read_text()))
    check(len(answers) >= 9, answers)
    missing = [answer for answer in answers if "{} `{}`".format(*answer) not in instructions]
    check(not missing, "not explained:", missing)
    seen = instructions[instructions.index("| what you see |"):instructions.index("**Register that URL**")]
    tool = re.search(r'"Status: (\d{3}) .*\\r\\n\\r\\n(.*)\\n"', (ROOT / "cli/main.c").read_text())
    check(f"`{tool.group(2)}` ({tool.group(1)})" in seen, "what the tool says to the web is not explained")
    for answer in ('"unavailable"', "401", "403", "404", "405", "500", "502", "503", "508"):
        check(answer in seen, answer, "may be seen in a browser, and is not explained")


def the_programs_need_no_libraries():
    with Lab() as lab:
        home = Home(lab)
        for program in ("cgi-bin/doorpost.cgi", "cgi-bin/door.cgi", "doorpost/doorpost"):
            check("NEEDED" not in lab.run(["readelf", "-d", home.unpacked / program]).ok().stdout, program)
        result = home.run(home.unpacked / "doorpost/doorpost", "--version")
        check(result.stderr == "" and home.unpacked.name == f"{result.stdout.strip().replace(' ', '-')}-linux-{os.uname().machine}", result)


def the_tool_says_that_it_knows_no_database():
    with Lab() as lab:
        home = Home(lab)
        for arguments in (["--to", "postgresql:///doorpost"], ["--to", "service=doorpost", "--once"]):
            result = home.run(home.unpacked / "doorpost/doorpost", "forward", "--journal", home.path, *arguments, check_it=False)
            check("this doorpost was built without PostgreSQL: " in result.fails().stderr, result)


run_tests(each_answer_is_in_the_instructions, two_builds_give_the_same_bytes, the_programs_need_no_libraries, the_tool_says_that_it_knows_no_database, install_sh_does_it_all, what_goes_wrong_is_told,
          by_file_manager_alone)
