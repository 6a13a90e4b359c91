"""doorpost forward with a database that refuses: a full disk, too much for one statement, one event that it does not accept, a standby, a commit
whose wait for a standby was cancelled. Nothing is lost, and it goes on as soon as it can."""

import contextlib

from nodes import QUICK, Node, alive, compare, count, end, postgres, rows, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import press
from support.postgres import Postgres, free_room, location


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


run(a_full_disk_of_the_database_costs_nothing, a_slow_database_is_given_less_at_a_time, an_event_that_the_database_refuses_is_found,
    it_follows_the_primary, an_answer_that_is_no_success_is_none)
