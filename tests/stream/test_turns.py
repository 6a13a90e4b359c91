"""What `doorpost exec --from URL` shows of the consumers of a database, and what an operator does about their failures: as with a journal."""

import json
import os
import pty
import signal
import subprocess

from nodes import run
from runners import BRIEF, World, end, stop
from support.assertions import check, wait_for
from support.laboratory import Lab

COMMON = ["behind", "behind_seconds", "in_flight", "retrying", "waiting", "failed", "last_failure"]
FAILS = BRIEF + '[ "$DOORPOST_DEVICE_ID" != bad ] || [ -e $LAB/out/go ] || { printf "no bell\\377 at attempt $DOORPOST_ATTEMPT\\n"; exit 3; }'
GIVES_UP = BRIEF + "[ -e $LAB/out/go ] || { echo no bell; exit 78; }"
HANGS = BRIEF + 'case $DOORPOST_DEVICE_ID in bad) [ $DOORPOST_ATTEMPT = 1 ] || { touch $LAB/out/second; exec sleep 1000; }; exit 3;; esac'


def show(world, *options, user="reader", **where):
    """What the tool prints as JSON, with the rights of someone who may only read."""
    return json.loads(world.exec(*options, "--json", where=world.url(user), **where).ok().stdout)


def state(world, **where):
    (one,) = show(world, "--status", **where)
    return one


def failures(world, **where):
    return show(world, "--failed", **where)


def await_failure(world, attempts=1):
    return wait_for(lambda: next((one for one in failures(world) if one["attempts"] >= attempts), None), "a failure")


def postpone(world):
    """What is to be retried is due tomorrow: no test waits for it."""
    world.sql("UPDATE turns SET due = now() + interval '1 day' WHERE attempts > 0 AND runner IS NULL")


def fail_once(world, *events):
    """The event of the device `bad` fails, and is to be retried tomorrow."""
    process = world.runner("--from", "start", "--", world.command(FAILS))
    world.store(*events)
    await_failure(world)
    end(process)
    postpone(world)


def touch(world, name):
    (world.out / name).touch()


def on_terminal(world, *options):
    """What a person sees."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        subprocess.run(world.arguments(*options), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**world.environment(), "NO_COLOR": "1"}, check=True)
        os.close(theirs)
        return terminal.read(65536).decode().replace("\r\n", "\n")


def a_database_without_consumers_shows_none():
    with World("none") as world:
        for option in ("--status", "--failed"):
            check(show(world, option) == [], option)
            check(world.run(world.arguments(option)[:-3] + [option]).ok().stdout == "", option)
        text = on_terminal(world, "--status")
        check(f"No consumer bell in the database: list the consumers with `doorpost exec --from {world.url()} --status`." in text, text)


def the_status_counts_what_is_left():
    """What nobody has taken yet, what waits behind others of its device or account, and what runs."""
    with World("status") as world:
        without = {"device": None, "kind": "subscription_activated"}
        world.store(*[{"device": f"device-{number % 3}"} for number in range(9)], without, without, without)
        world.sql("UPDATE events SET account = NULL WHERE number = 12; INSERT INTO consumers (consumer, position) VALUES ('bell', 2), ('other', 12)")
        world.sql("UPDATE events SET received_at = now() - interval '1 day' WHERE number = 3")
        fresh = state(world)
        check(list(fresh) == ["name", "runners", "position", *COMMON], fresh)
        check((fresh["runners"], fresh["position"], fresh["behind"], fresh["waiting"], fresh["in_flight"], fresh["last_failure"]) == ([], 2, 10, 0, 0, None), fresh)
        check(86400 <= fresh["behind_seconds"] < 90000, fresh)
        text = world.exec("--status").ok().stdout
        check(text == f"bell: not running, at event 2, 10 events and {text.split()[9]} s behind, 0 in flight, 0 to be retried, 0 failed\n", text)
        process = world.runner("--jobs", "2", "--", world.command(BRIEF + "[ -e $LAB/out/go ] || exec sleep 1000"))
        wait_for(lambda: state(world)["in_flight"] == 2 and state(world)["position"] == 12, "two commands")
        now = state(world)
        check((now["behind"], now["waiting"], now["failed"], now["retrying"]) == (10, 10, 0, 0), now)
        (runner,) = now["runners"]
        check(runner["running"] is True and runner["host"] == os.uname().nodename and runner["seen"][:2] == "20" and runner["seen"][-1] == "Z", runner)
        check(f"bell: running on {os.uname().nodename}, at event 12, 10 events" in world.exec("--status").ok().stdout, "text")
        both = world.run(["doorpost", *world.arguments("--status", "--json")[1:4], "--status", "--json"], executable=world.built_tool)
        check([(one["name"], one["behind"]) for one in json.loads(both.ok().stdout)] == [("bell", 10), ("other", 0)], both)
        stop(process)
        world.sql("UPDATE runners SET seen = seen - interval '1 hour'")
        lost = state(world)
        check(lost["runners"][0]["running"] is False and lost["in_flight"] == 0, lost)
        check(world.exec("--status").ok().stdout.startswith("bell: not running, "), "text")
        process.send_signal(signal.SIGCONT)


def many_events_are_counted():
    with World("many") as world:
        world.store_many(100000, "'device-' || i % 500")
        world.sql("""INSERT INTO consumers (consumer, position) VALUES ('bell', 60000); VACUUM ANALYZE events;
                     INSERT INTO turns (consumer, device, done, last) SELECT 'bell', 'device-' || i, 10000, 60000 FROM generate_series(0, 499) AS i""")
        now = state(world)
        check((now["behind"], now["waiting"]) == (90000, 50000), now)


def failures_are_shown_as_those_of_a_journal():
    with World("failures") as world, Lab() as lab:
        fail_once(world, {"device": "bad"}, {"device": "good"}, {"device": "bad"})
        now, (one,) = state(world), failures(world)
        check((now["behind"], now["waiting"], now["retrying"], now["failed"], now["in_flight"]) == (2, 2, 1, 0, 0), now)
        check({**now["last_failure"], "name": "bell"} == one, now, one)
        check(one["output"] == "no bell\xff at attempt 1\n" and one["how"] == "exit status 3" and one["event_id"] == "event-1", one)
        (lab.path / "out").mkdir()
        (lab.path / "out").chmod(0o777)
        command = lab.path / "command"
        command.write_text(world.command(FAILS).read_text().replace(str(world.path), str(lab.path)))
        command.chmod(0o755)
        lab.receive(*(body.encode() for body, in world.sql("SELECT convert_from(body, 'UTF8') FROM events ORDER BY number")))
        process = lab.start([lab.built_tool, "exec", "--name", "bell", "--from", "start", "--", command], stdout=subprocess.DEVNULL, stderr=open(lab.logs / "exec", "ab"))
        beside = wait_for(lambda: json.loads(lab.tool("exec", "--failed", "--json").ok().stdout), "the journal's failure")[0]
        end(process)
        same = {"seq": 1, "given_up": False, "event_id": "event-1", "how": "exit status 3", "name": "bell"}
        check(list(one) == list(beside) and {**one, **same} == one and {**beside, **same} == beside, one, beside)
        shown, journals = (text.splitlines() for text in (world.exec("--failed").ok().stdout, lab.tool("exec", "--failed").ok().stdout))
        for line in (*shown, *journals):
            check(line.startswith(("bell: event 1 (event-1), attempt 1 at 20", '  output: "no bell\\u00ff at attempt 1\\n"')), shown, journals)
        check(len(shown) == len(journals) == 2 and "exit status 3, next attempt at 20" in shown[0], shown)
        journal = json.loads(lab.tool("exec", "--status", "--json").ok().stdout)[0]
        check([name for name in journal if name in COMMON] == COMMON, journal)


def an_event_is_retried_at_once():
    with World("retry") as world:
        fail_once(world, {"device": "bad"})
        check(world.exec("--retry", "event-1").ok().stdout == "Event 1 will be retried by bell, when it is started.\n", "not running")
        postpone(world)
        process = world.runner("--", world.command(FAILS))
        touch(world, "go")
        check(world.exec("--retry", "1").ok().stdout == "Event 1 will be retried by bell at once.\n", "running")
        wait_for(lambda: state(world)["behind"] == 0, "its end")
        check([(line.number, line.attempt) for line in world.lines() if line.what == "end"] == [(1, 1), (1, 2)], world.lines())
        world.exec("--retry", "1", "--", world.command(FAILS)).fails()  # nothing is left
        end(process)


def a_given_up_event_is_retried_here():
    with World("given_up") as world:
        world.store({"device": "a"}, {"device": "b"})
        world.exec("--from", "start", "--once", "--", world.command(GIVES_UP)).ok()
        check([(one["seq"], one["given_up"], one["attempts"]) for one in failures(world)] == [(1, True, 1), (2, True, 1)], failures(world))
        check(state(world)["failed"] == 2 and state(world)["behind"] == 0, state(world))
        check("given up" in world.exec("--failed").ok().stdout, "text")
        world.exec("--retry", "event-2", "--", world.command(GIVES_UP)).fails()
        check([(one["seq"], one["attempts"]) for one in failures(world)] == [(1, 1), (2, 2)], failures(world))
        touch(world, "go")
        world.exec("--retry", "event-2", "--", world.command(GIVES_UP)).ok()
        check([one["seq"] for one in failures(world)] == [1], failures(world))
        result = world.exec("--retry", "unknown", "--", world.command(GIVES_UP)).fails()
        check(result.stderr == "doorpost exec: no failed event unknown for bell: see doorpost exec --failed\n", result)
        world.exec("--drop", "1").ok()
        check(failures(world) == [] and state(world)["failed"] == 0, failures(world))


def a_dropped_event_never_runs_again():
    """It awaits its retry: the runner that takes the turn next goes on with the next event of the device."""
    with World("drop") as world:
        fail_once(world, {"device": "bad"}, {"device": "bad"})
        world.exec("--drop", "event-1").ok()
        check(failures(world) == [] and state(world)["retrying"] == 0, failures(world))
        for known in ("event-1", "2", "event-2", "17"):  # dropped already, not failed, unknown
            result = world.exec("--drop", known).fails()
            check(result.stderr == f"doorpost exec: no failed event {known} for bell: see doorpost exec --failed\n", result)
        touch(world, "go")
        process = world.runner("--", world.command(FAILS))
        wait_for(lambda: state(world)["behind"] == 0, "the next event")
        check(world.ran() == [1, 2], world.lines())
        end(process)


def a_running_command_is_not_stopped_but_not_retried():
    with World("drop_running") as world:
        process = world.runner("--from", "start", "--", world.command(HANGS))
        world.store({"device": "bad"})
        wait_for((world.out / "second").exists, "the retry")
        world.exec("--drop", "1").ok()
        check(failures(world) == [] and state(world)["in_flight"] == 1, failures(world))
        process.send_signal(signal.SIGTERM)  # which ends the command: the run does not count, and would be repeated
        wait_for(lambda: process.poll() is not None, "its end")
        check(state(world)["behind"] == 0, state(world))


def what_a_dead_runner_ran_can_be_dropped():
    with World("drop_dead") as world:
        process = world.runner("--from", "start", "--", world.command(HANGS))
        world.store({"device": "bad"}, {"device": "good"})
        wait_for((world.out / "second").exists, "the retry")
        process.kill()
        process.wait()
        world.exec("--drop", "event-1").ok()
        other = world.runner("--", world.command(HANGS))
        wait_for(lambda: state(world)["behind"] == 0, "the other one to take over")
        check([line.attempt for line in world.lines() if line.what == "start" and line.number == 1] == [1, 2], world.lines())
        end(other)


def an_identifier_may_be_any_text():
    with World("text") as world:
        world.store({"device": "a"})
        name = 'née "x"'
        world.sql(f"""UPDATE events SET event_id = '{name}', body = convert_to(replace(convert_from(body, 'UTF8'), 'event-1', 'née \\"x\\"'), 'UTF8')""")
        world.exec("--from", "start", "--once", "--", world.command(GIVES_UP)).ok()
        touch(world, "go")
        check(failures(world)[0]["given_up"], failures(world))
        world.exec("--retry", name, "--", world.command(GIVES_UP)).ok()
        check(failures(world) == [], failures(world))


def a_command_inherits_no_connection():
    with World("inherits") as world:
        world.store({"device": "a"})
        world.exec("--from", "start", "--once", "--", world.command("ls -l /proc/self/fd > $LAB/out/fds")).ok()
        fds = (world.out / "fds").read_text()
        check("pipe:" in fds and "socket:" not in fds, fds)


def readers_change_nothing():
    with World("rights") as world:
        fail_once(world, {"device": "bad"})
        for option in ("--drop", "--retry"):
            result = world.exec(option, "1", "--", "true", where=world.url("reader")).fails()
            check("permission denied" in result.stderr and "grant the user" in result.stderr, result)
        check(len(failures(world)) == 1, failures(world))


run(a_database_without_consumers_shows_none,
    the_status_counts_what_is_left,
    many_events_are_counted,
    failures_are_shown_as_those_of_a_journal,
    an_event_is_retried_at_once,
    a_given_up_event_is_retried_here,
    a_dropped_event_never_runs_again,
    a_running_command_is_not_stopped_but_not_retried,
    what_a_dead_runner_ran_can_be_dropped,
    an_identifier_may_be_any_text,
    a_command_inherits_no_connection,
    readers_change_nothing)
