"""A door page whose user "me" has connected an account of the stand-in for Ring."""

import contextlib
import shutil
import urllib.parse

from door import OURS, Door, cookie_of, form, sign_in
from support.assertions import check
from support.laboratory import BINARY
from ring import Ring


def sign_in_cookie(ask, user, password):
    return cookie_of(sign_in(ask, user, password))


def connect(door, ring, account, cookie):
    """What happens when a user connects an account: Ring posts a code, then sends the user's browser."""
    status, _, body = door.by_cgi("POST", "", form(code=ring.issue_code(account)), CONTENT_TYPE="application/x-www-form-urlencoded")
    check(status == 200, "the code was not taken:", status, body)
    nonce, time = ring.nonce(account)
    query = "/link&" + urllib.parse.urlencode({"nonce": nonce, "time": time})
    status, fields, body = door.by_cgi("POST", query, b"", HTTP_COOKIE=cookie, **OURS)
    check(status == 303, "not connected:", status, body)


def directory_for(door):
    directory = door.path / "ring"
    directory.mkdir()
    return directory


def receive(door, *bodies):
    """Has the receiver store these deliveries."""
    page, door.binary = door.binary, door.bin / "doorpost.cgi"
    if not door.binary.exists():
        shutil.copy(BINARY, door.binary)
    super(Door, door).receive(*bodies)
    door.binary = page


@contextlib.contextmanager
def linked_door(account, **settings):
    """Yields (door, ring). door.cookie is a session of the user "me"."""
    with Door() as door, Ring(directory_for(door), signing_key=door.key_file) as ring:
        client = door.path / "client"
        client.write_text("client-1\nsecret-1\n")
        client.chmod(0o600)
        door.own(client)
        door.configure(DOOR=door.door, API=ring.api, OAUTH=ring.oauth, CA=ring.addresses["ca"], CLIENT_FILE=client, **settings)
        door.cookie = cookie_of(sign_in(door.by_cgi))
        connect(door, ring, account, door.cookie)
        yield door, ring
