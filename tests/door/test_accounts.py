"""Ring accounts from their authorization code to "completed": tokens that rotate, answers that are lost, processes at the same time,
and a process that is killed at each of its system calls in turn. The door page's own code, without the page (driver.c), and
`doorpost account`, against the strict stand-in of ring.py, and against a small one here that knows any number of accounts, can lose an
answer, and accepts each code and each refresh token once."""

import base64
import contextlib
import ctypes
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse


import ring as strict
from support.assertions import PATIENCE, check, wait_for
from support.deliveries import KEY
from support.laboratory import BINARY, Lab
from support.runner import run_tests

QUICK = os.environ.get("QUICK") == "1"
DRIVER = BINARY.with_name("door-driver")
SYSTEM, INVALID, TIMEOUT = -1, -2, -3
CLIENT = ("client-1", "secret=&1")
USER = "user@example.com"


class Ring(http.server.BaseHTTPRequestHandler):
    """One request. What Ring knows is in self.server.ring."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, value=None):
        ring = self.server.ring
        if ring.losing:  # it was acted on, and nobody learns of it
            ring.losing -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def bearer(self):
        """The account whose access token this is, or None after a 401 without a body, as Ring's edge sends it."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        account = self.server.ring.access.get(token)
        if account is None:
            self.answer(401)
        return account

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        ring, body = self.server.ring, self.body()
        with ring.lock:
            ring.seen.append((self.command, self.path, body.decode()))
            check(self.headers["User-Agent"].startswith("doorpost/"), "user agent", self.headers["User-Agent"])
            for (command, path), statuses in ring.failing.items():
                if (self.command, self.path) == (command, path) and statuses:
                    return self.answer(statuses.pop(0), {"errors": [{"status": "?"}]})
            getattr(self, {"/oauth/token": "token", "/v1/users/me": "me", "/v1/devices": "devices",
                           "/v1/accounts/me/app-integrations": "integrations"}.get(self.path, "nothing"))(body)

    do_GET = do_POST = do_PATCH = handle_any

    def nothing(self, _):
        self.answer(404)

    def token(self, body):
        ring, form = self.server.ring, dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        check(self.headers["Content-Type"] == "application/x-www-form-urlencoded", self.headers)
        if (form["client_id"], form["client_secret"]) != CLIENT:
            return self.answer(401, {"error": "invalid_client"})
        grants = {"authorization_code": (ring.codes, "code"), "refresh_token": (ring.refresh, "refresh_token")}
        valid, name = grants[form["grant_type"]]
        account = valid.pop(form[name], None)  # once
        if account is None:
            return self.answer(400, {"error": "invalid_grant"})
        ring.before_the_answer()
        self.answer(200, ring.issue(account))

    def me(self, _):
        if account := self.bearer():
            self.answer(200, {"data": {"type": "users", "id": account}})

    def devices(self, _):
        if self.bearer():
            self.answer(200, {"data": []})

    def integrations(self, body):
        ring, value = self.server.ring, json.loads(body)
        account = self.bearer()
        if account is None:
            return
        state = ring.linked.get(account)
        if self.command == "PATCH":
            if state is None or value != {"status": "completed"}:
                return self.answer(404 if state is None else 400)
            ring.linked[account] = "completed"
            return self.answer(200, {"status": "completed"})
        check(value["account_identifier"] == "u***r@example.com", value)
        if state is not None or value["nonce"] not in ring.nonces.get(account, ()):
            return self.answer(400, {"errors": [{"status": "400", "title": "Invalid nonce"}]})
        ring.linked[account] = "awaiting"
        self.answer(200, {"status": "awaiting"})


class Standin(Lab):
    """A laboratory with the stand-in for Ring and a directory for the door page."""

    def __init__(self):
        super().__init__()
        self.lock, self.seen, self.losing, self.failing, self.issued = threading.RLock(), [], 0, {}, 0
        self.codes, self.refresh, self.access, self.linked, self.nonces, self.latest = {}, {}, {}, {}, {}, {}
        self.life, self.before_the_answer = 14400, lambda: None
        self.driver = self.bin / "door-driver"  # a copy, because the build may be closed to the web server's user
        shutil.copy(DRIVER, self.driver)
        certificate, key = self.path / "ca.pem", self.path / "ca.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=ring", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        certificate.chmod(0o644)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ring)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that is killed
        self.server.ring = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.stack.callback(self.server.server_close)
        self.stack.callback(self.server.shutdown)
        self.door, self.client = self.path / "door", self.path / "client"
        self.door.mkdir(mode=0o700)
        self.client.write_text("\n".join(CLIENT) + "\n")
        self.client.chmod(0o640)
        for path in (self.door, self.client):
            self.own(path)
        url = f"https://127.0.0.1:{self.server.server_port}"
        self.configure(DOOR=self.door, CLIENT_FILE=self.client, API=url, OAUTH=url + "/oauth/token", CA=certificate)

    def issue(self, account):
        self.issued += 1
        access, refresh = f"access-{self.issued}-{account}", f"refresh/+{self.issued}-{account}"
        self.access = {token: of for token, of in self.access.items() if of != account} | {access: account}
        self.refresh[refresh] = account
        self.latest[account] = refresh
        return {"access_token": access, "refresh_token": refresh, "scope": "all", "expires_in": self.life, "token_type": "Bearer"}

    def count(self, path):
        with self.lock:
            return sum(seen == path for _, seen, _ in self.seen)

    def drive(self, *arguments, env=None):
        """Returns (result, text)."""
        result = self.run([self.driver, *arguments], env=env, **self.as_user()).ok()
        number, text = result.stdout.split("\n", 1)
        return int(number), text.strip()

    def exchange(self, account="account-1", code=None):
        code = code or f"code-of-{account}"
        self.codes[code] = account
        return self.drive("exchange", code)

    def connect(self, account="account-1"):
        check(self.exchange(account) == (0, ""), "the code was not exchanged")

    def nonce(self, account="account-1"):
        """The nonce, known to Ring too, and its time."""
        at = str(int(time.time() * 1000))
        digest = hmac.new(KEY.encode(), f"{at}:{account}".encode(), hashlib.sha256).digest()
        nonce = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        self.nonces.setdefault(account, set()).add(nonce)
        return nonce, at

    def claim(self, nonce, at, user=USER):
        return self.drive("claim", user, nonce, at)

    def accounts(self):
        return json.loads(self.tool("account", "list", "--json").ok().stdout)

    def only_account(self):
        account, = self.accounts()
        return account

    def forget_the_rate(self):
        with contextlib.suppress(FileNotFoundError):
            (self.door / "codes/rate.lock").unlink()

    def expire(self, account="account-1"):
        """Ring does not know the access token any more."""
        self.access = {token: of for token, of in self.access.items() if of != account}


def a_code_becomes_an_account():
    with Standin() as lab:
        lab.connect()
        account = lab.only_account()
        check((account["account"], account["state"], account["user"], account["error"]) == ("account-1", "unclaimed", "", ""), account)
        check(29.9 < account["days_left"] <= 30, account)
        check(lab.drive("exchange", "code-of-account-1") == (0, ""), "a repeated code")
        check(lab.count("/oauth/token") == 1 and lab.count("/v1/users/me") == 1, lab.seen)
        check(lab.drive("get", "account-1", "/v1/devices") == (0, '200 {"data": []}'), "the token is not accepted")
        for path in lab.door.rglob("*"):
            check(not path.is_file() or b"access-" not in path.read_bytes(), path, "has a token in the clear")
        check(lab.exchange(code="never-issued-by-Ring")[0] == 0, "a second code of the same account")
        check(len(lab.accounts()) == 1, lab.accounts())


def a_code_is_never_sent_twice():
    with Standin() as lab:
        lab.losing = 1
        check(lab.exchange()[0] == SYSTEM, "a lost answer")
        check(lab.drive("exchange", "code-of-account-1")[0] == INVALID, "the code a second time")
        check(lab.drive("exchange", "of-nobody")[0] == INVALID, "a code that Ring does not know")
        check(lab.drive("exchange", "of-nobody")[0] == INVALID, "again")
        check(lab.count("/oauth/token") == 2, lab.seen)
        check(lab.accounts() == [], lab.accounts())


def tokens_are_kept_when_ring_does_not_say_whose_they_are():
    with Standin() as lab:
        lab.failing["GET", "/v1/users/me"] = [503, 503]
        check(lab.exchange()[0] == SYSTEM, "an exchange without an account")
        check(lab.only_account()["account"].startswith("code-"), lab.accounts())
        check(lab.tool("account", "refresh").returncode == 1, "Ring does not answer")
        check(lab.tool("account", "refresh").returncode == 0, "Ring answers")
        check(lab.only_account()["account"] == "account-1", lab.accounts())
        check(lab.drive("exchange", "code-of-account-1") == (0, ""), "the code again")
        check(lab.count("/oauth/token") == 1, lab.seen)


def two_processes_refresh_once():
    with Standin() as lab:
        lab.connect()
        with contextlib.ExitStack() as stack:
            lab.life = 100  # so that each finds it due
            check(lab.drive("refresh", "account-1", "-1")[0] == 0, "refresh")
            lab.life, before = 14400, lab.count("/oauth/token")
            lab.lock.acquire()
            running = [lab.start([lab.driver, "get", "account-1", "/v1/devices"], stdout=subprocess.PIPE, text=True, **lab.as_user())
                       for _ in range(8)]
            lab.lock.release()
            for process in running:
                stack.callback(process.stdout.close)
                check(process.communicate(timeout=PATIENCE)[0].startswith("0\n200"), "a process was refused")
        check(lab.count("/oauth/token") == before + 1, lab.count("/oauth/token") - before, "refreshes")


def a_401_refreshes_once():
    with Standin() as lab:
        lab.connect()
        lab.expire()
        check(lab.drive("get", "account-1", "/v1/devices")[0] == 0, "after a 401")
        check(lab.count("/oauth/token") == 2 and lab.count("/v1/devices") == 2, lab.seen)
        lab.failing["GET", "/v1/devices"] = [401, 401, 401]
        check(lab.drive("get", "account-1", "/v1/devices")[0] == INVALID, "401 again and again")
        check(lab.count("/oauth/token") == 3 and lab.count("/v1/devices") == 4, lab.seen)


def a_lost_answer_leaves_the_old_pair():
    """And Ring, which may have lost the request instead, accepts it."""
    with Standin() as lab:
        lab.connect()
        lab.failing["POST", "/oauth/token"] = [500, 429]
        for _ in range(2):
            check(lab.drive("refresh", "account-1", "-1")[0] == SYSTEM, "no answer")
        check(lab.only_account()["error"] == "", lab.accounts())
        check(lab.drive("refresh", "account-1", "-1")[0] == 0, "the old pair")


def a_new_pair_outlives_a_disk_that_cannot_take_it():
    with Standin() as lab:
        accounts, away = lab.door / "accounts", lab.door / "away"
        for action in (lab.exchange, lambda: lab.drive("refresh", "account-1", "-1")):
            lab.before_the_answer = lambda: accounts.rename(away)
            result, text = action()
            check(result == SYSTEM and "kept in memory" in text, result, text)
            lab.before_the_answer = lambda: None
            away.rename(accounts)
            if not lab.accounts() or lab.accounts()[0]["account"].startswith("code-"):
                wait_for(lab.accounts, "the first pair")
                lab.tool("account", "refresh").ok()
            check(lab.drive("refresh", "account-1", "-1") == (0, ""), "the new pair was lost")
            check(lab.drive("get", "account-1", "/v1/devices")[0] == 0, "the new pair is not used")


def a_refused_account_says_so():
    with Standin() as lab:
        lab.connect()
        lab.refresh.clear()
        lab.expire()
        check(lab.drive("get", "account-1", "/v1/devices")[0] == INVALID, "invalid_grant")
        check("connect it again" in lab.only_account()["error"], lab.accounts())
        asked = lab.count("/oauth/token")
        check(lab.drive("get", "account-1", "/v1/devices")[0] == INVALID, "again")
        check(lab.count("/oauth/token") == asked, "Ring was asked again")
        check(lab.tool("account", "refresh").returncode == 1, "refresh")
        check(lab.exchange(code="a new one") == (INVALID, "a code has 1 to 2048 visible ASCII characters"), "a blank")
        check(lab.exchange(code="a-new-one") == (0, ""), "connected again")
        check(lab.only_account()["error"] == "", lab.accounts())


def the_tool_renews_and_forgets():
    with Standin() as lab:
        lab.connect("account-1")
        lab.connect("account-2")
        check(lab.tool("account", "refresh").ok().stdout == "", "nothing is due")
        check(lab.tool("account", "refresh", "--force").ok().stdout.count("renewed") == 2, "both")
        check(lab.tool("account", "refresh", "account-2", "--force").ok().stdout == "account-2  renewed\n", "one")
        check(lab.count("/oauth/token") == 5, lab.seen)
        check(lab.tool("account", "forget", "account-3").returncode == 1, "an unknown account")
        check(lab.tool("account", "forget").returncode == 2, "no account")
        lab.tool("account", "forget", "account-1").ok()
        check(lab.only_account()["account"] == "account-2", lab.accounts())
        check("account-2  -  unclaimed  tokens 0 h old, 30 days left" in lab.tool("account").ok().stdout, lab.tool("account"))
        if lab.user:
            check(all(path.stat().st_uid == lab.user.pw_uid for path in lab.door.rglob("*")), "root left files of its own")


def doctor_and_stats_tell_of_tokens_that_end():
    with Standin() as lab:
        lab.connect("account-1")
        lab.connect("account-2")
        lab.refresh.clear()
        lab.tool("account", "refresh", "account-2", "--force").fails()
        metrics = dict(line.rsplit(" ", 1) for line in lab.tool("stats", "--prometheus").ok().stdout.splitlines() if "account_end" in line)
        name = 'doorpost_account_end_timestamp_seconds{account="account-%d"}'
        check(metrics[name % 2] == "0" and 29 * 86400 < int(metrics[name % 1]) - time.time() <= 30 * 86400, metrics)
        found = [(one["level"], one["text"]) for one in json.loads(lab.tool("doctor", "--json").stdout) if one["check"] in ("account", "door")]
        check(len(found) == 3 and ("ok", "account-1: unclaimed") in found, found)
        check(any(level == "problem" and text.startswith("account-2: Ring refuses") for level, text in found), found)


def linking_completes():
    with Standin() as lab:
        lab.connect("account-1")
        lab.connect("account-2")
        link = lab.nonce()
        check(lab.claim(*link) == (0, ""), "claim")
        check(lab.linked == {"account-1": "completed"}, lab.linked)
        states = {one["account"]: (one["state"], one["user"]) for one in lab.accounts()}
        check(states == {"account-1": ("completed", USER), "account-2": ("unclaimed", "")}, states)
        check(lab.claim(*link, user="eve")[0] == INVALID and lab.claim(*link)[0] == INVALID, "a replay")
        check(lab.claim(link[0], lab.nonce()[1])[0] == INVALID, "another time")


def linking_is_taken_up_again():
    """After each half failed, or its answer was lost."""
    path = "/v1/accounts/me/app-integrations"
    for method, lost in ("POST", False), ("POST", True), ("PATCH", False), ("PATCH", True):
        with Standin() as lab:
            lab.connect()
            link = lab.nonce()
            if not lost:
                lab.failing[method, path] = [503]
            elif method == "POST":
                lab.losing = 1
            else:
                lab.failing["PATCH", path] = [503]
                check(lab.claim(*link)[0] == SYSTEM, "PATCH fails")
                lab.losing = 1
            check(lab.claim(*link)[0] == SYSTEM, method, "fails")
            check(lab.only_account()["user"] == USER, lab.accounts())
            check(lab.claim(*link, user="eve")[0] == INVALID, "another user")
            check(lab.claim(*link) == (0, ""), method, "is not taken up again")
            check(lab.linked == {"account-1": "completed"} and lab.only_account()["state"] == "completed", lab.linked)


def the_tool_completes_what_waits():
    with Standin() as lab:
        lab.connect()
        lab.failing["PATCH", "/v1/accounts/me/app-integrations"] = [503]
        check(lab.claim(*lab.nonce())[0] == SYSTEM, "PATCH fails")
        lab.tool("account", "refresh").ok()
        check(lab.linked == {"account-1": "completed"}, lab.linked)


# ---- the strict stand-in ----

def the_strict_standin_is_satisfied():
    if strict.find_python() is None:
        return "python3-aiohttp is not installed"
    with Standin() as lab:
        (lab.path / "ring").mkdir()
        ring = lab.stack.enter_context(strict.Ring(lab.path / "ring", lab.key_file))
        lab.client.write_text("client-1\nsecret-1\n")
        ca = lab.path / "strict.pem"
        ca.write_bytes(ring.ca.read_bytes())
        lab.configure(DOOR=lab.door, CLIENT_FILE=lab.client, API=ring.api, OAUTH=ring.oauth, CA=ca)
        account, other = ring.accounts
        ring.set(drop={"me": 1})
        code = ring.issue_code(account)
        check(lab.drive("exchange", code)[0] == SYSTEM, "a lost answer of /v1/users/me")
        check(lab.drive("exchange", code) == (0, ""), "the code again")
        check(lab.drive("exchange", ring.issue_code(other)) == (0, ""), "another account")
        ring.set(drop={"integration": 1})
        nonce, at = ring.nonce(account)
        check(lab.claim(nonce, str(at))[0] == SYSTEM, "a lost answer to POST")
        ring.set(drop={"complete": 1})
        check(lab.claim(nonce, str(at))[0] == SYSTEM, "a lost answer to PATCH")
        check(lab.claim(nonce, str(at)) == (0, ""), "taken up again")
        check(ring.state()["integrations"] == {account: "completed", other: "new"}, ring.state())
        ring.set(empty_401=True)
        ring.expire(account)
        result, text = lab.drive("get", account, "/v1/devices?include=status,capabilities")
        check(result == 0 and text.startswith("200 {"), result, text)
        ring.set(limit={"devices": 60})
        check(lab.drive("get", account, "/v1/devices")[1].startswith("429 "), "429")
        ring.set(hang={"token": 1}, limit={})
        check(lab.drive("refresh", account, "-1")[0] == TIMEOUT, "no answer")
        check(lab.drive("refresh", account, "-1") == (0, ""), "the old pair")
        check(ring.state()["reused"] == {"code": 0, "refresh_token": 0}, ring.state())
        ring.revoke(account)
        check(lab.drive("get", account, "/v1/devices")[0] == INVALID, "after the user has removed the app")
        check(lab.drive("get", other, "/v1/devices")[0] == 0, "the other account")


# ---- killed at each system call ----

SYSCALL, SETOPTIONS, EXITKILL = 24, 0x4200, 0x100000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def run_until(stop, command, environment, user):
    """Runs the driver, and kills it at its system call number `stop`. Returns False if it ended before. Its children go on."""
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    process = subprocess.Popen([str(part) for part in command], env={**environment, "DRIVER_TRACED": "1"}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **identity)
    child = process.pid
    _, status = os.waitpid(child, os.WUNTRACED)  # it stops itself
    check(os.WIFSTOPPED(status), "the driver ended with", status)
    libc.ptrace(SETOPTIONS, child, None, EXITKILL)
    stops, pass_on = 0, 0
    while True:
        libc.ptrace(SYSCALL, child, None, pass_on)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            process.returncode = status
            return False
        pass_on = os.WSTOPSIG(status) if os.WSTOPSIG(status) != signal.SIGTRAP else 0
        stops += os.WSTOPSIG(status) == signal.SIGTRAP
        if stops == stop:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            process.returncode = -signal.SIGKILL
            return True


def plain_driver():
    """Without sanitizers, which make system calls of their own."""
    path = BINARY.parents[1] / "crash/door-driver"
    return path if path.exists() else None


def killed_at_each_call(command, recover):
    driver = plain_driver()
    if driver is None:
        return "build/crash/door-driver is not built"
    step, stop, kills = (23 if QUICK else 1), 1, 0
    with Standin() as lab:
        environment = {name: str(value) for name, value in lab.environment().items()}
        prepared, plain = command(lab), shutil.copy(driver, lab.bin / "plain-driver")
        while run_until(stop, [plain, *prepared], environment, lab.user):
            recover(lab, stop)
            prepared = command(lab)
            stop += step
            kills += 1
        recover(lab, stop)
    print(f"# {kills} kills")


def refresh_survives_a_kill():
    """The pair on the disk is the one that Ring has issued last: the process that asks Ring is another one, and goes on."""
    def command(lab):
        if not lab.latest:
            lab.connect()
        return "refresh", "account-1", "-1"

    def recover(lab, stop):
        result = lab.drive("refresh", "account-1", "-1")
        check(result == (0, ""), "call", stop, *result)
        check(lab.drive("get", "account-1", "/v1/devices")[0] == 0, "call", stop)

    return killed_at_each_call(command, recover)


def linking_survives_a_kill():
    def command(lab):
        lab.number = getattr(lab, "number", 0) + 1
        lab.account = f"account-{lab.number}"
        lab.forget_the_rate()
        lab.connect(lab.account)
        lab.link = lab.nonce(lab.account)
        return "claim", USER, *lab.link

    def recover(lab, stop):
        result, text = lab.claim(*lab.link)
        state = next(one for one in lab.accounts() if one["account"] == lab.account)
        check(state["state"] == "completed" and state["user"] == USER, "call", stop, state, result, text)
        check(lab.linked[lab.account] == "completed", "call", stop)
        lab.tool("account", "forget", lab.account).ok()

    return killed_at_each_call(command, recover)


def an_exchange_survives_a_kill():
    """The code is never sent twice. If it was sent, what Ring has answered leads to the account."""
    def command(lab):
        lab.code = f"code-{getattr(lab, 'number', 0)}"
        lab.number = getattr(lab, "number", 0) + 1
        lab.account = f"account-{lab.number}"
        lab.codes[lab.code] = lab.account
        lab.before = lab.count("/oauth/token")
        lab.forget_the_rate()
        return "exchange", lab.code

    def recover(lab, stop):
        result, text = lab.drive("exchange", lab.code)
        sent = lab.count("/oauth/token") - lab.before
        check(sent <= 1, "call", stop, "the code was sent twice")
        check((result == 0) == (sent == 1), "call", stop, result, text)
        there = any(one["account"] == lab.account for one in lab.accounts())
        check(there == (result == 0), "call", stop, result, text, lab.accounts())
        check(result == 0 or "answer was lost" in text, "call", stop, result, text)
        if there:
            lab.tool("account", "forget", lab.account).ok()

    return killed_at_each_call(command, recover)


run_tests(a_code_becomes_an_account, a_code_is_never_sent_twice, tokens_are_kept_when_ring_does_not_say_whose_they_are,
          two_processes_refresh_once, a_401_refreshes_once, a_lost_answer_leaves_the_old_pair, a_new_pair_outlives_a_disk_that_cannot_take_it, a_refused_account_says_so,
          the_tool_renews_and_forgets, doctor_and_stats_tell_of_tokens_that_end, linking_completes, linking_is_taken_up_again, the_tool_completes_what_waits,
          the_strict_standin_is_satisfied, refresh_survives_a_kill, linking_survives_a_kill, an_exchange_survives_a_kill)
