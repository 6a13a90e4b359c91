"""What FastCGI 1.0 asks of an application, section by section: each row says the bytes that a web server sends and what must come back.

Every row is run three times against one worker: its bytes at once, one at a time (the long ones in small pieces), and in random pieces
over TCP. After it the connection is open or closed, as the row says, and the journal holds the presses that were answered 200, no others."""

import contextlib
import random
import re
import resource
import socket
import struct
import subprocess

from support.assertions import check, wait_for
from support.deliveries import press, sign
from support.fastcgi import ABORT_REQUEST, AUTHORIZER, BEGIN_REQUEST, CANT_MPX_CONN, DATA, END_REQUEST, FILTER, GET_VALUES, GET_VALUES_RESULT, KEEP_CONN, PARAMS, REQUEST_COMPLETE, RESPONDER, STDERR, STDIN, STDOUT, UNKNOWN_ROLE, UNKNOWN_TYPE, fastcgi, fastcgi_answer, fastcgi_begin, fastcgi_connect, fastcgi_length, fastcgi_metadata, fastcgi_pair, fastcgi_record, fastcgi_records, fastcgi_reply, fastcgi_request, parse_answer
from support.journal import hold_lock, verify_journal
from support.laboratory import Lab
from support.runner import run_tests

LIMIT = 512  # connections that a worker keeps at once
RESERVED = 72  # descriptors that it keeps for itself: for the journal, and for sockets that have ended and are closed a little later
MAX_BODY = 65536


# ---- what comes back ----

def ended(status, id=1, how=REQUEST_COMPLETE):
    """A request has ended: with this HTTP status, or None if no answer can be seen."""
    return "ended", id, status, how


def unknown(kind):
    return "unknown type", kind


def values(**told):
    return "values", told


ALL_VALUES = {"FCGI_MAX_CONNS": str(LIMIT), "FCGI_MAX_REQS": str(LIMIT), "FCGI_MPXS_CONNS": "0"}


def read_pairs(content):
    """The pairs of a record (section 3.4)."""
    def length():
        nonlocal content
        long = content[0] >> 7
        value = struct.unpack(">I", content[:4])[0] & 0x7fffffff if long else content[0]
        content = content[4 if long else 1:]
        return value
    pairs = {}
    while content:
        name, value = length(), length()
        check(name + value <= len(content), "a pair is cut")
        pairs[content[:name].decode()] = content[name:name + value].decode()
        content = content[name + value:]
    return pairs


def replies(connection):
    """Yields what comes, and checks that each record may come here (sections 3.3, 5.3, 5.5)."""
    outs, over = {}, set()
    for kind, id, content in fastcgi_records(connection):
        if kind == STDOUT:
            check((kind, id) not in over, "FCGI_STDOUT after its end")
            outs[id] = outs.get(id, b"") + content
            if not content:
                over.add((kind, id))
        elif kind == END_REQUEST:
            check(len(content) == 8 and content[5:] == b"\0\0\0", "the body of FCGI_END_REQUEST is", content)
            application, protocol = struct.unpack(">IB3x", content)
            check(application == 0, "the application's status is", application)
            out = outs.pop(id, None)
            check(out is None or (STDOUT, id) in over, "FCGI_STDOUT was not ended")
            over.discard((STDOUT, id))
            yield ended(parse_answer(out)[0] if out else None, id, protocol)
        elif kind == UNKNOWN_TYPE:
            check(id == 0 and len(content) == 8 and content[1:] == bytes(7), "FCGI_UNKNOWN_TYPE:", id, content)
            yield unknown(content[0])
        elif kind == GET_VALUES_RESULT:
            check(id == 0, "FCGI_GET_VALUES_RESULT with an id")
            yield values(**read_pairs(content))
        else:
            check(False, "a record of type", kind, "came, with", content)


# ---- what is sent ----

def get_values(*names, value=""):
    return fastcgi_record(GET_VALUES, b"".join(fastcgi_pair(name, value, False, False) for name in names), 0)


def params(content, id=1, piece=65535):
    """The whole stream, its end included."""
    return b"".join(fastcgi_record(PARAMS, content[at:at + piece], id) for at in range(0, len(content), piece)) + fastcgi_record(PARAMS, b"", id)


def stdin(content, id=1, piece=65535):
    return b"".join(fastcgi_record(STDIN, content[at:at + piece], id) for at in range(0, len(content), piece)) + fastcgi_record(STDIN, b"", id)


def encode(body, long_name=True, long_value=True, **parameters):
    """The pairs of a signed request."""
    return b"".join(fastcgi_pair(name, value, long_name, long_value or len(value) > 127)
                    for name, value in fastcgi_metadata(body, sign(body), **parameters).items())


def request(name, id=1, flags=0, **parameters):
    """A signed press."""
    body = press(name)
    return fastcgi_request(body, parameters.pop("signature", sign(body)), id, flags, **parameters)


def kept(name, id=1, **parameters):
    return request(name, id, KEEP_CONN, **parameters)


def around(name, first, between, last=b"", id=1, flags=0):
    """A signed press with records after FCGI_BEGIN_REQUEST, between the two streams, and before the end of the second."""
    body = press(name)
    half = len(body) // 2
    return (fastcgi_begin(id, RESPONDER, flags) + first + params(encode(body), id) + between
            + fastcgi_record(STDIN, body[:half], id) + last + fastcgi_record(STDIN, body[half:], id) + fastcgi_record(STDIN, b"", id))


def padded(name, padding):
    """Every record of a request with padding of its own; what is in it does not matter."""
    text, whole = b"", request(name)
    while whole:
        version, kind, id, length, _ = struct.unpack(">BBHHBx", whole[:8])
        text += fastcgi_record(kind, whole[8:8 + length], id, padding(kind, length))
        whole = whole[8 + length:]
    return text


def raw_params(content, flags=KEEP_CONN):
    return fastcgi_begin(flags=flags) + params(content) + stdin(b"")


def over_the_limit(flags):
    return fastcgi_begin(flags=flags) + params(encode(b"x" * 10, CONTENT_LENGTH=None)) + stdin(b"x" * (4 * MAX_BODY))


# ---- the table ----

ROWS = []


def row(section, says, send, *expected, open=False, log=None):
    """`send` makes the bytes of a name that no other run has; `log` is what a line of the worker's log says of it."""
    ROWS.append((section, says, send, list(expected), open, log))


# 3.3 Records
row("3.3", "a request of one record a stream, and their ends, is served", request, ended(200))
row("3.3", "a stream may come in records of any length: one byte each",
    lambda n: fastcgi_begin() + params(encode(press(n)), piece=1) + stdin(press(n), piece=1), ended(200))
row("3.3", "a record may be as long as its length can say",
    lambda n: fastcgi_begin() + params((encode(press(n)) + fastcgi_pair("HTTP_X_LONG", "x" * 70000))) + stdin(press(n)), ended(200))
row("3.3", "padding may follow any record: 7 bytes", lambda n: padded(n, lambda kind, length: b"\xff" * 7), ended(200))
row("3.3", "padding may follow any record: 255 bytes, which look like a record",
    lambda n: padded(n, lambda kind, length: (fastcgi_record(ABORT_REQUEST) * 32)[:255]), ended(200))
row("3.3", "padding to the next 8 bytes, as is recommended", lambda n: padded(n, lambda kind, length: bytes(-length % 8)), ended(200))
row("3.3", "padding after the end of FCGI_STDIN belongs to the request", lambda n: padded(n, lambda kind, length: b"" if length else b"\0" * 200), ended(200))
row("3.3", "the answer has the id of the request: the largest", lambda n: request(n, 65535), ended(200, 65535))
row("3.3", "the answer has the id of the request: both bytes of it", lambda n: request(n, 0x1234), ended(200, 0x1234))
row("3.3", "the reserved byte of a header means nothing", lambda n: request(n)[:7] + b"\xff" + request(n)[8:], ended(200))
row("3.3", "another version than 1 is not FastCGI 1.0", lambda n: fastcgi_record(BEGIN_REQUEST, bytes(8), version=2), log="is not FastCGI 1.0")
row("3.3", "another version within a request ends it, with an answer",
    lambda n: fastcgi_begin() + fastcgi_record(PARAMS, version=0), ended(400), log="inconsistent FastCGI records")
row("3.3", "HTTP is not FastCGI", lambda n: b"POST / HTTP/1.1\r\nHost: doorpost\r\n\r\n", log="is not FastCGI 1.0")
row("3.3", "records of an inactive id are ignored: before any request",
    lambda n: fastcgi_record(STDIN, b"x", 9) + fastcgi_record(PARAMS, b"\xff\xff", 9) + fastcgi_record(ABORT_REQUEST, b"", 9) + request(n), ended(200))
row("3.3", "records of an inactive id are ignored: beside a request",
    lambda n: around(n, fastcgi_record(PARAMS, b"\x0e\x03REQUEST_METHODGET", 2), fastcgi_record(STDIN, b"", 2), fastcgi_record(ABORT_REQUEST, b"", 2)), ended(200))
row("3.3", "records of an id that has ended are ignored",
    lambda n: kept(n) + fastcgi_record(STDIN, b"late") + fastcgi_record(PARAMS, b"late") + fastcgi_record(DATA, b"late") + kept(n + "b"),
    ended(200), ended(200), open=True)
row("3.3", "an id may be used again when its request has ended", lambda n: kept(n) + kept(n + "b"), ended(200), ended(200), open=True)
row("3.3", "one request after the other may have any ids", lambda n: kept(n, 7) + kept(n + "b", 3) + request(n + "c", 65535),
    ended(200, 7), ended(200, 3), ended(200, 65535))
row("3.3", "an unknown type with an id is passed over, its content not looked into",
    lambda n: around(n, fastcgi_record(77, fastcgi_record(ABORT_REQUEST)), fastcgi_record(255, b"\x01\x05\x00\x01" * 9),
                     fastcgi_record(12, fastcgi_record(STDIN))), ended(200))
row("3.3", "types that an application sends are passed over when it is sent them",
    lambda n: around(n, fastcgi_record(STDOUT, b"x"), fastcgi_record(STDERR, b"x"), fastcgi_record(END_REQUEST, bytes(8))), ended(200))
row("3.3", "an empty record ends a stream: FCGI_PARAMS alone, nothing in it", lambda n: raw_params(b""), ended(405), open=True)
row("3.3", "what follows a stream's end is no part of it: a contradiction",
    lambda n: fastcgi_begin(flags=KEEP_CONN) + params(encode(press(n))) + fastcgi_record(PARAMS, b"\x01\x01ab"), ended(400), log="inconsistent FastCGI records")

# 3.4 Name-value pairs
for long_name in (False, True):
    for long_value in (False, True):
        row("3.4", f"lengths of {'four bytes' if long_name else 'one byte'} for names, {'four bytes' if long_value else 'one byte'} for values",
            lambda n, name=long_name, value=long_value: fastcgi_begin() + params(encode(press(n), name, value)) + stdin(press(n)), ended(200))
row("3.4", "127 bytes have a length of one byte, 128 of four",
    lambda n: fastcgi_begin() + params(fastcgi_pair("A" * 127, "b" * 127, False, False) + fastcgi_pair("A" * 128, "b" * 128) + encode(press(n))) + stdin(press(n)),
    ended(200))
for cut in (1, 3, 4, 7, 8, 13, 22, 23):
    row("3.4", f"a pair may go on in the next record: cut after {cut} bytes",
        lambda n, cut=cut: fastcgi_begin() + fastcgi_record(PARAMS, encode(press(n))[:cut]) + params(encode(press(n))[cut:]) + stdin(press(n)), ended(200))
row("3.4", "names and values may be empty",
    lambda n: fastcgi_begin() + params(bytes(2) + fastcgi_pair("", "x") + fastcgi_pair("QUERY_STRING", "", False, False) + encode(press(n))) + stdin(press(n)), ended(200))
row("3.4", "a value may hold any byte: what matters to nobody is passed over",
    lambda n: fastcgi_begin() + params(fastcgi_length(6) + fastcgi_length(4) + b"HTTP_X\0\xff\r\n" + encode(press(n))) + stdin(press(n)), ended(200))
row("3.4", "a NUL in a value does not end it", lambda n: raw_params(encode(b"", CONTENT_LENGTH="0\0")), ended(400), open=True)
row("3.4", "the method is compared whole", lambda n: raw_params(encode(b"", REQUEST_METHOD="POST\0")), ended(405), open=True)
for lie, content in {"2^31-1 bytes twice": fastcgi_length(0x7fffffff) * 2 + b"A", "0x40000000 bytes twice": fastcgi_length(0x40000000) * 2 + b"A",
                     "a name of 2^31-1 bytes": fastcgi_length(0x7fffffff) + b"\x01A", "a value of 2^31-1 bytes": b"\x01" + fastcgi_length(0x7fffffff) + b"A",
                     "a value that is a byte short": encode(b"")[:-1], "a length of four bytes that is cut": encode(b"") + b"\x80\x00",
                     "a length alone": b"\x05", "more than there is": b"\x7f\x7fab"}.items():
    row("3.4", "lengths that lie: " + lie, lambda n, content=content: raw_params(content), ended(400), open=True, log="inconsistent FastCGI records")
    row("3.4", f"lengths that lie, before a good request: {lie}", lambda n, content=content: raw_params(content) + request(n), ended(400), ended(200))

# 3.5 Closing transport connections, 5.1 the flags
row("3.5", "the application closes after the answer without FCGI_KEEP_CONN", request, ended(200))
row("3.5", "it leaves the connection open with FCGI_KEEP_CONN", kept, ended(200), open=True)
row("3.5", "a refusal closes no kept connection", lambda n: kept(n, signature="sha256=" + "0" * 64) + kept(n), ended(401), ended(200), open=True)
row("3.5", "the flag is each request's own", lambda n: kept(n) + request(n + "b"), ended(200), ended(200))
row("3.5", "an early refusal closes no kept connection", lambda n: over_the_limit(KEEP_CONN) + kept(n), ended(413), ended(200), open=True)
row("3.5", "an early refusal arrives though the request goes on", lambda n: over_the_limit(0), ended(413))
row("5.1", "other flags mean nothing: all but FCGI_KEEP_CONN", lambda n: request(n, flags=0xfe), ended(200))
row("5.1", "other flags mean nothing: all", lambda n: request(n, flags=0xff), ended(200), open=True)
row("5.1", "reserved bytes of FCGI_BEGIN_REQUEST mean nothing", lambda n: fastcgi_record(BEGIN_REQUEST, b"\0\1\0\xff\xff\xff\xff\xff") + request(n)[16:], ended(200))
row("5.1", "content after what FCGI_BEGIN_REQUEST has is passed over", lambda n: fastcgi_record(BEGIN_REQUEST, b"\0\1\0" + bytes(50)) + request(n)[16:], ended(200))
row("5.1", "an FCGI_BEGIN_REQUEST that is too short is none", lambda n: fastcgi_record(BEGIN_REQUEST, bytes(7)), log="is not FastCGI 1.0")
row("5.1", "a request that begins twice is a contradiction", lambda n: fastcgi_begin(flags=KEEP_CONN) * 2, ended(400), log="inconsistent FastCGI records")

# 4.1 FCGI_GET_VALUES
row("4.1", "all three variables are told, and truly", lambda n: get_values(*ALL_VALUES), values(**ALL_VALUES), open=True)
for name, value in ALL_VALUES.items():
    row("4.1", "one is told alone: " + name, lambda n, name=name: get_values(name), values(**{name: value}), open=True)
row("4.1", "names that are not known are left out", lambda n: get_values("FCGI_MAX_CONNS", "FCGI_TEAPOT", ""), values(FCGI_MAX_CONNS=str(LIMIT)), open=True)
row("4.1", "names that begin or end like a known one are not known", lambda n: get_values("FCGI_MAX_CONN", "FCGI_MAX_CONNSS", "FCGI_MAX_REQS" * 9), values(), open=True)
row("4.1", "values beside the names mean nothing", lambda n: get_values("FCGI_MPXS_CONNS", value="1"), values(FCGI_MPXS_CONNS="0"), open=True)
row("4.1", "a question twice has one answer", lambda n: get_values(*["FCGI_MAX_REQS"] * 9), values(FCGI_MAX_REQS=str(LIMIT)), open=True)
row("4.1", "no name, no value", lambda n: get_values(), values(), open=True)
row("4.1", "lengths that lie have an answer too", lambda n: fastcgi_record(GET_VALUES, b"\xff\xff\xff\xffA", 0) + get_values("FCGI_MAX_REQS"),
    values(), values(FCGI_MAX_REQS=str(LIMIT)), open=True)
row("4.1", "with padding", lambda n: fastcgi_record(GET_VALUES, b"\x0d\x00FCGI_MAX_REQS", 0, b"\x01" * 255), values(FCGI_MAX_REQS=str(LIMIT)), open=True)
row("4.1", "it may come at any time: before a request", lambda n: get_values(*ALL_VALUES) + request(n), values(**ALL_VALUES), ended(200))
row("4.1", "it may come at any time: between the records of a request", lambda n: around(n, get_values("FCGI_MAX_REQS"), get_values(), get_values(*ALL_VALUES)),
    values(FCGI_MAX_REQS=str(LIMIT)), values(), values(**ALL_VALUES), ended(200))
row("4.1", "it may come at any time: in the middle of a pair of FCGI_PARAMS",
    lambda n: fastcgi_begin() + fastcgi_record(PARAMS, encode(press(n))[:11]) + get_values(*ALL_VALUES) + params(encode(press(n))[11:]) + stdin(press(n)),
    values(**ALL_VALUES), ended(200))
row("4.1", "it may come at any time: after a request", lambda n: kept(n, signature=None) + get_values(*ALL_VALUES), {ended(401), "values"}, {ended(401), "values"}, open=True)

# 4.2 FCGI_UNKNOWN_TYPE
for kind in (12, 42, 255, BEGIN_REQUEST, PARAMS, STDOUT, GET_VALUES_RESULT, 0):
    row("4.2", f"a management record of type {kind} is answered with FCGI_UNKNOWN_TYPE, its content passed over",
        lambda n, kind=kind: fastcgi_record(kind, fastcgi_begin() * 3, 0, b"\x01" * 9), unknown(kind), open=True)
row("4.2", "beside a request too", lambda n: around(n, fastcgi_record(99, b"x", 0), fastcgi_record(98, b"", 0), fastcgi_record(97, b"x" * 99, 0)),
    unknown(99), unknown(98), unknown(97), ended(200))

# 5.1, 5.5 roles, and a second request at once
for role in (AUTHORIZER, FILTER, 0, 4, 0x0101, 65535):
    row("5.5", f"role {role} is refused with FCGI_UNKNOWN_ROLE", lambda n, role=role: fastcgi_begin(3, role), ended(None, 3, UNKNOWN_ROLE), log="FCGI_UNKNOWN_ROLE")
row("5.5", "after FCGI_UNKNOWN_ROLE a kept connection goes on; what came of that request is passed over",
    lambda n: fastcgi_begin(3, AUTHORIZER, KEEP_CONN) + request(n, 3)[16:] + kept(n, 3), ended(None, 3, UNKNOWN_ROLE), ended(200, 3), open=True)
row("5.5", "a second request on the connection is refused with FCGI_CANT_MPX_CONN; the first is served",
    lambda n: around(n, request(n + "b", 2), fastcgi_begin(3), fastcgi_begin(4, AUTHORIZER)),
    ended(None, 2, CANT_MPX_CONN), ended(None, 3, CANT_MPX_CONN), ended(None, 4, CANT_MPX_CONN), ended(200), log="FCGI_CANT_MPX_CONN")
row("5.5", "FCGI_CANT_MPX_CONN does not change whether the connection is kept", lambda n: around(n, fastcgi_begin(2), b"", flags=KEEP_CONN),
    ended(None, 2, CANT_MPX_CONN), ended(200), open=True)

# 5.2 FCGI_PARAMS, 5.3 byte streams
row("5.2", "parameters come in any order", lambda n: fastcgi_begin() + params(b"".join(
    fastcgi_pair(*pair) for pair in reversed(fastcgi_metadata(press(n), sign(press(n)), SCRIPT_NAME="/x").items()))) + stdin(press(n)), ended(200))
row("5.2", "names are compared whole and by case",
    lambda n: fastcgi_begin() + params(fastcgi_pair("request_method", "GET") + fastcgi_pair("REQUEST_METHO", "GET") + fastcgi_pair("REQUEST_METHODS", "GET")
                                       + encode(press(n))) + stdin(press(n)), ended(200))
row("5.2", "the first of two values counts", lambda n: raw_params(fastcgi_pair("REQUEST_METHOD", "GET") + encode(press(n))), ended(405), open=True)
row("5.3", "FCGI_STDIN follows FCGI_PARAMS: before their end it is a contradiction", lambda n: fastcgi_begin(flags=KEEP_CONN) + fastcgi_record(STDIN, b"x"),
    ended(400), log="inconsistent FastCGI records")
row("5.3", "FCGI_DATA belongs to a filter: passed over", lambda n: around(n, fastcgi_record(DATA, b"x"), fastcgi_record(DATA, b"y"), fastcgi_record(DATA)), ended(200))

# 5.4 FCGI_ABORT_REQUEST
row("5.4", "aborted at once: it ends without an answer", lambda n: fastcgi_begin() + fastcgi_record(ABORT_REQUEST), ended(None))
row("5.4", "aborted amid the parameters", lambda n: fastcgi_begin() + fastcgi_record(PARAMS, encode(press(n))[:30]) + fastcgi_record(ABORT_REQUEST), ended(None))
row("5.4", "aborted before the last FCGI_STDIN: nothing is kept",
    lambda n: request(n)[:-8] + fastcgi_record(ABORT_REQUEST), ended(None))
row("5.4", "a kept connection goes on, and the same press is new",
    lambda n: kept(n)[:-8] + fastcgi_record(ABORT_REQUEST) + fastcgi_record(STDIN) + kept(n), ended(None), ended(200), open=True)
row("5.4", "an abort of another id aborts nothing", lambda n: around(n, fastcgi_record(ABORT_REQUEST, b"", 2), fastcgi_record(ABORT_REQUEST, b"", 258)), ended(200))
row("5.4", "content and padding of an abort mean nothing",
    lambda n: kept(n)[:-8] + fastcgi_record(ABORT_REQUEST, b"why", padding=b"\1" * 5) + kept(n), ended(None), ended(200), open=True)
row("5.4", "many aborted requests in a row", lambda n: (fastcgi_begin(flags=KEEP_CONN) + fastcgi_record(ABORT_REQUEST)) * 60 + request(n), *[ended(None)] * 60, ended(200))

# 6.2 Responder, and RFC 3875, 4.1.2, 4.2, 4.3.3
row("6.2", "FCGI_STDIN shorter than CONTENT_LENGTH: refused", lambda n: kept(n, CONTENT_LENGTH=str(len(press(n)) + 1)), ended(400), open=True, log="shorter than Content-Length")
row("6.2", "FCGI_STDIN longer than CONTENT_LENGTH: refused", lambda n: kept(n, CONTENT_LENGTH=str(len(press(n)) - 1)), ended(400), open=True, log="longer than Content-Length")
row("6.2", "CONTENT_LENGTH 0 and a body: refused", lambda n: kept(n, CONTENT_LENGTH="0"), ended(400), open=True)
row("6.2", "CONTENT_LENGTH and no body: refused", lambda n: raw_params(encode(press(n))), ended(400), open=True)
for length in (None, "", "-1"):
    row("6.2", f"CONTENT_LENGTH {length!r}: read to the end", lambda n, length=length: kept(n, CONTENT_LENGTH=length), ended(200), open=True)
    row("6.2", f"CONTENT_LENGTH {length!r} and no body", lambda n, length=length: raw_params(encode(b"", CONTENT_LENGTH=length)), ended(411), open=True)
for length in ("1x", " 5", "+5", "-2", "0x5", "5,5", "9" * 200):
    row("6.2", f"CONTENT_LENGTH {length[:9]!r} is no length", lambda n, length=length: kept(n, CONTENT_LENGTH=length), ended(400), open=True)
row("6.2", "a CONTENT_LENGTH over the limit", lambda n: kept(n, CONTENT_LENGTH="99999999999999999999"), ended(413), open=True)
row("6.2", "CONTENT_LENGTH 0 and no body is a body that nobody signed", lambda n: raw_params(fastcgi_pair("REQUEST_METHOD", "POST") + fastcgi_pair("CONTENT_LENGTH", "0")),
    ended(401), open=True)
row("6.2", "another method", lambda n: kept(n, REQUEST_METHOD="GET"), ended(405), open=True)
row("6.2", "HEAD", lambda n: raw_params(fastcgi_pair("REQUEST_METHOD", "HEAD")), ended(405), open=True)
row("6.2", "no method", lambda n: kept(n, REQUEST_METHOD=None), ended(405), open=True)


# ---- running it ----

def send(connection, text, length_of_piece):
    """The worker closes no connection before it has taken a request to its end."""
    at = 0
    while at < len(text):
        length = length_of_piece()
        connection.sendall(text[at:at + length])
        at += length


def matches(got, wanted):
    return got == wanted or (isinstance(wanted, set) and (got if got[0] != "values" else "values") in wanted)


def run_row(path, name, one, length_of_piece):
    section, says, make, expected, stays, _ = one
    try:
        with fastcgi_connect(path) as connection:
            came = replies(connection)
            send(connection, make(name), length_of_piece)
            got = [next(came, "closed") for _ in expected]
            check(len(got) == len(expected) and all(map(matches, got, expected)), "came:", got, "wanted:", expected)
            if stays:
                connection.sendall(get_values("FCGI_MPXS_CONNS"))
                got = next(came, "closed")
                check(got == values(FCGI_MPXS_CONNS="0"), "the connection does not go on:", got)
            else:
                got = next(came, "closed")
                check(got == "closed", "the connection is not closed; came:", got)
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{section}, {says} ({name}): {error!r}") from None
    return sum(wanted == ended(200, wanted[1]) for wanted in expected if isinstance(wanted, tuple) and wanted[0] == "ended")


def run_table(path, way, length_of_piece):
    """Returns how many presses of each run were answered 200."""
    kept, failures = {}, []
    for number, one in enumerate(ROWS):
        try:
            kept[f"{way}-{number}-"] = run_row(path, f"{way}-{number}-", one, lambda: length_of_piece(one, number))
        except AssertionError as error:
            failures.append(str(error))
    check(not failures, "\n".join(failures))
    return kept


def in_small_pieces(one, number):
    """Few enough that a slow machine has sent them before the request is overdue."""
    length = len(one[2]("x" * 10))
    return 1 if length < 1500 else 1 + length // 1000


def check_kept(lab, kept):
    there = dict.fromkeys(kept, 0)
    for event in verify_journal(lab):
        there[re.match(r"event-(.*?-.*?-)", event).group(1)] += 1
    check(there == kept, "kept:", {name: (there[name], count) for name, count in kept.items() if there[name] != count})


@contextlib.contextmanager
def serving(**settings):
    """A worker behind a Unix socket. Yields its laboratory and the path of the socket."""
    with Lab(**settings) as lab:
        listener, path = lab.listener()
        lab.worker(listener)
        yield lab, path


def the_table_with_all_bytes_at_once():
    with serving() as (lab, path):
        check_kept(lab, run_table(path, "whole", lambda one, number: 1 << 30))
        log = "".join(lab.log_texts())
        for _, says, _, _, _, line in ROWS:
            check(line is None or line in log, says, "is not logged")
    print(f"# {len(ROWS)} rows")


def the_table_with_a_byte_at_a_time():
    with serving(LOG="off") as (lab, path):
        lengths = {number: in_small_pieces(one, number) for number, one in enumerate(ROWS)}
        check_kept(lab, run_table(path, "byte", lambda one, number: lengths[number]))


def tcp_listener(lab, family=socket.AF_INET, address="127.0.0.1"):
    listener = socket.socket(family)
    lab.stack.callback(listener.close)
    listener.bind((address, 0))
    listener.listen(100)
    return listener, listener.getsockname()[:2]


def the_table_in_random_pieces_over_tcp():
    chance = random.Random(1)
    with Lab(LOG="off") as lab:
        listener, address = tcp_listener(lab)
        lab.worker(listener)
        check_kept(lab, run_table(address, "tcp", lambda one, number: chance.choice((1, 5, 8, 40, 300, 5000))))


def it_needs_descriptor_0_alone():
    """2.2: that is all that an application may count on; 0 is a socket that listens."""
    with Lab() as lab:
        listener, path = lab.listener()
        worker = lab.start(["sh", "-c", 'exec "$0" >&- 2>&-', str(lab.binary)], stdin=listener)
        for number in range(5):
            body = press(number)
            check(fastcgi(path, body, None)[0] == 401, "not refused")
            check(fastcgi(path, body, sign(body))[0] == 200, "not served")
        for number in (1, 2):
            check(subprocess.run(["readlink", f"/proc/{worker.pid}/fd/{number}"], capture_output=True, text=True).stdout == "/dev/null\n",
                  "descriptor", number, "is something else")
        check(len(verify_journal(lab)) == 5, "not kept")


def the_log_goes_out_as_stderr_where_nobody_has_standard_error():
    """5.3: FCGI_STDERR, a stream with an end; before FCGI_END_REQUEST."""
    with Lab() as lab:
        listener, path = lab.listener()
        lab.start([lab.binary], stdin=listener, stderr=subprocess.DEVNULL)
        with fastcgi_connect(path) as connection:
            connection.sendall(fastcgi_request(b"{}", sign(b"{}", "no key of ours"), 77, REMOTE_ADDR="192.0.2.7"))
            came = [(kind, content) for kind, id, content in fastcgi_records(connection) if check(id == 77, "id", id) is None]
        log = [content for kind, content in came if kind == STDERR]
        check(len(log) == 2 and log[1] == b"", "FCGI_STDERR:", log)
        check(re.fullmatch(rb'doorpost time=\S+ level=warning status=401 verdict=unauthorized cause="no configured key[^\n]* client="192.0.2.7"[^\n]*\n', log[0]), log[0])
        check([kind for kind, _ in came] == [STDERR, STDERR, STDOUT, STDOUT, END_REQUEST], came)


def only_the_addresses_that_are_told_may_connect():
    """3.2: FCGI_WEB_SERVER_ADDRS. Whoever may not is closed at once."""
    with Lab() as lab:
        def is_served(listener, address, addresses, family=socket.AF_INET):
            worker = lab.worker(listener, env={**lab.environment(), "FCGI_WEB_SERVER_ADDRS": addresses})
            with socket.socket(family) as connection:
                connection.connect(address)
                connection.settimeout(60)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(fastcgi_request(press(addresses), sign(press(addresses))))
                answer = fastcgi_answer(connection)
            worker.terminate()
            worker.wait()
            return answer is not None and answer[0] == 200
        listener, address = tcp_listener(lab)
        for addresses, may in {"10.9.8.7": False, "127.0.0.1": True, "10.9.8.7,127.0.0.1": True, "127.0.0.1,10.9.8.7": True, "127.0.0.10": False,
                               "27.0.0.1": False, "": False, ",,": False, "localhost": False, "::1": False}.items():
            check(is_served(listener, address, addresses) == may, repr(addresses), "from 127.0.0.1, must be served:", may)
        listener, path = lab.listener()
        check(not is_served(listener, path, "127.0.0.1", socket.AF_UNIX), "a peer without an address was served")
        check("not in FCGI_WEB_SERVER_ADDRS" in "".join(lab.log_texts()), "nothing is logged")
        with contextlib.suppress(OSError):  # no IPv6 here
            listener, address = tcp_listener(lab, socket.AF_INET6, "::1")
            check(is_served(listener, address, "10.9.8.7,0:0:0:0:0:0:0:1", socket.AF_INET6), "::1 was not served")
            check(not is_served(listener, address, "::2", socket.AF_INET6), "::1 was served")


def a_web_server_that_goes_away_costs_nothing():
    """3.5: it closes without a word after any byte of a request; the next one is served."""
    with serving(LOG="off") as (lab, path):
        whole = kept("cut")
        for length in range(0, len(whole), 3):
            with fastcgi_connect(path) as connection:
                connection.sendall(whole[:length])
        with fastcgi_connect(path) as connection:
            connection.sendall(request("good"))
            check(fastcgi_reply(connection)[0] == 200, "not served")
        check(list(verify_journal(lab)) == ["event-good"], "something else is kept")


def what_was_sent_before_the_end_of_sending_is_answered():
    """3.5: a web server may end its sending half after the last request."""
    with serving() as (lab, path):
        with fastcgi_connect(path) as connection:
            connection.sendall(b"".join(kept(number) for number in range(5)))
            connection.shutdown(socket.SHUT_WR)
            check(list(replies(connection)) == [ended(200)] * 5, "not all answered")
        check(len(verify_journal(lab)) == 5, "not kept")


def thousands_of_requests_come_in_a_row_on_one_connection():
    with serving(LOG="off") as (lab, path):
        with fastcgi_connect(path) as connection:
            for number in range(2000):
                connection.sendall(kept(number, 1 + number % 65535))
                check(fastcgi_reply(connection, 1 + number % 65535)[0] == 200, number)
        check(len(verify_journal(lab)) == 2000, "not all kept")


def pipelined_requests_are_answered_in_order():
    """All are sent before the first answer is read."""
    with serving(LOG="off") as (lab, path):
        with fastcgi_connect(path) as connection:
            connection.sendall(b"".join(kept(number, number + 1) for number in range(100)))
            came = replies(connection)
            check([next(came, "closed") for _ in range(100)] == [ended(200, number + 1) for number in range(100)], "not in order")
        check(list(verify_journal(lab).items()) == [(f"event-{number}", number + 1) for number in range(100)], "not kept in order")


def more_pipelined_requests_than_a_peer_reads_answers_are_served_when_it_reads():
    """The worker stops reading while answers wait; it loses none of them. 64 KiB of answers and more wait on the way."""
    with serving(LOG="off") as (_, path):
        with fastcgi_connect(path) as connection:
            connection.setblocking(False)
            refused, sent = raw_params(b""), 0
            data = refused * 20000
            with contextlib.suppress(BlockingIOError):
                while sent < len(data):
                    sent += connection.send(data[sent:])
            connection.setblocking(True)
            came = replies(connection)
            for number in range(sent // len(refused)):
                got = next(came, "closed")
                check(got == ended(405), "answer", number, "of", sent // len(refused), "is", got)


def a_body_of_64_kib_comes_in_thousands_of_pieces():
    with serving() as (lab, path):
        body = press("large")
        body = body.replace(b'"relationships"', b'"filler":"' + b"x" * (MAX_BODY - len(body) - 12) + b'","relationships"')
        check(len(body) == MAX_BODY, len(body))
        text = fastcgi_begin() + params(encode(body), piece=1) + stdin(body, piece=8)
        with fastcgi_connect(path) as connection:
            send(connection, text, lambda: 50)
            check(fastcgi_reply(connection)[0] == 200, "not served")
        with fastcgi_connect(path) as connection:  # one byte more is too much, wherever it is cut
            send(connection, fastcgi_begin() + params(encode(body + b" ", CONTENT_LENGTH=None)) + stdin(body + b" ", piece=1000), lambda: 999)
            check(fastcgi_reply(connection)[0] == 413, "not refused")
        check(len(verify_journal(lab)) == 1, "not kept")


def an_answer_to_head_has_no_body():
    with serving() as (_, path):
        for method in ("HEAD", "GET"):
            with fastcgi_connect(path) as connection:
                connection.sendall(fastcgi_begin() + params(fastcgi_pair("REQUEST_METHOD", method)) + stdin(b""))
                status, fields, body = fastcgi_reply(connection)
            check((status, fields["Allow"], body == b"") == (405, "POST", method == "HEAD"), method, status, fields, body)


def an_abort_after_the_last_record_finds_it_stored_or_leaves_nothing_behind():
    """5.4: what was aborted while the lock was held may be written already. Either way its request ends, and the next is served."""
    with serving() as (lab, path):
        body = press(0)
        check(fastcgi(path, body, sign(body))[0] == 200, "not served")
        for number in range(1, 20):
            with fastcgi_connect(path) as connection:
                came = replies(connection)
                with hold_lock(lab.journal / "lock") if number % 2 else contextlib.nullcontext():
                    connection.sendall(kept(number))
                    connection.sendall(fastcgi_record(ABORT_REQUEST))
                got = next(came)
                check(got in (ended(200), ended(None)), got)
                connection.sendall(get_values())
                check(next(came) == values(), "the connection does not go on")
            check(got == ended(None) or f"event-{number}" in verify_journal(lab), "answered 200, and not kept")


def fill(path, count):
    """Opens kept connections; each has had an answer, so the worker knows it."""
    connections = []
    for number in range(count):
        connections.append(fastcgi_connect(path))
        connections[-1].sendall(get_values())
        check(next(replies(connections[-1]), "closed") == values(), "connection", number, "of", count)
    return connections


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def idle_ones_give_way(path, limit):
    connections = fill(path, limit)
    closed = [number for number, connection in enumerate(connections) if is_closed(connection)]
    check(closed == [], "closed though there was room for", limit, ":", closed)
    for number in range(min(limit, 20)):
        body = press(f"{limit}-{number}")
        check(fastcgi(path, body, sign(body))[0] == 200, "a new connection was not served")
    closed = [number for number, connection in enumerate(connections) if is_closed(connection)]
    check(closed == [0], "the one that was idle for longest is to be closed, and no other: closed are", closed)
    for connection in connections:
        connection.close()


def as_many_as_possible_stay_and_the_longest_idle_gives_way():
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with serving(LOG="off") as (_, path):
        idle_ones_give_way(path, LIMIT)


def few_descriptors_are_enough():
    """RLIMIT_NOFILE says how many connections there can be, and FCGI_GET_VALUES tells it."""
    for descriptors in (100, RESERVED + 2, RESERVED + 1, RESERVED, 20):
        limit = max(descriptors - RESERVED, 1)
        with Lab(LOG="off") as lab:
            listener, path = lab.listener()
            lab.worker(listener, preexec_fn=lambda n=descriptors: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
            with fastcgi_connect(path) as connection:
                connection.sendall(get_values("FCGI_MAX_CONNS", "FCGI_MAX_REQS"))
                told = next(replies(connection))
                check(told == values(FCGI_MAX_CONNS=str(limit), FCGI_MAX_REQS=str(limit)), descriptors, "descriptors:", told)
            body = press("first")
            wait_for(lambda: fastcgi(path, body, sign(body))[0] == 200, "an answer")
            idle_ones_give_way(path, limit)
            check(len(verify_journal(lab)) == 1 + min(limit, 20), "not all kept")


run_tests(the_table_with_all_bytes_at_once, the_table_with_a_byte_at_a_time, the_table_in_random_pieces_over_tcp, it_needs_descriptor_0_alone,
          the_log_goes_out_as_stderr_where_nobody_has_standard_error, only_the_addresses_that_are_told_may_connect,
          a_web_server_that_goes_away_costs_nothing, what_was_sent_before_the_end_of_sending_is_answered,
          thousands_of_requests_come_in_a_row_on_one_connection, pipelined_requests_are_answered_in_order,
          more_pipelined_requests_than_a_peer_reads_answers_are_served_when_it_reads, a_body_of_64_kib_comes_in_thousands_of_pieces,
          an_answer_to_head_has_no_body, an_abort_after_the_last_record_finds_it_stored_or_leaves_nothing_behind,
          as_many_as_possible_stay_and_the_longest_idle_gives_way, few_descriptors_are_enough)
