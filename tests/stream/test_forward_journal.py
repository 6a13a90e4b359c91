"""doorpost forward in a journal that is changed under it: what is in the journal at the end is in the stream, and it says what it could not do."""

import json
import shutil
import subprocess

from nodes import Node, alive, compare, count, end, postgres, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import press

AWAY = "trying again"


class Follower:
    """A node whose forwarder runs, and what is done to its journal meanwhile."""

    def __init__(self, node, server, database):
        self.node, self.server, self.database, self.number = node, server, database, 0
        self.forwarder = node.forwarder(server.url(database=database))

    def press(self, number=10):
        """More presses, which arrive."""
        self.node.write([press(f"{self.number + more:06}") for more in range(number)])
        self.number += number
        wait_for_events(self.server, self.number, [(self.forwarder, self.node)], self.database)

    def wait_until_it_says(self, what, before):
        wait_for(lambda: alive(self.forwarder, self.node) and any(what in line for line in self.node.said()[before:]), f"it to say: {what}")


def deny(follower):
    said = len(follower.node.said())
    follower.node.journal.chmod(0)
    follower.wait_until_it_says(AWAY, said)
    follower.node.journal.chmod(0o700)


def move_away(follower):
    said, journal = len(follower.node.said()), follower.node.journal
    journal.rename(journal.with_name("away"))
    follower.wait_until_it_says(AWAY, said)
    journal.with_name("away").rename(journal)


def copied(node, source, name):
    target = source.with_name(name)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for path in (target, *target.rglob("*")):
        node.own(path)
    return target


def replace_by_a_copy(follower):
    journal = follower.node.journal
    copy = copied(follower.node, journal, "copy")
    journal.rename(journal.with_name("old"))
    copy.rename(journal)


def replace_the_day(follower):
    segment = follower.node.segment()
    copied(follower.node, segment, "day.new").rename(segment)


def delete_the_cursor(follower):
    for path in (follower.node.journal / "cursors").iterdir():
        if path.name == "forward":
            path.unlink()


def delete_cursors(follower):
    shutil.rmtree(follower.node.journal / "cursors")


def cut_the_day(follower):
    """Half of its lines are gone, and their numbers are given away again."""
    node, segment = follower.node, follower.node.segment()
    lines = segment.read_bytes().splitlines(keepends=True)
    keep = lines[:len(lines) // 2]
    node.kept |= {line.rstrip(b"\n") for line in lines}
    segment.write_bytes(b"".join(keep))
    last = json.loads(keep[-1])
    node.chain, node.seq = last["chain"], last["seq"]


CHANGES = deny, move_away, replace_by_a_copy, replace_the_day, delete_the_cursor, delete_cursors, cut_the_day, replace_the_day


def what_is_changed_meanwhile_costs_nothing():
    server = postgres("changed")
    with Node("node") as node:
        follower = Follower(node, server, "changed")
        follower.press()
        for change in CHANGES:
            change(follower)
            follower.press(30)
        end(follower.forwarder)
        compare(server, [node], in_order=False, database="changed")
        check(len(node.said()) <= len(CHANGES), "it says too much:", *node.said())


def a_node_without_room_for_the_cursor_forwards():
    """The position cannot be saved. That it has to be told with the exit status: the next start does the same again."""
    server = postgres("roomless")
    with Node("node") as node:
        node.write([press(number) for number in range(20)])
        limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *map(str, node.command(server.url(database="roomless")))]
        forwarder = node.start(limited, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **node.as_user())
        wait_for(lambda: forwarder.poll() is not None or count(server, "roomless") == 20, "the presses")
        node.write([press(number) for number in range(20, 40)])
        wait_for(lambda: forwarder.poll() is not None or count(server, "roomless") == 40, "more presses")
        forwarder.terminate()
        said = forwarder.communicate()[1].splitlines()
        check(forwarder.returncode == 1 and len(said) == 1 and "cannot write cursors/forward" in said[0], forwarder.returncode, said)
        node.forward(server.url(database="roomless"), "--once").ok()
        compare(server, [node], database="roomless")


run(what_is_changed_meanwhile_costs_nothing, a_node_without_room_for_the_cursor_forwards)
