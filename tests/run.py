#!/usr/bin/env python3
"""Runs test programs, two at a time: much of what they do is to wait. Reads their TAP, and ends with the line
`N passed, N failed`. Of a program that passes it shows what that has counted: comments that begin with a number.

A program that is killed, or ends with a failure that no test line tells, counts as one failed test."""

import concurrent.futures
import os
import re
import subprocess
import sys
import time

LIMIT = int(os.environ.get("LIMIT", "420"))  # seconds for one program


def run(program):
    """Returns (output, exit status or what there is in place of one, seconds)."""
    command = [sys.executable, program] if program.endswith(".py") else [program]
    began = time.monotonic()
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                                stdin=subprocess.DEVNULL, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        output, code = result.stdout.decode(errors="replace"), result.returncode
    except subprocess.TimeoutExpired as error:
        output, code = (error.stdout or b"").decode(errors="replace"), f"none after {LIMIT} seconds"
    return output, code, time.monotonic() - began


passed = failed = skipped = 0
runners = concurrent.futures.ThreadPoolExecutor(2)
for program, result in [(program, runners.submit(run, program)) for program in sys.argv[1:]]:
    output, code, seconds = result.result()
    good = re.findall(r"^ok\b.*$", output, re.MULTILINE)
    bad = re.findall(r"^not ok\b.*$", output, re.MULTILINE)
    skips = [line for line in good if "# SKIP" in line]
    unexplained = (code != 0 and not bad) or not (good or bad)
    passed += len(good) - len(skips)
    skipped += len(skips)
    failed += len(bad) + unexplained
    name = os.path.basename(program).removesuffix(".py")
    print(f"{name}: {len(good) - len(skips)} passed, {len(bad) + unexplained} failed ({seconds:.1f} s)", flush=True)
    counted = re.findall(r"^# \d.*$", output, re.MULTILINE)
    for line in skips + ([] if bad or unexplained else counted):
        print("  " + line)
    if bad or unexplained:
        print("\n".join("  " + line for line in output.splitlines()), f"\n  exit status: {code}", flush=True)
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(failed > 0)
