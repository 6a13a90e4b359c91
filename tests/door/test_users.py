#!/usr/bin/env python3
"""doorpost door user: the users of the door page."""

import contextlib
import json
import os
import subprocess

from door import PASSWORD, Door, sign_in
from support.assertions import PATIENCE, check
from support.laboratory import TOOL, open_terminal
from support.runner import run_tests

NEW = "another horse"


def users(door):
    return [one["user"] for one in json.loads(door.tool("door", "user", "list", "--json").ok().stdout)]


def users_are_added_listed_and_removed():
    with Door() as door:
        check(users(door) == ["me"], users(door))
        door.tool("door", "user", "add", "you@example.org", input=NEW + "\nnot read\n").ok()
        check(sorted(users(door)) == ["me", "you@example.org"], users(door))
        text = door.tool("door", "user", "list", "--utc").ok().stdout
        check(text.count("password set 20") == 2 and "you@example.org" in text, text)
        check(sign_in(door.by_cgi, "you@example.org", NEW)[0] == 303, "the new user")
        door.tool("door", "user", "remove", "you@example.org").ok()
        check(users(door) == ["me"], users(door))
        check(sign_in(door.by_cgi, "you@example.org", NEW)[0] == 403, "the removed user")
        check("no user" in door.tool("door", "user", "remove", "you@example.org").fails().stderr, "removed twice")
        door.tool("door", "user", "add", "me", input=NEW + "\n").ok()
        check(sign_in(door.by_cgi)[0] == 403 and sign_in(door.by_cgi, password=NEW)[0] == 303, "a new password")
        check(not any(NEW in path.read_text(errors="replace") for path in door.door.rglob("*") if path.is_file()), "a password is in a file")


def mistakes_are_told_and_change_nothing():
    with Door() as door:
        for user, password in (("you", "short"), ("you", ""), ("../you", PASSWORD), (".you", PASSWORD), ("y u", PASSWORD), ("y" * 65, PASSWORD)):
            check("nothing was changed" in door.tool("door", "user", "add", user, input=password + "\n").fails().stderr, user, password)
        for arguments in (["add"], ["remove"], ["list", "me"], ["nonsense"], ["add", "you", PASSWORD]):
            door.tool("door", "user", *arguments).fails(2)
        door.tool("door", "nonsense").fails(2)
        check(users(door) == ["me"], users(door))
        door.configure()
        check("DOORPOST_DOOR is not set" in door.tool("door", "user").fails().stderr, "without the setting")


def what_root_adds_belongs_to_the_directorys_owner():
    if os.geteuid() != 0:
        return "only root can do it"
    with Door() as door:
        others = [path for path in door.door.rglob("*") if path.stat().st_uid != door.user.pw_uid or path.stat().st_mode & 0o077]
        check(not others, *others)


def answer(door, *lines):
    """Adds a user at a terminal. Returns what was shown, and the exit status."""
    master, slave = open_terminal()
    process = subprocess.Popen([TOOL, "door", "user", "add", "you"], stdin=slave, stdout=slave, stderr=slave, env=door.environment(),
                               start_new_session=True)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # as a terminal ends
        for prompt, line in zip((b"not shown): ", b"Once more: "), lines):
            while prompt not in shown:
                shown += os.read(master, 1024)
            os.write(master, line.encode() + b"\n")
        while part := os.read(master, 1024):
            shown += part
    os.close(master)
    return shown.decode(), process.wait(PATIENCE)


def a_password_is_asked_for_twice_without_echo():
    terminal = open_terminal()
    if not terminal:
        return "no terminal can be had here"
    for end in terminal:
        os.close(end)
    with Door() as door:
        shown, status = answer(door, NEW, PASSWORD)
        check(status == 1 and "differ" in shown and users(door) == ["me"], status, shown)
        shown, status = answer(door, NEW, NEW)
        check(status == 0 and "you can sign in" in shown and NEW not in shown, status, shown)
        check(sign_in(door.by_cgi, "you", NEW)[0] == 303, "the new user")


run_tests(users_are_added_listed_and_removed, mistakes_are_told_and_change_nothing, what_root_adds_belongs_to_the_directorys_owner,
          a_password_is_asked_for_twice_without_echo)
