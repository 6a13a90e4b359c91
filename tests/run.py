#!/usr/bin/env python3
"""Runs test programs, two for each core at a time: much of what they do is to wait. Those that take long come first, so that none
of them is left alone at the end. Reads their TAP, and ends with the line `N passed, N failed`. Of a program that passes it shows what
that has counted: comments that begin with a number.

A program that is killed, or ends with a failure that no test line tells, counts as one failed test."""

import concurrent.futures
import os
import re
import subprocess
import sys
import time

LIMIT = int(os.environ.get("LIMIT", "900"))  # seconds for one program that hangs
LONG = ("test_package", "test_load", "test_exec", "test_acts", "test_exec_trouble", "test_faults", "test_bundle", "test_crash", "test_restart",
        "test_accounts", "test_requests", "test_signin",
        "test_forward_trouble", "test_reading", "test_runners", "test_turns", "test_forward_killed", "test_forward_refused", "test_runners_rules",
        "test_forward",
        "test_tool_care", "test_exec_failures", "test_attacks", "test_answers", "test_tool_log", "test_tool_doctor", "test_boot")
# What was freed is watched for 16 MiB more, not 256, which no cache of a processor holds.
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=16"}
SUPPORT = {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}  # for `from support...`


def name_of(program):
    return os.path.basename(program).removesuffix(".py")


def run(program):
    """Returns (output, exit status or what there is in place of one, seconds)."""
    command = [sys.executable, program] if program.endswith(".py") else [program]
    began = time.monotonic()
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                                stdin=subprocess.DEVNULL, env={**SANITIZER, **os.environ, **SUPPORT, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        output, code = result.stdout.decode(errors="replace"), result.returncode
    except subprocess.TimeoutExpired as error:
        output, code = (error.stdout or b"").decode(errors="replace"), f"none after {LIMIT} seconds"
    return output, code, time.monotonic() - began


passed = failed = skipped = 0
runners = concurrent.futures.ThreadPoolExecutor(2 * len(os.sched_getaffinity(0)))
programs = sorted(sys.argv[1:], key=lambda program: LONG.index(name_of(program)) if name_of(program) in LONG else len(LONG))
running = {runners.submit(run, program): program for program in programs}
for result in concurrent.futures.as_completed(running):
    program = running[result]
    output, code, seconds = result.result()
    good = re.findall(r"^ok\b.*$", output, re.MULTILINE)
    bad = re.findall(r"^not ok\b.*$", output, re.MULTILINE)
    skips = [line for line in good if "# SKIP" in line]
    unexplained = (code != 0 and not bad) or not (good or bad)
    passed += len(good) - len(skips)
    skipped += len(skips)
    failed += len(bad) + unexplained
    print(f"{name_of(program)}: {len(good) - len(skips)} passed, {len(bad) + unexplained} failed ({seconds:.1f} s)", flush=True)
    counted = re.findall(r"^# \d.*$", output, re.MULTILINE)
    for line in skips + ([] if bad or unexplained else counted):
        print("  " + line)
    if bad or unexplained:
        print("\n".join("  " + line for line in output.splitlines()), f"\n  exit status: {code}", flush=True)
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(failed > 0)
