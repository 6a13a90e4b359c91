"""A stand-in for a program behind a web server, as CGI or as a FastCGI worker: it answers with the variables that it was given, as JSON, and
with the length of the body as BODY."""

import json
import os
import socket
import struct
import sys
import threading


def answer(variables, body):
    text = json.dumps({**variables, "BODY": len(body)}).encode()
    return b"Status: 200 OK\r\nContent-Type: application/json\r\n\r\n" + text


def exactly(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def parameters(data):
    found, at = {}, 0

    def length():
        nonlocal at
        size = 1 if data[at] < 128 else 4
        value = int.from_bytes(data[at:at + size], "big") & 0x7fffffff
        at += size
        return value
    while at < len(data):
        name_length, value_length = length(), length()
        name, value = data[at:at + name_length], data[at + name_length:at + name_length + value_length]
        found[name.decode()] = value.decode(errors="replace")
        at += name_length + value_length
    return found


def serve(connection):
    streams = {4: b"", 5: b""}  # FCGI_PARAMS, FCGI_STDIN
    with connection:
        while True:
            try:
                _, kind, number, length, padding, _ = struct.unpack("!BBHHBB", exactly(connection, 8))
                content = exactly(connection, length + padding)[:length]
            except (EOFError, OSError):
                return
            if kind in streams:
                streams[kind] += content
            if kind == 5 and not content:
                text = answer(parameters(streams[4]), streams[5])
                connection.sendall(struct.pack("!BBHHBB", 1, 6, number, len(text), 0, 0) + text + struct.pack("!BBHHBB", 1, 6, number, 0, 0, 0) +
                                   struct.pack("!BBHHBBIBBBB", 1, 3, number, 8, 0, 0, 0, 0, 0, 0, 0))
                return


if "REQUEST_METHOD" in os.environ:
    sys.stdout.buffer.write(answer(dict(os.environ), sys.stdin.buffer.read(int(os.environ.get("CONTENT_LENGTH") or 0))))
else:
    listener = socket.socket(fileno=0)
    listener.setblocking(True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
