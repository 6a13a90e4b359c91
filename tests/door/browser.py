"""A real browser for the tests of the page: Debian's chromium, driven over WebDriver, in a network of the test's own.

WebRTC needs an address that is not loopback, and a default route, to have candidates at all. So the test runs itself again in a network
namespace with a pair of interfaces (addresses of RFC 5737); in a process namespace too, so that no browser outlives it."""

import base64
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = int(os.environ.get("PATIENCE", "120"))
ADDRESS = "198.51.100.1"
DRIVER, CHROMIUM = "chromedriver", "chromium"
INSIDE = "DOORPOST_TEST_NETWORK"  # in the environment of what runs in the namespaces
NAMESPACES = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TAB, ENTER, SPACE = "\ue004", "\ue007", " "


def run_in_network(*modules):
    """Runs this test again in namespaces of its own, with a Python that has these modules. Returns why that cannot be done here, or
    None inside."""
    if INSIDE in os.environ:
        return None
    python = next((path for path in dict.fromkeys((sys.executable, "/usr/bin/python3")) if has_modules(path, modules)), None)
    missing = next((program for program in ("unshare", "ip", DRIVER, CHROMIUM) if not shutil.which(program)), None)
    command = NAMESPACES + ([] if os.geteuid() == 0 else ["--map-root-user"])
    if missing:
        reason = f"there is no {missing} here"
    elif not python:
        reason = f"no Python here has {' and '.join(modules)}"
    elif subprocess.run([*command, "sh", "-c", network()], capture_output=True).returncode:
        reason = "no network namespace can be made here"
    else:
        inner = f"{network()} && exec \"$@\""
        os.execvpe(command[0], [*command, "sh", "-c", inner, "sh", python, *sys.argv], {**os.environ, INSIDE: "1"})
    return reason


def has_modules(python, modules):
    return subprocess.run([python, "-c", "".join(f"import {name}\n" for name in modules)], capture_output=True).returncode == 0


def network():
    """Shell commands that make an interface with an address and a default route. No name can be looked up, which is known at once:
    nobody waits for a STUN server."""
    return ("ip link set lo up && ip link add door0 type veth peer name door1 && ip link set door0 up && ip link set door1 up && "
            f"ip addr add {ADDRESS}/24 dev door0 && ip route add default via 198.51.100.254 && "
            "file=$(mktemp) && echo nameserver 127.0.0.1 >$file && mount --bind $file /etc/resolv.conf && rm $file")


class Browser:
    """A session of WebDriver (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, *arguments):
        self.stack = contextlib.ExitStack()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="doorpost-browser-"))
        self.stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        try:
            self.start(arguments)
        except BaseException:
            self.stack.close()
            raise

    def start(self, arguments):
        environment = {**os.environ, "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}
        log = self.home / "driver.log"
        with open(log, "wb") as output:
            driver = subprocess.Popen([DRIVER, "--port=0"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.stack.callback(driver.wait)
        self.stack.callback(driver.terminate)
        end = time.monotonic() + PATIENCE
        while not (port := re.search(r"successfully on port (\d+)", log.read_text())):
            if time.monotonic() > end or driver.poll() is not None:
                raise AssertionError(f"{DRIVER} does not start: {log.read_text()}")
            time.sleep(0.05)
        self.base = f"http://127.0.0.1:{port[1]}"
        options = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--force-prefers-no-reduced-motion",
            f"--user-data-dir={self.home / 'profile'}",
            "--disable-features=WebRtcHideLocalIpsWithMdns",  # nobody answers mDNS here
            *arguments,
        ]
        value = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": True, "timeouts": {"script": PATIENCE * 1000, "pageLoad": PATIENCE * 1000},
            "goog:chromeOptions": {"binary": shutil.which(CHROMIUM), "args": options},
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.base += f"/session/{value['sessionId']}"
        self.stack.callback(self.ask, "DELETE", "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={"Content-Type": "application/json"},
                                         data=json.dumps(body if body is not None else {}).encode() if method == "POST" else None)
        try:
            with DIRECT.open(request, timeout=2 * PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise AssertionError(f"WebDriver: {method} {path}: {value['error']}: {value['message']}") from None

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """Runs the body of a function; a promise is waited for. Returns its value."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, expression, what=None):
        """Waits until the expression is true in the page. Returns its value."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(f"return {expression}")):
            if time.monotonic() > end:
                raise AssertionError(f"gave up waiting for {what or expression}. The page: {self.text()!r}, its console: {self.console()}")
            time.sleep(0.02)
        return value

    def text(self):
        return self.run("return document.body.innerText")

    def find(self, selector):
        return next(iter(self.ask("POST", "/element", {"using": "css selector", "value": selector}).values()))

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector, text):
        self.ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        """Presses keys; they go to the element that has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, scale=1):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 600)

    def prefer(self, **features):
        """prefer(prefers_color_scheme="dark")"""
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def screenshot(self):
        """The bytes of a PNG file."""
        return base64.b64decode(self.ask("GET", "/screenshot"))

    def console(self):
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]
