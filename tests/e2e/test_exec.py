"""doorpost exec: each event starts its command, once in the ordinary case, whatever ends in between."""

import collections
import json
import os
import pwd
import random
import re
import shutil
import signal

from consumer import DAY, RAN, children, execute, is_zombie, kill, of, runner, runs, script, signal_is_taken, state
from support.assertions import check, wait_for
from support.deliveries import load, press, sign
from support.laboratory import TOOL, Lab
from support.runner import run_tests
from support.servers import lighttpd_cgi, lighttpd_fastcgi


def the_command_gets_the_event_and_its_environment():
    with Lab() as lab:
        body = press(1)
        motion = body.replace(b"button_press", b"motion_detected").replace(b'"timestamp"', b'"sub_type":"human","timestamp"')
        lab.receive(motion)
        command = script(lab, "env | grep ^DOORPOST_ | grep -v CONF | sort > $LAB/out/env; cat > $LAB/out/body; echo \"$#: $1\"; echo more >&2")
        out = execute(lab, "--once", "--from", "start", "--", command, "a b").ok().stdout
        check(out == "event-1: 1: a b\nevent-1: more\n", out)
        check((lab.path / "out/body").read_bytes() == motion + b"\n", "the body")
        env = dict(line.split("=", 1) for line in (lab.path / "out/env").read_text().splitlines())
        received = json.loads(lab.lines()[0])["received_at"]
        check(env == {"DOORPOST_EVENT_ID": "event-1", "DOORPOST_REQUEST_ID": "request-1", "DOORPOST_TYPE": "motion_detected",
                      "DOORPOST_SUB_TYPE": "human", "DOORPOST_DEVICE_ID": "device-4", "DOORPOST_ACCOUNT_ID": "account-1",
                      "DOORPOST_TIMESTAMP": "1771027372393", "DOORPOST_RECEIVED_AT": received, "DOORPOST_SEQ": "1",
                      "DOORPOST_ATTEMPT": "1"}, env)


def two_thousand_presses_run_once_each_and_each_device_in_order():
    with Lab() as lab:
        lab.write_days({DAY: [of(number, f"device-{number * number % 37}") for number in range(2000)]})
        command = script(lab, RAN)
        process = runner(lab, "--once", "--from", "start", "--jobs", "8", "--", command)
        check(process.wait() == 0, "exit status", process.returncode)
        ran = [line.split() for line in runs(lab)]
        check(len(ran) == 2000 and {line[1] for line in ran} == {"1"}, len(ran))
        last = collections.defaultdict(int)
        for seq, _, device in ran:
            check(int(seq) > last[device], device, "ran", seq, "after", last[device])
            last[device] = int(seq)
        check({int(line[0]) for line in ran} == set(range(1, 2001)), "another set")
        execute(lab, "--once", "--", command).ok()
        check(len(runs(lab)) == 2000, "run again")
        check(state(lab)["behind"] == 0, state(lab))


def killed_at_any_moment_nothing_is_left_out():
    with Lab() as lab:
        random.seed(5)
        lab.write_days({DAY: [of(number, f"device-{number % 7}") for number in range(1000)]})
        command = script(lab, f"{RAN}; sleep 0.01")
        for _ in range(50):
            process = runner(lab, "--once", "--from", "start", "--jobs", "4", "--", command, start_new_session=True)
            before = len(runs(lab))
            wait_for(lambda: len(runs(lab)) > before + random.randrange(12) or process.poll() is not None, "runs")  # noqa: B023
            for child in children(process.pid):
                if random.random() < 0.3:
                    kill(child)
            kill(process.pid)
            process.wait()
        execute(lab, "--once", "--jobs", "8", "--", command).ok()
        counts = collections.Counter(int(line.split()[0]) for line in runs(lab))
        check(set(counts) == set(range(1, 1001)), "left out:", sorted(set(range(1, 1001)) - set(counts))[:10])
        # What was running when it was killed is repeated: 4 commands at most a round, and what was not saved yet.
        check(sum(counts.values()) <= 1000 + 50 * 12, "repeated too often:", sum(counts.values()))


def a_restart_in_the_middle_repeats_nothing():
    with Lab() as lab:
        lab.write_days({DAY: [of(number, "slow" if number == 0 else f"device-{number}") for number in range(40)]})
        command = script(lab, f'{RAN}; [ "$DOORPOST_DEVICE_ID" != slow ] || [ -e $LAB/out/go ] || exit 1')
        process = runner(lab, "--from", "start", "--", command)
        wait_for(lambda: len({line.split()[0] for line in runs(lab)}) == 40, "the others to run while one is tried again")
        wait_for(lambda: state(lab)["retrying"] == 1 and state(lab)["in_flight"] == 0 or len(runs(lab)) > 41, "rest")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0, "exit status")
        (lab.path / "out/go").touch()
        attempts = len([line for line in runs(lab) if line.endswith("slow")])
        execute(lab, "--once", "--", command).ok()
        ran = [line.split() for line in runs(lab)]
        check(len(ran) == 40 + attempts, "repeated:", len(ran))
        check([line[1] for line in ran if line[2] == "slow"] == [str(i + 1) for i in range(attempts + 1)], ran)


def every_exit_and_signal():
    with Lab() as lab:
        lab.write_days({DAY: [of(number, f"device-{number}") for number in range(6)]})
        command = script(lab, f"""{RAN}
            case $DOORPOST_SEQ-$DOORPOST_ATTEMPT in
                1-*) exit 0 ;;
                2-1) exit 1 ;;
                3-1) kill -SEGV $$ ;;
                4-*) echo last words; exit 78 ;;
                5-1) exit 255 ;;
            esac""")
        result = execute(lab, "--once", "--from", "start", "--", command).ok()
        attempts = collections.Counter(line.split()[0] for line in runs(lab))
        check(attempts == {"1": 1, "2": 2, "3": 2, "4": 1, "5": 2, "6": 1}, attempts)
        for words in ("event 2 (event-1): exit status 1; retrying in 1 s", "signal 11", "event 4 (event-3) given up: exit status 78"):
            check(words in result.stderr, words, "is missing:", result.stderr)
        failed = json.loads((lab.journal / "cursors/default.failed").read_text())
        check((failed["seq"], failed["event_id"], failed["attempts"], failed["output"]) == (4, "event-3", 1, "last words\n"), failed)
        check(state(lab)["failed"] == 1 and state(lab)["behind"] == 0, state(lab))
        check(json.loads((lab.journal / "cursors/default.failed").read_text())["seq"] == 4, "list")
        execute(lab, "--retry-failed", "--", command).fails()
        check(state(lab)["failed"] == 1, "still failed")
        execute(lab, "--retry-failed", "--", script(lab, RAN, "good")).ok()
        check(state(lab)["failed"] == 0 and runs(lab)[-1].startswith("4 1"), runs(lab)[-1])


def a_timeout_ends_the_whole_group():
    with Lab() as lab:
        lab.receive(press(1))
        # It is tried again until both of its processes have been there when the time was over.
        command = script(lab, """
            [ "$(cat $LAB/out/pids-$((DOORPOST_ATTEMPT - 1)) | wc -l)" -lt 2 ] || exit 78
            trap '' TERM
            pids=$LAB/out/pids-$DOORPOST_ATTEMPT
            echo $$ >> $pids
            sh -c 'trap "" TERM; echo $$ >> "$0"; while :; do sleep 1; done' $pids &
            while :; do sleep 1; done""")
        result = execute(lab, "--once", "--from", "start", "--timeout", "1s", "--", command).ok()
        check("timeout after 1 s" in result.stderr, result.stderr)
        pids = [pid for path in (lab.path / "out").glob("pids-*") for pid in path.read_text().split()]
        check(len(pids) >= 2, pids)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the group to be killed")


def sigterm_gives_grace():
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, f"touch $LAB/out/started; until [ -e $LAB/out/go ]; do sleep 0.05; done; {RAN}")
        process = runner(lab, "--from", "start", "--grace", "1h", "--", command)
        wait_for((lab.path / "out/started").exists, "the command")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: signal_is_taken(process), "the signal to be read")
        lab.receive(press(2))
        (lab.path / "out/go").touch()
        check(process.wait() == 0, "exit status")
        check(len(runs(lab)) == 1 and state(lab)["behind"] == 1, "another one was started, or the cursor is not saved")


def and_after_the_grace_the_command_is_ended():
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, f"touch $LAB/out/started; {RAN}; [ -e $LAB/out/go ] || exec sleep 1000")
        process = runner(lab, "--from", "start", "--grace", "0", "--", command)
        wait_for(lambda: runs(lab), "the command")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0 and state(lab)["behind"] == 1, "exit status", process.returncode)
        (lab.path / "out/go").touch()
        execute(lab, "--once", "--", command).ok()
        check([line.split()[1] for line in runs(lab)] == ["1", "1"], "an interruption counts as an attempt:", runs(lab))


def one_name_runs_once():
    with Lab() as lab:
        lab.receive(press(1))
        first = runner(lab, "--name", "bell", "--from", "start", "--", script(lab, RAN))
        wait_for(lambda: runs(lab) and state(lab, "bell")["behind"] == 0, "the first run")
        check("already running, as process" in execute(lab, "--name", "bell", "--", "true").fails().stderr, "a second one")
        execute(lab, "--name", "other", "--once", "--from", "start", "--", "true").ok()
        check(state(lab, "bell")["process"] == first.pid and state(lab, "other")["process"] is None, "status")
        check(re.search(r"bell: running, at .* 0 events and 0 s behind", execute(lab, "--status").ok().stdout), "text")


def follows_new_presses_across_days_and_prune():
    with Lab() as lab:
        lab.write_days({"2020-01-01": [press(1)], "2020-01-02": [press(2)]})
        process = runner(lab, "--from", "start", "--", script(lab, RAN))
        wait_for(lambda: len(runs(lab)) == 2, "the old ones")
        lab.receive(press(3))
        wait_for(lambda: len(runs(lab)) == 3 and state(lab)["behind"] == 0, "today's")
        lab.tool("prune", "--keep", "1d").ok()
        lab.receive(press(4))
        wait_for(lambda: len(runs(lab)) == 4, "the next one")
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0, "exit status")
        lab.receive(press(5))
        execute(lab, "--once", "--", lab.path / "command").ok()
        check(sorted(line.split()[0] for line in runs(lab)) == ["1", "2", "3", "4", "5"], runs(lab))


def prune_waits_for_consumers():
    with Lab() as lab:
        lab.write_days({"2020-01-01": [press(1)], "2020-01-02": [press(2)], "2020-01-03": [press(3)]})
        command = script(lab, f"{RAN}; [ $DOORPOST_SEQ = 1 ] || exit 1")
        process = runner(lab, "--from", "start", "--jobs", "1", "--", command)
        wait_for((lab.journal / "cursors/default").exists, "the cursor")
        wait_for(lambda: state(lab)["retrying"] >= 1, "a failure")
        process.send_signal(signal.SIGTERM)
        process.wait()
        result = lab.tool("prune", "--keep", "1d").fails()
        check("the consumer default has not run its events of 2020-01-02" in result.stderr, result)
        check(len(list(lab.journal.glob("*.jsonl"))) == 3, "deleted nevertheless")
        execute(lab, "--once", "--", script(lab, RAN)).ok()
        lab.tool("prune", "--keep", "1d").ok()
        check([path.stem for path in lab.journal.glob("*.jsonl")] == ["2020-01-03"], "left")
        lab.receive(press(4))
        lab.tool("prune", "--keep", "1d", "--force").ok()


def filters_and_beginnings():
    with Lab() as lab:
        lab.receive(of(1, "a"), of(2, "b"), of(3, "a"))
        command = script(lab, RAN)
        execute(lab, "--name", "a", "--device", "a", "--once", "--from", "start", "--", command).ok()
        execute(lab, "--name", "b", "--type", "motion_detected", "--once", "--from", "start", "--", command).ok()
        execute(lab, "--name", "c", "--once", "--", command).ok()  # from the end
        execute(lab, "--name", "d", "--once", "--from", "3", "--", command).ok()
        check([line.split()[0] for line in runs(lab)] == ["1", "3", "3"], runs(lab))
        lab.receive(of(4, "a"))
        execute(lab, "--name", "c", "--once", "--", command).ok()
        check(runs(lab)[-1].startswith("4 "), runs(lab))
        body = lab.tool("trigger", "--print", "--device", "doorpost.test").ok().stdout.rstrip("\n").encode()
        lab.receive(body)
        execute(lab, "--name", "c", "--once", "--", command).ok()
        check(len(runs(lab)) == 4, "the doctor's press starts something")


def commands_that_misbehave():
    with Lab() as lab:
        lab.receive(of(1, "a"), of(2, "b" * 400), press(3) + b" " * 60000)
        out = execute(lab, "--once", "--from", "start", "--", script(lab, "exec 0<&-; exit 0")).ok()
        check(out.stderr == "", "a closed standard input:", out.stderr)
        result = execute(lab, "--name", "flood", "--once", "--from", "start", "--jobs", "1", "--", script(lab, "yes | head -c 3000000"))
        check(result.ok().stdout.count(": y\n") == 3 * 1500000, "flood", len(result.stdout))
        result = execute(lab, "--name", "long", "--once", "--from", "start", "--device", "a", "--", script(lab, "head -c 10000 /dev/zero | tr '\\0' x"))
        check(result.ok().stdout.count("x") == 10000, "a long line")
        check("program no-such-program is missing" in execute(lab, "--", "no-such-program").fails().stderr, "missing")
        check("is missing or not executable" in execute(lab, "--", lab.env_file).fails().stderr, "not executable")
        left = lab.path / "out/left"
        quiet = script(lab, f"sleep 1000 & echo $! > {left}", "background")
        execute(lab, "--name", "background", "--once", "--from", "start", "--device", "a", "--", quiet).ok()
        os.kill(int(left.read_text()), signal.SIGTERM)  # fails if it was waited for, or has ended


def what_a_command_leaves_behind_goes_on():
    """Also after the runner has ended, and however much it prints."""
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, """
            ( until [ -e $LAB/out/go ]; do sleep 0.05; done
              for line in $(seq 20000); do echo recording; done; echo recorder >> $LAB/out/ran ) &""")
        execute(lab, "--once", "--from", "start", "--", command).ok()
        (lab.path / "out/go").touch()
        wait_for(lambda: runs(lab) == ["recorder"], "the recorder to finish")


def a_command_has_a_home_and_a_path():
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, 'echo "$HOME $PATH" >> $LAB/out/ran; exec true')
        for name, lost in (("a", ["-u", "HOME", "-u", "PATH"]), ("b", ["HOME=", "PATH="])):
            lab.run(["/usr/bin/env", *lost, lab.own_tool, "exec", "--once", "--name", name, "--from", "start", "--", command], **lab.as_user()).ok()
        home = pwd.getpwuid(lab.journal.stat().st_uid).pw_dir
        lab.configure(ON_EVENT=command)
        (lab.bin / "doorpost").write_bytes(TOOL.read_bytes())
        (lab.bin / "doorpost").chmod(0o755)
        body = press(2)
        check(lab.cgi(body, sign(body), PATH=None, HOME=None)[0] == 200, "the handler")
        wait_for(lambda: len(runs(lab)) == 3, "the handler's runner")
        check(runs(lab) == [f"{home} /usr/local/bin:/usr/bin:/bin"] * 3, runs(lab))


def a_damaged_line_stops_nothing():
    with Lab() as lab:
        lab.receive(*(of(number, "a") for number in range(5)))
        lines = lab.segment().read_bytes().splitlines(keepends=True)
        lab.segment().write_bytes(b"".join(lines[:2]) + b"\0" * (len(lines[2]) - 1) + b"\n" + b"".join(lines[3:]))
        result = execute(lab, "--once", "--from", "start", "--", script(lab, RAN)).ok()
        check([line.split()[0] for line in runs(lab)] == ["1", "2", "4", "5"] and "a damaged line" in result.stderr, result)


def half_a_line_is_waited_for_and_not_taken():
    with Lab() as lab:
        lab.receive(of(1, "a"))
        with open(lab.segment(), "ab") as segment:  # what a killed writer can leave behind
            segment.write(b'{"seq":2,"received_at":"2026')
        command = script(lab, RAN)
        execute(lab, "--once", "--from", "start", "--", command).ok()
        execute(lab, "--name", "late", "--once", "--", command).ok()
        lab.receive(of(2, "b"))
        for name in ("default", "late"):
            result = execute(lab, "--name", name, "--once", "--", command).ok()
            check(result.stderr == "", result)
        check([line.split()[0] for line in runs(lab)] == ["1", "2", "2"], runs(lab))


def the_answer_goes_out_first():
    with Lab() as lab:
        lab.configure(ON_EVENT=script(lab, RAN))
        shutil.copy(TOOL, lab.bin)
        body, trace = press(1), lab.path / "trace"
        lab.receive(press(0))
        wait_for(lambda: runs(lab) and not state(lab, "on-event")["process"], "the first runner to end")
        result = lab.run(["strace", "-qq", "-o", trace, "-e", "trace=write,clone,clone3,fork,vfork,dup2,fdatasync", lab.binary],
                         input=body.decode(), env={"REQUEST_METHOD": "POST", "GATEWAY_INTERFACE": "CGI/1.1", "CONTENT_LENGTH": str(len(body)),
                                                   "HTTP_X_SIGNATURE": sign(body), "ASAN_OPTIONS": "detect_leaks=0"}).ok()
        check('"stored"' in result.stdout, result)
        calls = re.findall(r'^(fdatasync|write\(1, "Status|dup2\(\d+, 1\)|clone3?|v?fork)', trace.read_text(), re.MULTILINE)
        names = [call.partition("(")[0] for call in calls]
        check(names[:3] == ["fdatasync", "write", "dup2"] and "clone" in names[3], "another order:", names)
        wait_for(lambda: len(runs(lab)) == 2 and not state(lab, "on-event")["process"], "the second runner to end")


def bad_input_is_told():
    with Lab() as lab:
        for arguments in (["--name", "a/b", "--", "true"], ["--jobs", "0", "--", "true"], ["--jobs", "65", "--", "true"], [],
                          ["--from", "yesterday", "--", "true"], ["--timeout", "0", "--", "true"], ["--timeout", "x", "--", "true"]):
            check(execute(lab, *arguments).returncode == 2, arguments)
        lab.receive(press(1))
        execute(lab, "--once", "--", "true").ok()
        (lab.journal / "cursors/default").write_text("nonsense")
        check("is damaged: delete it" in execute(lab, "--once", "--", "true").fails().stderr, "a damaged cursor")
        check("No such file" in execute(lab, "--journal", lab.path / "none", "--", "true").fails().stderr, "no journal")


def on_event(start, title):
    def test():
        with Lab() as lab:
            command = script(lab, f"""{RAN}
                echo + >> $LAB/out/level; sleep 0.02; echo - >> $LAB/out/level
                ls -l /proc/$$/fd > $LAB/out/fds; env > $LAB/out/env""")
            lab.configure(ON_EVENT=f"{command} argument")
            (lab.bin / "doorpost").write_bytes(TOOL.read_bytes())
            (lab.bin / "doorpost").chmod(0o755)
            server = start(lab)
            answers = load(server.request, [of(number, f"device-{number}") for number in range(500)], clients=32)
            check({answer[0][0] for answer in answers.values()} == {200}, "answers")
            wait_for(lambda: len(runs(lab)) >= 500, "all to run")
            wait_for(lambda: not state(lab, "on-event")["process"], "the runner to end")
            check(len(runs(lab)) == 500, "run twice:", len(runs(lab)))
            level = most = 0
            for sign_ in (lab.path / "out/level").read_text().split():
                level += 1 if sign_ == "+" else -1
                most = max(most, level)
            check(most <= 4, most, "commands at a time")
            fds = (lab.path / "out/fds").read_text()
            check("socket" not in fds and str(lab.logs) not in fds, "the web server's descriptors:", fds)
            env = (lab.path / "out/env").read_text()
            check("HTTP_X_SIGNATURE" not in env and "REQUEST_METHOD" not in env and "DOORPOST_EVENT_ID" in env, env)
            wait_for(lambda: not any(is_zombie(child) for pid in lab.workers() for child in children(pid)), "zombies to go")
    test.title = test.__name__ = title
    return test


def on_event_needs_the_tool_and_says_so():
    with Lab() as lab:
        lab.configure(ON_EVENT="/bin/true")
        body = press(1)
        status, _, _, log = lab.cgi(body, sign(body))
        check(status == 200 and "there is no program doorpost next to" in log, log)


run_tests(the_command_gets_the_event_and_its_environment, two_thousand_presses_run_once_each_and_each_device_in_order,
          killed_at_any_moment_nothing_is_left_out, a_restart_in_the_middle_repeats_nothing, every_exit_and_signal,
          a_timeout_ends_the_whole_group, sigterm_gives_grace, and_after_the_grace_the_command_is_ended, one_name_runs_once,
          follows_new_presses_across_days_and_prune, prune_waits_for_consumers, filters_and_beginnings, commands_that_misbehave,
          what_a_command_leaves_behind_goes_on, a_command_has_a_home_and_a_path, a_damaged_line_stops_nothing,
          half_a_line_is_waited_for_and_not_taken, the_answer_goes_out_first, bad_input_is_told,
          on_event(lighttpd_fastcgi, "on_event_under_fastcgi"), on_event(lighttpd_cgi, "on_event_under_cgi"),
          on_event_needs_the_tool_and_says_so)
