"""Whoever speaks FastCGI to a worker, as it comes or with kept connections: each of 20,000 signed presses (300 if QUICK is set) by
several clients at once is answered 200 and kept once, and so is a body that comes in chunks."""

import collections
import contextlib
import os
import pathlib
import select
import subprocess

from support import servers
from support.assertions import PATIENCE, check
from support.deliveries import load, press, sign
from support.fastcgi import fastcgi_answer, fastcgi_connect, fastcgi_request, parse_answer
from support.journal import verify_journal
from support.laboratory import BINARY, Lab
from support.runner import run_tests

PRESSES = 300 if "QUICK" in os.environ else 20000
CLIENTS = 8
SCRIPTS = pathlib.Path(__file__).with_name("clients")
MODULES = {"fastcgi-client": "0.2.0"}
PHP_CLIENTS = {"adoy": ("adoy/fastcgi-client", r"Adoy\FastCGI\Client"),
               "hollodotme": ("hollodotme/fast-cgi-client:^3.1", r"hollodotme\FastCGI\Client")}


class Front:
    """A worker in its laboratory, and the path of its socket."""

    def __init__(self, lab):
        self.lab = lab
        listener, self.path = lab.listener()
        self.worker = lab.worker(listener)

    def sockets(self):
        """Which sockets the worker has open."""
        found = set()
        for entry in pathlib.Path(f"/proc/{self.worker.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(entry))
        return {name for name in found if name.startswith("socket:")}


def all_are_kept_once(lab, bodies, statuses):
    check(collections.Counter(statuses) == {200: len(bodies)}, collections.Counter(statuses))
    numbers = verify_journal(lab)
    check(len(numbers) == len(bodies), len(numbers), "lines")


def statuses_of(answers):
    return [status for answer in answers.values() for status, _, _ in answer]


# ---- web servers ----

def through(start, program, keeps):
    def test():
        if why := servers.missing(program):
            return why
        with Lab(LOG="problems") as lab:
            front = Front(lab)
            server = start(lab, front.path)
            bodies = [press(number) for number in range(PRESSES)]
            all_are_kept_once(lab, bodies, statuses_of(load(server.keeping(), bodies, CLIENTS)))
            check(not keeps or keeps_a_connection(front, server), "no connection is kept")
            in_chunks(lab, server)
        return None
    test.title = test.__name__ = start.__name__.replace("_", " ")
    return test


def keeps_a_connection(front, server):
    """Asked by one client: HAProxy does not send the first request of one client on a connection of another."""
    send, kept = server.keeping(), []

    def watched(body, signature):
        before = front.sockets()
        answer = send(body, signature)
        kept.append(front.sockets() <= before)
        return answer
    check(set(statuses_of(load(watched, [press(f"kept-{number}") for number in range(5)], clients=1))) == {200}, "not taken")
    return any(kept)


def in_chunks(lab, server):
    body = press("in-chunks")
    file = lab.path / "body"
    file.write_bytes(body)
    status, _, text = server.curl("-H", f"X-Signature: {sign(body)}", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{file}")
    check(status == 200, "a body in chunks:", status, text)
    check("event-in-chunks" in verify_journal(lab), "a body in chunks was not kept")


WEB_SERVERS = [through(servers.nginx_keeping, "nginx", True), through(servers.apache_keeping, "apache2", True),
               through(servers.haproxy, "haproxy", True), through(servers.haproxy_asking, "haproxy", True),
               through(servers.lighttpd_plain, "lighttpd", False), through(servers.caddy, "caddy", False),
               through(servers.h2o, "h2o", True)]


# ---- clients ----

def cgi_fcgi():
    """It is started for each request, as a CGI program that passes it on."""
    if why := servers.missing("cgi-fcgi"):
        return why
    with Lab(LOG="problems") as lab:
        front = Front(lab)
        bodies = [press(number) for number in range(PRESSES)]

        def send(body, signature):
            result = subprocess.run(["cgi-fcgi", "-bind", "-connect", front.path], input=body, capture_output=True, check=True,
                                    env={"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "HTTP_X_SIGNATURE": signature})
            return parse_answer(result.stdout)
        all_are_kept_once(lab, bodies, statuses_of(load(send, bodies, CLIENTS)))
    return None


def by_scripts(command):
    """Each of several runs of a script sends its share. It prints a status a line."""
    with Lab(LOG="problems") as lab:
        front = Front(lab)
        bodies = [press(number) for number in range(PRESSES)]
        scripts = []
        for number in range(CLIENTS // 2):
            share = lab.path / f"share-{number}"
            share.write_bytes(b"".join(sign(body).encode() + b"\t" + body + b"\n" for body in bodies[number::CLIENTS // 2]))
            scripts.append(lab.start([*command, front.path, str(share)], stdout=subprocess.PIPE,
                                     stderr=open(lab.logs / f"script-{number}", "ab"), text=True))
        statuses = [status for script in scripts for status in script.communicate()[0].split()]
        all_are_kept_once(lab, bodies, map(int, statuses))


def npm_fastcgi_client():
    if why := servers.missing("node", "npm"):
        return why
    where = BINARY.parent / "npm"
    wanted = [f"{name}@{version}" for name, version in MODULES.items()]
    if not all((where / "node_modules" / name).exists() for name in MODULES):
        where.mkdir(exist_ok=True)
        result = subprocess.run(["npm", "install", "--prefix", where, "--no-audit", "--no-fund", "--no-save", *wanted],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode != 0:
            return f"npm cannot install {' '.join(wanted)}"
    return by_scripts(["node", str(SCRIPTS / "fastcgi-client.js"), str(where / "node_modules")])


def perl_fcgi_client():
    if subprocess.run(["perl", "-MFCGI::Client", "-e", "1"], capture_output=True).returncode != 0:
        return "not installed here: FCGI::Client for Perl"
    return by_scripts(["perl", str(SCRIPTS / "fcgi-client.pl")])


def php(name):
    """A client that keeps its connection."""
    package, its_class = PHP_CLIENTS[name]

    def test():
        if why := servers.missing("php", "composer"):
            return why
        where = BINARY.parent / "composer" / name
        autoload = where / "vendor/autoload.php"
        if not autoload.exists():
            where.mkdir(parents=True, exist_ok=True)
            subprocess.run(["composer", "--no-interaction", "require", package], cwd=where, stdin=subprocess.DEVNULL,
                           env={**os.environ, "COMPOSER_ALLOW_SUPERUSER": "1"}, capture_output=True)
        loads = subprocess.run(["php", "-r", f"require '{autoload}'; exit(class_exists('{its_class}') ? 0 : 1);"], capture_output=True)
        if loads.returncode != 0:
            return f"composer cannot install {package}, or it is not for this PHP"
        return by_scripts(["php", "-d", "display_errors=stderr", str(SCRIPTS / "php-clients.php"), name, str(autoload)])
    test.title = test.__name__ = f"PHP, {name}"
    return test


def a_client_may_write_on_after_its_request():
    """As if it had padding left: its write must not fail before it has read the answer."""
    with Lab() as lab:
        front = Front(lab)
        with fastcgi_connect(front.path) as connection:
            connection.sendall(fastcgi_request(press(1), sign(press(1))))
            ended = select.poll()
            ended.register(connection, select.POLLRDHUP)
            check(ended.poll(PATIENCE * 1000), "no answer")
            connection.sendall(bytes(8))
            check(fastcgi_answer(connection)[0] == 200, "the answer was lost")


run_tests(*WEB_SERVERS, cgi_fcgi, npm_fastcgi_client, perl_fcgi_client, *map(php, PHP_CLIENTS),
          a_client_may_write_on_after_its_request)
