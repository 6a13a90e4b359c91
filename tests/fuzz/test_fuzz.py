"""Runs the fuzz targets on their seeds and some thousand changed ones, without a fuzzer. `make fuzz` searches further."""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

from support.assertions import check
from support.runner import run_tests


def replay(target):
    def one():
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run([sys.executable, ROOT / "tests/fuzz/seeds.py", directory], check=True)
            seeds = sorted(pathlib.Path(directory, target).iterdir())
            result = subprocess.run([ROOT / f"build/check/replay-{target}", *seeds], capture_output=True, text=True)
            check(result.returncode == 0 and "\nok 1" in result.stdout, result.stdout, result.stderr)
    one.title = f"changed seeds of {target} are survived"
    return one


run_tests(*(replay(target) for target in ("intake", "record", "records")))
