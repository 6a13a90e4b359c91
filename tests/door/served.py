"""A site with both programs behind a web server, the stand-in for Ring, and a user "me" who has connected an account."""

import contextlib
import json
import os
import pathlib
import socket
import time
import urllib.parse

from door import PASSWORD, cookie_of, form
from ring import DEVICES, Ring
from support.assertions import PATIENCE, check
from support.deliveries import press, sign
from support.laboratory import Lab

ACCOUNT, OTHER = DEVICES
DEVICE, BATTERY = DEVICES[ACCOUNT]
OFFER = (b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\n"
         b"a=rtpmap:102 H264/90000\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 00:11\r\na=mid:0\r\n"
         b"a=recvonly\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n")
OURS = {"Sec-Fetch-Site": "same-origin"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", **OURS}


class Site:
    def __init__(self, lab, ring, server):
        self.lab, self.ring, self.server, self.cookie = lab, ring, server, None

    def connect(self):
        """A connection that can be kept."""
        return self.server.connect(PATIENCE)

    def ask(self, method, query="", body=None, fields=None, connection=None):
        """(status, fields, body) of a request for the door page. Set-Cookie and the like are as the server has sent them."""
        own = connection or self.connect()
        try:
            own.request(method, "/door" + (f"?{query}" if query else ""), body,
                        {**({"Cookie": self.cookie} if self.cookie else {}), **(fields or {})})
            answer = own.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            if not connection:
                own.close()

    def sign_in(self):
        answer = self.ask("POST", "/login", form(user="me", password=PASSWORD), FORM)
        self.cookie = cookie_of(answer)
        return answer

    def deliver(self, number, device=DEVICE):
        """A press. Returns what the receiver answers."""
        event = json.loads(press(number, account_id=ACCOUNT))
        event["data"]["attributes"].update(source=device, timestamp=int(time.time() * 1000) - 3000)
        body = json.dumps(event, separators=(",", ":")).encode()
        return self.server.request(body, sign(body))

    def door_workers(self):
        """The processes of the door page's program, without the short-lived ones that it starts."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.readlink(entry / "exe") == str(self.lab.door_program):
                    found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        return [pid for pid, parent in found.items() if parent not in found]

    def link(self):
        """Ring posts a code, then sends the user's browser. Returns the three answers."""
        code = self.ask("POST", "", form(code=self.ring.issue_code(ACCOUNT)), {"Content-Type": FORM["Content-Type"], "Cookie": ""})
        check(code[0] == 200, "the code was not taken:", code)
        nonce, at = self.ring.nonce(ACCOUNT)
        query = urllib.parse.urlencode({"nonce": nonce, "time": at})
        page = self.ask("GET", query)
        done = self.ask("POST", "/link&" + query, b"", FORM)
        check(done[0] == 303 and self.ring.state()["integrations"][ACCOUNT] == "completed", "not connected:", done)
        return code, page, done


def door_worker(lab):
    """A worker of the door page, for those sites whose web server starts none: see support/servers.py. Started by itself, it has ended
    before the web server is asked to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(lab.logs / "door.sock"))
    (lab.logs / "door.sock").chmod(0o777)
    listener.listen(1024)
    lab.start([lab.door_program], stdin=listener, stderr=open(lab.logs / "door", "ab"), **lab.as_user())
    listener.close()


@contextlib.contextmanager
def served(start, has_worker=False, **settings):
    """`start` starts the web server. `has_worker`: it starts no worker of the door page, so this does."""
    with Lab() as lab:
        door, client, directory = lab.path / "door", lab.path / "client", lab.path / "ring"
        for path in (door, directory):
            path.mkdir(mode=0o700)
        client.write_text("client-1\nsecret-1\n")
        client.chmod(0o600)
        for path in (door, client):
            lab.own(path)
        with Ring(directory, signing_key=lab.key_file) as ring:
            directory.chmod(0o755)
            ring.ca.chmod(0o644)  # the worker is another user
            ring.set(video=False)
            lab.configure(DOOR=door, API=ring.api, OAUTH=ring.oauth, CA=ring.ca, CLIENT_FILE=client, **settings)
            lab.tool("door", "user", "add", "me", input=PASSWORD + "\n").ok()
            if has_worker:
                door_worker(lab)
            yield Site(lab, ring, start(lab))
