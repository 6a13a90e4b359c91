"""The log: what it says, what it must never say, and that what senders choose cannot break it."""

import re

from support.assertions import check
from support.deliveries import KEY, press, sign
from support.laboratory import Lab
from support.runner import run_tests

LINE = re.compile(r'doorpost( [a-z_]+=("([^"\\]|\\["\\n]|\\u[0-9a-f]{4})*"|[A-Za-z0-9_.:-]+))+')


def run(lab, body, signature, **variables):
    status, _, _, log = lab.cgi(body, signature, **variables)
    for line in log.splitlines():
        check(LINE.fullmatch(line), "no logfmt:", line)
    return status, log


def a_stored_press_is_told_with_all_fields():
    with Lab(LOG="all") as lab:
        _, log = run(lab, press(1), sign(press(1)))
        check(re.fullmatch(r'doorpost time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z level=info status=200 verdict=stored event_id="event-1" type="button_press" '
                           r'device="device-4" account="account-1" key="69ffb5b9" seq=1 batch=1 us=\d+\n', log), log)


def problems_alone_are_the_default():
    with Lab() as lab:
        lab.env_file.write_text("\n".join(line for line in lab.env_file.read_text().splitlines() if "LOG" not in line))
        check(run(lab, press(1), sign(press(1))) == (200, ""), "a 200 was logged")
        status, log = run(lab, press(2), None)
        check(status == 401 and 'cause="X-Signature is missing"' in log, log)
        status, log = run(lab, b"[]", sign(b"[]"))
        check(status == 400 and "verdict=rejected" in log, log)


def off_is_off():
    with Lab(LOG="off") as lab:
        check(run(lab, press(1), None) == (401, ""), "not off")


def a_misspelt_setting_is_warned_about():
    with Lab(MAX_AEG="8d") as lab:
        check('level=warning cause="unknown setting DOORPOST_MAX_AEG ignored: did you mean \\"DOORPOST_MAX_AGE\\"?"' in run(lab, press(1), sign(press(1)))[1], "no warning")


def no_key_no_signature_no_body():
    with Lab(LOG="all") as lab:
        bodies = [press(1), press(2).replace(b"request_id", b"request_di"), b"signed-but-no-json"]
        for body in bodies:
            for signature in (sign(body), sign(body)[:-2], sign(body, "another-signing-key-of-some-length"), "secret" * 9):
                _, log = run(lab, body, signature)
                for secret in (KEY, signature, signature[7:], signature[8:40], "relationships", "no-json"):
                    check(secret not in log, secret, "stands in", log)
        for key in ("short-secret\n", KEY):
            lab.key_file.write_text(key)
            lab.key_file.chmod(0o600 if key != KEY else 0o644)
            check(key.strip() not in run(lab, press(3), sign(press(3)))[1], "the key is logged")


def what_senders_choose_is_escaped():
    with Lab(LOG="all") as lab:
        evil = press('x').replace(b'"event-x"', rb'"a\n\"b\\\u0007\u001b[2J doorpost level=info status=200 \ud83d\udd14"')
        status, log = run(lab, evil, sign(evil))
        check(status == 200 and len(log.splitlines()) == 1 and log.isascii(), log)
        check(r'event_id="a\n\"b\\\u0007\u001b[2J doorpost level=info status=200 \ud83d\udd14"' in log, log)


run_tests(a_stored_press_is_told_with_all_fields, problems_alone_are_the_default, off_is_off,
          a_misspelt_setting_is_warned_about, no_key_no_signature_no_body, what_senders_choose_is_escaped)
