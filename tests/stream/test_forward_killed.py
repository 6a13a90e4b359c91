"""Forwarders, connections and the database are killed, cut and stopped at random while presses come in: the stream has each once."""

import os
import random
import signal
import threading

from nodes import QUICK, SEED, Node, Reader, alive, compare, end, locked, postgres, run, shared, wait_for_events
from support.assertions import check, wait_for
from support.postgres import Postgres, Proxy

ROUNDS = int(os.environ.get("ROUNDS", "10" if QUICK else "100"))
EACH = int(os.environ.get("EACH", "120" if QUICK else "200"))  # presses a round
STOPS = int(os.environ.get("STOPS", "4" if QUICK else "20"))


class Stream:
    """Two nodes and their forwarders, and what has been written so far."""

    def __init__(self, nodes, wheres, server, database="doorpost"):
        self.nodes, self.wheres, self.server, self.database = nodes, wheres, server, database
        self.forwarders = [node.forwarder(where) for node, where in zip(nodes, wheres)]
        self.written = 0

    def write(self, number):
        """Presses for both nodes, in small pieces."""
        for node, bodies in zip(self.nodes, shared(number, self.written)):
            for start in range(0, len(bodies), 10):
                node.write(bodies[start:start + 10])
        self.written += number

    def running(self):
        return list(zip(self.forwarders, self.nodes))

    def kill(self, which):
        self.forwarders[which].kill()
        self.forwarders[which].wait()
        self.forwarders[which] = self.nodes[which].forwarder(self.wheres[which])

    def wait_for(self, number):
        wait_for_events(self.server, number, self.running(), self.database)

    def close(self):
        self.wait_for(self.written)
        end(*self.forwarders)
        check(len(compare(self.server, self.nodes, database=self.database)) == self.written, "not as many rows as presses")


def killed_forwarders_and_cut_connections_cost_nothing():
    """Some connections are cut after the commit, before its answer: nobody can know then whether it was done. Whoever reads meanwhile by the
    numbers misses nothing."""
    chance = random.Random(SEED)
    server = postgres("killed")
    done = {"kill": 0, "cut": 0, "cut before the answer": 0, "kill the server's process": 0}
    with Proxy(server) as one, Proxy(server) as other, Node("left") as left, Node("right") as right:
        proxies = one, other
        stream = Stream((left, right), [proxy.url(database="killed") for proxy in proxies], server, "killed")
        reader = Reader(server, "killed")
        for number in range(ROUNDS):
            before, which, what = stream.written, chance.randrange(2), list(done)[number % len(done)]
            if what == "cut before the answer":
                cuts, proxies[which].cut_before = proxies[which].cuts, b"CALL\0"
            writer = threading.Thread(target=stream.write, args=(EACH,))
            writer.start()
            threading.Event().wait(chance.random() * 0.05)
            if what == "kill":
                stream.kill(which)
            elif what == "cut":
                proxies[which].cut()
            elif what == "kill the server's process":
                server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer' AND datname = 'killed'", database="postgres")
            else:
                wait_for(lambda: proxies[which].cuts > cuts, "an answer to cut")
                proxies[which].cut_before = None
            done[what] += 1
            writer.join()
            stream.wait_for(before)
        stream.close()
        reader.stop()
        print(f"# {stream.written} presses survived {', '.join(f'{what}: {times}' for what, times in done.items())}, seed {SEED}")


def a_stopped_forwarder_holds_no_other_up():
    chance = random.Random(SEED)
    server = postgres("stopped")
    with Proxy(server) as proxy, Node("left") as left, Node("right") as right:
        stream = Stream((left, right), [proxy.url(database="stopped"), server.url(database="stopped")], server, "stopped")
        for number in range(STOPS):
            writer = threading.Thread(target=stream.write, args=(EACH,))
            writer.start()
            threading.Event().wait(chance.random() * 0.05)
            # In turn: the process stands still, or nothing gets through to it any more.
            if number % 2:
                proxy.stall()
            else:
                stream.forwarders[0].send_signal(signal.SIGSTOP)
            writer.join()
            last = right.seq
            wait_for(lambda: stream.forwarders[1].poll() is None and server.value(
                f"SELECT count(*) FROM nodes WHERE node = 'right' AND seq >= {last}", database="stopped") == "1", "all of the other node")
            if number % 2:
                proxy.resume()
            else:
                stream.forwarders[0].send_signal(signal.SIGCONT)
        stream.close()


def a_forwarder_that_waits_can_be_ended():
    """For a connection that is not answered, for a lock, or because it was stopped."""
    server = postgres("ended")
    with Proxy(server) as proxy, Node("node") as node:
        node.write(shared(20)[0])

        def start():
            before = proxy.connections
            forwarder = node.forwarder(proxy.url(database="ended"))
            wait_for(lambda: alive(forwarder, node) and proxy.connections > before, "it to connect")
            return forwarder
        proxy.stall()
        end(start())
        proxy.resume()
        with locked(server, "ended"):
            forwarder = start()
            wait_for(lambda: alive(forwarder, node) and server.value("SELECT count(*) FROM pg_locks WHERE NOT granted", database="ended") != "0", "it to wait")
            end(forwarder)
        forwarder = start()
        forwarder.send_signal(signal.SIGSTOP)
        forwarder.terminate()
        forwarder.send_signal(signal.SIGCONT)
        check(forwarder.wait() == 0, "SIGTERM ended it with status", forwarder.returncode)
        node.forward(proxy.url(database="ended"), "--once").ok()
        compare(server, [node], database="ended")


def a_database_that_crashes_costs_nothing():
    """pg_ctl stop -m immediate, and once in a while kill -9. Also if the server is set not to sync commits: this one must be on its disk."""
    chance = random.Random(SEED)
    with Postgres(wal_writer_delay="10s") as server, Node("left") as left, Node("right") as right:
        server.sql("ALTER USER writer SET synchronous_commit = off")
        stream = Stream((left, right), [server.url(), server.url()], server)
        for number in range(STOPS):
            before = stream.written
            writer = threading.Thread(target=stream.write, args=(EACH,))
            writer.start()
            threading.Event().wait(chance.random() * 0.1)
            if number % 10 == 3:
                server.kill()
            else:
                server.stop("immediate")
            writer.join()
            server.start()
            stream.wait_for(before + 1)
        stream.close()
        for node in (left, right):
            check(len(node.said()) <= 4 * STOPS, "a flood:", len(node.said()), "lines", *node.said()[:30])
        print(f"# {stream.written} presses survived {STOPS} crashes of the database, seed {SEED}")


run(killed_forwarders_and_cut_connections_cost_nothing, a_stopped_forwarder_holds_no_other_up, a_forwarder_that_waits_can_be_ended,
    a_database_that_crashes_costs_nothing)
