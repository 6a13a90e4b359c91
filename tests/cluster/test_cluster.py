"""Nodes forward to a database of three nodes while one of these is killed, stopped, cut off or lost. What a forwarder has acknowledged
(its cursor has moved past the line) is in the table, once and in order, whatever happens: no round loses or doubles a row.

ROUNDS=10 rounds of each kind; the short form (QUICK=1) is one round of one kind. Patroni replaces a primary that it has not heard of for
20 seconds: so there is a shorter pause, after which the primary goes on, and a longer one, after which there is another."""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

from cluster import PASSWORD, Cluster, Watch, eventually, missing
from support.assertions import PATIENCE, check
from support.deliveries import press, sign
from support.fastcgi import fastcgi
from support.laboratory import Lab
from support.postgres import OWNER, programs
from support.runner import run_tests

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = int(os.environ.get("ROUNDS", "1" if QUICK else "10"))
PAUSE = 0.05  # seconds between two presses of a node
SHARED = 4  # one press in so many reaches the other node too, as Ring's retries do


class Web:
    """A node: a journal that grows all the time, and its forwarder."""

    def __init__(self, stack, cluster, name):
        self.name, self.cluster, self.others, self.count = name, cluster, [], 0
        self.lab = stack.enter_context(Lab(LOG="problems"))
        listener, self.socket = self.lab.listener()
        self.lab.worker(listener, **self.lab.as_user())
        self.passwords = self.lab.path / "passwords"
        self.passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
        self.passwords.chmod(0o600)
        self.lab.own(self.passwords)
        self.forwarder, self.failure = None, None
        self.flowing, self.idle, self.ending = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.press, daemon=True)
        stack.callback(self.stop)

    def forward(self):
        url = self.cluster.url(user=self.name, database="doorpost", more="&target_session_attrs=read-write")
        self.forwarder = self.lab.start([self.lab.own_tool, "forward", "--to", url, "--node", self.name], stdout=subprocess.DEVNULL,
                                        stderr=open(self.lab.logs / "forward", "ab"), **self.lab.as_user(),
                                        env={**self.lab.environment(), "PGPASSFILE": str(self.passwords)})

    def start(self):
        self.forward()
        self.flowing.set()
        self.thread.start()

    def press(self):
        try:
            while not self.ending.wait(PAUSE):
                if not self.flowing.is_set():
                    self.idle.set()
                    continue
                self.idle.clear()
                self.count += 1
                body = press(f"{self.name}-{self.count}")
                for web in [self, *(self.others if self.count % SHARED == 0 else [])]:
                    eventually(lambda web=web, body=body: web.receives(body), f"a 200 of {web.name}")
        except Exception as error:  # noqa: BLE001: told by settle()
            self.failure = error
            self.idle.set()

    def receives(self, body):
        answer = fastcgi(self.socket, body, sign(body))
        return answer is not None and answer[0] == 200  # 503: the machine is too busy to answer in time

    def pause(self):
        self.flowing.clear()
        self.idle.clear()
        eventually(lambda: self.idle.is_set() or self.failure, f"the presses of {self.name} to stop")
        check(self.failure is None, "a press failed:", repr(self.failure))

    def behind(self):
        """Lines that the forwarder has not acknowledged."""
        check(self.forwarder.poll() is None, "the forwarder of", self.name, "has ended:", (self.lab.logs / "forward").read_text()[-2000:])
        return json.loads(self.lab.tool("forward", "--status", "--json").ok().stdout)[0]["behind"]

    def stop(self):
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join(PATIENCE)


class World:
    """The cluster with its nodes, started by the first test."""

    def __init__(self, stack):
        self.cluster = stack.enter_context(Cluster())
        self.webs = [Web(stack, self.cluster, name) for name in ("web1", "web2")]
        for web in self.webs:
            web.others = [other for other in self.webs if other is not web]
        self.make_database()
        self.watch = Watch(self.cluster)
        stack.callback(self.watch.stop)
        for web in self.webs:
            web.start()
        self.wait_for_rows()

    def make_database(self):
        primary = self.cluster.wait_until_healthy()
        check(primary.query("CREATE DATABASE doorpost") is not None, "no database")
        schema = self.webs[0].lab.tool("forward", "--schema").ok().stdout
        logins = "".join(f"CREATE ROLE {web.name} LOGIN PASSWORD '{PASSWORD}'; GRANT doorpost_writer TO {web.name};" for web in self.webs)
        result = subprocess.run([programs().parent / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.cluster.url(primary, user=OWNER, database="doorpost")],
                                input=schema + logins, env=self.cluster.environment(), capture_output=True, text=True)
        check(result.returncode == 0, "the schema:", result.stderr)

    def wait_for_rows(self):
        moment = time.monotonic()
        eventually(lambda: self.watch.last > moment, "rows that become visible")

    def table(self, node):
        """(number, node, seq, request_id) of each row."""
        rows = subprocess.run([programs().parent / "psql", "-XqAt", "-F", "\t", "-d", self.cluster.url(node, user=OWNER, database="doorpost"), "-c",
                               "SELECT number, node, seq, request_id FROM events ORDER BY number"],
                              env=self.cluster.environment(), capture_output=True, text=True)
        check(rows.returncode == 0, rows.stderr)
        return [(int(number), web, int(seq), request) for number, web, seq, request in
                (row.split("\t") for row in rows.stdout.splitlines())]

    def pause(self):
        for web in self.webs:
            web.pause()

    def resume(self):
        for web in self.webs:
            web.flowing.set()

    def settle(self):
        """Lets the forwarders finish, and compares the journals with the table."""
        self.pause()
        for web in self.webs:
            eventually(lambda web=web: web.behind() == 0, f"the forwarder of {web.name}")
        primary = self.cluster.wait_until_healthy()
        rows = self.table(primary)
        stored = [request for *_, request in rows]
        received = {event["meta"]["request_id"] for web in self.webs for event in web.lab.events()}
        check(len(stored) == len(set(stored)), len(stored) - len(set(stored)), "rows are there twice")
        lost = received - set(stored)
        check(not lost, len(lost), "lines are acknowledged and not in the table:", sorted(lost)[:10])
        check(set(stored) == received, "rows that no journal has:", sorted(set(stored) - received)[:10])
        for web in self.webs:
            own = [seq for _, node, seq, _ in rows if node == web.name]
            check(own == sorted(set(own)), "the rows of", web.name, "are not in the order of its journal")
        for node in primary.others():
            eventually(lambda node=node: self.table(node) == rows, f"the same rows on {node.name}")
        self.resume()
        self.wait_for_rows()
        return len(rows)

    def show_logs(self):
        self.cluster.show_logs()
        for web in self.webs:
            print("\n".join(f"# {web.name}: {line}" for line in (web.lab.logs / "forward").read_text(errors="replace").splitlines()[-15:]))

    def round(self, act):
        """Returns (the longest time without a new row, true if another node is the primary now)."""
        before = self.cluster.wait_until_healthy()
        self.watch.reset()
        act(self)
        self.wait_for_rows()
        after = self.cluster.wait_until_healthy()
        stall = self.watch.longest
        self.rows = self.settle()
        return stall, after is not before


# ---- what happens in a round ----

def the_primary_dies(world):
    """Its whole machine, etcd included, and without a word; it returns when another node has taken over."""
    primary = world.cluster.wait_for_primary()
    primary.die()
    world.cluster.wait_for_primary()
    primary.plug()
    primary.start()


def the_leader_of_etcd_dies(world):
    leader = eventually(lambda: next((node for node in world.cluster.nodes if node.leads_etcd()), None), "a leader of etcd")
    leader.kill("etcd")
    eventually(lambda: any(node.leads_etcd() for node in leader.others()), "another leader of etcd")
    leader.start_etcd()


def stop_the_primary(world, seconds):
    primary = world.cluster.wait_for_primary()
    primary.signal(signal.SIGSTOP, "postgres", "patroni")
    time.sleep(seconds)
    primary.signal(signal.SIGCONT)


def the_primary_stops_for_15_s(world):
    stop_the_primary(world, 15)


def the_primary_stops_for_30_s(world):
    """Another node takes over; the old one wakes up and believes to be the primary."""
    stop_the_primary(world, 30)


def cut_the_primary_off(world, seconds):
    primary = world.cluster.wait_for_primary()
    primary.cut()
    time.sleep(seconds)
    primary.heal()


def the_primary_is_cut_off_for_20_s(world):
    """From the other nodes: the forwarders still reach it."""
    cut_the_primary_off(world, 20)


def the_primary_is_cut_off_for_40_s(world):
    cut_the_primary_off(world, 40)


def the_primary_is_unplugged_for_20_s(world):
    """Nothing reaches it."""
    primary = world.cluster.wait_for_primary()
    primary.unplug()
    time.sleep(20)
    primary.plug()


def the_primary_restarts_and_is_lost(world):
    """It commits rows that no standby gets, and PostgreSQL restarts: now these rows are visible. A forwarder that sends them again finds
    all of them there. But they have not been replicated, and then the primary is gone for good."""
    primary = world.cluster.wait_for_primary()
    standby = world.cluster.synchronous_standby(primary)
    web, other = world.webs
    other.forwarder.terminate()  # its rows would be new, and so make the commit wait
    check(other.forwarder.wait(PATIENCE) == 0, "the forwarder's end:", other.forwarder.returncode)
    primary.signal(signal.SIGSTOP, "patroni")  # or it would look for another standby
    primary.cut(("data",))
    killed = [0]

    def sent(condition):
        """The server's process for the forwarder, once it has a batch."""
        rows = primary.query(f"SELECT pid FROM pg_stat_activity WHERE usename = '{web.name}' AND query LIKE '%events%' AND ({condition}) "
                             f"AND pid NOT IN ({', '.join(map(str, killed))})")
        return int(rows[0][0]) if rows else None

    def is_replaced():
        """On a slow machine, before this round has come to its end."""
        return any(node.is_primary() for node in primary.others())

    def restart(condition):
        eventually(lambda: sent(condition) or is_replaced(), "a batch")
        if pid := sent(condition):
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
    restart("wait_event = 'SyncRep'")  # what this one wrote may have reached the standby just before the cut
    world.pause()
    for _ in range(2):  # the first of these may lack the last lines of the journal
        restart("wait_event = 'SyncRep' OR state = 'idle'")
    eventually(lambda: sent("wait_event = 'SyncRep' OR state = 'idle'") or is_replaced(), "the same batch again")
    alone = {request for *_, request in world.table(primary)} - {request for *_, request in world.table(standby)}
    check(alone or is_replaced(), "no row that only the primary has")
    primary.die()
    shutil.rmtree(primary.directory / "data")
    other.forward()
    world.resume()
    world.cluster.wait_for_primary()
    primary.heal()
    primary.start()


KINDS = (the_primary_dies, the_leader_of_etcd_dies, the_primary_stops_for_15_s, the_primary_stops_for_30_s, the_primary_is_cut_off_for_20_s,
         the_primary_is_cut_off_for_40_s, the_primary_is_unplugged_for_20_s, the_primary_restarts_and_is_lost)


def tests(stack, table):
    reason, worlds, failed = missing(), [], []

    def make(kind):
        def test():
            if reason or failed:
                return reason or f"because this failed: {failed[0]}"
            if not worlds:
                worlds.append(World(stack))
            world = worlds[0]
            try:
                results = [world.round(kind) for _ in range(ROUNDS)]
            except Exception:
                failed.append(test.title)
                world.show_logs()
                raise
            stalls = [stall for stall, _ in results]
            table.append(f"# {ROUNDS:6} {max(stalls):6.1f} s {statistics.median(stalls):6.1f} s {sum(new for _, new in results):8}  {test.title}")
            print(f"{table[-1]}; 0 of {world.rows} rows lost, 0 doubled so far", flush=True)
            return None
        test.__name__, test.title = kind.__name__, kind.__name__.replace("_", " ")
        return test
    return [make(kind) for kind in KINDS[:1 if QUICK else None]]


signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
with contextlib.ExitStack() as everything:
    lines = []
    try:
        run_tests(*tests(everything, lines))
    except SystemExit as end:
        status = end.code
    print("# The time in which no new row became visible, and how often another node was the primary after it:\n"
          "# rounds  longest   median  another", *lines, sep="\n")
sys.exit(status)
