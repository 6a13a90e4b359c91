"""doorpost forward with a database that is away, full, read-only or not as it should be: it says once what is wrong, waits, goes on as soon as
that is mended, and can be ended at any time."""

import contextlib
import re

from nodes import QUICK, Node, compare, end, locked, postgres, run, wait_for_events
from support.assertions import check, wait_for
from support.deliveries import press
from support.postgres import Proxy

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


run(what_is_wrong_is_said_once)
