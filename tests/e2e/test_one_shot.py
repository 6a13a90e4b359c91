"""CGI processes by themselves, many at once, and what a web server or a person can do to one."""

import json
import os
import subprocess

from support.assertions import check
from support.deliveries import KEY, press, sign
from support.fastcgi import parse_answer
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests

PROCESSES = 200


def two_hundred_processes_with_the_same_event_store_one_line():
    with Lab(LOG="off") as lab:
        body = press(1)
        env = {**lab.environment(), "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
               "HTTP_X_SIGNATURE": sign(body)}
        file = lab.path / "body"
        file.write_bytes(body)
        processes = [subprocess.Popen([lab.binary], stdin=file.open("rb"), stdout=subprocess.PIPE, env=env, **lab.as_user())
                     for _ in range(PROCESSES)]
        words = []
        for process in processes:
            out, _ = process.communicate()
            check(process.returncode == 0, "exit", process.returncode)
            status, _, text = parse_answer(out)
            check(status == 200, status, text)
            words.append(json.loads(text)["status"])
        check(words.count("stored") == 1 and words.count("duplicate") == PROCESSES - 1, words)
        check(len(verify_journal(lab)) == 1, "more than one line")


def a_body_shorter_than_its_length_is_malformed():
    with Lab() as lab:
        body = press(1)
        status, _, text, _ = lab.cgi(body, sign(body), CONTENT_LENGTH=str(len(body) + 1))
        check(status == 400 and json.loads(text)["status"] == "malformed", status, text)
        check(not lab.lines(), "something was kept")


def a_body_longer_than_its_length_is_cut():
    with Lab() as lab:
        body = press(1)
        status, _, text, _ = lab.cgi(body + b"more", sign(body), CONTENT_LENGTH=str(len(body)))
        check(status == 200, status, text)


def arguments_are_not_looked_at():
    with Lab() as lab:
        body = press(1)
        env = {**lab.environment(), "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
               "HTTP_X_SIGNATURE": sign(body)}
        result = subprocess.run([lab.binary, "--help", "-v", "/etc/passwd"], input=body, env=env, capture_output=True,
                                check=True, **lab.as_user())
        check(parse_answer(result.stdout)[0] == 200, result.stdout)


def a_person_is_told_what_it_is():
    with Lab() as lab:
        result = subprocess.run([lab.binary], stdin=subprocess.DEVNULL, capture_output=True, env={})
        check(result.returncode == 2 and b"run by a web server" in result.stderr, result)


def a_closed_standard_error_harms_nothing():
    with Lab() as lab:
        body = press(1)
        env = {**lab.environment(), "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
               "HTTP_X_SIGNATURE": sign(body)}
        result = subprocess.run([lab.binary], input=body, env=env, stdout=subprocess.PIPE, check=True,
                                preexec_fn=lambda: os.close(2), **lab.as_user())
        check(parse_answer(result.stdout)[0] == 200, result.stdout)
        check(len(verify_journal(lab)) == 1, "the log got into the journal")


def settings_are_found_above_the_program():
    with Lab() as lab:
        private = lab.path / "doorpost"
        private.mkdir(mode=0o700)
        (private / "journal").mkdir(mode=0o700)
        lab.env_file = private / "doorpost.env"
        lab.configure(KEY_FILE="key", JOURNAL="journal")
        lab.write_keys(KEY)
        lab.key_file.rename(private / "key")
        for path in (private, private / "journal", lab.env_file):
            lab.own(path)
        body = press(1)
        status, _, _, log = lab.cgi(body, sign(body), DOORPOST_CONF=None)
        check(status == 200, log)
        lab.journal = private / "journal"
        check(len(verify_journal(lab)) == 1, "not kept in the private directory")
        check(json.loads(lab.tool("stats", "--json", "--conf", lab.env_file, **lab.as_user()).ok().stdout), "the tool reads no relative path")

        lab.env_file.chmod(0o620)
        status, _, _, log = lab.cgi(body, sign(body), DOORPOST_CONF=None)
        check(status == 503 and "chmod 700" in log, log)
        lab.env_file.chmod(0o600)
        private.chmod(0o770)
        status, _, _, log = lab.cgi(body, sign(body), DOORPOST_CONF=None)
        check(status == 503 and "chmod 700" in log, log)
        if lab.user:  # another user's directory with this name, and in it a link to one of ours
            private.chmod(0o755)
            os.chown(private, lab.user.pw_uid + 1, -1)
            status, _, _, log = lab.cgi(body, sign(body), DOORPOST_CONF=None)
            check(status == 503 and "DOORPOST_KEY_FILE is not set" in log, log)


def the_tool_refuses_to_be_a_cgi_program():
    with Lab() as lab:
        result = lab.tool("log", env={"GATEWAY_INTERFACE": "CGI/1.1"})
        check(result.returncode == 1 and result.stdout.startswith("Status: 403"), result)


run_tests(two_hundred_processes_with_the_same_event_store_one_line, a_body_shorter_than_its_length_is_malformed,
          a_body_longer_than_its_length_is_cut, arguments_are_not_looked_at, a_person_is_told_what_it_is,
          a_closed_standard_error_harms_nothing, settings_are_found_above_the_program, the_tool_refuses_to_be_a_cgi_program)
