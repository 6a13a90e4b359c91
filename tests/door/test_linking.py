#!/usr/bin/env python3
"""Ring's Token Exchange URL and Account Link URL: a code that Ring posts becomes an account, and the user whom Ring sends connects it."""

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time
import urllib.parse

from door import OURS, Door, cookie_of, sign_in
from support.assertions import check
from support.deliveries import KEY
from support.runner import run_tests
from support.servers import make_certificate

ACCOUNT = "ava1.ring.account.A"


class Ring(http.server.BaseHTTPRequestHandler):
    """As much of Ring as linking needs. Class members are what it knows and does."""

    protocol_version = "HTTP/1.1"
    codes, asked, refuse = {}, [], {}

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Ring.asked.append((self.command, self.path, body))
        status, answer = Ring.refuse.get(self.path), {}
        if status is None:
            status, answer = self.answer(body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do

    def answer(self, body):
        if self.path == "/oauth/token":
            code = urllib.parse.parse_qs(body.decode()).get("code", [""])[0]
            account = Ring.codes.pop(code, None)
            if account is None:
                return 400, {"error": "invalid_grant"}
            return 200, {"access_token": account, "refresh_token": "r-" + account, "scope": "x", "expires_in": 14400, "token_type": "Bearer"}
        account = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path == "/v1/users/me":
            return 200, {"data": {"type": "users", "id": account}}
        if self.path == "/v1/accounts/me/app-integrations":
            return 200, {"status": "awaiting" if self.command == "POST" else "completed"}
        return 404, {}

    def log_message(self, *arguments):
        pass


class LinkingDoor(Door):
    def __init__(self):
        super().__init__()
        live = make_certificate(self)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ring)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(live / "fullchain.pem", live / "privkey.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = self.path / "client"
        client.write_text("the-client-id\nthe-client-secret\n")
        client.chmod(0o600)
        self.own(client)
        ring = f"https://127.0.0.1:{server.server_port}"
        self.configure(DOOR=self.door, API=ring, OAUTH=ring + "/oauth/token", CA=self.certificate, CLIENT_FILE=client)
        Ring.codes, Ring.asked, Ring.refuse = {}, [], {}

    def accounts(self):
        return json.loads(self.tool("account", "list", "--json").ok().stdout)


def link(account=ACCOUNT, age=0, key=KEY):
    """The query with which Ring sends the user's browser."""
    moment = int((time.time() - age) * 1000)
    digest = hmac.new(key.encode(), f"{moment}:{account}".encode(), hashlib.sha256).digest()
    return f"nonce={base64.urlsafe_b64encode(digest).decode().rstrip('=')}&time={moment}"


def exchange(ask, code, account=ACCOUNT):
    Ring.codes[code] = account
    status, _, body = ask("POST", "", json.dumps({"code": code}).encode())
    check((status, json.loads(body)) == (200, {"status": "ok"}), status, body)


def an_account_is_connected():
    with LinkingDoor() as door:
        for ask, name in zip(door.ways(), ("cgi", "worker")):
            account = ACCOUNT + name
            exchange(ask, name, account)
            query = link(account)
            status, _, page = ask("GET", query)
            check(status == 200 and query.replace("&", "&amp;").encode() in page and b'name="password"' in page, "sign-in first:", page)
            cookie = cookie_of(sign_in(ask, next="?" + query))
            status, _, page = ask("GET", query, HTTP_COOKIE=cookie)
            check(status == 200 and ("?/link&" + query).replace("&", "&amp;").encode() in page, "the button:", page)
            check(not any(command in ("POST", "PATCH") and path.endswith("integrations") and account.encode() in body
                          for command, path, body in Ring.asked), "a GET connects nothing")
            status, fields, body = ask("POST", "/link&" + query, HTTP_COOKIE=cookie, **OURS)
            check((status, fields.get("Location")) == (303, "/door?linked=1"), status, fields, body)
            status, _, page = ask("GET", "linked=1", HTTP_COOKIE=cookie)
            check(status == 200 and b"connected" in page, page)
            status, _, page = ask("POST", "/link&" + query, HTTP_COOKIE=cookie, **OURS)
            check(status == 400 and b"Ring app" in page, "the same link again:", status, page)
        check({(one["account"], one["user"], one["state"]) for one in door.accounts()} ==
              {(ACCOUNT + name, "me", "completed") for name in ("cgi", "worker")}, door.accounts())
        text = "".join(door.log_texts())
        check(not any(secret in text for secret in ("r-" + ACCOUNT, "the-client-secret")), "a secret is in the log:", text)


def codes_come_as_json_or_as_a_form():
    with LinkingDoor() as door:
        for ask in door.ways():
            for number, body in enumerate(('{"code":"%s"}', '{"authorization_code":"%s","x":[1]}', "code=%s&state=y", "a=b&authorization_code=%s")):
                code = f"{ask.__name__}-{number}"
                Ring.codes[code] = ACCOUNT
                status, _, text = ask("POST", "", (body % code).encode())
                check(status == 200, body, status, text)
                check(code not in Ring.codes, "the code did not reach Ring")


def ring_refuses_or_is_away():
    with LinkingDoor() as door:
        for ask in door.ways():
            check(ask("POST", "", b"code=never-issued-" + ask.__name__.encode())[0] == 502, "a code that Ring does not know")
            Ring.refuse = {"/oauth/token": 503}
            status, fields, _ = ask("POST", "", b"code=other-" + ask.__name__.encode())
            check(status in (503, 504) and "Retry-After" in fields, "Ring is away:", status)
            Ring.refuse = {}


def only_the_right_user_and_link_connect():
    with LinkingDoor() as door:
        for ask in door.ways():
            exchange(ask, ask.__name__)
            cookie = cookie_of(sign_in(ask))
            for query in (link(key="another key of sixteen bytes"), link("another account"), link(age=700), link(age=-700), "nonce=&time=",
                          link() + "&time=1", link().split("&")[0], "nonce=" + "a" * 43 + "&time=1"):
                status, _, page = ask("POST", "/link&" + query, HTTP_COOKIE=cookie, **OURS)
                check(status == 400 and b"Sign in" in page, query, status, page)
            status, _, page = ask("POST", "/link&" + link(), **OURS)
            check(status == 403 and b'name="password"' in page, "nobody is signed in:", status, page)
            status, _, _ = ask("POST", "/link&" + link(), HTTP_COOKIE=cookie)
            check(status == 403, "another site's page")
            check(not any(one["user"] for one in door.accounts()), door.accounts())


def a_link_that_ring_could_not_hear_of_is_taken_up_again():
    with LinkingDoor() as door:
        for ask in door.ways():
            account = ACCOUNT + ask.__name__
            exchange(ask, ask.__name__, account)
            cookie = cookie_of(sign_in(ask))
            Ring.refuse = {"/v1/accounts/me/app-integrations": 503}
            status, _, page = ask("POST", "/link&" + link(account), HTTP_COOKIE=cookie, **OURS)
            check(status == 502 and b"again" in page, status, page)
            Ring.refuse = {}
            status, fields, _ = ask("POST", "/link&" + link(account), HTTP_COOKIE=cookie, **OURS)
            check(status == 303, status, fields)


run_tests(an_account_is_connected, codes_come_as_json_or_as_a_form, ring_refuses_or_is_away, only_the_right_user_and_link_connect,
          a_link_that_ring_could_not_hear_of_is_taken_up_again)
