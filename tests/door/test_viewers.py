#!/usr/bin/env python3
"""A hundred viewers wait for presses: each sees every one, soon, and deliveries are answered meanwhile. The memory of the door page's
worker is measured only with a program that was built without sanitizers."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import statistics
import threading
import time

from ring import find_python
from served import served
from support.assertions import check, wait_for
from support.runner import run_tests
from support.servers import SERVERS

VIEWERS, PRESSES = (20, 3) if os.environ.get("QUICK") else (100, 20)
SECONDS = 2  # from a delivery to the viewers; the median
MEMORY = 8192  # KiB


class Viewer(threading.Thread):
    """Asks as the page does: each request is held until there is news, or for 25 seconds."""

    def __init__(self, site):
        super().__init__()
        self.site, self.after, self.seen, self.refused, self.end = site, 0, {}, [], threading.Event()

    def run(self):
        with contextlib.closing(self.site.connect()) as connection:
            try:
                self.look(connection)
            except (OSError, http.client.HTTPException) as error:
                self.refused.append(error)

    def look(self, connection):
        while not self.end.is_set():
            status, _, body = self.site.ask("GET", f"/events&after={self.after}&wait=25", connection=connection)
            if status != 200 or not (answer := json.loads(body))["hold"]:
                self.refused.append((status, body))
                break
            for event in answer["events"]:
                self.seen[event["seq"]] = time.monotonic()
            self.after = answer["next"]


def memory(pid, what):
    return int(re.search(rf"^{what}:\s+(\d+) kB$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def sockets_of(pid):
    count = 0
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed
            count += os.readlink(path).startswith("socket:")
    return count


def viewers_see_every_press(name, has_worker):
    def test():
        with served(SERVERS[name], has_worker) as site:
            site.sign_in()
            site.link()
            [pid] = site.door_workers()
            before = memory(pid, "VmRSS")
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the most it has had: a password takes 16 MiB for a moment
            viewers, sent = [Viewer(site) for _ in range(VIEWERS)], {}
            for viewer in viewers:
                viewer.start()
            try:
                wait_for(lambda: sockets_of(pid) >= VIEWERS or any(viewer.refused for viewer in viewers), "the viewers to wait")
                for number in range(1, PRESSES + 1):
                    began = time.monotonic()
                    status, _, body = site.deliver(number)
                    check(status == 200, "a delivery was not taken:", status, body)
                    sent[json.loads(body)["seq"]] = began
                    wait_for(lambda: all(number in viewer.seen or viewer.refused for viewer in viewers), f"press {number} to be seen by all")
                    check(not any(viewer.refused for viewer in viewers), *[viewer.refused for viewer in viewers if viewer.refused])
                wait_for(lambda: sockets_of(pid) >= VIEWERS, "the viewers to wait again")
                waiting, peak = memory(pid, "VmRSS"), memory(pid, "VmHWM")
            finally:
                for viewer in viewers:
                    viewer.end.set()
                site.deliver(PRESSES + 1)  # wakes them
                for viewer in viewers:
                    viewer.join()
            took = sorted(viewer.seen[seq] - sent[seq] for viewer in viewers for seq in sent)
            check(len(took) == VIEWERS * PRESSES, "seen:", len(took))
            print(f"# {len(took)} views of {PRESSES} presses by {VIEWERS} viewers, {name}: median {statistics.median(took):.3f} s, "
                  f"longest {took[-1]:.3f} s")
            check(statistics.median(took) <= SECONDS, "the median is", statistics.median(took), "seconds")
            if b"__asan_init" not in site.lab.door_program.read_bytes():
                # At a press, all viewers are answered and come back at once: for a moment there are twice as many requests.
                print(f"# {before} KiB of memory before, {waiting} with {VIEWERS} viewers, {peak} at most")
                check(waiting <= MEMORY, "the worker needs", waiting, "KiB")
    test.title = f"{name}: viewers see every press"
    test.__name__ = name.partition("/")[0]
    return test


TESTS = [viewers_see_every_press("lighttpd/fastcgi.conf", False), viewers_see_every_press("nginx/doorpost.conf", True)]
if os.environ.get("QUICK"):
    TESTS = TESTS[:1]
if find_python() is None:
    print("1..0 # SKIP python3-aiohttp is not installed")
else:
    run_tests(*TESTS)
