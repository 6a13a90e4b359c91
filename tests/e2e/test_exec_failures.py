"""Commands that fail: they hold up no other device, what they said is seen, and an operator can run them again or drop them."""

import json
import random
import re
import signal
import subprocess
import time

from consumer import RAN, children, execute, kill, of, runner, runs, script, state
from support.assertions import check, wait_for
from support.deliveries import press
from support.laboratory import TOOL, Lab
from support.runner import run_tests


def journal(lab, count, device):
    """So many events of 2020-01-01, of which those are presses for which `device` tells one. The others nobody runs, and the runner reads on
    over them all the same."""
    lab.write_days({"2020-01-01": [of(number, device(number)) if device(number) else of(number, "moved").replace(b"button_press", b"motion_detected")
                                   for number in range(count)]})


def press_runner(lab, *arguments):
    return runner(lab, "--type", "button_press", "--from", "start", *arguments)


def hurry(lab, name="default"):
    """Everything that was set aside and is to be tried again is due now."""
    path = lab.journal / f"cursors/{name}.waiting"
    path.write_bytes(re.sub(rb",(\d+)\](?= *\n)", lambda match: b",0]" + b" " * (len(match[1]) - 1), path.read_bytes()))


def a_failing_device_never_stops_the_others():
    """More events wait behind it than the runner looks ahead; whatever ends it, all are run, once and in order."""
    with Lab() as lab:
        journal(lab, 2600, lambda number: "bad" if number % 13 == 0 else f"device-{number % 29}" if number % 13 < 3 else None)
        lab.receive(of(9999, "last"))
        good = {str(number + 1) for number in range(2600) if 0 < number % 13 < 3} | {"2601"}
        bad = [str(number + 1) for number in range(2600) if number % 13 == 0]
        command = script(lab, f"""
            [ "$DOORPOST_DEVICE_ID" != bad ] || [ -e $LAB/out/go ] || exit 1
            [ ! -e $LAB/out/most ] || [ $(wc -l < $LAB/out/ran) -lt $(cat $LAB/out/most) ] || exec sleep 1000
            {RAN}""")
        process = press_runner(lab, "--jobs", "8", "--", command)
        wait_for(lambda: {line.split()[0] for line in runs(lab)} == good, "all others")
        wait_for(lambda: json.loads((lab.journal / "cursors/default").read_text())["seq"] > 2000, "the place")
        now = state(lab)
        check(now["waiting"] > 0 and now["retrying"] == 1 and now["behind_seconds"] > 86400, now)
        result = lab.tool("prune", "--keep", "1d").fails()
        check("the consumer default has not run its events of 2020-01-01" in result.stderr, result)
        for end in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(end)
            process.wait()
            process = press_runner(lab, "--jobs", "8", "--", command)
            wait_for(lambda: state(lab)["process"] == process.pid, "the next one")  # noqa: B023
        lab.receive(of(10000, "bad"), of(10001, "another"))
        wait_for(lambda: runs(lab)[-1].endswith("another"), "a new one")
        check(len(runs(lab)) == len(good) + 1, "repeated")
        kill(process.pid)
        process.wait()
        (lab.path / "out/go").touch()
        random.seed(8)
        rounds = 0
        while len(runs(lab)) < len(good) + 1 + len(bad):
            if (lab.journal / "cursors/default.waiting").exists():
                hurry(lab)
            enough, rounds = len(runs(lab)) + random.randrange(40), rounds + 1
            (lab.path / "out/most").write_text(str(enough + 10))  # however late this test looks
            process = press_runner(lab, "--once", "--jobs", "8", "--", command)
            wait_for(lambda: len(runs(lab)) > enough or process.poll() is not None, "runs")  # noqa: B023
            left = children(process.pid)
            kill(process.pid)
            process.wait()
            for child in left:
                kill(child)
        (lab.path / "out/most").unlink()
        execute(lab, "--once", "--type", "button_press", "--", command).ok()
        ran = [line.split()[0] for line in runs(lab) if line.endswith("bad")]
        check(sorted(set(ran), key=ran.index) == [*bad, "2602"], "another order", ran)
        check(rounds > 3 and len(runs(lab)) <= len(good) + len(bad) + 2 + 2 * rounds, "repeated too often", len(runs(lab)), rounds)
        check(not (lab.journal / "cursors/default.waiting").exists() and state(lab)["behind"] == 0, state(lab))


def nor_does_one_whose_command_runs_for_long():
    with Lab() as lab:
        journal(lab, 2000, lambda number: {0: "slow", 1500: "slow", 1999: "last"}.get(number))
        command = script(lab, f'[ "$DOORPOST_DEVICE_ID" != slow ] || until [ -e $LAB/out/go ]; do sleep 0.1; done\n{RAN}')
        process = press_runner(lab, "--once", "--timeout", "1h", "--", command)
        wait_for(lambda: len(runs(lab)) == 1, "the other")
        wait_for(lambda: json.loads((lab.journal / "cursors/default").read_text())["seq"] > 0, "the place")
        (lab.path / "out/go").touch()
        check(process.wait() == 0 and [line.split()[0] for line in runs(lab)] == ["2000", "1", "1501"], runs(lab))


def the_hint_works_as_it_is_printed():
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, f'[ -e $LAB/out/works ] || exit 78\n{RAN}; echo "$2" >> $LAB/out/ran', "it's a command")
        result = lab.tool("exec", "--name", "bell", "--once", "--from", "start", "--", command, "-x", "a 'b' $HOME").ok()
        hint = re.search("; to run it again: (.*)", result.stderr)[1]
        (lab.path / "out/works").touch()
        env = {name: value for name, value in lab.environment().items() if name != "DOORPOST_CONF"}
        again = subprocess.run(["sh", "-c", hint], env=env, capture_output=True, text=True, check=False)
        check(again.returncode == 0 and runs(lab)[-1] == "a 'b' $HOME" and state(lab, "bell")["failed"] == 0, hint, again, runs(lab))


def what_a_failed_command_said_is_told_at_once():
    with Lab() as lab:
        lab.receive(press(1))
        command = script(lab, 'echo "curl: (7) no route \033[31m"; [ $DOORPOST_ATTEMPT = 1 ] && exit 7; exit 78')
        said = execute(lab, "--once", "--from", "start", "--", command).ok().stderr
        words = r'; output: "curl: (7) no route \u001b[31m"'
        check("exit status 7; retrying in 1 s" + words in said and "given up: exit status 78" + words in said, said)


def what_fails_is_listed_while_it_is_tried_again():
    with Lab() as lab:
        lab.receive(of(1, "a"), of(2, "b"), of(3, "c"))
        command = script(lab, f"""[ -e $LAB/out/go ] && {{ {RAN}; exit 0; }}
            case $DOORPOST_DEVICE_ID in a) echo "no\nroute"; exit 7 ;; b) echo gone >&2; exit 78 ;; esac""")
        process = runner(lab, "--name", "bell", "--from", "start", "--", command)
        wait_for((lab.journal / "cursors/bell").exists, "the cursor")
        wait_for(lambda: state(lab, "bell")["retrying"] == 1 and state(lab, "bell")["failed"] == 1, "both to fail")
        wait_for(lambda: len(json.loads(execute(lab, "--failed", "--json").ok().stdout)) == 2, "the list")
        gone, route = json.loads(execute(lab, "--failed", "--json").ok().stdout)
        check((gone["name"], gone["seq"], gone["event_id"], gone["given_up"], gone["how"], gone["output"]) ==
              ("bell", 2, "event-2", True, "exit status 78", "gone\n"), gone)
        check((route["seq"], route["event_id"], route["given_up"], route["how"], route["output"]) == (1, "event-1", False, "exit status 7", "no\nroute\n"), route)
        check(route["retry_at"] > route["at"] and route["attempts"] >= 1 and gone["attempts"] == 1, route)
        last = state(lab, "bell")["last_failure"]
        check((last["seq"], last["output"], last["how"]) in ((1, "no\nroute\n", "exit status 7"), (2, "gone\n", "exit status 78")), last)
        said = execute(lab, "--failed", "--name", "bell").ok().stdout
        check(re.search(r"bell: event 2 \(event-2\), attempt 1 at \S+: exit status 78, given up\n  output: \"gone\\n\"", said), said)
        check(re.search(r"bell: event 1 \(event-1\), attempt \d at \S+: exit status 7, next attempt at \S+\n  output: \"no\\nroute\\n\"", said), said)
        check(execute(lab, "--failed", "--name", "other").ok().stdout == "" and "the last failure: event" in execute(lab, "--status").ok().stdout, "text")
        doctor = lab.tool("doctor", "--json").stdout
        check("bell has failed events: 1 to be retried, 1 given up" in doctor, doctor)
        process.send_signal(signal.SIGTERM)
        process.wait()
        lab.receive(of(4, "a"))
        (lab.path / "out/go").touch()
        execute(lab, "--name", "bell", "--drop", "event-1").ok()
        check("no failed event 1 for" in execute(lab, "--name", "bell", "--drop", "1").fails().stderr, "dropped twice")
        execute(lab, "--name", "bell", "--once", "--", command).ok()
        check([line.split()[0] for line in runs(lab)] == ["4"], runs(lab))


def found_by_doctor(lab):
    return [f"{one['level']}: {one['text']}" for one in json.loads(lab.tool("doctor", "--json").stdout) if one["check"] == "consumer"]


def a_consumer_whose_program_is_missing_is_named_by_doctor():
    with Lab() as lab:
        lab.receive(press(1))
        for program in ("/no/such/bell", "no-such-bell"):
            check(f"program {program} is missing or not executable" in execute(lab, "--name", "bell", "--", program).fails().stderr, program)
            told = found_by_doctor(lab)
            check(len(told) == 1 and f"problem: bell: program {program} was missing or not executable" in told[0], told)
        lab.receive(press(2))
        told = found_by_doctor(lab)
        check("note: bell is not running, and has events left to run" in told[1], told)
        command = script(lab, RAN)
        execute(lab, "--name", "bell", "--once", "--", command).ok()
        check([line.split()[0] for line in runs(lab)] == ["2"] and found_by_doctor(lab) == [], "what came meanwhile", runs(lab), found_by_doctor(lab))
        process = runner(lab, "--name", "bell", "--", command)
        wait_for(lambda: state(lab, "bell")["process"] == process.pid, "the next one")
        command.rename(lab.path / "away")
        check(found_by_doctor(lab) == [f"problem: bell: program {command} is now missing or not executable"], found_by_doctor(lab))
        lab.receive(press(3))
        wait_for(lambda: state(lab, "bell")["retrying"] == 1 and state(lab, "bell")["in_flight"] == 0, "the failure")
        told = found_by_doctor(lab)
        check("bell has failed events: 1 to be retried" in told[0] and f'exit status 127, output "cannot run {command}: No such file' in told[0], told)
        (lab.path / "away").rename(command)
        wait_for(lambda: state(lab, "bell")["behind"] == 0, "it to be run")
        check(found_by_doctor(lab) == [], found_by_doctor(lab))


def one_of_those_that_were_given_up_is_run_again_or_dropped():
    with Lab() as lab:
        lab.receive(*(of(number, "a") for number in range(1, 5)))
        command = script(lab, f"[ -e $LAB/out/go ] || exit 78; {RAN}")
        execute(lab, "--once", "--from", "start", "--", command).ok()
        (lab.path / "out/go").touch()
        execute(lab, "--retry", "event-2", "--", command).ok()
        execute(lab, "--retry", "4", "--", command).ok()
        check([line.split()[0] for line in runs(lab)] == ["2", "4"], runs(lab))
        check("no failed event 2 for" in execute(lab, "--retry", "2", "--", command).fails().stderr, "run twice")
        execute(lab, "--drop", "event-1").ok()
        execute(lab, "--retry-failed", "--", command).ok()
        check([line.split()[0] for line in runs(lab)] == ["2", "4", "3"] and state(lab)["failed"] == 0, runs(lab))
        check(json.loads(execute(lab, "--failed", "--json").ok().stdout) == [], "list")


def one_more_is_added_to_a_long_list():
    """The list is not written again for that: a device whose command always fails would slow down all others."""
    with Lab() as lab:
        lab.receive(of(1, "a"), of(2, "b"))
        command = script(lab, "exit 78")
        execute(lab, "--once", "--from", "start", "--", command).ok()
        path = lab.journal / "cursors/default.failed"
        one, other = sorted(path.read_bytes().splitlines(keepends=True))  # the two ran side by side
        long = b"".join(one.replace(b'"seq":1,', b'"seq":%d,' % number) for number in range(1000, 4000)) + other
        path.write_bytes(long + b'{"seq":9,"day":"20')  # which a crash has cut
        inode = path.stat().st_ino
        lab.receive(of(3, "a"))
        result = execute(lab, "--once", "--", command).ok()
        check("event 3 (event-3) given up" in result.stderr and path.stat().st_ino == inode and path.read_bytes().startswith(long), result)
        check(state(lab)["failed"] == 3003, state(lab))
        path.write_bytes(one + other + one.replace(b"status 78", b"status 79"))  # a crash came between the list and the place
        check(state(lab)["failed"] == 2, state(lab))
        listed = json.loads(execute(lab, "--failed", "--json").ok().stdout)
        check([(entry["seq"], entry["how"]) for entry in listed] == [(2, "exit status 78"), (1, "exit status 79")], listed)
        execute(lab, "--drop", "1").ok()
        check(path.read_bytes() == other, path.read_bytes())


def one_that_was_set_aside_is_dropped():
    with Lab() as lab:
        journal(lab, 1500, lambda number: {0: "bad", 1: "bad", 1499: "last"}.get(number))
        command = script(lab, f'[ "$DOORPOST_SEQ" != 1 ] || exit 1\n{RAN}')
        process = press_runner(lab, "--", command)
        wait_for(lambda: len(runs(lab)) == 1 and state(lab)["waiting"] == 2, "it to be set aside")
        process.send_signal(signal.SIGTERM)
        process.wait()
        check(json.loads(execute(lab, "--failed", "--json").ok().stdout)[0]["event_id"] == "event-0", "list")
        execute(lab, "--drop", "event-0").ok()
        execute(lab, "--once", "--type", "button_press", "--", command).ok()
        check(runs(lab)[1:] == ["2 1 bad"] and state(lab)["behind"] == 0, runs(lab))


def also_under_a_running_one():
    with Lab() as lab:
        journal(lab, 1500, lambda number: {0: "bad", 1: "bad", 1498: "worse", 1499: "last"}.get(number))
        press_runner(lab, "--", script(lab, f'case $DOORPOST_SEQ in 1|1499) exit 1 ;; esac\n{RAN}'))
        wait_for(lambda: runs(lab) == ["1500 1 last"] and state(lab)["waiting"] == 2 and state(lab)["retrying"] == 2, "both to fail")
        execute(lab, "--drop", "event-0").ok()
        execute(lab, "--drop", "1499").ok()
        wait_for(lambda: runs(lab)[1:] == ["2 1 bad"], "the one that waited for it")
        wait_for(lambda: state(lab)["behind"] == 0 and state(lab)["retrying"] == 0, "the place")
        wait_for(lambda: not (lab.journal / "cursors/default.instructions").exists(), "it to be forgotten")


def also_one_whose_command_runs_at_that_moment():
    """Once that ends it is not tried again, nor given up."""
    with Lab() as lab:
        lab.receive(of(1, "a"), of(2, "b"), of(3, "a"))
        command = script(lab, f"""{RAN}; [ $DOORPOST_DEVICE_ID = a ] || exit 0
            [ $DOORPOST_SEQ-$DOORPOST_ATTEMPT = 1-1 ] && exit 1
            until [ -e $LAB/out/go$DOORPOST_SEQ ]; do sleep 0.05; done; [ $DOORPOST_SEQ = 1 ] && exit 78; exit 1""")
        process = runner(lab, "--from", "start", "--timeout", "1h", "--", command)
        wait_for(lambda: "1 2 a" in runs(lab), "the second attempt")
        execute(lab, "--drop", "1").ok()
        lab.receive(of(4, "b"))
        wait_for(lambda: "4 1 b" in runs(lab), "another one")  # so the runner has seen it
        (lab.path / "out/go1").touch()
        wait_for(lambda: "3 1 a" in runs(lab), "the one that waited for it")
        wait_for(lambda: not (lab.journal / "cursors/default.instructions").exists(), "it to be forgotten")
        check(state(lab)["failed"] == 0 and execute(lab, "--failed").ok().stdout == "", execute(lab, "--failed").stdout)
        (lab.path / "out/go3").touch()
        wait_for(lambda: "3 2 a" in runs(lab), "an attempt that fails")
        (lab.path / "out/go3").unlink()
        wait_for(lambda: "3 3 a" in runs(lab), "one that runs")
        execute(lab, "--drop", "event-3").ok()
        (lab.path / "out/go3").touch()
        wait_for(lambda: state(lab)["behind"] == 0, "it to be dropped")
        check(runs(lab)[-1] == "3 3 a" and not (lab.journal / "cursors/default.instructions").exists(), runs(lab))
        process.send_signal(signal.SIGTERM)
        check(process.wait() == 0, "exit status")


def one_that_is_tried_again_in_an_hour_is_tried_at_once():
    """One that was read, one that was set aside, and one of a consumer that is not running."""
    with Lab() as lab:
        journal(lab, 1500, lambda number: {0: "bad", 1498: "worse", 1499: "last"}.get(number))
        command = script(lab, f"[ -e $LAB/out/go ] || [ $DOORPOST_DEVICE_ID = last ] || exit 1\n{RAN}")
        process = press_runner(lab, "--", command)
        wait_for(lambda: runs(lab) == ["1500 1 last"] and state(lab)["waiting"] == 1 and state(lab)["retrying"] == 2, "both to fail")
        process.send_signal(signal.SIGTERM)
        process.wait()
        (lab.path / "out/go").touch()
        late = int(time.time()) + 3600
        place, aside = lab.journal / "cursors/default", lab.journal / "cursors/default.waiting"
        place.write_text(json.dumps({**json.loads(place.read_text()), "retry": [[1499, 6, late]]}))
        aside.write_bytes(re.sub(rb",\d+,\d+\] *\n", lambda match: f",6,{late}]".encode().ljust(len(match[0]) - 1) + b"\n", aside.read_bytes()))
        process = press_runner(lab, "--", command)
        wait_for(lambda: state(lab)["process"] == process.pid, "the next one")
        check("at once" in execute(lab, "--retry", "event-0").ok().stdout, "set aside")
        wait_for(lambda: runs(lab)[1:] == ["1 7 bad"], "the one that was set aside")
        process.send_signal(signal.SIGTERM)
        process.wait()
        check("when it is started" in execute(lab, "--retry", "1499").ok().stdout, "not running")
        execute(lab, "--once", "--type", "button_press", "--", command).ok()
        check(runs(lab)[2:] == ["1499 7 worse"] and state(lab)["behind"] == 0, runs(lab), state(lab))
        check(not list((lab.journal / "cursors").glob("*.instructions")), "not forgotten")


def what_cannot_be_set_aside_is_not_passed_over():
    """Nor is anything run whose place could not be kept; once there is room, all goes on."""
    with Lab() as lab:
        journal(lab, 1200, lambda number: {0: "bad", 2: "first", 1199: "last"}.get(number))
        (lab.journal / "cursors").mkdir()
        lab.own(lab.journal / "cursors")
        (lab.journal / "cursors/default.waiting.new").mkdir()
        process = press_runner(lab, "--", script(lab, f"[ $DOORPOST_DEVICE_ID != bad ] || exit 1\n{RAN}"))
        wait_for(lambda: "cannot write cursors/default.waiting: Is a directory; no command is run until this works" in (lab.logs / "exec").read_text(), "to be told")
        wait_for(lambda: state(lab)["in_flight"] == 0, "what had been started")
        check(runs(lab) in ([], ["3 1 first"]) and json.loads((lab.journal / "cursors/default").read_text())["seq"] == 0, runs(lab))
        kill(process.pid)
        process.wait()
        (lab.journal / "cursors/default.waiting.new").rmdir()
        press_runner(lab, "--", lab.path / "command")
        wait_for(lambda: runs(lab) == ["3 1 first", "1200 1 last"], "the other")
        wait_for(lambda: state(lab)["retrying"] == 1, "the failing one")


def a_damaged_list_of_what_waits_costs_its_damaged_lines():
    with Lab() as lab:
        lab.receive(*(of(number, "a") for number in range(1, 4)))
        command = script(lab, RAN)
        execute(lab, "--once", "--", command).ok()
        line = b'[%d,"' + lab.segment().stem.encode() + b'",0,"0000000000000000","0000000000000000",0,0]'
        slots = [b"#" * 127, b"[" + b"9" * 126, line % 7, b"\0" * 127, b"[1,", line.replace(b"0,0]", b"99999999999999999999,0]") % 8]
        (lab.journal / "cursors/default.waiting").write_bytes(b"".join(slot.ljust(127) + b"\n" for slot in slots) + b"[1,2")
        lab.own(lab.journal / "cursors/default.waiting")
        check("damaged lines, whose events are not run" in lab.tool("prune", "--keep", "1d").fails().stderr, "prune")
        result = execute(lab, "--once", "--", command).ok()
        check("default.waiting: 6 damaged lines" in result.stderr and "event 7 was deleted" in result.stderr, result)
        check(execute(lab, "--once", "--", command).ok().stderr == "" and runs(lab) == [], runs(lab))


def what_the_handlers_own_runner_says_is_in_a_file_that_stays_small():
    with Lab() as lab:
        command = script(lab, "[ -e $LAB/out/hopeless ] && { head -c 3000 /dev/zero | tr '\\0' x; exit 78; }; echo out of luck; exit 1")
        lab.configure(ON_EVENT=command)
        (lab.bin / "doorpost").write_bytes(TOOL.read_bytes())
        (lab.bin / "doorpost").chmod(0o755)
        log = lab.journal / "cursors/on-event.log"
        lab.receive(press(1))
        wait_for(lambda: log.exists() and "out of luck" in log.read_text(), "the failure")
        check(re.match(r'\d{4}-\d\d-\d\dT\S+Z doorpost exec: event 1 \(event-1\): exit status 1; retrying in 1 s; output: "out of luck"', log.read_text()), log.read_text())
        (lab.path / "out/hopeless").touch()
        lab.receive(*(of(number, f"device-{number}") for number in range(2, 150)))
        wait_for(lambda: state(lab, "on-event")["failed"] >= 148, "all to fail")
        wait_for(lambda: not state(lab, "on-event")["process"], "the runner to end")
        check(log.stat().st_size <= 2 * 65536 and log.read_text().count("given up") > 20, log.stat())
        check(all(re.match(r"\d{4}-", line) for line in log.read_text().splitlines()), "a line was cut")
        lab.configure(ON_EVENT="/no/such/program")
        lab.receive(of(1000, "another"))
        wait_for(lambda: "program /no/such/program is missing" in log.read_text(), "to be told")
        check("DOORPOST_ON_EVENT: program /no/such/program is missing" in lab.tool("doctor").fails().stdout, "doctor")


run_tests(a_failing_device_never_stops_the_others, nor_does_one_whose_command_runs_for_long, the_hint_works_as_it_is_printed,
          what_a_failed_command_said_is_told_at_once, what_fails_is_listed_while_it_is_tried_again,
          a_consumer_whose_program_is_missing_is_named_by_doctor,
          one_of_those_that_were_given_up_is_run_again_or_dropped, one_more_is_added_to_a_long_list, one_that_was_set_aside_is_dropped, also_under_a_running_one,
          also_one_whose_command_runs_at_that_moment, one_that_is_tried_again_in_an_hour_is_tried_at_once,
          what_cannot_be_set_aside_is_not_passed_over, a_damaged_list_of_what_waits_costs_its_damaged_lines,
          what_the_handlers_own_runner_says_is_in_a_file_that_stays_small)
