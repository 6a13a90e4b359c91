"""Runners whose database crashes, whose connections are cut and whose answers are lost: each event at least once, in order, and every turn
ends."""

import os
import random
import signal
import time

from nodes import QUICK, SEED, run
from runners import BRIEF, ENDED, STARTED, Session, World, check_order, end, in_background
from support.assertions import check, wait_for
from support.postgres import Postgres, Proxy

ROUNDS = int(os.environ.get("ROUNDS", "12" if QUICK else "100"))
EACH = int(os.environ.get("EACH", "30" if QUICK else "60"))  # presses a round
STOPS = int(os.environ.get("STOPS", "3" if QUICK else "20"))
ANSWERS = {"register_runner": b"register_runner", "turns_of": b"turn_device", "take_turns": b"turn_device", "finish_turns": b"finish_turns",
           "the events": b"coalesce"}  # what the server sends with the answer to each question


def at_least_once_and_in_order(world, runners):
    world.wait_for_the_end()
    check(all(runner.poll() is None for runner in runners), "a runner has ended")
    lines = world.lines()
    numbers = {int(number) for number, in world.sql("SELECT number FROM events")}  # with gaps, after a crash
    missing = numbers - {line.number for line in lines if line.what == "end"}
    check(not missing and len(numbers) == world.stored, "left out:", sorted(missing)[:20])
    more = check_order(lines, numbers)
    end(*runners)
    # A runner that ends while it is cut off leaves its row in `runners`, which the others delete.
    check(not world.sql("SELECT * FROM turns WHERE done < last OR runner IS NOT NULL") and not world.sql("SELECT number FROM failed"), "left")
    return more


def connections_that_are_cut_cost_nothing():
    """Some are cut after the commit, before the answer: nobody can know then whether it was done."""
    chance = random.Random(SEED)
    with World("cut") as world, Proxy(world.server) as left, Proxy(world.server) as right:
        proxies, command, done = (left, right), world.command(BRIEF), {"cut": 0, "terminate": 0, **dict.fromkeys(ANSWERS, 0)}
        runners = [world.runner("--from", "start", "--", command, machine=machine, where=proxy.url("runner", "cut")) for machine, proxy in zip("ab", proxies)]
        for number in range(ROUNDS):
            which, what = proxies[number % 2], list(done)[chance.randrange(len(done))]
            done[what] += 1
            cuts = which.cuts
            if what == "turns_of":  # which is asked after that
                wait_for(lambda: which.cut() or which.cuts > cuts, "a connection to cut")  # noqa: B023
                cuts = which.cuts
            which.cut_before = ANSWERS.get(what)
            if what == "register_runner":  # as if a backup had been restored
                world.sql("DELETE FROM runners")
            writer = in_background(world.store, *({"device": f"device-{chance.randrange(20)}"} for _ in range(EACH)))
            time.sleep(chance.random() * 0.1)
            if what == "cut":
                which.cut()
            elif what == "terminate":
                world.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'runner' AND datname = 'cut'", database="postgres")
            else:
                wait_for(lambda: which.cuts > cuts, f"an answer to {what} to cut")  # noqa: B023
            which.cut_before = None
            writer.join()
        more = at_least_once_and_in_order(world, runners)
        check(all(world.said(log).count("\n") <= 4 * ROUNDS for log in "ab"), "a flood", world.said("a")[:2000])
        print(f"# {world.stored} presses, {more} run twice, with {', '.join(f'{what}: {times}' for what, times in done.items())}, seed {SEED}")


def a_lost_answer_is_no_lost_turn():
    """The connection is cut while the server still works at the question, which it ends later."""
    with World("answer") as world, Proxy(world.server) as proxy:
        command = world.command(BRIEF)
        a = world.runner("--from", "start", "--", command, where=proxy.url("runner", "answer"))
        connections = proxy.connections
        # take_turns() waits, after it has locked its turns: a row of another runner, whose lease it ends, is looked at before.
        world.sql("""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
                     CREATE TRIGGER slow BEFORE UPDATE OF head ON turns FOR EACH ROW WHEN (NEW.runner IS NOT NULL) EXECUTE FUNCTION slow()""")
        with Session(world.server, "answer") as session:
            session.do("SELECT pg_advisory_lock(1)")
            world.store({}, {"device": "device-2"})
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'runner' AND datname = 'answer' AND wait_event = 'advisory'"
            wait_for(lambda: world.value(waiting) == "1", "it to take turns")
            world.sql("SET client_min_messages = warning; ALTER SYSTEM SET client_connection_check_interval = 0")
            proxy.cut()
            wait_for(lambda: proxy.connections > connections, "it to connect again")
            session.do("SELECT pg_advisory_unlock(1)")
            wait_for(lambda: world.left() == 0, "both")
        check(sorted(world.ran()) == [1, 2], world.ran())
        end(a)


def a_database_that_crashes_costs_nothing():
    chance = random.Random(SEED)
    with Postgres() as server, World("doorpost", server) as world:
        command = world.command(BRIEF)
        runners = [world.runner("--from", "start", "--", command, machine=machine) for machine in "abc"]
        for number in range(STOPS):
            world.store(*({"device": f"device-{chance.randrange(20)}"} for _ in range(2 * EACH)))
            before = len(world.lines())
            wait_for(lambda: len(world.lines()) > before or world.left() == 0, "runs")  # noqa: B023
            time.sleep(chance.random() * 0.1)
            if number % 10 == 3:
                server.kill()
            else:
                server.stop("immediate")
            server.start()
            world.sessions.clear()  # they were cut off too
        more = at_least_once_and_in_order(world, runners)
        for log in "abc":
            check(world.said(log).count("\n") <= 5 * STOPS, "a flood", world.said(log)[:2000])
        print(f"# {world.stored} presses, {more} run twice, with {STOPS} crashes of the database, seed {SEED}")


def results_are_kept_while_the_database_is_away():
    with World("away") as world, Proxy(world.server) as proxy:
        command = world.command(f"{STARTED} until [ -e $LAB/out/go ]; do sleep 0.1; done; {ENDED} [ $DOORPOST_SEQ != 2 ] || exit 78")
        a = world.runner("--from", "start", "--", command, where=proxy.url("runner", "away"))
        world.store({}, {"device": "device-2"}, {}, {"device": "device-3"})
        wait_for(lambda: len(world.lines()) == 3, "all to run")
        proxy.refuse()
        proxy.cut()
        (world.out / "go").touch()
        wait_for(lambda: len(world.ran()) == 3 and "no command is started until it works" in world.said("a"), "the commands to end")
        world.store({"device": "device-4"})
        proxy.accept()
        wait_for(lambda: world.left() == 0, "all")
        check(check_order(world.lines()) == 0 and world.sql("SELECT number FROM failed") == [("2",)], world.lines())
        # A runner that cannot record what it has run says so.
        (world.out / "go").unlink()
        world.store({})
        wait_for(lambda: world.lines()[-1][:2] == ("start", 6), "one more")
        proxy.refuse()
        proxy.cut()
        (world.out / "go").touch()
        wait_for(lambda: 6 in world.ran(), "it to end")
        a.send_signal(signal.SIGTERM)
        check(a.wait() == 1, "nothing is wrong, it says", a.returncode)
        check(world.said("a").count("\n") <= 5, world.said("a"))
        proxy.accept()
        world.exec("--once", "--", command).ok()
        check(world.ran()[-1] == 6 and world.ran().count(6) == 2, world.ran())


run(connections_that_are_cut_cost_nothing, a_lost_answer_is_no_lost_turn, a_database_that_crashes_costs_nothing,
    results_are_kept_while_the_database_is_away)
