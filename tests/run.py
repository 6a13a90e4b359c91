#!/usr/bin/env python3
"""Runs test programs one after another, reads their TAP, and ends with the line `N passed, N failed`.

A program that is killed, or ends with a failure that no test line tells, counts as one failed test."""

import os
import re
import subprocess
import sys
import time

LIMIT = 420  # seconds for one program

passed = failed = skipped = 0
for program in sys.argv[1:]:
    command = [sys.executable, program] if program.endswith(".py") else [program]
    began = time.monotonic()
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                                stdin=subprocess.DEVNULL, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        output, code = result.stdout.decode(errors="replace"), result.returncode
    except subprocess.TimeoutExpired as error:
        output, code = (error.stdout or b"").decode(errors="replace"), f"none after {LIMIT} seconds"
    good = re.findall(r"^ok\b.*$", output, re.MULTILINE)
    bad = re.findall(r"^not ok\b.*$", output, re.MULTILINE)
    skips = [line for line in good if "# SKIP" in line]
    unexplained = (code != 0 and not bad) or not (good or bad)
    passed += len(good) - len(skips)
    skipped += len(skips)
    failed += len(bad) + unexplained
    name = os.path.basename(program).removesuffix(".py")
    print(f"{name}: {len(good) - len(skips)} passed, {len(bad) + unexplained} failed ({time.monotonic() - began:.1f} s)",
          flush=True)
    for line in skips:
        print("  " + line)
    if bad or unexplained:
        print("\n".join("  " + line for line in output.splitlines()), f"\n  exit status: {code}", flush=True)
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(failed > 0)
