"""What a runner of the merged stream does is what one of a journal does: retries, the failed list, filters, positions, damage."""

import re
import time

from nodes import QUICK, run
from runners import BRIEF, ENDED, STARTED, Session, World, check_order, end, in_background, memory
from support.assertions import check, wait_for
from support.laboratory import ROOT

SCHEDULE = [int(number) for number in re.search(r"ring_retry_after\[RING_RETRIES\] = \{(.*?)\}", (ROOT / "lib/ring.c").read_text())[1].split(",")]
BACKLOG = 1000 if QUICK else 200000


def a_failed_event_is_retried_on_the_schedule_and_given_up():
    with World("schedule") as world:
        a = world.runner("--from", "start", "--", world.command(f'{BRIEF} echo "no $DOORPOST_ATTEMPT"; [ $DOORPOST_DEVICE_ID = good ] || exit 7'))
        world.store({"device": "bad"}, {"device": "good"}, {"device": "bad"}, {"device": "good"})
        delays = []
        for attempt in range(1, len(SCHEDULE) + 1):
            wait_for(lambda: world.value("SELECT count(*) FROM turns WHERE device = 'bad' AND runner IS NULL AND attempts >= " + str(attempt)) == "1", "a failure")  # noqa: B023
            delay, output, head = world.sql("SELECT round(extract(epoch FROM due - failed_at)), output, head FROM turns WHERE device = 'bad'")[0]
            check(head == "1", "another event", head)
            delays.append(int(delay))
            world.hurry()
        # The first two may be over before this test has looked at them.
        check(delays[2:] == SCHEDULE[2:] and set(delays) <= set(SCHEDULE), delays, SCHEDULE)
        wait_for(lambda: world.sql("SELECT number, event_id, attempts, how, convert_from(output, 'UTF8') FROM failed WHERE number = 1")
                 == [("1", "event-1", "7", "exit status 7", "no 7\n")], "it to be given up")
        said = world.said("a")
        for number, delay in enumerate(SCHEDULE, 1):
            check(f'event 1 (event-1): exit status 7; retrying in {delay} s; output: "no {number}"' in said, delay, said)
        check("event 1 (event-1) given up: exit status 7" in said, said)
        wait_for(lambda: world.turn_of("bad")[:2] == ("1", "3") and world.lines()[-1].number == 3, "the next one")
        check([line.attempt for line in world.lines() if line.what == "end" and line.number == 1] == list(range(1, 8)), world.lines())
        ended = [line.number for line in world.lines() if line.what == "end"]
        check(4 in ended[:ended.index(3)], "the other device had to wait:", world.lines())
        end(a)


def exit_status_78_gives_up_at_once_and_the_list_is_run_again():
    with World("config") as world:
        command = world.command(f'{BRIEF} [ -e $LAB/out/go ] || [ $DOORPOST_DEVICE_ID = good ] || exit 78')
        world.store(*({"device": device} for device in ("a", "b", "good", "a", "a", "b")))
        result = world.exec("--from", "start", "--once", "--", command).ok()
        check(result.stderr.count(" given up: exit status 78") == 5 and "; to run it again: " in result.stderr, result)
        check(check_order(world.lines()) == 0 and world.left() == 0, world.lines())
        failed = "SELECT number, attempts FROM failed ORDER BY number"
        check(world.sql(failed) == [(number, "1") for number in "12456"], world.sql(failed))
        world.exec("--retry-failed", "--", command).fails()
        check(world.sql(failed) == [(number, "2") for number in "12456"], world.sql(failed))
        (world.out / "go").touch()
        (world.out / "ran").unlink()
        # Two at once share the list.
        others = in_background(lambda: world.exec("--retry-failed", "--", command).ok())
        world.exec("--retry-failed", "--", command).ok()
        others.join()
        check(sorted(world.ran()) == [1, 2, 4, 5, 6] and world.sql(failed) == [], world.ran())
        check("Nothing to retry" not in world.exec("--retry-failed", "--", command).ok().stderr, "it is no terminal")
        result = world.exec("--retry-failed", "--", command, name="unknown").fails()
        check("no consumer unknown in the database" in result.stderr, result)


def of_the_failed_list_each_device_runs_in_order():
    with World("list") as world:
        command = world.command(f'{STARTED} [ -e $LAB/out/go ] || exit 78\n{ENDED}')
        world.store(*({"device": f"device-{number % 3}"} for number in range(60)))
        world.exec("--from", "start", "--once", "--", command).ok()
        (world.out / "go").touch()
        (world.out / "ran").unlink()
        world.exec("--retry-failed", "--jobs", "8", "--", command).ok()
        check(check_order(world.lines()) == 0 and len(world.ran()) == 60, world.lines())


def once_ends_when_nothing_is_left_anywhere():
    with World("once") as world:
        slow = world.command(f'{STARTED} [ $DOORPOST_ATTEMPT = 2 ] || exit 1; until [ -e $LAB/out/go ]; do sleep 0.1; done\n{ENDED}')
        a = world.runner("--from", "start", "--", slow, machine="a")
        world.store({})
        wait_for(lambda: len(world.lines()) == 2, "the second attempt")
        with open(world.logs / "once", "wb") as log:
            b = world.start(world.arguments("--once", "--", slow), stderr=log, env={**world.environment(), "MACHINE": "b"})
        wait_for(lambda: world.value("SELECT count(*) FROM runners") == "2", "the other to register")
        seen = "SELECT seen FROM runners ORDER BY runner DESC LIMIT 1"
        before = world.value(seen)
        wait_for(lambda: world.value(seen) != before, "it to look again")
        check(b.poll() is None, "it ended although another has something left")
        (world.out / "go").touch()
        check(b.wait() == 0 and world.ran() == [1] and world.left() == 0, world.said("once"), world.lines())
        end(a)
        world.exec("--once", "--", slow).ok()


def filters_leave_out_the_others():
    with World("filters") as world:
        world.store({"device": "a"}, {"device": "b"}, {"device": "a", "kind": "motion_detected"}, {"device": None, "kind": "device_added"},
                    {"device": "a", "account": "account-2"}, {"device": "doorpost.test"}, {"device": "c"})
        for name, arguments, wanted in (("types", ("--type", "button_press"), [1, 2, 5, 7]), ("devices", ("--device", "a", "--device", "c"), [1, 3, 5, 7]),
                                        ("accounts", ("--account", "account-2"), [5]), ("both", ("--type", "motion_detected", "--device", "b"), []),
                                        ("all", (), [1, 2, 3, 4, 5, 7])):
            result = world.exec("--from", "start", "--once", *arguments, "--", world.command(f"{BRIEF}", name), name=name).ok()
            check(sorted(world.ran()) == wanted and world.left(name) == 0 and result.stderr == "", name, world.ran(), result)
            if wanted:
                (world.out / "ran").unlink()


def events_without_a_device_run_in_the_order_of_their_account():
    with World("accounts") as world:
        world.store(*({"device": None, "account": f"account-{number % 3}", "kind": "device_added"} for number in range(30)))
        world.sql("UPDATE events SET account = NULL WHERE account = 'account-2'")
        command = world.command(STARTED.replace("DOORPOST_DEVICE_ID", "DOORPOST_ACCOUNT_ID") + ENDED.replace("DOORPOST_DEVICE_ID", "DOORPOST_ACCOUNT_ID"))
        world.exec("--from", "start", "--once", "--jobs", "8", "--", command).ok()
        check(check_order(world.lines()) == 0 and len(world.ran()) == 30, world.lines())
        check(len(world.sql("SELECT device FROM turns")) == 3, world.sql("SELECT * FROM turns"))


def a_new_consumer_begins_where_it_is_told_to():
    with World("positions") as world:
        world.store(*({} for _ in range(5)))
        command = world.command(BRIEF)
        for name, position, wanted in (("start", "start", [1, 2, 3, 4, 5]), ("zero", "0", [1, 2, 3, 4, 5]), ("three", "3", [3, 4, 5]), ("end", "end", []), ("next", "6", [])):
            world.exec("--from", position, "--once", "--", command, name=name).ok()
            check(world.ran() == wanted, name, world.ran())
            if wanted:
                (world.out / "ran").unlink()
        world.store({})
        for name in ("start", "end", "next", "three"):  # each by itself
            world.exec("--from", "start", "--once", "--", command, name=name).ok()
            check(world.ran() == [6], name, world.ran())
            (world.out / "ran").unlink()
        check("must be start, end, the number" in world.exec("--from", "now", "--once", "--", command).fails(2).stderr, "a word")


def deleted_events_and_damaged_bodies_hold_up_nobody():
    with World("damaged") as world:
        command = world.command(f'{STARTED} [ $DOORPOST_SEQ != 1 ] || [ -e $LAB/out/go ] || exit 1\n{ENDED}')
        a = world.runner("--from", "start", "--", command)
        world.store({})
        wait_for(lambda: world.value("SELECT count(*) FROM turns WHERE attempts > 0 AND runner IS NULL") == "1", "a failure")
        world.sql("UPDATE turns SET due = clock_timestamp() + interval '1 h'; DELETE FROM events WHERE number = 1")
        world.store({}, {}, {"device": "device-2"}, {})
        wait_for(lambda: 4 in world.ran(), "the other device")
        world.sql("DELETE FROM events WHERE number = 2; UPDATE events SET body = 'rubbish' WHERE number = 3")
        world.hurry()
        wait_for(lambda: world.left() == 0, "the end")
        check(world.ran() == [4, 5], world.ran())
        said = world.said("a")
        check(said.count("event 1 was deleted before its command could be run") == 1 and "event 2" not in said, said)
        check(said.count("event 3: no command is run, because its body is damaged: ") == 1, said)
        world.store({}, {})
        wait_for(lambda: world.left() == 0 and 7 in world.ran(), "the next one")
        end(a)


def rights_and_what_to_do_without_them():
    with World("rights") as world:
        world.store({})
        command = world.command(BRIEF)
        for user, advice in (("reader", "doorpost_runner"), ("writer", "doorpost_runner")):
            result = world.exec("--from", "start", "--once", "--", command, where=world.url(user)).fails()
            check("permission denied" in result.stderr and advice in result.stderr and result.stderr.count("\n") == 1, result)
        world.server.create("empty", schema=False)
        result = world.exec("--once", "--", command, where=world.server.url("runner", database="empty")).fails()
        check("the schema is missing: run `doorpost forward --schema | psql`" in result.stderr, result)
        with Session(world.server, "rights", "runner") as session:
            for statement in ("INSERT INTO events (node) VALUES ('x')", "UPDATE events SET node = 'x'", "DELETE FROM events", "DELETE FROM nodes", "DROP TABLE turns"):
                check("42501" in session.do(statement)[0], statement)
        world.exec("--from", "start", "--once", "--", command).ok()
        check(world.ran() == [1], world.ran())


def a_deleted_consumer_is_created_again():
    """As after a backup of the database was restored that is older than the consumer."""
    with World("deleted") as world:
        a = world.runner("--", world.command(BRIEF))
        world.store({})
        wait_for(lambda: world.ran() == [1], "the first")
        world.sql("DELETE FROM consumers")
        wait_for(lambda: world.sql("SELECT consumer FROM consumers") and world.sql("SELECT runner FROM runners"), "it")
        world.store({})
        wait_for(lambda: world.ran() == [1, 2], "the next")
        end(a)
        check(world.said("a") == "", world.said("a"))


def a_long_backlog_of_two_devices():
    with World("backlog") as world:
        world.store_many(BACKLOG, "'device-' || i % 2")
        a = world.runner("--from", "start", "--", world.command(BRIEF))
        wait_for(lambda: len(world.lines()) > 200, "runs")
        before, first, began = memory(a), len(world.lines()), time.monotonic()
        enough = 600 if QUICK else 8000
        wait_for(lambda: len(world.lines()) >= enough, "more")
        rate = (len(world.lines()) - first) / 2 / (time.monotonic() - began)
        check(memory(a) - before < 24 << 10,  # a sanitizer keeps what was freed
              "it grows:", before, memory(a), "KiB")
        check(check_order(world.lines()) == 0, "order")
        print(f"# {rate:.0f} events a second of a backlog of {BACKLOG} over 2 devices; memory grew by {memory(a) - before} KiB")
        a.terminate()
        a.wait()


run(a_failed_event_is_retried_on_the_schedule_and_given_up, exit_status_78_gives_up_at_once_and_the_list_is_run_again,
    of_the_failed_list_each_device_runs_in_order, once_ends_when_nothing_is_left_anywhere, filters_leave_out_the_others,
    events_without_a_device_run_in_the_order_of_their_account, a_new_consumer_begins_where_it_is_told_to,
    deleted_events_and_damaged_bodies_hold_up_nobody, rights_and_what_to_do_without_them, a_deleted_consumer_is_created_again,
    a_long_backlog_of_two_devices)
