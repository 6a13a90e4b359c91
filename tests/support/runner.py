"""Runs the tests of one file and prints TAP (https://testanything.org)."""

import signal
import sys
import traceback

# A shell starts background jobs with SIGINT ignored; whatever the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def run_tests(*tests):
    """Runs the functions, or those named on the command line, prints TAP, and ends the process. A test fails by raising an
    exception; one that returns a string is skipped for that reason."""
    failed = 0
    tests = [test for test in tests if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        name = getattr(test, "title", test.__name__.replace("_", " "))
        try:
            skipped = test()
            note = f" # SKIP {skipped}" if isinstance(skipped, str) else ""
            print(f"ok {number} - {name}{note}", flush=True)
        except Exception:  # noqa: BLE001: whatever was raised, the test failed
            failed += 1
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
            print(f"not ok {number} - {name}", flush=True)
    sys.exit(failed > 0)
