"""doorpost forward: the journals of several nodes become one stream in PostgreSQL, each event once, in each node's order."""

import contextlib
import datetime
import itertools
import json
import os
import pathlib
import random
import re
import shutil

from nodes import QUICK, SEED, Node, alive, compare, count, end, identifiers, postgres, rows, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import KEY, load, press, sign, vectors
from support.fastcgi import fastcgi
from support.postgres import Postgres
from support.servers import free_port, start_nginx

PRESSES = int(os.environ.get("PRESSES", "1200" if QUICK else "20000"))

# ---- the receivers and the stream ----

def balancer(lab, *sockets):
    """One address: nginx hands each request to one of the nodes."""
    port, site = free_port(), lab.path / "site.conf"
    site.write_text(f"""
        upstream nodes {{ random; {' '.join(f'server unix:{path};' for path in sockets)} keepalive 16; }}
        server {{
            listen 127.0.0.1:{port};
            location = /doorpost {{
                fastcgi_pass nodes;
                fastcgi_keep_conn on;
                fastcgi_param REQUEST_METHOD $request_method;
                fastcgi_param CONTENT_LENGTH $content_length;
            }}
        }}""")
    return start_nginx(lab, port, site)


def two_nodes_behind_one_address_store_each_press_once():
    """The sender tries every second press again, and half of these reach the other node."""
    chance = random.Random(SEED)
    server = postgres("balanced")
    with Node("left") as left, Node("right") as right:
        sockets = []
        for node in (left, right):
            listener, path = node.listener()
            sockets.append(path)
            node.worker(listener)
        site = balancer(left, *sockets)
        running = [(node.forwarder(server.url(database="balanced")), node) for node in (left, right)]
        bodies = [press(f"{number:06}") for number in range(PRESSES)]
        deliveries = bodies + bodies[::2]
        chance.shuffle(deliveries)
        answers = load(site.keeping(), deliveries)
        refused = [body for body in bodies if any(status != 200 for status, _, _ in answers[body])]
        check(not refused, len(refused), "presses were not answered 200")
        wait_for_events(server, PRESSES, running, "balanced")
        both = len(left.lines()) + len(right.lines()) - PRESSES
        check(both > PRESSES / 8, "only", both, "presses are in both journals, which proves nothing")

        def status(node):
            return json.loads(node.tool("forward", "--status", "--json").ok().stdout)[0]
        wait_for(lambda: not status(left)["behind"] and not status(right)["behind"], "both to have forwarded everything")
        states = status(left), status(right)
        counts = {name: sum(state[name] for state in states) for name in ("sent", "duplicates", "errors")}
        check(counts == {"sent": PRESSES, "duplicates": both, "errors": 0}, counts)
        end(*(forwarder for forwarder, _ in running))
        stream = compare(server, (left, right), database="balanced")
        check(len(stream) == PRESSES, len(stream), "rows")
        print(f"# {PRESSES} presses, {both} of them in both journals: each once in the stream, in each node's order")


def event(number, kind="motion_detected", **more):
    """An event of another type, of which only the identifiers are needed. `more`: members of data.attributes, or meta_NAME, data_NAME."""
    value = {"meta": {"version": "1.1", "time": "2026-02-14T00:02:53Z", "request_id": f"request-{number}", "account_id": "account-1"},
             "data": {"id": f"event-{number}", "type": kind, "attributes": {"source": "device-1", "source_type": "devices", "timestamp": 1771027372393}}}
    for name, member in more.items():
        inside, _, rest = name.partition("_")
        place = value[inside] if inside in value else value["data"]["attributes"]
        place[rest if inside in value else name] = member
    return value


HARD = ["NULL", "null", "{}", "{NULL}", '{"a","b"}', "\\N", "\\", "\\\\x00", "'; DROP TABLE events; --", "$1", "%s", "\t", "\n", "\r\n", "\x01", "\x7f", "\x80",
        "é", "e\u0301", "\u202e", "\ufeff", "\ufffe", "\uffff", "\U0001f514", "\U0010ffff", " ", "  a  ", "x" * 512, "é" * 256, "\U0001f514" * 128]
TIMES = [0, 1, -1, 1e3, 1771027372393, 253402300799999, 253402300800000, 1 << 53, -(1 << 53), 9007199254740991.0, -9007199254740991.0, (1 << 63) - 2,
         -(1 << 63) + 2, 8210266876799999, 8210266876800000, 9224318015999999, 9224318016000000, -210866803200000, -210866803200001, -62135596800000]


def whatever_the_receiver_takes_arrives():
    """A line that the database refused would hold up all that follow it."""
    server = postgres("hard")
    bodies = []
    for number, text in enumerate(HARD):
        bodies += [event(f"device-{number}", source=text), event(f"account-{number}", meta_account_id=text), event(f"sub-{number}", sub_type=text),
                   event(f"type-{number}", kind=text), event(f"id-{number}", data_id=text), event(f"request-{number}", meta_request_id=text)]
    bodies += [event(f"time-{number}", timestamp=time) for number, time in enumerate(TIMES)]
    bodies += [event(f"spaces-{number}", source=text) for number, text in enumerate((None, 7, "", "a\0b", [], {}))]
    bodies += [event("bare", meta_account_id=None), {"meta": {"request_id": "least"}, "data": {"id": "least", "type": "t"}}]
    texts = [json.dumps(body, separators=(",", ":"), ensure_ascii=number % 2 == 0).encode() for number, body in enumerate(bodies)]
    texts += [json.dumps(event(f"pretty-{number}"), indent=number).encode().replace(b"\n", new) for number, new in enumerate((b"\n", b"\r\n", b"\r"), 1)]
    texts += [json.dumps(event("long", text="\\\"\u00e9'" * 5000)).encode()]
    with Node("node") as node:
        keys = {KEY: None, **{key: None for _, _, key, _ in vectors()}}
        node.write_keys(*keys)
        listener, path = node.listener()
        node.worker(listener)
        stored = {}
        for body, signature in [(body, sign(body)) for body in texts] + [(body, signature) for _, body, _, signature in vectors()]:
            status, _, answer = fastcgi(path, body, signature)
            check(status in (200, 400), status, answer, body[:300])
            if status == 200 and json.loads(answer)["status"] == "stored":
                value = json.loads(body)
                stored[identifiers(value)] = value
        check(len(stored) > len(texts) * 3 / 4, "most of them were rejected: only", len(stored), "are stored")
        node.write_keys(KEY)
        result = node.forward(server.url(database="hard"), "--once").ok()
        check(not result.stderr, result)
        for row in compare(server, [node], database="hard"):
            value = stored[row.request_id, row.event_id]
            meta, data = value["meta"], value["data"]
            attributes = data.get("attributes") or {}

            def text(member):
                return member if isinstance(member, str) and 0 < len(member.encode()) <= 512 and "\0" not in member else ""
            sub_type = "" if data["type"] == "button_press" else text(attributes.get("sub_type")) or text(data.get("subType"))
            wants = {"type": data["type"], "sub_type": sub_type, "account": text(meta.get("account_id")),
                     "device": text(attributes.get("source")) if attributes.get("source_type") == "devices" else ""}
            for name, want in wants.items():
                check(getattr(row, name) == want, name, "is", repr(getattr(row, name)), "instead of", repr(want), "in", row)
            time = attributes.get("timestamp")
            if isinstance(time, (int, float)) and 0 < time < 253402214400000:  # from 1970 until the year 9999
                check(row.pressed_at == str(int(time)), "pressed_at is", row.pressed_at, "instead of", time)


def either_identifier_decides_across_nodes():
    server = postgres("either")
    with Node("left") as left, Node("right") as right:
        left.write([press(1), press(2)])
        right.write([press(3, request_id="request-1"), press(2, request_id="request-4"), press(5)])
        for node in (left, right):
            node.forward(server.url(database="either"), "--once").ok()
        found = [(row.node, row.seq) for row in rows(server, "either")]
        check(found == [("left", 1), ("left", 2), ("right", 3)], found)


def a_damaged_line_costs_itself():
    server = postgres("damaged")
    with Node("node") as node:
        node.write([press(number) for number in range(30)])
        lines = node.segment().read_bytes().splitlines(keepends=True)
        spoiled = {3: b"# remember the milk\n", 7: b"\0" * 50 + b"\n", 11: lines[11][:80] + b"\n", 15: lines[15].replace(b"request-15", b"request-\xff\xfe"),
                   19: lines[19].replace(b'"received_at":"20', b'"received_at":"99'), 23: b"{}\n", 27: b"\n"}
        node.segment().write_bytes(b"".join(spoiled.get(number, line) for number, line in enumerate(lines)))
        node.forward(server.url(database="damaged"), "--once")
        found = {row.event_id for row in rows(server, "damaged")}
        lost = [number for number in range(30) if number not in spoiled and f"event-{number}" not in found]
        check(not lost, "intact lines are not in the stream:", lost)
        node.write([press(30)])
        node.forward(server.url(database="damaged"), "--once")
        check("event-30" in {row.event_id for row in rows(server, "damaged")}, "what came later is not in the stream")


# ---- an operator's hands ----

def what_a_restored_backup_has_arrives():
    """A node gets an older copy of its journal back, with the cursor of then, that of now, or none; then it receives presses under numbers
    that it has used before, by a clock that is slow. The lines are equally long, so that the old position fits into the new file."""
    server = postgres("restored")
    nodes = []
    noon = datetime.datetime.now(datetime.timezone.utc).replace(hour=12, minute=0) - datetime.timedelta(days=1)
    times = {"first": noon, "newer": noon + datetime.timedelta(minutes=20), "again": noon + datetime.timedelta(minutes=10)}
    with contextlib.ExitStack() as stack:
        for cursor in ("of then", "of now", "lost", "garbage"):
            for grows in ("before it starts", "while it runs"):
                node = stack.enter_context(Node(f"{cursor}-{grows}".replace(" ", "-")))
                nodes.append(node)
                where, name = server.url(database="restored"), node.name
                old = node.path / "old"

                def more(what, number):
                    node.write([press(f"{name}-{what}-{i:02}") for i in range(number)], times[what[:5]])
                more("first", 20)
                node.forward(where, "--once").ok()
                shutil.copytree(node.journal, old)
                then = node.chain, node.seq
                more("newer", 20)
                node.forward(where, "--once").ok()
                lines = set(node.lines())
                # The restore.
                for path in old.glob("*.jsonl"):
                    shutil.copy(path, node.journal / path.name)
                    node.own(node.journal / path.name)
                node.chain, node.seq = then
                place = node.journal / "cursors/forward"
                if cursor == "of then":
                    shutil.copy(old / "cursors/forward", place)
                elif cursor == "lost":
                    shutil.rmtree(node.journal / "cursors")
                elif cursor == "garbage":
                    place.write_text("garbage\n")
                if place.exists():
                    node.own(place)
                if grows == "before it starts":
                    more("again", 40)
                forwarder = node.forwarder(where)
                if grows == "while it runs":
                    for part in range(4):
                        more(f"again-{part}", 10)
                        wait_for(lambda: alive(forwarder, node) and server.value(
                            f"SELECT count(*) FROM events WHERE event_id = 'event-{name}-again-0-00'", database="restored") == "1", "a new press")
                node.kept = lines - set(node.lines())
                wanted = {json.loads(line)["event"]["data"]["id"] for line in node.lines()}

                def all_there():
                    return alive(forwarder, node) and wanted <= {event for event, in server.sql("SELECT event_id FROM events", database="restored")}
                wait_for(all_there, f"all that is in the journal: cursor {cursor}, grows {grows}")
                end(forwarder)
        compare(server, nodes, in_order=False, database="restored")


def verify_puts_back_what_was_deleted():
    server = postgres("verified")
    now = datetime.datetime.now(datetime.timezone.utc)
    with Node("node") as node:
        for days in range(12, -1, -1):  # from twelve days ago until today
            node.write([press(f"{days}-{number}") for number in range(20)], now - datetime.timedelta(days=days, minutes=5))
        where = server.url(database="verified")
        node.forward(where, "--once").ok()
        gone = server.sql(f"""DELETE FROM events WHERE seq % 3 = 0 AND received_at > now() - interval '8 days' RETURNING 1""", database="verified")
        older = server.sql(f"""DELETE FROM events WHERE seq % 3 = 0 RETURNING 1""", database="verified")
        check(len(gone) > 40 and len(older) > 20, len(gone), len(older))
        result = node.forward(where, "--verify", "--since", "8d")
        check(result.returncode in (0, 1), result)
        check(re.search(rf"\b{len(gone)}\b", result.stdout + result.stderr), "does not say that", len(gone), "were missing:", result)
        check(count(server, "verified") == 13 * 20 - len(older), "rows:", count(server, "verified"))
        again = node.forward(where, "--verify", "--since", "8d").ok()
        check(re.search(r"\b0\b|\bno\b|\bnone\b|\bnothing\b|\bevery\b|\ball\b", again.stdout + again.stderr), "does not say that nothing was missing:", again)
        check(count(server, "verified") == 13 * 20 - len(older), "rows:", count(server, "verified"))
        # Also while another one follows the journal.
        forwarder = node.forwarder(where)
        node.write([press("later")])
        wait_for_events(server, 13 * 20 - len(older) + 1, [(forwarder, node)], "verified")
        server.sql("DELETE FROM events WHERE event_id = 'event-later'", database="verified")
        result = node.forward(where, "--verify", "--since", "8d")
        check(result.returncode in (0, 1) and count(server, "verified") == 13 * 20 - len(older) + 1, result)
        end(forwarder)
        node.forward(where, "--verify", "--since", "30d")
        compare(server, [node], in_order=False, database="verified")


def the_second_of_one_name_refuses():
    server = postgres("twice")
    with Node("node") as node:
        node.write([press(1)])
        where = server.url(database="twice")
        first = node.forwarder(where, "--name", "one")
        wait_for_events(server, 1, [(first, node)], "twice")
        second = node.forward(where, "--name", "one").fails()
        check("one" in second.stderr and len(second.stderr.splitlines()) == 1, second)
        node.forward(where, "--name", "two", "--once").ok()
        node.write([press(2)])
        wait_for_events(server, 2, [(first, node)], "twice")
        end(first)
        node.forward(where, "--name", "one", "--once").ok()


# ---- secrets ----

def a_password_in_the_location_is_refused():
    server = postgres("argued")
    with Node("node") as node:
        node.write([press(1)])
        host = server.path
        ways = itertools.cycle(((), ("--verify", "--since", "8d"), ("--once",)))
        for where in (f"postgresql://writer:sesame-1@/argued?host={host}", f"postgresql://writer@/argued?host={host}&password=sesame-1",
                      f"postgres://writer:sesame-1@/argued?host={host}", f"postgresql://writer:sesame%2d1@/argued?host={host}",
                      f"host={host} dbname=argued user=writer password=sesame-1", f"host={host} dbname=argued user=writer password = 'sesame-1'",
                      f"postgresql://writer@/argued?host={host}&sslpassword=sesame-1"):
            result = node.forward(where, *next(ways)).fails(2)
            check("sesame" not in result.stdout + result.stderr, "it tells the password:", result)
            check("pgpass" in result.stderr.lower() or "passfile" in result.stderr, "it does not say where it belongs:", result)
        check(count(server, "argued") == 0, "it has forwarded")


def a_password_comes_from_a_file():
    """And appears nowhere: not in the process list, not in what is said."""
    with Postgres(fsync=False) as server, Node("node") as node:
        server.sql("ALTER USER writer PASSWORD 'sesame-1'")
        rules = server.data / "pg_hba.conf"
        rules.write_text("local all writer scram-sha-256\n" + rules.read_text())
        server.restart()
        passfile, services = node.path / "pgpass", node.path / "services"
        services.write_text(f"[doorpost]\nhost={server.path}\nport={server.port}\ndbname=doorpost\nuser=writer\n")
        passfile.write_text("*:*:doorpost:writer:wrong\n")
        passfile.chmod(0o600)
        node.own(passfile)
        node.write([press(1)])
        env = {"PGPASSFILE": str(passfile), "PGSERVICEFILE": str(services)}
        forwarder = node.forwarder("postgresql:///?service=doorpost", **env)
        wait_for(lambda: alive(forwarder, node) and node.said(), "a complaint about the wrong password")
        passfile.write_text("*:*:doorpost:writer:sesame-1\n")
        wait_for_events(server, 1, [(forwarder, node)])
        for name in ("cmdline", "environ"):
            check(b"sesame" not in pathlib.Path(f"/proc/{forwarder.pid}/{name}").read_bytes(), "the password is in", name)
        end(forwarder)
        node.forward("service=doorpost", "--once", **env).ok()
        check(not any("sesame" in text for text in node.log_texts()), "the password is in the log")
        check(not any(b"sesame" in path.read_bytes() for path in node.journal.rglob("*") if path.is_file()), "the password is in the journal")


run(two_nodes_behind_one_address_store_each_press_once, whatever_the_receiver_takes_arrives, either_identifier_decides_across_nodes,
    a_damaged_line_costs_itself, what_a_restored_backup_has_arrives, verify_puts_back_what_was_deleted, the_second_of_one_name_refuses,
    a_password_in_the_location_is_refused, a_password_comes_from_a_file)
