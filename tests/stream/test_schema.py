"""deploy/postgresql/schema.sql: who may do what, and what a reader of the stream can rely on."""

import re
import subprocess
import threading

from nodes import Node, compare, count, end, postgres, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import press
from support.postgres import schema_text

STORE = """CALL store_events('{node}', ARRAY[{seq}]::bigint[], ARRAY[1795737600000000]::bigint[], ARRAY[1771027372393]::bigint[], ARRAY['button_press'],
    ARRAY[''], ARRAY['device-1'], ARRAY['account-1'], ARRAY['request-{event}'], ARRAY['event-{event}'], ARRAY['69ffb5b9'], ARRAY['sha256='],
    ARRAY[1]::bigint[], ARRAY['{{}}'::bytea])"""


def store(server, database, event, node="node", seq=1, user="writer"):
    return server.value(STORE.format(node=node, seq=seq, event=event), database=database, user=user)


def refused(server, database, user, text):
    try:
        server.sql(text, database, user)
    except AssertionError as error:
        check("permission denied" in str(error), error)
    else:
        raise AssertionError(f"{user} may: {text}")


def each_role_may_do_its_own():
    server = postgres("roles")
    store(server, "roles", 1)
    changes = ("UPDATE events SET node = 'other'", "DELETE FROM events", "TRUNCATE events", "DROP TABLE events", "ALTER TABLE events ADD COLUMN more text",
               "ALTER TABLE events DISABLE TRIGGER ALL", "DELETE FROM schema_version", "DELETE FROM nodes")
    for user in ("writer", "reader", "runner"):
        for text in changes:
            try:
                server.sql(text, "roles", user)
            except AssertionError as error:
                check("permission denied" in str(error) or "must be owner" in str(error), error)
            else:
                raise AssertionError(f"{user} may: {text}")
    refused(server, "roles", "writer", "SELECT * FROM events")
    refused(server, "roles", "reader", STORE.format(node="node", seq=2, event=2))
    for user in ("reader", "runner"):
        check(server.value("SELECT event_id FROM events", database="roles", user=user) == "event-1", user)
        refused(server, "roles", user, "INSERT INTO events (node) VALUES ('x')")
        refused(server, "roles", user, "INSERT INTO nodes VALUES ('x', 1, now())")
    server.sql("CREATE USER passer_by", "roles")
    refused(server, "roles", "passer_by", "SELECT * FROM events")
    refused(server, "roles", "passer_by", STORE.format(node="node", seq=2, event=2))
    check(count(server, "roles") == 1, "rows:", count(server, "roles"))


def loading_it_again_changes_nothing():
    server = postgres("again")
    store(server, "again", 1)

    def everything():
        dump = server.as_owner("pg_dump", "--no-comments", "-d", server.url("postgres", "again"))
        return re.sub(r"(?m)^(\\(un)?restrict .*|--.*)$", "", dump)
    before = everything()
    server.load_schema("again")
    check(everything() == before, "it has changed something")
    threads = [threading.Thread(target=server.load_schema, args=(server.create(f"empty_{number}", schema=False),)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        store(server, f"empty_{number}", 1)


def it_can_be_loaded_while_events_come_in():
    server = postgres("busy")
    with Node("left") as left, Node("right") as right:
        running = [(node.forwarder(server.url(database="busy")), node) for node in (left, right)]
        over = threading.Event()

        def write():
            number = 0
            while not over.wait(0.005):
                left.write([press(f"left-{number}")])
                right.write([press(f"right-{number}")])
                number += 1
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(10):
                before = count(server, "busy")
                server.sql(schema_text(), "busy")
                wait_for_events(server, before + 1, running, "busy")
        finally:
            over.set()
            writer.join()
        wait_for_events(server, left.seq + right.seq, running, "busy")
        end(*(forwarder for forwarder, _ in running))
        compare(server, (left, right), database="busy")


def numbers_become_visible_in_their_order():
    """A transaction that has drawn a number and is not committed lets no later number overtake it."""
    server = postgres("ordered")
    session = subprocess.Popen([server.bin / "psql", "-Xqat", "-d", server.url("postgres", "ordered")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                               **server.options())
    try:
        columns = "(node, seq, received_at, type, request_id, event_id, key, signature, verbatim, body)"
        session.stdin.write(f"BEGIN; INSERT INTO events {columns} VALUES ('slow', 1, now(), 't', 'slow', 'slow', 'k', 's', true, '');\n")
        session.stdin.flush()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted", database="ordered") == "1", "the lock")
        other = threading.Thread(target=store, args=(server, "ordered", "quick"))
        other.start()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", database="ordered") == "1", "the other to wait")
        check(count(server, "ordered") == 0, "it was overtaken")
    finally:
        session.communicate("COMMIT;\n")
    other.join()
    check([event for event, in server.sql("SELECT event_id FROM events ORDER BY number", "ordered")] == ["slow", "event-quick"], "the order")


def followers_are_notified():
    server = postgres("notified")
    said = server.path / "followed"
    with open(said, "wb") as output:
        session = subprocess.Popen([server.bin / "psql", "-Xqat", "-d", server.url("reader", "notified")], stdin=subprocess.PIPE, stdout=output, text=True,
                                   **server.options())
    try:
        session.stdin.write("LISTEN doorpost;\n\\echo listening\n")
        session.stdin.flush()
        wait_for(lambda: "listening" in said.read_text(), "it to listen")
        store(server, "notified", 1)

        def heard():
            session.stdin.write("SELECT 1;\n")
            session.stdin.flush()
            return 'Asynchronous notification "doorpost"' in said.read_text()
        wait_for(heard, "the notification")
    finally:
        session.communicate()


def a_stored_event_is_stored_once():
    server = postgres("once")
    check(store(server, "once", 1) == "1", "it is not new")
    check(store(server, "once", 1) == "0" and store(server, "once", 1, node="other", seq=7) == "0", "it is new")
    check(server.sql("SELECT node, seq FROM events", "once") == [("node", "1")], "the row")
    check(server.sql("SELECT node, seq FROM nodes ORDER BY 1", "once") == [("node", "1"), ("other", "7")], "the nodes")


run(each_role_may_do_its_own, loading_it_again_changes_nothing, it_can_be_loaded_while_events_come_in, numbers_become_visible_in_their_order,
    followers_are_notified, a_stored_event_is_stored_once)
