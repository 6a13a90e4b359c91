"""Runners that share the work: each event once, those of a device in order, whatever happens to a runner."""

import time

from nodes import QUICK, run
from runners import BRIEF, ENDED, STARTED, World, check_order, cpu_time, end, go_on, in_background, stop
from support.assertions import check, wait_for

PRESSES, RATE, DEVICES = (1200, 200, 50) if QUICK else (12000, 600, 500)


def one_is_killed_one_joins_and_one_is_paused():
    with World("shared") as world:
        command = world.command(BRIEF)
        arguments = ("--from", "start", "--jobs", "8", "--", command)
        a, b, c = (world.runner(*arguments, machine=machine) for machine in "abc")

        began = time.monotonic()

        def store():
            piece = RATE // 20
            for start in range(0, PRESSES, piece):
                world.store(*({"device": f"device-{number * 7919 % DEVICES}"} for number in range(start, start + piece)))
                time.sleep(max(0, began + (start + piece) / RATE - time.monotonic()))
        writer = in_background(store)
        wait_for(lambda: len(world.lines()) > PRESSES / 10 and world.held(a), "runs")
        a.kill()
        a.wait()
        killed_at = time.monotonic()
        doubled = world.held(a)
        d = world.runner(*arguments, machine="d")
        wait_for(lambda: world.held(b), "one of b")
        stop(b)
        paused = world.held(b)
        doubled |= paused
        wait_for(lambda: not world.held(a), "the turns of a to be taken over")
        took = time.monotonic() - killed_at
        wait_for(lambda: world.lost(b) and not world.held(b), "the turns of b, too")
        go_on(b)
        writer.join()
        world.wait_for_the_end()
        took_all = time.monotonic() - began
        end(b, c, d)
        lines = world.lines()
        check({line.number for line in lines if line.what == "end"} == set(range(1, PRESSES + 1)), "left out")
        more = check_order(lines, doubled)
        machines = {line.machine for line in lines}
        check(machines == set("abcd"), "not all worked", machines)
        for log in "cd":
            check(world.said(log) == "", "c and d had no trouble, and say", world.said(log))
        check(world.said("b").count("another runner has taken it over") <= len(paused), world.said("b"))
        print(f"# {PRESSES} presses in {took_all:.0f} s, {more} run twice of the {len(doubled)} that a killed and a paused runner had; taken over after {took:.1f} s")


def late_results_of_a_paused_runner_are_not_recorded():
    with World("late") as world:
        slow = world.command(f'{STARTED} [ $MACHINE = a ] && {{ until [ -e $LAB/out/go ]; do sleep 0.1; done; echo no; {ENDED} exit 78; }}\n{ENDED}')
        a = world.runner("--from", "start", "--", slow, machine="a")
        world.store({}, {"device": "device-2"}, {})
        wait_for(lambda: len(world.lines()) == 2, "a to run two")
        stop(a)
        b = world.runner("--", slow, machine="b")
        wait_for(lambda: world.left() == 0, "b to run them")
        state = world.sql("SELECT * FROM turns ORDER BY device")
        (world.out / "go").touch()
        wait_for(lambda: sum(line.machine == "a" and line.what == "end" for line in world.lines()) == 2, "the commands of a")
        go_on(a)
        wait_for(lambda: world.said("a").count("another runner has taken it over, because this one was stopped or cut off") == 2, "a to say it")
        check(world.sql("SELECT * FROM turns ORDER BY device") == state and not world.sql("SELECT number FROM failed"), "recorded")
        lines = [line for line in world.lines() if line.machine == "b"]
        check(check_order(lines) == 0 and len(lines) == 6, world.lines())
        world.store({"device": "device-4"})
        wait_for(lambda: 4 in world.ran(), "the next one")
        check(not world.lost(b), "b was declared dead")
        end(a, b)
        check(world.value("SELECT count(*) FROM runners") == "0", "registered", world.sql("SELECT * FROM runners"))


def a_live_runner_never_loses_its_lease():
    """Neither while commands run for longer than that, nor in an outage: all leases have expired then, also those of runners that take longest
    to come back."""
    with World("outage") as world:
        command = world.command(f"{STARTED} until [ -e $LAB/out/go ]; do sleep 0.1; done\n{ENDED}")
        arguments = ("--from", "start", "--jobs", "2", "--timeout", "1h", "--", command)
        runners = [world.runner(*arguments, machine=machine) for machine in "abc"]
        world.store(*({"device": f"device-{number}"} for number in range(6)))
        wait_for(lambda: len(world.lines()) == 6, "all to run")
        busy = [cpu_time(runner) for runner in runners]
        if QUICK:
            world.sql("UPDATE runners SET since = since - lease()")
        wait_for(lambda: world.value(f"SELECT count(*) FROM runners WHERE since < clock_timestamp() - {1 if QUICK else 3} * lease()") == "3", "some time")
        busy = [cpu_time(runner) - was for runner, was in zip(runners, busy)]
        check(max(busy) < 2, "busy while they wait:", busy)
        world.server.stop("immediate")
        time.sleep(0.5 if QUICK else 15)
        world.server.start()
        world.sessions.clear()
        if QUICK:  # the same for those who look at it
            world.sql("UPDATE runners SET seen = seen - interval '15 s'")
        wait_for(lambda: world.value("SELECT count(*) FROM runners WHERE since BETWEEN pg_postmaster_start_time() AND clock_timestamp() - 1.2 * lease()")
                 == "3", "them to come back, and to be old enough again")
        check(not any(map(world.lost, runners)) and len(world.lines()) == 6, "declared dead:", world.lines())
        (world.out / "go").touch()
        wait_for(lambda: world.left() == 0, "the end")
        check(check_order(world.lines()) == 0, "twice")
        for log in "abc":
            check(1 <= world.said(log).count("\n") <= 4 and "; no command is started until it works" in world.said(log), world.said(log))
        end(*runners)


def a_runner_that_ends_gives_its_turns_to_others_at_once():
    with World("given") as world:
        command = world.command(f"{STARTED} [ $MACHINE = a ] && exec sleep 1000\n{ENDED}")
        a = world.runner("--from", "start", "--grace", "0s", "--timeout", "1h", "--", command, machine="a")
        world.store(*({"device": f"device-{number % 6}"} for number in range(12)))
        wait_for(lambda: len(world.lines()) == 4, "a to run four")
        b = world.runner("--", command, machine="b")
        wait_for(lambda: len(world.ran()) == 4, "b to run those that are left")
        # Nobody may be waiting for the lease: this one does not end before the test does.
        world.sql("CREATE OR REPLACE FUNCTION lease() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '1 day' $$")
        a.terminate()
        check(a.wait() == 0, world.said("a"))
        wait_for(lambda: world.left() == 0, "b to run the others")
        check(sorted(world.ran()) == list(range(1, 13)) and world.said("b") == "", world.ran())
        check({line.attempt for line in world.lines()} == {1}, "an interrupted run is no attempt")
        end(b)


def grace_is_for_what_runs_and_idle_runners_rest():
    with World("grace") as world:
        command = world.command(f'{STARTED} [ $MACHINE = b ] || until [ -e $LAB/out/go-$DOORPOST_SEQ ]; do sleep 0.1; done\n{ENDED}')
        a = world.runner("--from", "start", "--grace", "1h", "--timeout", "1h", "--", command, machine="a")
        world.store(*({"device": f"device-{number % 3}"} for number in range(6)))
        wait_for(lambda: len(world.lines()) == 3, "a to run three")
        a.terminate()
        (world.out / "go-1").touch()
        wait_for(lambda: world.ran() == [1] and world.value("SELECT done FROM turns WHERE device = 'device-0'") == "1", "the first to be recorded")
        before, asked = cpu_time(a), int(world.value("SELECT xact_commit FROM pg_stat_database WHERE datname = 'grace'"))
        b = world.runner("--", command, machine="b")
        wait_for(lambda: world.ran() == [1, 4], "b to run the next one")
        resting_at, before_b = time.monotonic(), cpu_time(b)
        seen = world.value(f"SELECT seen FROM runners WHERE runner = {b.runner}")
        for _ in range(3):
            wait_for(lambda: world.value(f"SELECT seen FROM runners WHERE runner = {b.runner}") != seen, "a renewal")  # noqa: B023
            seen = world.value(f"SELECT seen FROM runners WHERE runner = {b.runner}")
        seconds = time.monotonic() - resting_at
        check(cpu_time(a) - before < seconds / 3 and cpu_time(b) - before_b < seconds / 3, "a busy loop", cpu_time(a) - before, cpu_time(b) - before_b, seconds)
        check(not world.lost(a) and asked > 0 and world.ran() == [1, 4], world.ran())
        (world.out / "go-2").touch()
        (world.out / "go-3").touch()
        check(a.wait() == 0, world.said("a"))
        wait_for(lambda: world.left() == 0, "all")
        check(check_order(world.lines()) == 0 and world.said("a") == "" and {line.number for line in world.lines() if line.machine == "a"} == {1, 2, 3}, world.lines())
        end(b)


run(one_is_killed_one_joins_and_one_is_paused, late_results_of_a_paused_runner_are_not_recorded, a_live_runner_never_loses_its_lease,
    a_runner_that_ends_gives_its_turns_to_others_at_once, grace_is_for_what_runs_and_idle_runners_rest)
