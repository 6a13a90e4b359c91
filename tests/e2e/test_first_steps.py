"""What a newcomer does: the README's commands, and what they say when something is in the way."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request

from lab import BINARY, PATIENCE, ROOT, check, run_tests
from servers import free_port

RUN = ROOT / "deploy/demo/run.sh"


def make_run_shows_a_press_and_serves_until_ctrl_c():
    with tempfile.TemporaryDirectory() as directory:
        binary = shutil.copy(BINARY, directory)
        port = str(free_port())
        process = subprocess.Popen([RUN, binary], env={**os.environ, "PORT": port}, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=True)
        guard = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        try:
            text = ""
            for line in process.stdout:
                text += line
                if "Ctrl-C ends it" in line:
                    break
            check('{"status":"stored","event_id":' in text, text)
            check('{"seq":1,"received_at":' in text, text)
            command = re.search(r"^    (\S+press\.sh .*)$", text, re.MULTILINE).group(1)
            again = subprocess.run(command.split(), capture_output=True, text=True, check=True)
            check('"status":"stored"' in again.stdout and '"seq":2' in again.stdout, again.stdout)
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does
            process.stdout.read()
            process.wait(PATIENCE)
        finally:
            guard.cancel()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            raise AssertionError("it still serves")
        except OSError:
            pass


def a_port_in_use_is_told():
    with socket.socket() as listener, tempfile.TemporaryDirectory() as directory:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        result = subprocess.run([RUN, shutil.copy(BINARY, directory)], env={**os.environ, "PORT": port},
                                capture_output=True, text=True)
        check(result.returncode == 1 and f"Port {port}" in result.stderr and "make run PORT=" in result.stderr, result)


def run_deps(commands):
    """deps.sh where nothing but `commands` is on the path."""
    with tempfile.TemporaryDirectory() as directory:
        for command in ("sh", *commands):
            pathlib.Path(directory, command).symlink_to(shutil.which(command))
        return subprocess.run([shutil.which("sh"), ROOT / "deploy/deps.sh", "build", "run"], env={"PATH": directory},
                              capture_output=True, text=True)


def a_missing_apt_is_told():
    result = run_deps([])
    check(result.returncode == 1 and "There is no apt-get" in result.stderr and "libsodium-dev" in result.stderr, result)


def nothing_is_installed_where_nothing_is_missing():
    result = subprocess.run([ROOT / "deploy/deps.sh", "build", "run", "check"], capture_output=True, text=True)
    check((result.returncode, result.stdout, result.stderr) == (0, "", ""), result)


def the_worked_signature_in_the_readme_is_right():
    text = (ROOT / "README.md").read_text()
    command, answer = re.search(r"\$ (printf .*openssl dgst .*)\n\s+(SHA2-256.*)", text).groups()
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    check(result.stdout.split()[-1] == answer.split()[-1], result.stdout)
    check("X-Signature: sha256=" + answer.split()[-1] in text, "the header differs")


run_tests(make_run_shows_a_press_and_serves_until_ctrl_c, a_port_in_use_is_told, a_missing_apt_is_told,
          nothing_is_installed_where_nothing_is_missing, the_worked_signature_in_the_readme_is_right)
