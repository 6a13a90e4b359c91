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

from support.assertions import PATIENCE, check, wait_for
from support.laboratory import BINARY, ROOT, TOOL, copy_door
from support.runner import run_tests
from support.servers import free_port

RUN = ROOT / "deploy/demo/run.sh"


def make_run_shows_a_press_and_serves_until_ctrl_c():
    run_until(signal.SIGINT)


def make_run_ends_with_its_terminal():
    run_until(signal.SIGHUP)


def run_until(end):
    with tempfile.TemporaryDirectory() as directory:
        binary, _ = (shutil.copy(program, directory) for program in (BINARY, TOOL))
        copy_door(pathlib.Path(directory, "doorpost-door.cgi"))
        if os.geteuid() == 0:  # `sudo make run` in a clone of somebody else's
            os.chown(directory, 65534, 65534)
        port = str(free_port())
        # Under nohup the signal would be ignored, and a shell cannot change that.
        process = subprocess.Popen([RUN, binary], env={**os.environ, "PORT": port}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True, preexec_fn=lambda: signal.signal(end, signal.SIG_DFL))
        guard = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        try:
            text = ""
            for line in process.stdout:
                text += line
                if "Ctrl-C to stop" in line:
                    break
            check('{"status":"stored","event_id":' in text, text)
            check('{"seq":1,"received_at":' in text, text)
            command = re.search(r"^    (\S+press\.sh .*)$", text, re.MULTILINE).group(1)
            again = subprocess.run(command.split(), capture_output=True, text=True, check=True)
            check('"status":"stored"' in again.stdout and '"seq":2' in again.stdout, again.stdout)
            shown = 0
            while shown < 2 and (line := process.stdout.readline()):  # without a further word
                shown += re.match(r"\S+ \S+  button_press .*FRONTDOOR", line) is not None
            check(shown == 2, "presses shown:", shown)
            os.killpg(process.pid, end)  # as the terminal does
            process.stdout.read()
            check(process.wait(PATIENCE) == 0, "it did not end by itself:", process.returncode)
        finally:
            guard.cancel()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            raise AssertionError("it still serves")
        except OSError:
            pass
        # lighttpd ends its workers, but does not wait for them.
        wait_for(lambda: not any(os.path.realpath(entry).startswith(directory) for entry in pathlib.Path("/proc").glob("[0-9]*/exe")),
                 "the workers to exit")


def a_port_in_use_is_told():
    with socket.socket() as listener, tempfile.TemporaryDirectory() as directory:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        result = subprocess.run([RUN, shutil.copy(BINARY, directory)], env={**os.environ, "PORT": port},
                                capture_output=True, text=True)
        check(result.returncode == 1 and f"Port {port}" in result.stderr and "make run PORT=" in result.stderr, result)


def run_deps(*purposes, commands=(), scripts={}, prefix=()):
    """deps.sh where nothing but `commands` and `scripts` (name: text) is on the path."""
    with tempfile.TemporaryDirectory() as directory:
        for command in ("sh", *commands):
            pathlib.Path(directory, command).symlink_to(shutil.which(command))
        for name, text in scripts.items():
            pathlib.Path(directory, name).write_text(text)
            pathlib.Path(directory, name).chmod(0o755)
        return subprocess.run([*prefix, shutil.which("sh"), ROOT / "deploy/deps.sh", *purposes], env={"PATH": directory},
                              capture_output=True, text=True)


def a_missing_apt_is_told():
    result = run_deps("build", "run")
    check(result.returncode == 1 and "apt-get was not found" in result.stderr and "libsodium-dev" in result.stderr, result)


def only_what_building_needs_is_installed_by_make_deps():
    installs = subprocess.run(["make", "--no-print-directory", "-n", "deps"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    check(installs == ["deploy/deps.sh", "build"], installs)


def a_build_without_libraries_says_make_deps():
    with tempfile.TemporaryDirectory() as directory:
        (pathlib.Path(directory) / "pkg-config").write_text("#!/bin/sh\nexit 1\n")
        (pathlib.Path(directory) / "pkg-config").chmod(0o755)
        environment = {"PATH": f"{directory}:{os.environ['PATH']}"}
        result = subprocess.run(["make", f"BUILD={directory}/build"], cwd=ROOT, capture_output=True, text=True, env=environment)
    check(result.returncode != 0 and "libsodium-dev libjson-c-dev libpq-dev. Run `make deps`" in result.stderr, result)
    check("error:" not in result.stderr, "the compiler was started:", result.stderr)


def no_service_is_started_by_what_is_installed():
    """Nor is a database created. apt-get and systemctl are stand-ins, and so are the directories in which Debian looks whether that may be."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return "no mounts can be made here"
    with tempfile.TemporaryDirectory() as directory:
        said, sbin, wants, clusters = (pathlib.Path(directory, name) for name in ("said", "sbin", "multi-user.target.wants", "postgresql-common"))
        for path in (sbin, wants, clusters):
            path.mkdir()
        (wants / "ssh.service").touch()
        scripts = {"apt-get": f"""#!/bin/sh
{{ echo "$*"; echo "questions: $DEBIAN_FRONTEND"; /usr/sbin/policy-rc.d; echo "policy: $?"; cat /etc/{clusters.name}/*; }} >>{said} 2>&1
[ "$1" != install ] || touch /etc/systemd/system/multi-user.target.wants/lighttpd.service
""", "systemctl": f'#!/bin/sh\necho "systemctl $*" >>{said}\n'}
        mounts = f"""path=$PATH PATH=/usr/bin:/bin
            mkdir -p /etc/systemd/system/{wants.name} /etc/{clusters.name}
            mount --bind {sbin} /usr/sbin && mount --bind {clusters} /etc/{clusters.name} && mount --bind {wants} /etc/systemd/system/{wants.name} && PATH=$path && exec "$@\""""
        result = run_deps("run", "stream", commands=("id", "cat", "chmod", "cp", "mkdir", "rm", "find", "grep", "touch"), scripts=scripts,
                          prefix=[shutil.which("unshare"), "--mount", "/bin/sh", "-c", mounts, "sh"])
        told = said.read_text().splitlines()
        check(result.returncode == 0, result, told)
        check(told[-5].startswith("install ") and told[-4:-2] == ["questions: noninteractive", "policy: 101"], told)
        check(told[-2].startswith("create_main_cluster = false"), told)
        check(told[-1] == "systemctl --quiet disable lighttpd.service", told)
        check("systemctl enable --now lighttpd.service" in result.stdout, result)
        check(not list(sbin.iterdir()), "left in /usr/sbin")
        check(not any("false" in path.read_text() for path in clusters.iterdir()), "later databases are not created either")


def nothing_is_installed_where_nothing_is_missing():
    result = subprocess.run([ROOT / "deploy/deps.sh", "build", "run", "check"], capture_output=True, text=True)
    check((result.returncode, result.stdout, result.stderr) == (0, "", ""), result)


def the_steps_are_in_an_order_that_works():
    """A certificate takes a web server that runs; a site takes a certificate and settings; the check takes all of them."""
    text = (ROOT / "deploy/README.md").read_text()
    recipes = [recipe for recipe in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE) if "certbot" in recipe]
    check(len(recipes) == 3, recipes)
    for recipe in recipes:
        steps = ["apt install", "enable --now", "certbot certonly", "deploy/", "systemctl re", "doorpost doctor"]
        found = [recipe.find(step) if step != "systemctl re" else recipe.rfind("sudo systemctl re") for step in steps]
        check(found == sorted(found) and found[0] >= 0, list(zip(steps, found)), recipe)
        check(subprocess.run(["sh", "-n"], input=recipe, text=True).returncode == 0, recipe)
    for file in re.findall(r"(?<=\s)deploy/\S+", text):
        check((ROOT / file).exists(), file, "does not exist")
    check("your.host" not in re.sub(r"s/your.*?host/|your\\.host", "", text), "a host is left to be replaced by hand")


def another_release_is_skipped_where_its_archive_is_out_of_reach():
    with tempfile.TemporaryDirectory() as directory:
        stand_in = pathlib.Path(directory, "debootstrap")
        stand_in.write_text('#!/bin/sh\necho "E: the archive cannot be reached"\nexit 1\n')
        stand_in.chmod(0o755)
        result = subprocess.run([ROOT / "tests/suite.sh", "nowhere"], capture_output=True, text=True,
                                env={"PATH": f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin"})
    (ROOT / "build/suites/nowhere.log").unlink(missing_ok=True)
    check(result.returncode == 0 and re.match(r"nowhere: skipped: (.*cannot be reached|only root|nothing can be mounted)", result.stdout), result)


def lines_for_cron_need_no_path():
    """cron looks for programs in /usr/bin and /bin alone."""
    lines = [line for file in (ROOT / "README.md", *(ROOT / "deploy").rglob("*"), *ROOT.glob("c*/*.[1-8]")) if file.is_file()
             for line in file.read_text(errors="replace").splitlines() if " * * * * " in line]
    check(len(lines) >= 2, lines)
    for line in lines:
        check(not re.search(r"[^/\w]doorpost [a-z]", line.partition(" * * * * ")[2]), line)


def the_worked_signature_is_right():
    text = (ROOT / "deploy/ring.md").read_text()
    command, answer = re.search(r"\$ (printf .*openssl dgst .*)\n\s+(SHA2-256.*)", text).groups()
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    check(result.stdout.split()[-1] == answer.split()[-1], result.stdout)
    check("X-Signature: sha256=" + answer.split()[-1] in text, "the header differs")


run_tests(make_run_shows_a_press_and_serves_until_ctrl_c, make_run_ends_with_its_terminal, a_port_in_use_is_told, a_missing_apt_is_told,
          only_what_building_needs_is_installed_by_make_deps, a_build_without_libraries_says_make_deps,
          no_service_is_started_by_what_is_installed, nothing_is_installed_where_nothing_is_missing,
          the_steps_are_in_an_order_that_works, another_release_is_skipped_where_its_archive_is_out_of_reach,
          lines_for_cron_need_no_path, the_worked_signature_is_right)
