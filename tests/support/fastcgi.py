"""A FastCGI 1.0 client that lets a test choose every byte and when it is sent."""

import contextlib
import os
import signal
import socket
import struct

from support.assertions import PATIENCE, check
from support.deliveries import sign

# Record types, roles, flags and protocol statuses (FastCGI 1.0, section 8).
(BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT,
 UNKNOWN_TYPE) = range(1, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)


def parse_answer(text):
    head, _, body = text.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return int(fields["Status"].split()[0]), fields, body


def fastcgi_record(kind, content=b"", id=1, padding=b"", version=1):
    return struct.pack(">BBHHBx", version, kind, id, len(content), len(padding)) + content + padding


def fastcgi_begin(id=1, role=RESPONDER, flags=0):
    return fastcgi_record(BEGIN_REQUEST, struct.pack(">HB5x", role, flags), id)


def fastcgi_length(length, long=True):
    """The length of a name or a value (section 3.4), in its long form or its short one."""
    return struct.pack(">I", length | 1 << 31) if long else struct.pack(">B", length)


def fastcgi_pair(name, value, long_name=True, long_value=True):
    name, value = name.encode(), value.encode()
    return fastcgi_length(len(name), long_name) + fastcgi_length(len(value), long_value) + name + value


def fastcgi_metadata(body, signature, **parameters):
    """The parameters that a web server sends with a request; those that are None are left out."""
    values = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "HTTP_X_SIGNATURE": signature, **parameters}
    return {name: value for name, value in values.items() if value is not None}


def fastcgi_request(body, signature, id=1, flags=0, **parameters):
    """The bytes of a request as a web server sends them (FastCGI 1.0, section 3)."""
    encoded = b"".join(fastcgi_pair(*pair) for pair in fastcgi_metadata(body, signature, **parameters).items())
    text = fastcgi_begin(id, RESPONDER, flags) + fastcgi_record(PARAMS, encoded, id) + fastcgi_record(PARAMS, b"", id)
    for start in range(0, len(body), 65535):
        text += fastcgi_record(STDIN, body[start:start + 65535], id)
    return text + fastcgi_record(STDIN, b"", id)


def fastcgi_connect(path):
    """Connects to a Unix socket, or over TCP if `path` is a pair of host and port."""
    connection = socket.socket(socket.AF_UNIX if isinstance(path, str) else socket.AF_INET, socket.SOCK_STREAM)
    # Waits for room in the listen queue; with a timeout of Python's own, connect() would not.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
    connection.connect(path)
    connection.settimeout(PATIENCE)
    return connection


def read_exactly(connection, length):
    """Returns `length` bytes, or None if the worker closed the connection before that."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while len(data) < length and (part := connection.recv(length - len(data))):
            data += part
    return data if len(data) == length else None


def fastcgi_records(connection):
    """Yields (type, id, content) of each record received, until the worker closes."""
    while header := read_exactly(connection, 8):
        version, kind, id, length, padding = struct.unpack(">BBHHBx", header)
        check(version == 1, "a record of version", version)
        content = read_exactly(connection, length + padding)
        check(content is not None, "a record of type", kind, "is cut")
        yield kind, id, content[:length]


def fastcgi_reply(connection, id=1):
    """Reads to the end of one request; the connection may stay open. Returns what fastcgi_answer() does."""
    out = b""
    for kind, of, content in fastcgi_records(connection):
        out += content if (kind, of) == (STDOUT, id) else b""
        if (kind, of) == (END_REQUEST, id):
            break
    return parse_answer(out) if out else None


def fastcgi_answer(connection):
    """Reads until the worker closes. Returns (status, fields, body), or None if no answer came."""
    out = b"".join(content for kind, _, content in fastcgi_records(connection) if kind == STDOUT)
    return parse_answer(out) if out else None


def all_at_once(worker, path, bodies):
    """Sends the bodies while the worker is stopped, so that all are waiting when it continues. Returns the connections."""
    os.kill(worker.pid, signal.SIGSTOP)
    connections = []
    for body in bodies:
        connections.append(fastcgi_connect(path))
        connections[-1].sendall(fastcgi_request(body, sign(body)))
    os.kill(worker.pid, signal.SIGCONT)
    return connections


def fastcgi(path, body, signature, **parameters):
    with fastcgi_connect(path) as connection:
        connection.sendall(fastcgi_request(body, signature, **parameters))
        return fastcgi_answer(connection)
