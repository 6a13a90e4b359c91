"""The functions of the runners in SQL: what two sessions do at the same moment loses no event, and what is asked every second is fast."""

import re

from nodes import QUICK, run
from runners import Session, World
from support.assertions import check, wait_for

TAKE = "SELECT turn_number, turn_device FROM take_turns('bell', {}, {}, '{{}}', '{{}}', '{{}}') WHERE turn_number > 0"
DEVICES, BACKLOG = (20000, 20000) if QUICK else (100000, 200000)


class Races(World):
    """With two sessions, `a` and `b`, of a runner each: 1 and 2."""

    def __init__(self, database):
        super().__init__(database)
        self.sql("INSERT INTO consumers (consumer, position) VALUES ('bell', 0)")
        self.a, self.b = (self.stack.enter_context(Session(self.server, database, "runner")) for _ in range(2))
        for number, session in enumerate((self.a, self.b), 1):
            check(session.do("SELECT register_runner('bell', 'here')") == [str(number)], "registered")

    def turn(self, device="device-1"):
        (row,) = self.sql(f"SELECT done, last, head, runner, attempts FROM turns WHERE device = '{device}'")
        return row


def finish(runner, number, state=0, device="device-1", attempts=1):
    return f"SELECT finish_turns('bell', {runner}, '{{{device}}}', '{{{number}}}', '{{{state}}}', '{{{attempts}}}', '{{0}}', '{{event-{number}}}', '{{exit status 1}}', '{{no}}')"


def handing_over_while_the_last_event_of_a_turn_is_finished():
    """Whichever comes first, and whether the event is done, given up or tried again."""
    for number, state in enumerate((0, 1, 2)):
        for first in ("finish", "hand over"):
            with Races(f"race_{number}_{first.replace(' ', '_')}") as world:
                world.store({})
                check(world.a.do(TAKE.format(1, 4)) == ["1 device-1"], "taken")
                world.store({})
                statements = {"finish": (world.a, finish(1, 1, state)), "hand over": (world.b, "SELECT hand_over('bell', '{}', '{}', '{}')")}
                session, statement = statements.pop(first)
                ((other, later),) = statements.values()
                session.do("BEGIN")
                said = session.do(statement)
                other.begin(later)
                wait_for(other.waits, "the other to wait for the turn")
                session.do("COMMIT")
                said += other.end()
                check(said == ["f"], "said", said)
                check(world.turn() == (("1", "2", "", "", "0") if state < 2 else ("0", "2", "1", "", "1")), first, state, world.turn())
                check(world.b.do(TAKE.format(2, 4)) == [f"{2 if state < 2 else 1} device-1"], "the next one")
                check(len(world.sql("SELECT number FROM failed")) == (state == 1), "the list")


def a_given_up_event_does_not_block_handing_over():
    """The list refers to the consumer, whose row is locked while new events are handed over."""
    with Races("deadlock") as world:
        world.store({})
        world.a.do(TAKE.format(1, 4))
        world.store({})
        world.b.do("BEGIN")
        world.b.do("SELECT position FROM consumers WHERE consumer = 'bell' FOR NO KEY UPDATE")  # the first thing that hand_over() does
        world.a.do("BEGIN")
        check(world.a.do(finish(1, 1, 1)) == [], "given up")
        world.b.begin("SELECT hand_over('bell', '{}', '{}', '{}')")
        wait_for(world.b.waits, "it to wait")
        world.a.do("COMMIT")
        check(world.b.end() == ["f"] and world.b.do("COMMIT") == [] and world.turn() == ("1", "2", "", "", "0"), world.turn())


def no_turn_is_taken_twice():
    with Races("taken") as world:
        world.store({}, {"device": "device-2"}, {"device": "device-3"})
        world.a.do("BEGIN")
        check(world.a.do(TAKE.format(1, 2)) == ["1 device-1", "2 device-2"], "a")
        check(world.b.do(TAKE.format(2, 4)) == [], "b waits for nobody, and does not see what is handed over")
        world.a.do("COMMIT")
        check(world.b.do(TAKE.format(2, 4)) == ["3 device-3"], "what is left")
        check(world.b.do(finish(2, 1)) == ["1"] and world.turn()[3] == "1", "nobody finishes what another has")


def taking_a_turn_while_it_is_finished():
    with Races("taking") as world:
        world.store({}, {})
        world.a.do(TAKE.format(1, 1))
        world.a.do("BEGIN")
        check(world.a.do(finish(1, 1)) == [], "done")
        check(world.b.do(TAKE.format(2, 4)) == [], "not yet")
        world.a.do("COMMIT")
        check(world.b.do(TAKE.format(2, 4)) == ["2 device-1"], "the next one")


def a_runner_that_comes_back_is_alive_or_dead():
    """It renews its lease while another looks for dead ones: the first one decides, and both know."""
    old = "UPDATE runners SET seen = seen - interval '1 min' WHERE runner = 1; UPDATE runners SET since = since - interval '1 min'"
    with Races("dead") as world:
        world.store({}, {"device": "device-2"})
        world.a.do(TAKE.format(1, 1))
        world.sql(old)
        world.b.do("BEGIN")
        check(world.b.do(TAKE.format(2, 4)) == ["1 device-1", "2 device-2"], "taken over")
        world.a.begin("SELECT turn_number FROM turns_of(1)")
        wait_for(world.a.waits, "it to wait")
        world.b.do("COMMIT")
        check("P0002" in world.a.end()[0], "it must register again")
        check(world.a.do(finish(1, 1)) == ["1"] and world.turn() == ("0", "1", "1", "2", "0"), world.turn())
    with Races("alive") as world:
        world.store({}, {"device": "device-2"})
        world.a.do(TAKE.format(1, 1))
        world.sql(old)
        world.a.do("BEGIN")
        check(world.a.do("SELECT turn_number FROM turns_of(1)") == ["1"], "its turn")
        check(world.b.do(TAKE.format(2, 4)) == ["2 device-2"], "b waits for nobody")
        world.a.do("COMMIT")
        check(world.b.do(TAKE.format(2, 4)) == [] and world.a.do(finish(1, 1)) == [], "it is alive")


def a_turn_given_out_over_a_lost_connection_is_known():
    """The statement goes on after the connection was lost, and ends after the runner has connected again."""
    with Races("lost") as world:
        world.store({})
        world.b.do("BEGIN")
        check(world.b.do(TAKE.format(1, 1)) == ["1 device-1"], "what nobody heard")
        world.a.begin("SELECT turn_number FROM turns_of(1)")
        wait_for(world.a.waits, "it to wait")
        world.b.do("COMMIT")
        check(world.a.end() == ["1"], "forgotten")


def the_filter_of_a_consumer_may_change():
    with Races("filter") as world:
        world.store({}, *({"kind": "motion_detected"} for _ in range(3)), {})
        check(world.a.do("SELECT turn_number FROM take_turns('bell', 1, 4, '{button_press}', '{}', '{}')") == ["1"], "the first press")
        check(world.a.do(finish(1, 1)) == [] and world.a.do("SELECT turn_number FROM take_turns('bell', 1, 4, '{button_press}', '{}', '{}')") == ["5"], "the next")
        world.a.do(finish(1, 5))
        world.store({"kind": "motion_detected"})
        check(world.a.do(TAKE.format(1, 4)) == ["6 device-1"], "what was left out stays so")


def what_is_asked_every_second_is_fast():
    """With as many turns as there may be, in plans that were made before there were any."""
    with Races("many") as world:
        world.a.do(TAKE.format(1, 4))
        for _ in range(6):  # PL/pgSQL keeps its plans after that
            world.a.do(TAKE.format(1, 4))
        world.store_many(DEVICES, "'device-' || i")
        world.store_many(BACKLOG, "'busy-' || i % 2")
        while world.b.do("SELECT hand_over('bell', '{}', '{}', '{}')") == ["t"]:
            pass
        for analyzed in (False, True):
            if analyzed:
                world.sql("ANALYZE")
            for session, runner in ((world.a, 1), (world.b, 2)):
                blocks = blocks_of(session, f"SELECT count(*) FROM take_turns('bell', {runner}, 4, '{{}}', '{{}}', '{{}}')")
                check(blocks < 1000, "reads too much:", blocks, "blocks; analyzed:", analyzed)
                print(f"# {blocks} blocks to take 4 of {DEVICES + 2} turns, {'with' if analyzed else 'without'} statistics")
        # A device with a long backlog, and one at its end.
        world.sql("UPDATE turns SET runner = NULL, head = NULL, due = 'epoch' WHERE device LIKE 'busy%'")
        blocks = blocks_of(world.a, "SELECT count(*) FROM take_turns('bell', 1, 2, '{}', '{}', '{}') WHERE turn_device LIKE 'busy%'")
        check(blocks < 1000, "reads too much of a backlog:", blocks)


def blocks_of(session, query):
    text = " ".join(session.do(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {query}"))
    return sum(int(number) for number in re.findall(r"(?:hit|read)=(\d+)", text.split("Planning")[0].split("->")[0]))


run(handing_over_while_the_last_event_of_a_turn_is_finished, a_given_up_event_does_not_block_handing_over, no_turn_is_taken_twice,
    taking_a_turn_while_it_is_finished, a_runner_that_comes_back_is_alive_or_dead, a_turn_given_out_over_a_lost_connection_is_known,
    the_filter_of_a_consumer_may_change, what_is_asked_every_second_is_fast)
