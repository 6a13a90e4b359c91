#!/usr/bin/env python3
"""A strict stand-in for Ring: its token endpoint, its API and the host it keeps pictures on, over HTTPS on 127.0.0.1 with a CA of its own.

    ring.py --directory D [--port P] [--signing-key FILE]

prints its addresses as one line of JSON when it is ready. It ends on SIGTERM, or when its stdin is closed. Tests use it as a module:

    with Ring(directory) as ring:
        code = ring.issue_code(ring.accounts[0])
        ring.set(fail={"devices": 503})
        ...
        check(ring.log("token")[-1]["status"] == 200)

It refuses whatever Ring is known to refuse, and records every request. The program needs aiohttp, and aiortc for real video; the module
needs neither. See MODES in ring_api.py for what can be changed at run time.

Routes: token, me, integration, complete, devices, image, download (on the media host), whep, end; `unknown` is any other request."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

DEVICES = {  # account: {device: (name, online, battery_status)}
    "ava1.ring.account.EXAMPLE1": {
        "ava1.ring.device.EXAMPLE1": ("Front Door", True, None),
        "ava1.ring.device.EXAMPLE2": ("Gate \u201cS\u00fcd\u201d <b>&amp;", True, {"level": 80}),
    },
    "ava1.ring.account.EXAMPLE2": {
        "ava1.ring.device.EXAMPLE3": ("Office", True, {"level": 100}),
        "ava1.ring.device.EXAMPLE4": ("Shed", False, None),
    },
}


def find_python():
    """A Python that can run the program, or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and subprocess.run([python, "-c", "import aiohttp"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    return None


def make_certificates(directory):
    """A CA and a server certificate for localhost and 127.0.0.1, in the directory: ca.pem, server.pem, server.key. Those of an earlier run
    are kept if they are good for another day."""
    if subprocess.run(["openssl", "x509", "-in", directory / "server.pem", "-noout", "-checkend", "86400"], capture_output=True,
                      check=False).returncode == 0:
        return

    def certificate(name, subject, *options):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        f"/CN={subject}", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem", *options],
                       check=True, capture_output=True)
    certificate("ca", "Test CA", "-addext", "keyUsage=critical,keyCertSign")
    certificate("server", "localhost", "-CA", directory / "ca.pem", "-CAkey", directory / "ca.key", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")


class Ring:
    """The program, running. `accounts` and `devices` are what it knows from the start."""

    accounts = list(DEVICES)
    devices = [device for devices in DEVICES.values() for device in devices]

    def __init__(self, directory, signing_key=None, port=0):
        self.command = [find_python() or sys.executable, __file__, "--directory", str(directory), "--port", str(port)]
        if signing_key:
            self.command += ["--signing-key", str(signing_key)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"the stand-in for Ring did not start: exit status {self.process.returncode}")
        self.addresses = json.loads(line)
        self.api, self.oauth, self.media = (self.addresses[name] for name in ("api", "oauth", "media"))
        self.ca = pathlib.Path(self.addresses["ca"])
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def control(self, action, **values):
        request = urllib.request.Request(f"{self.addresses['control']}/{action}", json.dumps(values).encode(), {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.load(answer)

    def issue_code(self, account):
        """A new authorization code, as Ring posts it to the Token Exchange URL."""
        return self.control("code", account=account)

    def tokens(self, account):
        """A new pair of tokens, as if a code had been exchanged."""
        return self.control("tokens", account=account)

    def nonce(self, account, time_ms=None):
        """(nonce, time), as Ring adds them to the Account Link URL."""
        return tuple(self.control("nonce", account=account, time=time_ms or int(time.time() * 1000)))

    def expire(self, account):
        """The account's access tokens expire now, before their time. Its refresh tokens do not."""
        self.control("expire", account=account)

    def revoke(self, account):
        """What happens when the user removes the app: the tokens are dead."""
        self.control("revoke", account=account)

    def set(self, **modes):
        self.control("set", **modes)

    def log(self, route=None):
        """The requests so far, oldest first. `status` is None while there is no answer."""
        return [entry for entry in self.control("log") if route in (None, entry["route"])]

    def state(self):
        """{"integrations": {account: status}, "reused": {"code": times, "refresh_token": times}, "sessions": [...], "tokens": [...]}"""
        return self.control("state")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A strict stand-in for Ring.")
    parser.add_argument("--directory", required=True, help="where the CA and the certificates are kept")
    parser.add_argument("--port", type=int, default=0, help="port of the API (default: a free one)")
    parser.add_argument("--signing-key", help="file whose first word is the HMAC signing key (default: D/signing-key, made if missing)")
    parser.add_argument("--demo", action="store_true", help="have the account and the device of deploy/demo/press.sh")
    options = parser.parse_args()
    try:
        import ring
        from ring_api import serve
    except ImportError as error:
        sys.exit(f"ring.py: {error}: install python3-aiohttp and use /usr/bin/python3")
    if options.demo:
        ring.DEVICES["ava1.ring.account.DEMO"] = {"ava1.ring.device.FRONTDOOR": ("Front Door", True, None)}
    serve(options.directory, options.port, options.signing_key)
