"""What the tests of `doorpost exec` share: commands that write down what they were run for, and what the tool tells of a consumer."""

import json
import os
import pathlib
import signal
import subprocess

from support.deliveries import press
from support.laboratory import TOOL

DAY = "2026-01-02"


def of(number, device):
    event = json.loads(press(number))
    event["data"]["attributes"]["source"] = device
    return json.dumps(event, separators=(",", ":")).encode()


def script(lab, text, name="command"):
    """A command: a shell script in the laboratory, which knows it as $LAB."""
    path = lab.path / name
    path.write_text(f"#!/bin/sh\nLAB={lab.path}\n{text}\n")
    path.chmod(0o755)
    out = lab.path / "out"
    if not out.exists():
        out.mkdir(mode=0o777)
        out.chmod(0o777)
    return path


def runs(lab):
    """What commands have written to out/ran, a line a run."""
    path = lab.path / "out/ran"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def execute(lab, *arguments, **options):
    return lab.tool("exec", *arguments, **options)


def runner(lab, *arguments, **options):
    return lab.start([TOOL, "exec", *arguments], stdout=subprocess.DEVNULL, stderr=open(lab.logs / "exec", "ab"), **options)


def state(lab, name="default"):
    return next(one for one in json.loads(execute(lab, "--status", "--json").ok().stdout) if one["name"] == name)


RAN = 'echo "$DOORPOST_SEQ $DOORPOST_ATTEMPT $DOORPOST_DEVICE_ID" >> $LAB/out/ran'


def children(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def signal_is_taken(process):
    """Has it read the signals that were sent to it?"""
    return "ShdPnd:\t0000000000000000" in pathlib.Path(f"/proc/{process.pid}/status").read_text()


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
