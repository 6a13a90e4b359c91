"""What the stand-in for Ring answers, route by route, and what can be changed about it at run time. ring.py starts it."""

import asyncio
import base64
import hashlib
import hmac
import http
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import threading
import time
import urllib.parse

from aiohttp import web

from ring import DEVICES, make_certificates
from ring_sdp import answer_without_media, offer_mistake

MODES = {
    # A dictionary of routes each. ring.set() replaces the whole dictionary.
    "fail": {},    # status, or [status, times]: this answer, without processing the request
    "limit": {},   # seconds: 429 with Retry-After
    "slow": {},    # seconds to wait before the request is processed
    "hang": {},    # times, or True: never answer
    "drop": {},    # times, or True: process the request, then close the connection without an answer

    "client_id": "client-1",
    "client_secret": "secret-1",
    "code_seconds": 60,       # lifetime of a code
    "expires_in": 14400,      # lifetime of an access token, in seconds
    "refuse_refresh": False,  # invalid_grant for every refresh token
    "empty_401": False,       # 401 with no body
    "oldest_days": 180,       # how old a picture may be
    "online": {},             # device id: true or false
    "video": True,            # false: the answer has no media behind it
    "sendrecv": False,        # the answer says sendrecv, which browsers refuse
    "plain_location": False,  # a session URL without a query
    "location": None,         # another session URL than the real one
    "session_seconds": None,  # null: 30 for a device on battery, 60 for others
}
NONCE_SECONDS = 600
DOWNLOAD_SECONDS = 60
DAY = 86400_000  # in milliseconds
# What libraries send if nobody has thought about it.
LIBRARY = re.compile(r"(curl|libcurl|wget|python[-\w]*|aiohttp|go-http-client|java|okhttp|axios|node[-\w]*|undici|libwww-perl|ruby)\b", re.I)
JPEG = base64.b64decode("""
/9j/2wBDAAgEBAQEBAUFBQUFBQYGBgYGBgYGBgYGBgYHBwcICAgHBwcGBgcHCAgICAkJCQgICAgJCQoKCgwMCwsODg4RERT/3QAEAAT/xAGiAAABBQEBAQEBAQAAAAAAAAAAAQIDBA
UGBwgJCgsBAAMBAQEBAQEBAQEAAAAAAAABAgMEBQYHCAkKCxAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0
NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8v
P09fb3+Pn6EQACAQIEBAMEBwUEBAABAncAAQIDEQQFITEGEkFRB2FxEyIygQgUQpGhscEJIzNS8BVictEKFiQ04SXxFxgZGiYnKCkqNTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZn
aGlqc3R1dnd4eXqCg4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2dri4+Tl5ufo6ery8/T19vf4+fr/wAARCAAkAEADASIAAhEAAxEA/9
oADAMBAAIRAxEAPwDmaKKK80+gCiiigAooooAKKKKAP//Q5miiivNPoAooooAKKKKACiiigD//0eZooorzT6AKKKKACiiigAooooA//9k=
""")


def nonce_of(key, account, time_ms):
    digest = hmac.new(key.encode(), f"{time_ms}:{account}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# ---- answers ----

def failure(status, title=None, detail=None, headers=None, **more):
    title = title or http.HTTPStatus(status).phrase
    error = {"status": str(status), "title": title, **({"detail": detail} if detail else {}), **more}
    return web.json_response({"errors": [error]}, status=status, headers=headers)


def media_failure(status):
    code, detail = {416: ("MEDIA_NOT_FOUND", "No media found in time range"),
                    425: ("RECORDING_NOT_READY", "The request was made before any recording was available")}[status]
    return web.json_response({"errors": [{"id": secrets.token_hex(8), "status": str(status), "code": code, "detail": detail}]}, status=status)


def oauth_failure(error, description, status=400):
    return web.json_response({"error": error, "error_description": description}, status=status)


def json_body(body):
    """The object that the body is, or an empty one."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def picture(text):
    """A JPEG that differs from others by its comment."""
    comment = text.encode()
    return JPEG[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + JPEG[2:]


class Service:
    def __init__(self, key):
        self.key = key
        self.modes = json.loads(json.dumps(MODES))
        self.entries = []
        self.codes = {}         # code: (account, time of issue)
        self.access = {}        # access token: (account, time of expiry)
        self.refresh = {}       # refresh token: account
        self.used = set()       # codes and refresh tokens that have been exchanged
        self.reused = {"code": 0, "refresh_token": 0}
        self.nonces = {}        # nonce: (account, time in ms)
        self.integrations = {}  # account: new, awaiting or completed
        self.downloads = {}     # security token: (device, timestamp, time of expiry)
        self.sessions = {}      # session id: its record
        self.closers = {}       # session id: what ends its media
        self.api = self.media = None

    # -- what every request passes --

    def take(self, mode, route):
        """True if the mode applies to this request. A number of times is counted down."""
        times = self.modes[mode].get(route, 0)
        if times is not True and times > 0:
            self.modes[mode][route] = times - 1
        return bool(times)

    def forced(self, route):
        """The answer that a mode demands in place of the real one, or None."""
        if route in self.modes["limit"]:
            seconds = self.modes["limit"][route]
            return failure(429, "Rate Limit Exceeded", f"Too many requests. Please retry after {seconds} seconds.",
                           {"Retry-After": str(seconds), "X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0"})
        status = self.modes["fail"].get(route)
        if isinstance(status, list):
            status, times = status
            self.modes["fail"][route] = [status, times - 1]
            status = status if times > 0 else None
        if status is None:
            return None
        if status == 401:
            return self.unauthorized()
        return media_failure(status) if status in (416, 425) else failure(status)

    def unauthorized(self):
        return web.Response(status=401) if self.modes["empty_401"] else failure(401, "Invalid Client")

    def bearer(self, request):
        """The account that the request may act for, or None."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        account, expiry = self.access.get(token, (None, 0))
        return account if kind == "Bearer" and time.time() < expiry else None

    def handler(self, route, respond, host="api", authorized=True):
        async def process(request, body):
            if self.take("hang", route):
                while request.transport and not request.transport.is_closing():
                    await asyncio.sleep(0.05)
                return web.Response(status=503), None
            await asyncio.sleep(self.modes["slow"].get(route, 0))
            if (response := self.forced(route)) is not None:  # an empty response is false
                return response, response.status
            agent = request.headers.get("User-Agent", "")
            if host == "api" and (not agent or LIBRARY.match(agent)):
                response = web.Response(status=403)
            elif authorized and not self.bearer(request):
                response = self.unauthorized()
            else:
                response = await respond(request, body)
            return response, response.status

        async def handle(request):
            body = await request.read()
            entry = {"route": route, "host": host, "method": request.method, "path": request.path, "query": request.query_string,
                     "headers": {name: request.headers[name] for name in ("Content-Type", "Accept", "User-Agent") if name in request.headers},
                     "authorization": "Authorization" in request.headers, "body": body.decode(errors="replace"),
                     "time": time.time(), "status": None, "dropped": False}
            self.entries.append(entry)

            async def run():  # to its end, even if the client leaves
                response, entry["status"] = await process(request, body)
                if entry["status"] and self.take("drop", route):
                    entry["dropped"] = True
                    if request.transport:
                        request.transport.close()
                return response
            return await asyncio.shield(asyncio.ensure_future(run()))
        return handle

    def application(self):
        app = web.Application()
        device = "/v1/devices/{device}/media"
        for method, path, route, respond in (
                ("GET", "/v1/users/me", "me", self.respond_me),
                ("POST", "/v1/accounts/me/app-integrations", "integration", self.respond_integration),
                ("PATCH", "/v1/accounts/me/app-integrations", "complete", self.respond_complete),
                ("GET", "/v1/devices", "devices", self.respond_devices),
                ("POST", device + "/image/download", "image", self.respond_image),
                ("POST", device + "/streaming/whep/sessions", "whep", self.respond_whep),
                ("DELETE", device + "/streaming/whep/sessions/{session}", "end", self.respond_end)):
            app.router.add_route(method, path, self.handler(route, respond))
        app.router.add_post("/oauth/token", self.handler("token", self.respond_token, authorized=False))
        app.router.add_route("*", "/{any:.*}", self.handler("unknown", self.respond_unknown))
        return app

    def media_application(self):
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self.handler("download", self.respond_download, "media", False))
        return app

    async def respond_unknown(self, _request, _body):
        return failure(404)

    # -- tokens --

    def issue_tokens(self, account):
        access, refresh = "access-" + secrets.token_urlsafe(24), "refresh-" + secrets.token_urlsafe(24)
        self.access[access] = (account, time.time() + self.modes["expires_in"])
        self.refresh[refresh] = account
        return {"access_token": access, "refresh_token": refresh, "scope": "media devices", "expires_in": self.modes["expires_in"],
                "token_type": "Bearer"}

    async def respond_token(self, request, body):
        if request.content_type != "application/x-www-form-urlencoded" or request.query_string:
            return oauth_failure("invalid_request", "a form in the body is expected")
        pairs = urllib.parse.parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        form = dict(pairs)
        if len(form) != len(pairs):
            return oauth_failure("invalid_request", "a parameter is repeated")
        if (form.get("client_id"), form.get("client_secret")) != (self.modes["client_id"], self.modes["client_secret"]):
            return oauth_failure("invalid_client", "unknown client, or wrong secret", 401)
        kind = {"authorization_code": "code", "refresh_token": "refresh_token"}.get(form.get("grant_type"))
        if not kind:
            return oauth_failure("unsupported_grant_type", "authorization_code or refresh_token is expected")
        if not (value := form.get(kind)):
            return oauth_failure("invalid_request", f"{kind} is missing")
        if value in self.used:
            self.reused[kind] += 1
            return oauth_failure("invalid_grant", f"{kind} has been used")
        if kind == "code":
            account, issued = self.codes.get(value, (None, 0))
            if time.time() - issued > self.modes["code_seconds"]:
                account = None
        else:
            account = None if self.modes["refuse_refresh"] else self.refresh.get(value)
        if not account:
            return oauth_failure("invalid_grant", f"{kind} is unknown or has expired")
        self.used.add(value)
        return web.json_response(self.issue_tokens(account))

    async def respond_me(self, request, _body):
        return web.json_response({"data": {"type": "users", "id": self.bearer(request)}})

    async def respond_integration(self, request, body):
        account, value = self.bearer(request), json_body(body)
        if account not in self.integrations:
            return failure(404)
        if request.content_type != "application/json" or not isinstance(value.get("account_identifier"), str) or not value["account_identifier"]:
            return failure(400, "Bad Request", "account_identifier is missing")
        nonce = value.get("nonce")
        owner, time_ms = self.nonces.get(nonce, (None, 0)) if isinstance(nonce, str) else (None, 0)
        if owner != account or not 0 <= time.time() * 1000 - time_ms <= NONCE_SECONDS * 1000:
            return failure(400, "Bad Request", "Invalid nonce")
        self.integrations[account] = "awaiting"
        return web.json_response({"status": "awaiting"})

    async def respond_complete(self, request, body):
        account = self.bearer(request)
        if self.integrations.get(account) not in ("awaiting", "completed"):
            return failure(404)
        if request.content_type != "application/json" or json_body(body) != {"status": "completed"}:
            return failure(400, "Bad Request", 'the status "completed" is expected')
        self.integrations[account] = "completed"
        return web.json_response({"status": "completed"})

    # -- devices and pictures --

    def online(self, account, device):
        return self.modes["online"].get(device, DEVICES[account][device][1])

    async def respond_devices(self, request, _body):
        account, now = self.bearer(request), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        include = request.query.get("include", "").split(",")
        answer = {"data": [], "included": [], "meta": {"time": now}}
        for device, (name, _, battery) in DEVICES.get(account, {}).items():
            parts = {"status": {"audio": {"snooze": {"active": None, "until": None}}, "online": self.online(account, device),
                                "reported_at": now, "state": None},
                     "capabilities": {"video": {"configurations": ["resolution_mode"], "codecs": ["AVC"], "ratio": "16:9",
                                                "max_resolution": 1080, "supported_resolutions": [1080]}, "battery_status": battery}}
            relationships = {}
            for part, attributes in parts.items():
                identity = {"type": f"device-{part}", "id": device.replace(".device.", f".device.{part}.")}
                relationships[part] = {"data": identity, "links": {"related": f"/v1/devices/{device}/{part}"}}
                if part in include:
                    answer["included"].append({**identity, "attributes": attributes})
            answer["data"].append({"type": "devices", "id": device, "relationships": relationships,
                                   "attributes": {"image_url": "https://app-content.ring.com/example.png", "name": name}})
        return web.json_response(answer)

    async def respond_image(self, request, body):
        account, device, value = self.bearer(request), request.match_info["device"], json_body(body)
        if device not in DEVICES.get(account, {}):
            return failure(404)
        if request.content_type != "application/json":
            return failure(415)
        names = {"at_timestamp": ["timestamp"], "latest_in_range": ["start_timestamp", "end_timestamp"]}.get(value.get("type"))
        times = [value.get(name) for name in names or []]
        options = value.get("image_options", {})
        oldest = time.time() * 1000 - self.modes["oldest_days"] * DAY
        if (not times or not all(type(each) is int and each >= oldest for each in times) or not 0 <= times[-1] - times[0] <= DAY
                or set(value) - {"type", "image_options", *names} or not isinstance(options, dict) or options.get("format", "jpeg") != "jpeg"):
            return failure(422)
        if times[0] > time.time() * 1000:
            return media_failure(416)
        token = secrets.token_urlsafe(16)
        self.downloads[token] = (device, times[-1], time.time() + DOWNLOAD_SECONDS)
        query = urllib.parse.urlencode({"security_token": token, "req_type": "image_download", "X-Amz-Expires": DOWNLOAD_SECONDS})
        return web.Response(status=303, headers={"Location": f"{self.media}/v1/download?{query}", "X-Request-ID": secrets.token_hex(8)})

    async def respond_download(self, request, _body):
        if "Authorization" in request.headers:
            return web.Response(status=400, text="only one way to authenticate is allowed")
        device, timestamp, expiry = self.downloads.get(request.query.get("security_token"), (None, 0, 0))
        if request.method != "GET" or request.path != "/v1/download" or time.time() > expiry:
            return web.Response(status=403)
        return web.Response(body=picture(f"{device} {timestamp}"), content_type="image/jpeg",
                            headers={"X-Media-Timestamp": str(timestamp), "X-Media-Origin": "recording"})

    # -- live video --

    async def answer(self, offer):
        """(the answer, what ends its media or None)"""
        if self.modes["video"]:
            try:
                from ring_media import answer_with_media  # here, because aiortc may be missing, and takes long to import
            except ImportError:
                return answer_without_media(offer), None
            return await answer_with_media(offer)
        return answer_without_media(offer), None

    async def respond_whep(self, request, body):
        account, device = self.bearer(request), request.match_info["device"]
        if device not in DEVICES.get(account, {}):
            return failure(404)
        if request.content_type != "application/sdp":
            return failure(415)
        offer = body.decode(errors="replace")
        if mistake := offer_mistake(offer):
            return failure(400, "Bad Request", mistake)
        if not self.online(account, device):
            return failure(503, "Device Unavailable", "Device is currently offline")
        try:
            answer, close = await self.answer(offer)
        except ValueError as error:
            return failure(400, "Bad Request", str(error))
        if self.modes["sendrecv"]:
            answer = answer.replace("a=sendonly", "a=sendrecv")
        name, opaque = secrets.token_hex(8), urllib.parse.quote(secrets.token_urlsafe(12) + "/=", safe="")
        query = "" if self.modes["plain_location"] else f"location={opaque}"
        seconds = self.modes["session_seconds"] or (30 if DEVICES[account][device][2] else 60)
        self.sessions[name] = {"id": name, "account": account, "device": device, "query": query, "started": time.time(), "ended": None}
        self.closers[name] = close
        asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(self.end(name, "limit")))
        location = f"{self.api}{urllib.parse.quote(request.path)}/{name}" + (f"?{query}" if query else "")
        return web.Response(status=201, body=answer.encode(), content_type="application/sdp", headers={"Location": self.modes["location"] or location})

    async def end(self, name, reason):
        if not self.sessions[name]["ended"]:
            self.sessions[name]["ended"] = reason
            if close := self.closers.pop(name):
                await close()

    async def respond_end(self, request, _body):
        session = self.sessions.get(request.match_info["session"], {"ended": "unknown"})
        asked = (self.bearer(request), request.match_info["device"], request.rel_url.raw_query_string)
        if session["ended"] or asked != (session["account"], session["device"], session["query"]):
            return failure(404)
        await self.end(session["id"], "deleted")
        return web.Response(status=204)

    # -- control --

    def control_application(self):
        def action(function):
            async def handle(request):
                return web.json_response(function(**await request.json()))
            return handle
        app = web.Application()
        for name in ("code", "tokens", "nonce", "expire", "revoke", "set", "log", "state"):
            app.router.add_post(f"/{name}", action(getattr(self, f"control_{name}")))
        return app

    def control_code(self, account):
        code = "code-" + secrets.token_urlsafe(12)
        self.codes[code] = (account, time.time())
        self.integrations.setdefault(account, "new")
        return code

    def control_tokens(self, account):
        self.integrations.setdefault(account, "new")
        return self.issue_tokens(account)

    def control_nonce(self, account, time):  # pylint: disable=redefined-outer-name
        nonce = nonce_of(self.key, account, time)
        self.nonces[nonce] = (account, time)
        return [nonce, time]

    def control_expire(self, account):
        self.access = {token: value for token, value in self.access.items() if value[0] != account}

    def control_revoke(self, account):
        self.control_expire(account)
        self.refresh = {token: value for token, value in self.refresh.items() if value != account}
        self.integrations.pop(account, None)

    def control_set(self, **modes):
        if unknown := set(modes) - set(MODES):
            raise web.HTTPBadRequest(text=f"unknown modes: {unknown}")
        self.modes.update(modes)

    def control_log(self):
        return self.entries

    def control_state(self):
        return {"integrations": self.integrations, "reused": self.reused, "sessions": list(self.sessions.values()),
                "tokens": [*self.access, *self.refresh]}


# ---- the servers ----

async def listen(app, port=0, tls=None):
    """Returns (the runner, the port)."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, shutdown_timeout=0.1)
    await site.start()
    return runner, runner.addresses[0][1]


async def run(directory, port, signing_key):
    make_certificates(directory)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(directory / "server.pem", directory / "server.key")
    key_file = pathlib.Path(signing_key or directory / "signing-key")
    if not key_file.exists():
        key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    service = Service(key_file.read_text().split()[0])

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def watch_stdin():
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)
    threading.Thread(target=watch_stdin, daemon=True).start()

    api, port = await listen(service.application(), port, tls)
    media, media_port = await listen(service.media_application(), 0, tls)
    control, control_port = await listen(service.control_application())
    service.api, service.media = f"https://127.0.0.1:{port}", f"https://localhost:{media_port}"
    print(json.dumps({"api": service.api, "oauth": f"{service.api}/oauth/token", "media": service.media, "ca": str(directory / "ca.pem"),
                      "signing_key": str(key_file), "control": f"http://127.0.0.1:{control_port}"}), flush=True)
    await stop.wait()
    for name in list(service.closers):
        await service.end(name, "stopped")
    for runner in (api, media, control):
        await runner.cleanup()


def serve(directory, port, signing_key):
    asyncio.run(run(pathlib.Path(directory).resolve(), port, signing_key))
