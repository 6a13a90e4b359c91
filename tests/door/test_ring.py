#!/usr/bin/env python3
"""The stand-in for Ring, asked with curl: it must refuse what Ring refuses, or the other tests in this directory prove nothing."""

import contextlib
import json
import pathlib
import subprocess
import tempfile
import time
import urllib.parse


from support.assertions import check, wait_for
from support.runner import run_tests
from ring import Ring, find_python, make_certificates

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=video 9 UDP/TLS/RTP/SAVPF 96 102
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:102 H264/90000
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:1
a=recvonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
""".format(fingerprint=":".join(["AB"] * 32)).replace("\n", "\r\n")
PYTHON = find_python()


class Answer:
    def __init__(self, result):
        self.exit = result.returncode
        head, _, self.body = result.stdout.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        self.headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}

    def json(self):
        return json.loads(self.body)


class Client:
    """Ring and a partner with a pair of tokens for one account."""

    def __init__(self, ring):
        self.ring = ring
        self.account, self.other = ring.accounts
        self.tokens = ring.tokens(self.account)

    def curl(self, url, *options, agent="doorpost-test/1"):
        return Answer(subprocess.run(["curl", "-s", "-i", "--proto", "=https", "--noproxy", "*", "--cacert", self.ring.ca, "-A", agent, *options,
                                      url], stdout=subprocess.PIPE, check=False))

    def call(self, path, *options, token=None, **more):
        token = token or self.tokens["access_token"]
        return self.curl(path if path.startswith("https:") else self.ring.api + path, "-H", f"Authorization: Bearer {token}", *options, **more)

    def post(self, path, value, method="POST", kind="application/json", token=None):
        body = value if isinstance(value, str) else json.dumps(value)
        return self.call(path, "-X", method, "-H", f"Content-Type: {kind}", "--data-binary", body, token=token)

    def token(self, grant, value, *options, secret="secret-1", **more):
        form = {"grant_type": grant, "client_id": "client-1", "client_secret": secret,
                "code" if grant == "authorization_code" else "refresh_token": value}
        return self.curl(self.ring.oauth, *options, "--data", urllib.parse.urlencode(form), **more)

    def live(self, device, offer=OFFER, **more):
        return self.post(f"/v1/devices/{device}/media/streaming/whep/sessions", offer, **{"kind": "application/sdp", **more})


@contextlib.contextmanager
def client(**modes):
    with tempfile.TemporaryDirectory(prefix="doorpost-ring-") as directory, Ring(directory) as ring:
        ring.set(**{"video": False, **modes})
        yield Client(ring)


def needs_aiohttp(test):
    """The test, skipped if no Python can run the stand-in."""
    def run():
        return test() if PYTHON else "python3-aiohttp is not installed"
    run.__name__ = test.__name__
    return run


def expect(answer, status, error=None):
    check(answer.status == status, "status", answer.status, "instead of", status, answer.body)
    if error:
        check(error in answer.body.decode(), error, "is missing in", answer.body)
    return answer


@needs_aiohttp
def a_code_is_exchanged_once():
    with client() as c:
        code = c.ring.issue_code(c.account)
        expect(c.token("authorization_code", code, secret="wrong"), 401, "invalid_client")
        expect(c.token("authorization_code", code, "-H", "Content-Type: application/json"), 400, "invalid_request")
        expect(c.token("authorization_code", code, agent="curl/7.88.1"), 403)
        expect(c.token("authorization_code", code, agent=""), 403)
        expect(c.token("password", code), 400, "unsupported_grant_type")
        answer = expect(c.token("authorization_code", code), 200).json()
        check(answer["expires_in"] == 14400 and answer["token_type"] == "Bearer", answer)
        check(c.call("/v1/users/me", token=answer["access_token"]).json()["data"]["id"] == c.account)
        expect(c.token("authorization_code", code), 400, "invalid_grant")
        expect(c.token("authorization_code", "code-of-nobody"), 400, "invalid_grant")
        c.ring.set(code_seconds=0)
        expect(c.token("authorization_code", c.ring.issue_code(c.account)), 400, "has expired")
        check(c.ring.state()["reused"] == {"code": 1, "refresh_token": 0}, c.ring.state())


@needs_aiohttp
def refresh_tokens_rotate():
    with client() as c:
        first = c.tokens["refresh_token"]
        expect(c.call("/v1/users/me"), 200)
        c.ring.expire(c.account)
        expect(c.call("/v1/users/me"), 401)
        second = expect(c.token("refresh_token", first), 200).json()
        check(second["refresh_token"] != first and second["access_token"] != c.tokens["access_token"])
        expect(c.token("refresh_token", first), 400, "invalid_grant")
        check(c.ring.state()["reused"]["refresh_token"] == 1)
        c.ring.set(refuse_refresh=True)
        expect(c.token("refresh_token", second["refresh_token"]), 400, "invalid_grant")
        c.ring.set(refuse_refresh=False, expires_in=0)
        third = expect(c.token("refresh_token", second["refresh_token"]), 200).json()
        expect(c.call("/v1/users/me", token=third["access_token"]), 401)


@needs_aiohttp
def a_dropped_answer_has_been_processed():
    with client(drop={"token": 1}) as c:
        check(c.token("refresh_token", c.tokens["refresh_token"]).exit == 52, "an empty answer was expected")
        entry, = c.ring.log("token")
        check(entry["status"] == 200 and entry["dropped"], entry)
        expect(c.token("refresh_token", c.tokens["refresh_token"]), 400, "invalid_grant")


@needs_aiohttp
def a_nonce_links_its_account():
    path = "/v1/accounts/me/app-integrations"
    with client() as c:
        now = int(time.time() * 1000)

        def link(nonce, **more):
            return c.post(path, {"account_identifier": "u***r@example.com", "nonce": nonce}, **more)
        completed = {"status": "completed"}
        expect(c.post(path, completed, "PATCH"), 404)
        expect(link("AAAA"), 400, "Invalid nonce")
        expect(link(c.ring.nonce(c.other)[0]), 400, "Invalid nonce")
        expect(link(c.ring.nonce(c.account, now - 601_000)[0]), 400, "Invalid nonce")
        expect(link(c.ring.nonce(c.account, now + 600_000)[0]), 400, "Invalid nonce")
        nonce, time_ms = c.ring.nonce(c.account)
        check(len(nonce) == 43 and time_ms >= now, nonce, time_ms)
        check(expect(link(nonce), 200).json() == {"status": "awaiting"})
        expect(c.post(path, {"status": "done"}, "PATCH"), 400)
        check(expect(c.post(path, completed, "PATCH"), 200).json() == completed)
        check(c.ring.state()["integrations"] == {c.account: "completed"}, c.ring.state())
        c.ring.revoke(c.account)
        expect(link(nonce), 401)


@needs_aiohttp
def devices_are_those_of_the_account():
    with client() as c:
        answer = expect(c.call("/v1/devices?include=status,capabilities"), 200).json()
        check([device["id"] for device in answer["data"]] == c.ring.devices[:2], answer)
        check([each["attributes"]["online"] for each in answer["included"] if each["type"] == "device-status"] == [True, True])
        check([bool(each["attributes"]["battery_status"]) for each in answer["included"] if each["type"] == "device-capabilities"] == [False, True])
        c.ring.set(online={c.ring.devices[0]: False})
        answer = c.call("/v1/devices?include=status").json()
        check([each["attributes"]["online"] for each in answer["included"]] == [False, True], answer)
        check([device["attributes"]["name"] for device in c.call("/v1/devices", token=c.ring.tokens(c.other)["access_token"]).json()["data"]]
              == ["Office", "Shed"])


@needs_aiohttp
def a_picture_is_on_another_host():
    with client(fail={"image": [425, 2]}) as c:
        path, now = f"/v1/devices/{c.ring.devices[0]}/media/image/download", int(time.time() * 1000)
        want = {"type": "at_timestamp", "timestamp": now, "image_options": {"format": "jpeg"}}
        for _ in range(2):
            expect(c.post(path, want), 425, "RECORDING_NOT_READY")
        location = expect(c.post(path, want), 303).headers["location"]
        check(location.startswith(c.ring.media), location)
        expect(c.call(location), 400)
        answer = expect(c.curl(location), 200)
        check(answer.body.startswith(b"\xff\xd8\xff") and answer.body.endswith(b"\xff\xd9"), answer.body)
        check(answer.headers["x-media-timestamp"] == str(now) and answer.headers["x-media-origin"] == "recording", answer.headers)
        expect(c.curl(location.replace("security_token=", "security_token=x")), 403)
        expect(c.post(path, {"type": "latest_in_range", "start_timestamp": now - 5000, "end_timestamp": now}), 303)
        for wrong in ({}, {"type": "at_timestamp"}, {"type": "at_timestamp", "timestamp": str(now)}, {"type": "at_timestamp", "timestamp": 1},
                      {"type": "latest_in_range", "start_timestamp": now - 86400_001, "end_timestamp": now}):
            expect(c.post(path, wrong), 422)
        expect(c.post(path, want, kind="text/plain"), 415)
        expect(c.post(path.replace("EXAMPLE1", "EXAMPLE3"), want), 404)


@needs_aiohttp
def a_session_ends_at_its_exact_url():
    with client() as c:
        answer = expect(c.live(c.ring.devices[0]), 201)
        check(answer.headers["content-type"] == "application/sdp", answer.headers)
        check(answer.body.count(b"a=sendonly") == 2 and b"H264" in answer.body and b"VP8" not in answer.body, answer.body)
        url = answer.headers["location"]
        check(url.startswith(c.ring.api + "/v1/devices/") and "?location=" in url, url)
        expect(c.call(url.split("?")[0], "-X", "DELETE"), 404)
        expect(c.call(url + "x", "-X", "DELETE"), 404)
        expect(c.curl(url, "-X", "DELETE"), 401)
        expect(c.call(url, "-X", "DELETE", token=c.ring.tokens(c.other)["access_token"]), 404)
        expect(c.call(url, "-X", "DELETE"), 204)
        expect(c.call(url, "-X", "DELETE"), 404)
        session, = c.ring.state()["sessions"]
        check(session["ended"] == "deleted", session)
        c.ring.set(session_seconds=0.1, plain_location=True, sendrecv=True)
        answer = expect(c.live(c.ring.devices[0]), 201)
        check(b"a=sendrecv" in answer.body and "?" not in answer.headers["location"], answer.body, answer.headers)
        wait_for(lambda: c.ring.state()["sessions"][1]["ended"] == "limit", "the session's limit")


@needs_aiohttp
def an_offer_must_be_complete_and_recvonly():
    with client() as c:
        device = c.ring.devices[0]
        video, audio = OFFER.index("m=video"), OFFER.index("m=audio")
        for wrong in (OFFER.replace("recvonly", "sendrecv"), OFFER[:audio] + OFFER[audio:].replace("recvonly", "sendrecv"),
                      OFFER.replace("a=recvonly\r\n", ""), OFFER.replace("a=candidate", "a=x-candidate"), OFFER[:video] + OFFER[audio:],
                      OFFER.replace("H264", "VP9"), OFFER.replace("a=fingerprint", "a=x"), OFFER[video:], "", "hello"):
            expect(c.live(device, wrong), 400)
        expect(c.live(device, kind="application/json"), 415)
        expect(c.live("ava1.ring.device.EXAMPLE9"), 404)
        expect(c.live(c.ring.devices[2]), 404)
        expect(c.live(c.ring.devices[3], token=c.ring.tokens(c.other)["access_token"]), 503, "Device Unavailable")
        expect(c.live(device, OFFER[:audio]), 201)


@needs_aiohttp
def failures_come_as_they_are_set():
    with client() as c:
        expect(c.curl(c.ring.api + "/v1/devices"), 401, "Invalid Client")
        c.ring.set(empty_401=True)
        check(expect(c.call("/v1/devices", token="wrong"), 401).body == b"")
        c.ring.set(limit={"devices": 7})
        headers = expect(c.call("/v1/devices"), 429, "Rate Limit Exceeded").headers
        check(headers["retry-after"] == "7" and headers["x-ratelimit-remaining"] == "0", headers)
        c.ring.set(limit={}, fail={"devices": 503, "me": [500, 1]})
        expect(c.call("/v1/devices"), 503)
        expect(c.call("/v1/users/me"), 500)
        expect(c.call("/v1/users/me"), 200)
        c.ring.set(fail={}, slow={"devices": 0.2}, hang={"me": 1})
        began = time.monotonic()
        expect(c.call("/v1/devices"), 200)
        check(time.monotonic() - began >= 0.2, "it was not slow")
        check(c.call("/v1/users/me", "--max-time", "0.5").exit == 28, "a time-out was expected")
        check(c.ring.log("me")[-1]["status"] is None, c.ring.log("me"))
        expect(c.call("/v1/nothing"), 404)
        entry = c.ring.log()[-1]
        check((entry["route"], entry["method"], entry["path"], entry["authorization"], entry["status"])
              == ("unknown", "GET", "/v1/nothing", True, 404), entry)
        check(c.tokens["access_token"] not in json.dumps(c.ring.log()), "the log has a token")


@needs_aiohttp
def its_certificate_is_checked():
    with client() as c:
        url = c.ring.api + "/v1/devices"
        check(subprocess.run(["curl", "-s", "--noproxy", "*", url], check=False).returncode == 60, "it is trusted without its CA")
        check(expect(c.curl(url.replace("127.0.0.1", "localhost")), 401))


def certificates_are_made_again_before_they_expire():
    with tempfile.TemporaryDirectory(prefix="doorpost-ring-") as name:
        directory = pathlib.Path(name)
        certificate = directory / "server.pem"

        def made():
            make_certificates(directory)
            return certificate.read_bytes()
        first = made()
        check(made() == first, "they are made at each start")
        subprocess.run(["openssl", "req", "-x509", "-key", directory / "server.key", "-days", "1", "-subj", "/CN=localhost", "-out", certificate],
                       check=True, capture_output=True)
        check(certificate.read_bytes() != made() != first, "one that is about to expire was kept")
        certificate.write_bytes(b"")
        check(b"BEGIN" in made(), "an empty one was kept")


@needs_aiohttp
def live_video_moves():
    if subprocess.run([PYTHON, "-c", "import aiortc"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "python3-aiortc is not installed"
    with client(video=True, session_seconds=3600) as c, subprocess.Popen([PYTHON, pathlib.Path(__file__).with_name("viewer.py")], stdin=subprocess.PIPE,
                                                   stdout=subprocess.PIPE, text=True) as viewer:
        try:
            answer = expect(c.live(c.ring.devices[0], json.loads(viewer.stdout.readline())), 201)
            check(answer.body.count(b"a=sendonly") == 2 and b"H264" in answer.body and b"VP8" not in answer.body, answer.body)
            expect(c.live(c.ring.devices[0], OFFER.replace("packetization-mode=1", "packetization-mode=0")), 400, "cannot answer")
            check(c.ring.log("whep")[-1]["status"] == 400, c.ring.log("whep"))
            viewer.stdin.write(json.dumps(answer.body.decode()) + "\n")
            viewer.stdin.flush()
            seen = json.loads(viewer.stdout.readline())
            check(seen == {"video": [640, 360], "moving": True, "audio": True}, seen)
            expect(c.call(answer.headers["location"], "-X", "DELETE"), 204)
        finally:
            viewer.kill()
    return None


run_tests(a_code_is_exchanged_once, refresh_tokens_rotate, a_dropped_answer_has_been_processed, a_nonce_links_its_account,
          devices_are_those_of_the_account, a_picture_is_on_another_host, a_session_ends_at_its_exact_url,
          an_offer_must_be_complete_and_recvonly, failures_come_as_they_are_set, its_certificate_is_checked,
          certificates_are_made_again_before_they_expire, live_video_moves)
