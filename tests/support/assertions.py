"""What a test asserts: that a condition is true, or becomes true."""

import os
import time

PATIENCE = int(os.environ.get("PATIENCE", "120"))  # seconds until wait_for() gives up, however slow the machine


def check(condition, *explanation):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in explanation))


def wait_for(condition, what):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        check(time.monotonic() < end, "gave up waiting for", what)
        time.sleep(0.01)
    return value
