#!/usr/bin/env python3
"""What the page asks for: devices, events, pictures and live video, by CGI and through a worker, with the stand-in as Ring."""

import concurrent.futures
import contextlib
import json
import subprocess
import threading
import time
import urllib.parse

from door import OURS, end
from support.assertions import check, wait_for
from support.deliveries import press
from support.laboratory import TOOL
from support.runner import run_tests
from linked import connect, linked_door, receive, sign_in_cookie
from ring import DEVICES, find_python

ACCOUNT, OTHER = DEVICES
DEVICE, BATTERY = DEVICES[ACCOUNT]
OFFLINE = [device for device, (_, online, _) in DEVICES[OTHER].items() if not online][0]
OFFER = (b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\n"
         b"a=rtpmap:102 H264/90000\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 00:11\r\na=mid:0\r\na=recvonly\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n")


def pressed(number, device=DEVICE, account=ACCOUNT, **data):
    event = json.loads(press(number, account_id=account))
    event["data"]["attributes"].update(source=device, timestamp=int(time.time() * 1000) - 5000)
    event["data"].update(data)
    return json.dumps(event, separators=(",", ":")).encode()


def ids():
    number = 0
    while True:
        number += 1
        yield f"{number:032x}"


@contextlib.contextmanager
def a_door(**settings):
    with linked_door(ACCOUNT, **settings) as (door, ring):
        ring.set(video=False)  # the answers are real, the media are not: see test_live.py
        yield door, ring


def get(ask, door, query, **variables):
    status, fields, body = ask("GET", query, HTTP_COOKIE=door.cookie, **variables)
    return status, fields, body


def events(ask, door, query=""):
    status, fields, body = get(ask, door, "/events" + query)
    check(status == 200, status, body)
    answer = json.loads(body)
    check(fields["X-Next"] == str(answer["next"]) and fields["ETag"] == f'"{answer["next"]}"', fields)
    return answer


def live(ask, door, device, id, offer=OFFER, **variables):
    return ask("POST", f"/live/{urllib.parse.quote(device)}&id={id}", offer,
               **{"CONTENT_TYPE": "application/sdp", "HTTP_COOKIE": door.cookie, **OURS, **variables})


def hang_up(ask, door, id):
    return ask("DELETE", f"/live/{id}", HTTP_COOKIE=door.cookie, **OURS)[0]


# ---- devices ----

def an_account_that_cannot_be_read_is_reported():
    with a_door() as (door, _):
        account, = (path for path in (door.door / "accounts").iterdir() if path.suffix != ".lock")
        account.write_bytes(account.read_bytes()[::-1])
        for ask in door.ways():
            status, _, body = get(ask, door, "/devices")
            check(status == 200 and "log" in json.loads(body)["error"], status, body)
        check("another key" in "".join(door.log_texts()), door.log_texts())


def devices_have_names_and_a_length_of_session():
    with a_door() as (door, ring):
        for ask in door.ways():
            answer = json.loads(get(ask, door, "/devices")[2])
            check(answer["accounts"] == 1 and answer["error"] == "", answer)
            check([(one["id"], one["name"], one["online"], one["seconds"]) for one in answer["devices"]] ==
                  [(id, name, online, 30 if battery else 60) for id, (name, online, battery) in DEVICES[ACCOUNT].items()], answer)
        check(len(ring.log("devices")) == 1, "Ring was asked more than once a minute")


def an_old_list_is_better_than_none():
    with a_door() as (door, ring):
        ring.set(fail={"devices": 500})
        answer = json.loads(get(door.by_cgi, door, "/devices")[2])
        check(answer["devices"] == [] and "500" in answer["error"], answer)
        ring.set(fail={})
        check(len(json.loads(get(door.by_cgi, door, "/devices")[2])["devices"]) == 2, "the devices")
        ring.set(fail={"devices": 500})
        for cache in (door.door / "cache").glob("*.devices"):
            cache.write_text(cache.read_text().replace('"at":', '"at":1,"was":'))
        answer = json.loads(get(door.by_cgi, door, "/devices")[2])
        check(len(answer["devices"]) == 2 and "500" in answer["error"], answer)


# ---- events ----

def events_of_the_user_newest_last():
    with a_door() as (door, _):
        receive(door, pressed(1), pressed(2, account=OTHER), pressed(3, type="motion_detected"), pressed(4), press(5))
        for ask in door.ways():
            answer = events(ask, door)
            check([one["seq"] for one in answer["events"]] == [1, 4] and answer["next"] == 5, answer)
            check(answer["events"][0]["device"] == DEVICE and answer["events"][0]["type"] == "button_press", answer)
            check([one["seq"] for one in events(ask, door, "&types=all")["events"]] == [1, 3, 4], "all types")
            check([one["seq"] for one in events(ask, door, "&after=1")["events"]] == [4], "after 1")
            check(events(ask, door, "&after=5")["events"] == [], "after the last")
            check([one["seq"] for one in events(ask, door, "&after=99")["events"]] == [1, 4], "another journal")
            status, _, body = get(ask, door, "/events&after=5", HTTP_IF_NONE_MATCH='"5"')
            check(status == 304 and body == b"", status, body)


def a_stranger_sees_no_event():
    with a_door() as (door, _):
        receive(door, pressed(1))
        check(door.by_cgi("GET", "/events")[0] == 401, "without a session")
        door.tool("door", "user", "add", "you", input="another password\n").ok()
        cookie = sign_in_cookie(door.by_cgi, "you", "another password")
        answer = json.loads(door.by_cgi("GET", "/events", HTTP_COOKIE=cookie)[2])
        check(answer["events"] == [] and answer["next"] == 1, answer)
        check(door.by_cgi("GET", "/picture&seq=1", HTTP_COOKIE=cookie)[0] == 404, "the picture")
        check(live(lambda *a, **v: door.by_cgi(*a, **{**v, "HTTP_COOKIE": cookie}), door, DEVICE, "0" * 32)[0] == 404, "live")


def the_last_fifty_and_the_days_before():
    with a_door() as (door, _):
        door.write_days({"2026-02-14": [pressed(number) for number in range(1, 41)], "2026-02-20": [pressed(number) for number in range(41, 71)]})
        answer = events(door.by_cgi, door)
        check([one["seq"] for one in answer["events"]] == list(range(21, 71)), answer)


def a_worker_holds_a_request_until_the_next_press():
    with a_door(DOOR_HOLD=8) as (door, _):
        worker = door.start_worker()
        check(events(door.by_fastcgi, door)["hold"] is True, "it can hold requests")
        with concurrent.futures.ThreadPoolExecutor(4) as viewers:
            held = [viewers.submit(events, door.by_fastcgi, door, "&after=0&wait=25") for _ in range(4)]
            time.sleep(0.3)  # likely to be held now; if not, the answer is the same
            receive(door, pressed(1))
            began = time.monotonic()
            for one in held:
                check([event["seq"] for event in one.result()["events"]] == [1], one.result())
            check(time.monotonic() - began < 20, "they were not woken")
        end(worker)


def a_press_of_somebody_else_wakes_nobody_for_nothing():
    with a_door(DOOR_HOLD=8) as (door, _):
        worker = door.start_worker()
        receive(door, pressed(1, account=OTHER))
        began = time.monotonic()
        answer = events(door.by_fastcgi, door, "&after=0&wait=1")
        check(answer["events"] == [] and answer["next"] == 1 and time.monotonic() - began >= 0.9, answer)
        end(worker)


def only_so_many_requests_are_held():
    with a_door(DOOR_HOLD=1) as (door, _):
        worker = door.start_worker()
        with door.send("GET", "/events&after=0&wait=25", HTTP_COOKIE=door.cookie):
            wait_for(lambda: not events(door.by_fastcgi, door, "&after=0")["hold"], "the first request to be held")
            began = time.monotonic()
            answer = events(door.by_fastcgi, door, "&after=0&wait=25")
            check(answer["hold"] is False and time.monotonic() - began < 20, answer)
            end(worker)  # which answers what is held


def removed(number=90, **meta):
    event = json.loads(press(number, account_id=ACCOUNT, **meta))
    event["data"].update(type="app_integration_removed", relationships={})
    event["data"]["attributes"].update(source=ACCOUNT, source_type="users")
    return json.dumps(event).encode()


def an_account_that_removes_the_app_is_forgotten():
    """By a worker at once, by CGI when the page looks, and by `doorpost account refresh`."""
    def accounts(door):
        return json.loads(door.tool("account", "list", "--json").ok().stdout)
    for how in ("worker", "cgi", "refresh"):
        with a_door() as (door, _):
            check(len(accounts(door)) == 1, "connected")
            worker = door.start_worker() if how == "worker" else None
            receive(door, removed())
            if how == "cgi":
                events(door.by_cgi, door)
            elif how == "refresh":
                door.tool("account", "refresh").ok()
            wait_for(lambda: accounts(door) == [], "the account to be forgotten")
            check(not list((door.door / "cache").glob("*.devices")), "its devices are cached still")
            if worker:
                end(worker)


def an_account_that_was_connected_again_stays():
    with a_door() as (door, ring):
        receive(door, removed())
        connect(door, ring, ACCOUNT, door.cookie)
        events(door.by_cgi, door)
        door.tool("account", "refresh").ok()
        check(len(json.loads(door.tool("account", "list", "--json").ok().stdout)) == 1, "the new connection")


# ---- pictures ----

def the_tool_gives_a_picture_to_commands():
    with a_door() as (door, ring):
        body = pressed(1)
        receive(door, body)
        ring.set(fail={"image": [425, 1]})
        check("no picture" in door.tool("door", "picture", input=body.decode()).fails().stderr, "not yet")
        result = subprocess.run([TOOL, "door", "picture", "--wait", "60s"], input=body, env=door.environment(), capture_output=True)
        check(result.returncode == 0 and result.stdout[:3] == b"\xff\xd8\xff", result.returncode, result.stderr)
        check(get(door.by_cgi, door, "/picture&seq=1")[0] == 200 and len(ring.log("download")) == 1, "it is the page's too")
        check("not an event" in door.tool("door", "picture", input="hello").fails().stderr, "what is no event")
        door.tool("door", "picture", "1").fails(2)



def a_picture_is_fetched_once_and_kept():
    with a_door() as (door, ring):
        receive(door, pressed(1))
        status, fields, body = get(door.by_cgi, door, "/picture&seq=1")
        check(status == 404 and fields["Content-Type"] == "image/svg+xml" and b"<svg" in body, status, fields)
        for ask in door.ways():
            status, fields, body = get(ask, door, "/picture&seq=1")
            check(status == 200 and fields["Content-Type"] == "image/jpeg" and body[:3] == b"\xff\xd8\xff", status, fields)
            check("immutable" in fields["Cache-Control"] and "private" in fields["Cache-Control"], fields)
            check(events(ask, door)["events"][0]["picture"] == "yes", "the event says so")
        check(len(ring.log("image")) == 1 and len(ring.log("download")) == 1, "fetched once")
        check(not any(entry["authorization"] for entry in ring.log("download")), "the bearer token left the API")


def a_worker_fetches_pictures_by_itself():
    with a_door() as (door, ring):
        ring.set(fail={"image": [425, 2]})
        worker = door.start_worker()
        receive(door, pressed(1))
        wait_for(lambda: get(door.by_fastcgi, door, "/picture&seq=1")[0] == 200, "the picture")
        check([entry["status"] for entry in ring.log("image")] == [425, 425, 303], ring.log("image"))
        end(worker)


def a_picture_that_does_not_exist_is_given_up():
    with a_door() as (door, ring):
        receive(door, pressed(1))
        ring.set(fail={"image": 404})
        check(get(door.by_cgi, door, "/picture&seq=1")[0] == 404, "the placeholder")
        check(events(door.by_cgi, door)["events"][0]["picture"] == "none", "given up")
        check(get(door.by_cgi, door, "/picture&seq=1")[0] == 404 and len(ring.log("image")) == 1, "it is not asked for again")


# ---- live video ----

def live_video_and_its_end():
    with a_door() as (door, ring):
        for ask, id in zip(door.ways(), ids()):
            status, fields, body = live(ask, door, DEVICE, id)
            check(status == 201 and fields["Content-Type"] == "application/sdp" and b"a=sendonly" in body, status, body)
            check(fields["X-Seconds"] == "60" and "Location" not in fields and b"location" not in body, fields)
            check(hang_up(ask, door, id) == 204 and hang_up(ask, door, id) == 204, "ended")
        check([entry["status"] for entry in ring.log("end")] in ([200, 200], [204, 204]), ring.log("end"))


def one_session_a_device():
    with a_door() as (door, _):
        number = ids()
        first, second, other = next(number), next(number), next(number)
        check(live(door.by_cgi, door, DEVICE, first)[0] == 201, "the first")
        status, _, body = live(door.by_cgi, door, DEVICE, second)
        check(status == 409 and json.loads(body)["error"] == "busy", status, body)
        status, fields, _ = live(door.by_cgi, door, BATTERY, other)
        check(status == 201 and fields["X-Seconds"] == "30", "another device")
        check(hang_up(door.by_cgi, door, first) == 204 and live(door.by_cgi, door, DEVICE, second)[0] == 201, "the next viewer")


def an_answer_that_browsers_refuse_is_corrected():
    with a_door() as (door, ring):
        ring.set(sendrecv=True)
        status, _, body = live(door.by_cgi, door, DEVICE, "0" * 32)
        check(status == 201 and b"a=sendonly" in body and b"a=sendrecv" not in body, body)


def what_ring_cannot_do_is_said():
    with a_door() as (door, ring):
        number = ids()
        for modes, expected, word in (({"fail": {"whep": 503}}, 503, "offline"), ({"limit": {"whep": 7}}, 429, "limit"),
                                      ({"fail": {"whep": 404}}, 404, "missing"), ({"fail": {"whep": 500}}, 502, "failed"),
                                      ({"fail": {"whep": 403}}, 502, "denied"), ({"drop": {"whep": 1}}, 502, "failed"),
                                      ({"fail": {"whep": 401}, "refuse_refresh": True}, 502, "denied")):
            ring.set(**{"fail": {}, "limit": {}, "drop": {}, **modes})
            status, fields, body = live(door.by_cgi, door, DEVICE, next(number))
            check(status == expected and json.loads(body)["error"] == word and json.loads(body)["message"], modes, status, body)
            check(word != "limit" or fields["Retry-After"] == "7", fields)


def an_offer_that_ring_would_refuse_is_not_sent():
    with a_door() as (door, ring):
        for offer in (b"", b"hello", OFFER.replace(b"recvonly", b"sendrecv"), OFFER.replace(b"m=video", b"m=audio")):
            check(live(door.by_cgi, door, DEVICE, "0" * 32, offer)[0] == 400, offer)
        check(live(door.by_cgi, door, DEVICE, "0" * 32, CONTENT_TYPE="text/plain")[0] == 415, "the type")
        for id in ("", "0", "g" * 32, "0" * 33, "../../../../../../../../../etc/x"):
            check(live(door.by_cgi, door, DEVICE, id)[0] == 400, id)
        check(live(door.by_cgi, door, "no-such-device", "0" * 32)[0] == 404, "the device")
        check(live(door.by_cgi, door, DEVICE, "0" * 32, b"v=0\r\n" + b"a" * 70000)[0] == 413, "the length")
        check(ring.log("whep") == [], "Ring was asked")


def a_viewer_who_leaves_while_ring_is_asked():
    with a_door() as (door, ring):
        worker, id = door.start_worker(), "a" * 32
        ring.set(slow={"whep": 3})
        answer = []
        viewer = threading.Thread(target=lambda: answer.append(live(door.by_fastcgi, door, DEVICE, id)))
        viewer.start()
        wait_for(lambda: ring.log("whep"), "Ring to be asked")
        check(hang_up(door.by_fastcgi, door, id) == 202, "while Ring is asked")
        viewer.join()
        check(answer[0][0] == 409 and json.loads(answer[0][2])["error"] == "cancelled", answer)
        wait_for(lambda: [entry["status"] in (200, 204) for entry in ring.log("end")] == [True], "the session to be ended")
        ring.set(slow={})
        check(live(door.by_fastcgi, door, DEVICE, "b" * 32)[0] == 201, "the next viewer")
        end(worker)


def a_viewer_who_leaves_before_the_request_comes():
    with a_door() as (door, ring):
        check(hang_up(door.by_cgi, door, "c" * 32) == 204, "the end comes first")
        status, _, body = live(door.by_cgi, door, DEVICE, "c" * 32)
        check(status == 409 and json.loads(body)["error"] == "cancelled" and ring.log("whep") == [], status, body)


def nobody_ends_a_session_of_somebody_else():
    with a_door() as (door, ring):
        check(live(door.by_cgi, door, DEVICE, "d" * 32)[0] == 201, "live")
        door.tool("door", "user", "add", "you", input="another password\n").ok()
        cookie = sign_in_cookie(door.by_cgi, "you", "another password")
        check(door.by_cgi("DELETE", "/live/" + "d" * 32, HTTP_COOKIE=cookie, **OURS)[0] == 204, "as if there were none")
        check(ring.log("end") == [], "it was ended")


def a_location_elsewhere_gets_no_token():
    with a_door() as (door, ring):
        own = f"{ring.api}/v1/devices/{DEVICE}/media/streaming/whep/sessions/"
        for number, location in enumerate((
                "https://evil.example/v1/devices/x", own.replace("https://", "https://127.0.0.1@"), own.replace("/v1", "@evil.example/v1"),
                own.replace("/v1", "0/v1"), own, own + "..", own + "x/../../../y", own + "..?location=x", own + "%2e%2E/y", own + ".%2e",
                own + "x\\..\\y", own.replace(DEVICE, BATTERY) + "x")):
            ring.set(location=location)
            id = f"{number:032x}"
            status, _, body = live(door.by_cgi, door, DEVICE, id)
            check(status == 502, location, status, body)
            check(hang_up(door.by_cgi, door, id) == 204, location)
        check(ring.log("end") == ring.log("unknown") == [], ring.log("end"), ring.log("unknown"))


def no_secret_is_left_behind():
    with a_door() as (door, ring):
        check(live(door.by_cgi, door, DEVICE, "f" * 32)[0] == 201, "live")
        secrets = ring.state()["tokens"] + [one["id"] for one in ring.state()["sessions"]]
        check(len(secrets) >= 3, ring.state())
        for path in [*door.door.rglob("*"), *door.logs.iterdir()]:
            text = path.read_bytes().decode("latin1") if path.is_file() else ""
            check(not any(secret in text for secret in secrets), path, "has a secret in it")


if find_python() is None:
    print("1..0 # SKIP python3-aiohttp is not installed")
else:
    run_tests(devices_have_names_and_a_length_of_session, an_account_that_cannot_be_read_is_reported, an_old_list_is_better_than_none, events_of_the_user_newest_last,
              a_stranger_sees_no_event, the_last_fifty_and_the_days_before, a_worker_holds_a_request_until_the_next_press,
              a_press_of_somebody_else_wakes_nobody_for_nothing, only_so_many_requests_are_held, an_account_that_removes_the_app_is_forgotten, an_account_that_was_connected_again_stays,
              the_tool_gives_a_picture_to_commands, a_picture_is_fetched_once_and_kept,
              a_worker_fetches_pictures_by_itself, a_picture_that_does_not_exist_is_given_up, live_video_and_its_end, one_session_a_device,
              an_answer_that_browsers_refuse_is_corrected, what_ring_cannot_do_is_said, an_offer_that_ring_would_refuse_is_not_sent,
              a_viewer_who_leaves_while_ring_is_asked, a_viewer_who_leaves_before_the_request_comes, nobody_ends_a_session_of_somebody_else,
              a_location_elsewhere_gets_no_token, no_secret_is_left_behind)
