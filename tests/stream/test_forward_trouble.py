"""doorpost forward with a database that is away, full, read-only or not as it should be: it says once what is wrong, waits, goes on as soon as
that is mended, and can be ended at any time."""

import contextlib
import re

from nodes import QUICK, Node, alive, compare, count, end, locked, postgres, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import press
from support.postgres import Postgres, Proxy, free_room, location

PRESSES = 50
LATER = 2 if QUICK else 5  # more attempts, in which it says nothing


class Trouble:
    """A database with something wrong, a node that wants to write into it, and a proxy between them that counts the attempts."""

    def __init__(self, stack, server, name, says, user="writer", schema=True, encoding="UTF8", exists=True, broken=None, mend=None):
        self.server, self.name, self.says, self.mended = server, name, says, mend
        if exists:
            server.create(name, schema=schema, encoding=encoding)
        self.proxy = stack.enter_context(Proxy(server))
        self.node = stack.enter_context(Node(name))
        self.node.write([press(f"{name}-{number}") for number in range(PRESSES)])
        self.where = self.proxy.url(user, name)
        if broken:
            broken(self)
        self.start()

    def start(self):
        self.forwarder = self.node.forwarder(self.where)

    def sql(self, text):
        self.server.sql(text, database="postgres")

    def said(self):
        check(self.forwarder.poll() is None, self.name, "ended with status", self.forwarder.returncode, *self.node.said())
        return self.node.said()

    def attempts(self):
        """Each of them is a connection, or a statement that the server has refused."""
        return self.proxy.connections + len(re.findall(rf"\] {self.name} (ERROR|FATAL):", self.server.said()))


def missing(trouble):
    trouble.server.load_schema(trouble.name)


def read_only(trouble):
    trouble.sql(f"ALTER DATABASE {trouble.name} SET default_transaction_read_only = on")


def old_schema(trouble):
    trouble.server.sql("DROP PROCEDURE store_events; DELETE FROM schema_version", trouble.name)


def lock_table(trouble):
    """An operator's session has locked the table, and is forgotten."""
    trouble.lock = contextlib.ExitStack()
    trouble.lock.enter_context(locked(trouble.server, trouble.name))


def recreate(trouble):
    trouble.server.drop(trouble.name)
    trouble.server.create(trouble.name)


def sql(text):
    return lambda trouble: trouble.sql(text.format(name=trouble.name))


# name: what the message must mention, how it is broken, how it is mended.
TROUBLES = {
    "read_only": ("read-only", {"broken": read_only}, sql("ALTER DATABASE {name} RESET default_transaction_read_only")),
    "no_schema": ("forward --schema", {"schema": False}, missing),
    "old_schema": ("forward --schema", {"broken": old_schema}, missing),
    "no_rights": ("doorpost_writer|permission", {"user": "stranger", "broken": sql("CREATE USER stranger")}, sql("GRANT doorpost_writer TO stranger")),
    "no_user": ("newcomer", {"user": "newcomer"}, sql("CREATE USER newcomer IN ROLE doorpost_writer")),
    "no_database": ("no_database", {"exists": False}, lambda trouble: trouble.server.create(trouble.name)),
    "no_place": ("connection", {"broken": sql("ALTER DATABASE {name} CONNECTION LIMIT 0")}, sql("ALTER DATABASE {name} CONNECTION LIMIT -1")),
    "other_encoding": ("UTF8|UTF-8|encoding|forward --schema", {"schema": False, "encoding": "LATIN1"}, recreate),
    "refused": ("doorpost-px", {"broken": lambda trouble: trouble.proxy.refuse()}, lambda trouble: trouble.proxy.accept()),
    "unresponsive": ("", {"broken": lambda trouble: trouble.proxy.stall()}, lambda trouble: trouble.proxy.resume()),
    "locked": ("", {"broken": lock_table}, lambda trouble: trouble.lock.close()),
    "silent": ("", {}, lambda trouble: trouble.proxy.strand()),  # is worse off from here on
}
UNCOUNTED = "refused", "unresponsive", "locked", "silent"  # there are no attempts, or they are not seen, or take as long as a statement may


def what_is_wrong_is_said_once():
    server = postgres("sound")
    with contextlib.ExitStack() as stack:
        troubles = [Trouble(stack, server, name, says, mend=mend, **how) for name, (says, how, mend) in TROUBLES.items()]
        told = [trouble for trouble in troubles if trouble.says]
        for one in told:
            wait_for(one.said, f"it to say what is wrong: {one.name}")
            check(re.search(one.says, one.said()[0]), f"{one.name}: not helpful:", one.said()[0])
            if one.name in ("no_schema", "no_user", "refused"):
                once = one.node.forward(one.where, "--name", "once", "--once").fails()
                check(re.search(one.says, once.stderr) and len(once.stderr.splitlines()) == 1, f"{one.name}: not helpful, once:", once)
        for one in troubles:
            wait_for(lambda: one.name == "refused" or one.proxy.connections, f"it to connect: {one.name}")
        end(*(trouble.forwarder for trouble in troubles))  # in the middle of it
        for one in troubles:
            one.before, one.first = one.attempts(), len(one.node.said())
            one.start()
        for one in told:
            wait_for(lambda: len(one.said()) > one.first, f"it to say again what is wrong: {one.name}")
        for one in troubles:
            if one.name not in UNCOUNTED:
                wait_for(lambda: one.said() and one.attempts() >= one.before + 1 + LATER, f"more attempts: {one.name}")
        for one in troubles:
            check(len(one.said()) <= one.first + 1, one.name, "is said more than once:", *one.said())
            check(one.first <= 1, one.name, "was said more than once:", *one.said())
            one.mended(one)
        for one in troubles:
            wait_for_events(server, PRESSES, [(one.forwarder, one.node)], one.name)
            check(len(one.said()) <= one.first + 2, one.name, "is said more than once:", *one.said())
        for one in troubles:
            one.node.write([press(f"{one.name}-later-{number}") for number in range(PRESSES)])
        for one in troubles:
            wait_for_events(server, 2 * PRESSES, [(one.forwarder, one.node)], one.name)
        end(*(trouble.forwarder for trouble in troubles))
        for one in troubles:
            compare(server, [one.node], database=one.name)


def fill(directory):
    """Writes until there is no room left. Returns the file."""
    ballast = directory / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1 << 9, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return ballast


def a_full_disk_of_the_database_costs_nothing():
    """First the tables have no room, and then, when the log of the server has none either, it may crash."""
    room = free_room(96)
    if not room:
        return "no file system can be mounted here"
    with Postgres(room=room, max_wal_size="8MB", min_wal_size="2MB", wal_recycle="off") as server, Node("node") as node:
        forwarder = node.forwarder(server.url())
        for around in range(2 if QUICK else 6):
            node.write([press(f"{around}-before-{number}") for number in range(20)])
            wait_for_events(server, node.seq, [(forwarder, node)])
            full = "No space left on device"
            said, before = len(node.said()), server.said().count(full)
            ballast = fill(server.data)
            for part in range(20):
                node.write([press(f"{around}-{part}-{number}") for number in range(200)])
            wait_for(lambda: alive(forwarder, node) and server.said().count(full) > before + 1, "it to try")
            ballast.unlink()
            if server.process.poll() is not None or not server.answers():
                with contextlib.suppress(AssertionError):
                    server.wait_until_ready()
                if server.process.poll() is not None:
                    server.start()
            wait_for_events(server, node.seq, [(forwarder, node)])
            check(len(node.said()) <= said + 6, "a flood:", *node.said()[said:])
        check(full in node.said()[0], "it does not say what is wrong:", *node.said())
        end(forwarder)
        compare(server, [node])


def a_slow_database_is_given_less_at_a_time():
    """A statement that takes too long is ended by the server. It would never end if it had as many rows each time."""
    if QUICK:
        return "takes half a minute: make stream-check"
    server = postgres("slow")
    server.sql("""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
                  CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()""", database="slow")
    with Node("node") as node:
        node.write([press(number) for number in range(1000)])
        forwarder = node.forwarder(server.url(database="slow"))
        wait_for_events(server, 1000, [(forwarder, node)], "slow")
        end(forwarder)
        compare(server, [node], database="slow")


def an_event_that_the_database_refuses_is_found():
    """All that were received before it are stored, also by --once. It stops those after it, because they must not overtake it."""
    server = postgres("strict")
    server.sql("ALTER TABLE events ADD CONSTRAINT strict CHECK (event_id <> 'event-700')", database="strict")
    where = server.url(database="strict")
    with Node("node") as node:
        node.write([press(number) for number in range(1000)])
        said = node.forward(where, "--once").fails().stderr
        check("event 701 cannot be forwarded, nor any after it: the database refuses: new row" in said and len(said.splitlines()) == 1, said)
        check(count(server, "strict") == 700, count(server, "strict"), "events")
        forwarder = node.forwarder(where)
        wait_for(lambda: alive(forwarder, node) and node.said(), "it to say so")
        server.sql("ALTER TABLE events DROP CONSTRAINT strict", database="strict")
        wait_for_events(server, 1000, [(forwarder, node)], "strict")
        check("event 701 cannot" in node.said()[0] and len(node.said()) == 1, node.said())
        end(forwarder)
        compare(server, [node], database="strict")


def it_follows_the_primary():
    """Two servers, one a standby: forward finds the one that can be written to, waits while there is none, and goes on after a failover."""
    with Postgres(fsync=False) as first, Postgres(fsync=False, standby_of=first) as second, Node("node") as node:
        hosts = location(f"{second.path},{first.path}", f"{second.port},{first.port}", "doorpost", "writer")
        node.write([press(number) for number in range(20)])
        forwarder = node.forwarder(hosts)
        wait_for_events(first, 20, [(forwarder, node)])
        wait_for_events(second, 20, [(forwarder, node)])
        first.stop("immediate")
        said = len(node.said())
        node.write([press(number) for number in range(20, 40)])
        wait_for(lambda: alive(forwarder, node) and len(node.said()) > said, "it to say what is wrong")
        check(count(second) == 20, "a standby was written to")
        second.promote()
        wait_for_events(second, 40, [(forwarder, node)])
        check(len(node.said()) <= said + 4, "a flood:", *node.said())
        end(forwarder)
        compare(second, [node])


def an_answer_that_is_no_success_is_none():
    """A commit that waits for a standby can be cancelled: the server says so in a warning, and the rows may be lost in a failover."""
    with Postgres(fsync=False) as server, Node("node") as node:
        def standbys(names):
            server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'; SELECT pg_reload_conf()", database="postgres")
        server.sql("ALTER USER writer SET client_min_messages = error")  # which would hide the warning
        standbys("nobody")
        wait_for(lambda: server.value("SHOW synchronous_standby_names", database="postgres") == "nobody", "the server's settings")
        node.write([press(number) for number in range(20)])
        forwarder = node.forwarder(server.url())
        waiting = "pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'writer'"
        for cancelled in range(1, 3):
            wait_for(lambda: alive(forwarder, node) and server.value(f"SELECT count(*) FROM {waiting}", database="postgres") == "1",
                     "a commit that waits for the standby")
            server.sql(f"SELECT pg_cancel_backend(pid) FROM {waiting}", database="postgres")
            wait_for(lambda: server.said().count("canceling wait for synchronous replication") >= cancelled, "it to be cancelled")
        place = node.journal / "cursors/forward"
        check(not place.exists() or '"seq":20,' not in place.read_text(), "a cancelled commit counts as a success:", *node.said())
        standbys("")
        wait_for(lambda: alive(forwarder, node) and place.exists() and '"seq":20,' in place.read_text(), "it to go on")
        end(forwarder)
        compare(server, [node])


run(what_is_wrong_is_said_once, a_full_disk_of_the_database_costs_nothing, a_slow_database_is_given_less_at_a_time,
    an_event_that_the_database_refuses_is_found, it_follows_the_primary, an_answer_that_is_no_success_is_none)
