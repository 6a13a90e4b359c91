"""What the tests of the door page's requests share: a laboratory with a door page and a user, asked by CGI or through a worker."""

import shutil
import signal
import subprocess
import urllib.parse


from support.assertions import PATIENCE, check
from support.fastcgi import fastcgi_connect, fastcgi_reply, fastcgi_request, parse_answer
from support.laboratory import BINARY, Lab

PASSWORD = "correct horse"
OURS = {"HTTP_SEC_FETCH_SITE": "same-origin"}


class Door(Lab):
    """A laboratory with a door page and a user, "me"."""

    def __init__(self, **settings):
        super().__init__()
        self.door = self.path / "door"
        self.door.mkdir(mode=0o700)
        self.own(self.door)
        self.binary = self.bin / "doorpost-door.cgi"
        shutil.copy(BINARY.with_name("doorpost-door.cgi"), self.binary)
        self.configure(DOOR=self.door, **settings)
        self.tool("door", "user", "add", "me", input=PASSWORD + "\n").ok()

    def variables(self, method, query, body, variables):
        return {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": method, "QUERY_STRING": query, "SCRIPT_NAME": "/door",
                "REQUEST_URI": "/door" + ("?" + query if query else ""), "HTTP_HOST": "door.example", "REMOTE_ADDR": "198.51.100.7",
                "CONTENT_LENGTH": str(len(body)) if body or method == "POST" else "", **variables}

    def by_cgi(self, method, query="", body=b"", **variables):
        env = {**self.environment(), **self.variables(method, query, body, variables)}
        result = subprocess.run([self.binary], input=body, env=env, capture_output=True, timeout=PATIENCE, **self.as_user())
        with open(self.logs / "cgi", "ab") as log:
            log.write(result.stderr)
        check(result.returncode == 0, "exit", result.returncode, result.stderr)
        return parse_answer(result.stdout)

    def start_worker(self, **options):
        listener, self.socket = self.listener()
        return self.worker(listener, **{**self.as_user(), **options})

    def send(self, method, query="", body=b"", flags=0, **variables):
        """Sends a request to the worker. Returns the connection."""
        connection = fastcgi_connect(self.socket)
        connection.sendall(self.request(method, query, body, flags, **variables))
        return connection

    def request(self, method, query="", body=b"", flags=0, **variables):
        return fastcgi_request(body, None, flags=flags, **self.variables(method, query, body, variables))

    def by_fastcgi(self, method, query="", body=b"", **variables):
        with self.send(method, query, body, **variables) as connection:
            return fastcgi_reply(connection)

    def ways(self):
        """By CGI, then by a worker."""
        yield self.by_cgi
        worker = self.start_worker()
        yield self.by_fastcgi
        end(worker)


def end(worker, number=signal.SIGTERM):
    worker.send_signal(number)
    check(worker.wait(PATIENCE) == 0, "the worker ended with", worker.returncode)


def form(**values):
    return urllib.parse.urlencode(values).encode()


def sign_in(ask, user="me", password=PASSWORD, **values):
    return ask("POST", "/login", form(user=user, password=password, **values), **OURS)


def cookie_of(answer):
    status, fields, _ = answer
    check(status == 303, "not signed in:", answer)
    return fields["Set-Cookie"].split(";")[0]


def is_signed_in(ask, **variables):
    status, _, page = ask("GET", **variables)
    check(status == 200, "the page:", status)
    return b'data-user="me"' in page
