#!/usr/bin/env python3
"""The page of the door in a real browser, with a small imitation of the door's API behind it: real presses, pictures and H.264 video,
but no Ring and no accounts."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import sys
import threading
import time
import traceback
import urllib.parse


from browser import ENTER, SPACE, TAB, Browser, run_in_network
from support.assertions import check, wait_for
from support.laboratory import ROOT
from support.runner import run_tests

UNAVAILABLE = run_in_network("aiortc", "numpy")
if not UNAVAILABLE:
    import asyncio
    import fractions
    import html
    import io

    import aiortc
    import av
    import numpy

PAGE = ROOT / "cgi/door/page"
SHOTS = os.environ.get("SCREENSHOTS")  # a directory to keep the screenshots in
LONG_NAME = "The old oak door behind the rhododendrons at the garden gate"  # 60 characters
FRONT, GATE = "ava1.ring.device.FRONT/1", "ava1.ring.device.GATE"
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
FRAMES = 15  # a second
browser = None


# ---- what a doorbell sees ----

def scene(second, width=640, height=360):
    """A porch in the evening, and a person that walks across it."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    light = numpy.exp(-(((x - 470) / 260) ** 2 + ((y - 60) / 220) ** 2))
    image = numpy.stack([70 + 130 * light, 78 + 100 * light, 96 + 50 * light], axis=-1)
    image[y > 250 + (x - 320) ** 2 / 6000] *= 0.72
    image[(x > 60) & (x < 150) & (y > 70) & (y < 262)] = (52, 66, 60)
    image[(x % 46 < 3) & (y > 190) & (y < 262)] *= 0.6
    middle = 330 + 90 * numpy.sin(second)
    body = ((x - middle) / 62) ** 4 + ((y - 300) / 130) ** 4 < 1
    head = ((x - middle) / 34) ** 2 + ((y - 140) / 42) ** 2 < 1
    image[body], image[head] = (44, 62, 92), (196, 158, 132)
    image[head & (y < 118)] = (58, 44, 38)
    return numpy.clip(image, 0, 255).astype(numpy.uint8)


@functools.cache
def picture():
    """A JPEG."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mjpeg") as container:
        video = container.add_stream("mjpeg", rate=1)
        video.width, video.height, video.pix_fmt = 640, 360, "yuvj420p"
        for packet in [*video.encode(av.VideoFrame.from_ndarray(scene(1), format="rgb24")), *video.encode()]:
            container.mux(packet)
    return stream.getvalue()


class Camera(aiortc.VideoStreamTrack if not UNAVAILABLE else object):
    """Sends frames until it is frozen."""

    def __init__(self):
        super().__init__()
        self.frozen, self.sent, self.start = False, 0, time.monotonic()

    async def recv(self):
        await asyncio.sleep(max(0, self.start + self.sent / FRAMES - time.monotonic()))
        while self.frozen:
            await asyncio.sleep(3600)
        frame = av.VideoFrame.from_ndarray(scene(self.sent / FRAMES), format="rgb24")
        frame.pts, frame.time_base = self.sent, fractions.Fraction(1, FRAMES)
        self.sent += 1
        return frame


class Session:
    """The other end of live video."""

    def __init__(self, id, device):
        self.id, self.device, self.deleted = id, device, False
        self.camera = self.peer = None

    async def answer(self, offer):
        self.peer, self.camera = aiortc.RTCPeerConnection(), Camera()
        video = self.peer.addTransceiver(self.camera, direction="sendonly")
        video.setCodecPreferences([codec for codec in aiortc.RTCRtpSender.getCapabilities("video").codecs if codec.mimeType == "video/H264"])
        self.peer.addTransceiver(aiortc.mediastreams.AudioStreamTrack(), direction="sendonly")
        await self.peer.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return self.peer.localDescription.sdp


# ---- the door's API ----

class Door:
    """One URL, as doorpost-door.cgi has it."""

    def __init__(self, hold=True):
        self.hold, self.user, self.broken, self.refusal = hold, "anna", False, None
        self.devices = [{"id": FRONT, "name": "Front Door", "online": True, "seconds": 30},
                        {"id": GATE, "name": "Garden Gate", "online": True, "seconds": 60}]
        self.events, self.sessions, self.requests, self.problems = [], {}, [], []
        self.answering = threading.Event()  # cleared: Ring takes its time
        self.answering.set()
        self.changed = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Request", (Request,), {"door": self}))
        self.server.handle_error = lambda *_: self.problems.append(traceback.format_exc())
        self.url = f"http://localhost:{self.server.server_port}/door"
        self.threads = [threading.Thread(target=run) for run in (self.server.serve_forever, self.loop.run_forever)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        browser.open("about:blank")  # also ends what is held
        self.answering.set()
        with self.changed:
            self.hold = False
            self.changed.notify_all()
        for session in self.sessions.values():
            self.end(session)
        self.server.shutdown()
        self.server.server_close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self.threads:
            thread.join()
        if kind is None:
            check(not self.problems, *self.problems)
            # The browser reports any answer of 400 or more; what it reports of the policy or of a script is a fault.
            errors = [line for line in browser.console() if "Content Security Policy" in line or "Uncaught" in line]
            check(not errors, *errors)

    def press(self, device=FRONT, picture="yes", ago=0, **members):
        now = time.time() - ago
        with self.changed:
            seq = self.events[-1]["seq"] + 1 if self.events else members.pop("first", 1)
            self.events.append({"seq": seq, "type": "button_press", "sub_type": "", "device": device, "pressed_at": int(now * 1000),
                                "received_at": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(now)), "picture": picture})
            self.changed.notify_all()
        return seq

    def end(self, session):
        if session.peer:
            asyncio.run_coroutine_threadsafe(session.peer.close(), self.loop).result()

    def session(self):
        """The newest session."""
        return wait_for(lambda: list(self.sessions.values()), "a session")[-1]

    def deleted(self, session):
        wait_for(lambda: session.deleted, f"the DELETE of {session.id}")

    def asked(self, path):
        return [query for query in self.requests if query.startswith(path)]


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door = None

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()

    def reply(self, status, body=b"", kind="application/json", **fields):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), "Content-Security-Policy": POLICY, "Cache-Control": "no-store",
                            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                            "Cross-Origin-Resource-Policy": "same-origin",
                            **{name.replace("_", "-"): value for name, value in fields.items()}}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def json(self, status, value, **fields):
        self.reply(status, json.dumps(value).encode(), **fields)

    def page(self, name, marks, code=200):
        text = (PAGE / name).read_text()
        for mark, value in marks.items():
            self.problem(f"{{{{{mark}}}}}" in text, name, "has no mark", mark)
            text = text.replace(f"{{{{{mark}}}}}", html.escape(value))
        self.problem("{{" not in text, "a mark is left in", name)
        self.reply(code, text.encode(), "text/html; charset=utf-8")

    def problem(self, good, *text):
        if not good:
            self.door.problems.append(" ".join(text))

    def do_GET(self):
        self.route({"events": self.events, "devices": self.devices, "picture": self.picture})

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.problem(self.headers["Sec-Fetch-Site"] == "same-origin", "a POST without Sec-Fetch-Site")
        self.route({"live": self.live, "login": self.login, "logout": self.logout})

    def do_DELETE(self):
        self.problem(self.headers["Sec-Fetch-Site"] == "same-origin", "a DELETE without Sec-Fetch-Site")
        self.route({"live": self.forget})

    def route(self, routes):
        path, _, query = self.path.partition("?")
        self.door.requests.append(f"{self.command} {query}")
        name, _, rest = query.partition("&")
        name, _, self.item = name.removeprefix("/").partition("/")
        self.query = dict(urllib.parse.parse_qsl(rest))
        if path != "/door":
            self.reply(404)
        elif self.door.broken:
            self.reply(503, b"out of order", "text/plain")
        elif self.command == "GET" and (PAGE / name).suffix in (".js", ".css", ".svg", ".png", ".json"):
            kind = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png",
                    ".json": "application/manifest+json"}[(PAGE / name).suffix]
            self.reply(200, (PAGE / name).read_bytes(), kind)
        elif query == "" and self.command == "GET":
            user = self.door.user
            self.page(*(("index.html", {"user": user, "status": ""}) if user else ("signin.html", {"message": "", "next": ""})))
        elif query.startswith("nonce="):
            self.page("link.html", {"query": query, "user": "anna"})
        elif query == "message":
            self.page("message.html", {"title": "Account not connected",
                                       "message": "The link has expired. Tap “Sign in” in the Ring app again."})
        elif name != "login" and not self.door.user:
            self.json(401, {"error": "signin"})
        else:
            routes[name]()

    def events(self):
        after = int(self.query.get("after", -1))
        wait = float(self.query.get("wait", 0)) if self.door.hold else 0

        def news():
            return [event for event in self.door.events if event["seq"] > after]
        with self.door.changed:
            if not news() and after >= 0:
                self.door.changed.wait_for(lambda: news() or not self.door.hold, wait)
            found = news()[-50:]
            last = self.door.events[-1]["seq"] if self.door.events else 0
        self.json(200, {"events": found, "next": last, "hold": self.door.hold}, X_Next=last)

    def devices(self):
        self.json(200, {"devices": self.door.devices, "accounts": 1 if self.door.devices else 0, "error": ""})

    def picture(self):
        if any(event["seq"] == int(self.query["seq"]) and event["picture"] == "yes" for event in self.door.events):
            self.reply(200, picture(), "image/jpeg", Cache_Control="private, max-age=31536000, immutable")
        else:
            self.reply(404, (PAGE / "placeholder.svg").read_bytes(), "image/svg+xml")

    def live(self):
        door, id = self.door, self.query["id"]
        self.problem(re.fullmatch("[0-9a-f]{32}", id), "not an id:", id)
        self.problem(self.headers["Content-Type"] == "application/sdp", "a POST of", self.headers["Content-Type"])
        offer = self.body.decode()
        self.problem("a=candidate" in offer and offer.count("a=recvonly") == 2 and "a=sendrecv" not in offer, "not a complete offer:", offer)
        session = door.sessions[id] = Session(id, urllib.parse.unquote(self.item))
        self.problem(session.device in (FRONT, GATE), "not a device:", session.device)
        door.answering.wait()
        if door.refusal:
            status, error = door.refusal
            self.json(status, {"error": error, "message": "for people"}, Retry_After=7)
        elif session.deleted:
            self.json(409, {"error": "cancelled", "message": ""})
        elif any(other.device == session.device and other.peer and not other.deleted for other in door.sessions.values()):
            self.json(409, {"error": "busy", "message": ""})
        else:
            answer = asyncio.run_coroutine_threadsafe(session.answer(offer), door.loop).result()
            self.reply(201, answer.encode(), "application/sdp", X_Seconds=30)

    def forget(self):
        if session := self.door.sessions.get(self.item):
            time.sleep(0.5)  # as Ring is asked
            self.door.end(session)
            session.deleted = True
        self.reply(204)

    def login(self):
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        if form["password"] != "correct":
            self.page("signin.html", {"message": "User name or password is wrong.", "next": ""}, 403)
            return
        self.door.user = form["user"]
        self.reply(303, Location="/door")

    def logout(self):
        self.door.user = None
        self.reply(303, Location="/door")


# ---- what the tests do with a page ----

STATE = "document.getElementById('stage').dataset.state"


def visit(door, fragment=""):
    browser.open("about:blank")
    browser.console()
    browser.open(door.url + fragment)
    if door.user:
        browser.wait("document.body.dataset.connection === 'ok'")


def state(name):
    return browser.wait(f"{STATE} === {json.dumps(name)}", f"state {name}")


def stage():
    return browser.run("return {...document.getElementById('stage').dataset}")


def row(seq):
    return f"#presses li[data-seq=\"{seq}\"]"


def in_time(limit, attempt):
    """A promise of seconds: it is kept in one of five attempts, as the machine may have other things to do. Each returns its seconds."""
    took = []
    for _ in range(5):
        took.append(attempt())
        if took[-1] <= limit:
            return took[-1]
    raise AssertionError(f"took {took} seconds, not {limit}")


def start_live(door, button="#go"):
    browser.click(button)
    state("live")
    return door.session()


# ---- tests ----

def a_press_appears_within_two_seconds():
    for hold in (True, False):
        with Door(hold) as door:
            visit(door)
            browser.wait("document.getElementById('none').textContent.startsWith('Nobody')")

            def press():
                began, seq = time.monotonic(), door.press()
                browser.wait(f"document.querySelector('{row(seq)}')")
                return time.monotonic() - began
            seconds = in_time(2, press)
            print(f"# {seconds:.2f} s from a press to the page, {'held' if hold else 'asked every second'}")
            seq = door.press(GATE)
            browser.wait(f"document.getElementById('stage').dataset.seq === '{seq}'")
            check("Garden Gate" in browser.run("return document.getElementById('stage').innerText"), stage())
            check("Garden Gate: someone is at the door" in browser.run("return document.getElementById('news').textContent"))
            check(browser.run("return Number(document.querySelector('#presses li').dataset.seq)") == seq, "the newest press is not on top")


def a_picture_is_shown_as_soon_as_it_is_there():
    with Door() as door:
        door.press(picture="none")
        seq = door.press(picture="pending")
        visit(door)
        browser.wait("document.getElementById('note').textContent.includes('on its way')")
        wait_for(lambda: door.asked(f"GET /picture&seq={seq}"), "a question for the picture")
        door.events[-1]["picture"] = "yes"
        browser.wait("document.getElementById('picture').naturalWidth === 640 && !document.getElementById('picture').hidden")
        browser.wait(f"document.querySelector('{row(seq)} img').naturalWidth === 640")
        check(browser.run(f"return document.querySelector('{row(seq - 1)}').dataset.picture") == "none")


def one_tap_shows_live_video():
    with Door() as door:
        door.press()
        visit(door)
        browser.run("""
            const create = RTCPeerConnection.prototype.createOffer;
            RTCPeerConnection.prototype.createOffer = function (...all) { window.pc = this; return create.apply(this, all); };
            document.getElementById('go').addEventListener('click', () => { window.clicked = performance.now(); }, { once: true });
            document.getElementById('video').requestVideoFrameCallback(now => { window.took = performance.now() - window.clicked; });""")
        session = start_live(door)
        print(f"# {browser.run('return window.took') / 1000:.2f} s from the click to the first frame")
        check(session.device == FRONT, session.device)
        check(browser.run("return document.getElementById('video').videoWidth") == 640)
        decoded = "[...(await pc.getStats()).values()].find(s => s.type === 'inbound-rtp' && s.kind === 'video').framesDecoded"
        first = browser.run(f"return (async () => {decoded})()")
        browser.wait(f"(async () => {decoded} > {first + 5})()", "frames")
        pixels = """(() => {
            const canvas = document.createElement('canvas'), video = document.getElementById('video');
            [canvas.width, canvas.height] = [64, 36];
            canvas.getContext('2d').drawImage(video, 0, 0, 64, 36);
            return canvas.toDataURL(); })()"""
        before = browser.run(f"return {pixels}")
        browser.wait(f"{pixels} !== {json.dumps(before)}", "another picture")
        check(browser.run("return document.getElementById('video').srcObject.getTracks().map(t => t.kind).sort().join()") == "audio,video")
        seconds = int(stage()["seconds"])
        check(0 < seconds <= 30, "seconds left:", seconds)
        browser.wait(f"Number(document.getElementById('stage').dataset.seconds) < {seconds}", "fewer seconds left")
        check(browser.run("return document.getElementById('video').muted"), "sound is on before anybody asked for it")
        browser.click("#sound")
        check(not browser.run("return document.getElementById('video').muted"), "no sound after a tap")
        check(browser.run("return document.getElementById('sound').textContent") == "Mute")
        shoot("live")
        browser.click("#go")
        door.deleted(session)
        state("idle")


def every_press_and_every_door_has_a_button_and_one_session_is_open():
    with Door() as door:
        first = door.press(GATE)
        door.press()
        visit(door)
        one = start_live(door, f"{row(first)} button")
        check(one.device == GATE and stage()["seq"] == str(first), stage())
        two = start_live(door, f'#doors li[data-device="{FRONT}"] button')
        check(two.device == FRONT and two is not one and stage()["seq"] == "", stage())
        door.deleted(one)
        browser.click("#go")
        door.deleted(two)
        check(len(door.sessions) == 2, "sessions:", len(door.sessions))
        session = start_live(door)
        browser.run("document.getElementById('go').click(); document.getElementById('go').click()")  # stops it and begins the next
        door.deleted(session)
        state("live")


def leaving_the_page_ends_the_session():
    with Door() as door:
        door.press()
        visit(door)
        session = start_live(door)
        browser.open("about:blank")
        door.deleted(session)
        visit(door)
        session = start_live(door)
        browser.click("#logout button")
        browser.wait("document.getElementById('signin')")
        door.deleted(session)


def a_viewer_who_leaves_while_connecting_ends_the_session():
    for leave in (lambda: browser.click("#go"), lambda: browser.open("about:blank")):
        with Door() as door:
            door.press()
            visit(door)
            door.answering.clear()
            browser.click("#go")
            state("connecting")
            session = door.session()
            leave()
            door.deleted(session)


def a_session_that_ends_is_seen_within_three_seconds():
    with Door() as door:
        door.press()
        visit(door)

        def freeze():
            session = start_live(door)
            browser.run("""
                const video = document.getElementById('video'), stage = document.getElementById('stage');
                const frame = () => { window.last = performance.now(); video.requestVideoFrameCallback(frame); };
                video.requestVideoFrameCallback(frame);
                new MutationObserver(() => { if (stage.dataset.state === 'ended') window.ended ??= performance.now(); })
                    .observe(stage, { attributes: true });
                window.last = window.ended = undefined;""")
            browser.wait("window.last")
            session.camera.frozen = True
            state("ended")
            door.deleted(session)
            return browser.run("return (window.ended - window.last) / 1000")
        seconds = in_time(3, freeze)
        print(f"# {seconds:.2f} s from the last frame to the end")
        check("Watch again" in browser.run("return document.getElementById('go').textContent"))
        session = start_live(door)
        door.end(session)
        state("ended")
        check("has ended" in browser.run("return document.getElementById('stage-text').textContent"))


def each_refusal_is_explained():
    texts = {"offline": (503, "is offline", "Try again"), "busy": (409, "Someone else is watching", "Try again"),
             "missing": (404, "no longer in the connected", "Update the list"), "limit": (429, "in 7 seconds", "Try again"),
             "denied": (502, "remove this app and add it again", "Try again"), "timeout": (504, "did not answer in time", "Try again"),
             "failed": (502, "does not work at the moment. For people", "Try again")}
    with Door() as door:
        door.press()
        visit(door)
        for error, (status, text, button) in texts.items():
            door.refusal = status, error
            browser.click("#go")
            state(error)
            check(text in browser.run("return document.getElementById('stage-text').textContent"), error, browser.text())
            check(button in browser.run("return document.getElementById('go').textContent"), error, browser.text())
            if error == "missing":
                browser.click("#go")
                state("idle")
        door.refusal = None
        session = start_live(door)
        browser.click("#go")
        door.deleted(session)


def the_address_opens_a_press():
    with Door() as door:
        seq = door.press(GATE)
        for _ in range(60):
            door.press()
        for fragment, shown in ((f"#seq={seq + 20}", seq + 20), (f"#{seq + 30}", seq + 30), (f"#seq={seq}", seq + 60)):
            visit(door, fragment)
            browser.wait(f"document.getElementById('stage').dataset.seq === '{shown}'")
            check(("older than those" in browser.text()) == (fragment == f"#seq={seq}"), fragment, browser.text())
        browser.click(f"{row(seq + 40)} a")
        browser.wait(f"document.getElementById('stage').dataset.seq === '{seq + 40}'")
        newest = door.press()
        browser.wait(f"document.getElementById('stage').dataset.seq === '{newest}'")
        check(browser.run("return location.hash") == "")


def signing_in_keeps_the_press():
    with Door() as door:
        seq = door.press(GATE)
        door.press()
        door.user = None
        visit(door, f"#seq={seq}")
        browser.type("#user", "anna")
        browser.type("#password", "wrong" + ENTER)
        browser.wait("document.querySelector('[role=alert]')?.textContent.includes('wrong')")
        browser.type("#user", "anna")
        browser.type("#password", "correct" + ENTER)
        browser.wait(f"document.getElementById('stage')?.dataset.seq === '{seq}'")


def an_expired_sign_in_is_told():
    with Door(hold=False) as door:
        seq = door.press()
        visit(door, f"#seq={seq}")
        door.user = None
        browser.wait("document.body.dataset.connection === 'signed-out'")
        check("sign-in has expired" in browser.text(), browser.text())
        browser.click("#connection a")
        browser.wait("document.getElementById('signin')?.action.endsWith('?/login#seq=%d')" % seq)


def an_outage_is_told_and_survived():
    with Door(hold=False) as door:
        door.press()
        visit(door)
        door.broken = True
        browser.wait("document.body.dataset.connection === 'lost'")
        check("No connection" in browser.text(), browser.text())
        door.broken = False
        seq = door.press()
        browser.wait(f"document.body.dataset.connection === 'ok' && document.querySelector('{row(seq)}')")
        check("No connection" not in browser.text(), browser.text())


def a_hidden_page_asks_for_nothing():
    with Door(hold=False) as door:
        visit(door)
        hide = """
            Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));"""  # a browser without a screen hides no page
        browser.run(hide, True)

        def quiet():
            count = len(door.requests)
            time.sleep(3)  # a page that asks does so every second
            return len(door.requests) == count
        wait_for(quiet, "a hidden page to stop asking")
        seq = door.press()
        browser.run(hide, False)
        browser.wait(f"document.querySelector('{row(seq)}')")


def keys_alone_start_live_video():
    with Door() as door:
        door.press()
        visit(door)

        def tab_to(selector):
            for _ in range(40):
                browser.press(TAB)
                if browser.run(f"return document.activeElement.matches('{selector}')"):
                    style = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
                    check(style == "solid", selector, "has no visible focus")
                    return
            raise AssertionError(f"{selector} cannot be reached by Tab")
        tab_to("#go")
        browser.press(ENTER)
        state("live")
        tab_to("#sound")
        browser.press(SPACE)
        check(not browser.run("return document.getElementById('video').muted"))
        tab_to("#doors button")
        browser.press(ENTER)  # it is live already
        browser.wait("document.activeElement.id === 'go'", "the focus at what stops it")
        browser.press(ENTER)
        state("idle")
        check(len(door.sessions) == 1)
        tab_to("#presses button")
        browser.press(ENTER)
        state("live")
        browser.press(ENTER)
        state("idle")


def shoot(name):
    image = browser.screenshot()
    if SHOTS:
        (pathlib.Path(SHOTS) / f"{name}.png").write_bytes(image)
    return image


def the_page_fits_and_is_dark_at_night():
    sizes = {"phone": (390, 844, 1.5), "desktop": (1280, 800, 1)}
    fits = "document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('body *')].every(e => " \
           "e.closest('.unseen, [hidden]') || e.getBoundingClientRect().right <= innerWidth + 0.5)"
    ground = "return getComputedStyle(document.body).backgroundColor"
    with Door() as door:
        door.devices[1] |= {"name": LONG_NAME, "online": False}
        door.press(GATE, ago=90000)
        door.press(ago=7400)
        door.press(GATE, picture="none", ago=1500)
        door.press(ago=20)
        shown = "document.getElementById('picture').naturalWidth && document.querySelectorAll('#doors li').length === 2"
        try:
            for size, (width, height, scale) in sizes.items():
                browser.size(width, height, scale)
                grounds = set()
                for scheme in ("light", "dark"):
                    browser.prefer(prefers_color_scheme=scheme)
                    visit(door)
                    browser.wait(shown)
                    check(browser.run(f"return {fits}"), "the page is wider than", width)
                    shoot(f"{size}-{scheme}")
                    grounds.add(browser.run(ground))
                    for query, name in (("?nonce=a&time=1", "link"), ("?message", "message")):
                        browser.open(door.url + query)
                        check(browser.run(f"return {fits}"), name, "is wider than", width)
                        shoot(f"{size}-{scheme}-{name}")
                    door.user, user = None, door.user
                    visit(door)
                    door.user = user
                    check(browser.run(f"return {fits}"), "sign-in is wider than", width)
                    shoot(f"{size}-{scheme}-signin")
                check(len(grounds) == 2, "light and dark look the same:", *grounds)
                visit(door, "#seq=1")
                browser.wait(f"document.getElementById('stage').dataset.seq === '1' && {shown}")
                check(browser.run(f"return {fits}"), "a long name is wider than", width)
                shoot(f"{size}-long")
                start_live(door)
                check(browser.run(f"return {fits}"), "live video is wider than", width)
                shoot(f"{size}-live")
                browser.click("#go")
            browser.prefer(prefers_reduced_motion="reduce")
            door.answering.clear()
            browser.click("#go")
            state("connecting")
            check(browser.run("return getComputedStyle(document.getElementById('screen'), '::after').animationName") == "none")
        finally:
            browser.prefer()
            browser.devtools("Emulation.clearDeviceMetricsOverride")


def the_page_can_be_installed():
    with Door() as door:
        visit(door)
        manifest = wait_for(lambda: (found := browser.devtools("Page.getAppManifest"))["data"] and found, "the manifest")
        check(not manifest["errors"], manifest["errors"])
        problems = browser.devtools("Page.getInstallabilityErrors")["installabilityErrors"]
        check(not problems, problems)


def every_file_is_small_and_nothing_is_inline():
    for path in PAGE.iterdir():
        check(path.stat().st_size < 40960, path.name, "has", path.stat().st_size, "bytes")
        if path.suffix == ".html":
            text = path.read_text()
            found = re.search(r"<style|style=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)|(?:src|href|action)=\"(?!\?)", text)
            check(not found, path.name, "has", found and found[0])
            for field in re.findall(r"<input id=\"(\w+)", text):
                check(f'<label for="{field}"' in text, path.name, "has no label for", field)


TESTS = [a_press_appears_within_two_seconds, a_picture_is_shown_as_soon_as_it_is_there, one_tap_shows_live_video,
         every_press_and_every_door_has_a_button_and_one_session_is_open, leaving_the_page_ends_the_session,
         a_viewer_who_leaves_while_connecting_ends_the_session, a_session_that_ends_is_seen_within_three_seconds,
         each_refusal_is_explained, the_address_opens_a_press, signing_in_keeps_the_press, an_expired_sign_in_is_told,
         an_outage_is_told_and_survived, a_hidden_page_asks_for_nothing, keys_alone_start_live_video,
         the_page_fits_and_is_dark_at_night, the_page_can_be_installed, every_file_is_small_and_nothing_is_inline]
if os.environ.get("QUICK"):
    TESTS = [a_press_appears_within_two_seconds, one_tap_shows_live_video, every_file_is_small_and_nothing_is_inline]

if UNAVAILABLE:
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        print(f"ok {number} - {test.__name__.replace('_', ' ')} # SKIP {UNAVAILABLE}")
    sys.exit()
with Browser() as browser:
    run_tests(*TESTS)
