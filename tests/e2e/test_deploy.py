"""What ships beside the web servers' files: limits for noise, systemd's units, the AppArmor profile."""

import itertools
import json
import re
import shutil
import socket

from support import servers
from support.assertions import PATIENCE, check, wait_for
from support.deliveries import press, sign
from support.journal import verify_journal
from support.laboratory import ROOT, Lab
from support.runner import run_tests

SYSTEMD = ROOT / "deploy/systemd"
NOISE = (None, "", "nonsense", "sha256=", "sha256=" + "0" * 63, "sha256=" + "0" * 65, "0" * 63 + "g", "sha1=" + "0" * 64)


def signed_presses_pass(server, first, count=30):
    for number in range(first, first + count):
        body = press(number)
        check(server.request(body, sign(body))[0] == 200, "a signed press was held up by the limit for noise")


def nginx_limits_what_is_not_signed():
    with Lab() as lab:
        server = servers.nginx(lab)
        answers, noise = [], itertools.cycle(NOISE)

        def limited():  # one a second passes
            answers.append(server.request(press(0), next(noise))[0])
            return answers.count(429) > 20
        wait_for(limited, "noise to be limited")
        check(401 in answers and set(answers) == {401, 429}, answers)
        signed_presses_pass(server, 1)
        body = press(0)  # a signature without its prefix, and in capitals, is one too
        check(server.request(body, sign(body)[7:].upper())[0] == 200, "a signed press was held up by the limit for noise")
        check("limiting requests" not in "".join(lab.log_texts()), "the error log is filled with what was limited")
        check(len(verify_journal(lab)) == 31, "not all are kept")


def uncommented(start, name, *changes):
    """With the line that a file offers for noise in force, the server answers it, and Doorpost never hears of it."""
    with Lab() as lab:
        server = start(lab)
        server.process.terminate()
        server.process.wait()
        shipped = lab.path / name.replace("/", "-")
        text = shipped.read_text()
        for old, new in changes:
            check(old in text, "not offered in", name, ":", old)
            text = text.replace(old, new)
        shipped.write_text(text)
        server.process = lab.start(server.process.args)
        wait_for(lambda: answers(server, press(0)), "the server")
        check({server.request(press(1), signature)[0] for signature in NOISE} == {403}, "requests that cannot be signed")
        signed_presses_pass(server, 2)
        log = "".join(lab.log_texts())
        check("verdict=unauthorized" not in log, log)


def lighttpd_can_answer_what_is_not_signed():
    uncommented(servers.lighttpd_fastcgi, "lighttpd/fastcgi.conf",
                ('#$REQUEST_HEADER["X-Signature"]', '$REQUEST_HEADER["X-Signature"]'))


def apache_can_answer_what_is_not_signed():
    uncommented(servers.apache_cgid, "apache/cgid.conf", ("Require all granted\n", "\n"), ("#Require expr", "Require expr"))


def lighttpd_listens_on_ipv6_too():
    if not servers.has_ipv6():
        return "no IPv6 here"
    for start in (servers.lighttpd_fastcgi, servers.lighttpd_cgi, servers.lighttpd_socket):
        with Lab() as lab:
            server = start(lab)
            for path, expected in (("/doorpost", "405"), ("/", "403")):
                result = lab.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"https://[::1]:{server.port}{path}"]).ok()
                check(result.stdout == expected, path, result)


def answers(server, body):
    try:
        return server.request(body, sign(body))[0] == 200
    except OSError:
        return False


def what_a_spawned_worker_says_is_in_the_error_log():
    def nginx(lab):
        return servers.nginx(lab, lambda lab: servers.spawn_fcgi(lab, "nginx/doorpost.conf"))
    for start in (servers.lighttpd_socket, servers.apache_proxy, nginx):
        with Lab() as lab:
            check(start(lab).request(press(1), None)[0] == 401, "an unsigned press")
            wait_for(lambda: "X-Signature is missing" in (lab.logs / "error.log").read_text(), "the line in the error log")


# ---- the door page's path ----

def start_with_door(lab, start):
    """Starts a server with a stand-in for the door page's program, which answers with what it was given."""
    program = lab.bin / "doorpost-door.cgi"
    program.write_text("#!/usr/bin/python3\n" + (ROOT / "tests/support/echo.py").read_text())
    program.chmod(0o755)
    path = lab.logs / "door.sock"
    listener = socket.socket(socket.AF_UNIX)
    lab.stack.callback(listener.close)
    listener.bind(str(path))
    path.chmod(0o777)
    listener.listen()
    lab.start([program], stdin=listener)
    return start(lab)


def ask(server, method, path, body=None, **fields):
    """Returns (status, body). Header fields as Sec_Fetch_Site=..."""
    connection = server.connect(PATIENCE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@servers.for_each_server
def the_door_page_is_given_what_it_needs(start):
    with Lab() as lab:
        server = start_with_door(lab, start)
        fields = {"Content_Type": "application/sdp", "Cookie": "__Host-doorpost=a; b=c", "Host": "door.example:8443", "Origin": "https://door.example",
                  "Sec_Fetch_Site": "same-origin", "If_None_Match": '"12"', "Remote_User": "mallory", "Authorization": "Basic bWFsbG9yeTp4"}
        status, text = ask(server, "POST", "/door?/live/a%20b%2F&id=1", b"v=0\r\n", **fields)
        check(status == 200, status, text)
        given = json.loads(text)
        wanted = {"REQUEST_METHOD": "POST", "QUERY_STRING": "/live/a%20b%2F&id=1", "CONTENT_TYPE": "application/sdp", "CONTENT_LENGTH": "5",
                  "REMOTE_ADDR": "127.0.0.1", "REQUEST_URI": "/door?/live/a%20b%2F&id=1", "SCRIPT_NAME": "/door", "BODY": 5,
                  **{"HTTP_" + name.upper(): value for name, value in fields.items() if name not in ("Content_Type", "Remote_User", "Authorization")}}
        differing = {name: (value, given.get(name)) for name, value in wanted.items() if given.get(name) != value}
        check(not differing, "(wanted, given):", differing)
        check(given["SERVER_SOFTWARE"].startswith(("lighttpd/", "Apache/", "nginx/")), given["SERVER_SOFTWARE"])
        check(not given.get("REMOTE_USER"), "the sender says who has signed in:", given.get("REMOTE_USER"))
        for method in ("GET", "DELETE"):
            status, text = ask(server, method, "/door?/events&after=1")
            check(status == 200 and json.loads(text)["REQUEST_METHOD"] == method, method, status, text)
        if start not in (servers.apache_fcgid, servers.apache_proxy):  # as their files say
            check(ask(server, "POST", "/door?/login", Content_Length="65537")[0] == 413, "a body that is too large")
        check(json.loads(ask(server, "POST", "/door?/login", b"x" * 65536)[1])["BODY"] == 65536, "a large body")


@servers.for_each_server
def both_paths_are_exact(start):
    with Lab() as lab:
        server = start_with_door(lab, start)
        for path in ("/", "/door/", "/door/x", "/doors", "/Door", "/door.cgi", "/x/door", "/doorpost/", "/doorpost/x", "/doorpos", "/doorpost-door.cgi",
                     "/doorpost.cgi", "/door/doorpost"):
            check(ask(server, "GET", path)[0] in (403, 404), path, "is open")
        check(ask(server, "GET", "/door")[0] == 200 and ask(server, "GET", "/doorpost")[0] == 405, "the paths themselves")
        body = press(1)
        check(server.request(body, sign(body))[0] == 200, "a press")


@servers.for_each_server
def the_site_is_understood(start):
    """By the server's own check, which also warns of words that it does not know."""
    with Lab() as lab:
        arguments = start(lab).process.args
        result = lab.run({"lighttpd": ["lighttpd", "-tt", *arguments[2:]], "apache2": ["apache2", "-t", *arguments[2:]],
                          "nginx": [*arguments, "-t"]}[arguments[0]]).ok()
        check(not re.search("warn|unknown", result.stdout + result.stderr, re.IGNORECASE), result)


def nginx_limits_codes():
    with Lab() as lab:
        server = start_with_door(lab, servers.nginx)
        wait_for(lambda: ask(server, "POST", "/door", b"code=1")[0] == 429, "codes to be limited")
        for _ in range(30):
            check(ask(server, "GET", "/door")[0] == ask(server, "POST", "/door?/login", b"user=a")[0] == 200, "a user was held up by the limit for codes")


def the_units_are_as_hard_as_they_say():
    with Lab() as lab:
        for unit in sorted(SYSTEMD.glob("*.service")):
            name, text = unit.name, unit.read_text()
            said = float(re.search(r"security` rates it ([\d.]+) of 10", text).group(1))
            result = lab.run(["systemd-analyze", "security", "--offline=yes", unit])
            found = float(re.search(rf"exposure level for {name}: ([\d.]+)", result.stdout).group(1))
            check(abs(found - said) < 0.35, name, "says", said, "and it is", found)  # versions count a little differently


def the_units_are_understood():
    with Lab() as lab:
        for unit in SYSTEMD.iterdir():  # programs where this machine has some, and no manual pages, which are not installed here
            text = re.sub(r"^Documentation=.*\n", "", unit.read_text(), flags=re.MULTILINE)
            (lab.path / unit.name).write_text(re.sub(r"/usr/local/\S+/doorpost\S*", str(lab.binary), text))
        for unit in [lab.path / unit.name for unit in sorted(SYSTEMD.iterdir())]:
            result = lab.run(["systemd-analyze", "verify", unit])
            told = [line for line in result.stderr.splitlines() if "doorpost" in line and "man:" not in line]
            check(not told, *told)


def the_socket_hands_over_one_descriptor():
    """Accept=no and StandardInput=socket: the listening socket itself, as FastCGI has it."""
    for name in ("doorpost", "doorpost-door"):
        socket_unit, service = ((SYSTEMD / f"{name}.{kind}").read_text() for kind in ("socket", "service"))
        check("StandardInput=socket" in service and "Accept=" not in socket_unit, "units")
        listen = re.search(r"ListenStream=(\S+)", socket_unit).group(1)
        for file in ("lighttpd/socket.conf", "apache/proxy.conf", "nginx/doorpost.conf"):
            check(listen in (ROOT / "deploy" / file).read_text(), file, "names another socket than", listen)


def the_apparmor_profile_is_parsed():
    if not shutil.which("apparmor_parser"):
        return "apparmor_parser is not here"
    with Lab() as lab:
        for profile in (ROOT / "deploy/apparmor").iterdir():
            lab.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", profile]).ok()


run_tests(nginx_limits_what_is_not_signed, apache_can_answer_what_is_not_signed, lighttpd_can_answer_what_is_not_signed,
          lighttpd_listens_on_ipv6_too,
          what_a_spawned_worker_says_is_in_the_error_log,
          *the_door_page_is_given_what_it_needs, *both_paths_are_exact, *the_site_is_understood, nginx_limits_codes,
          the_units_are_as_hard_as_they_say, the_units_are_understood, the_socket_hands_over_one_descriptor,
          the_apparmor_profile_is_parsed)
