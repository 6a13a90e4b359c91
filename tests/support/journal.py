"""The journal's format, doorpost-journal(5), written and verified independently of Doorpost: BLAKE2b comes from Python."""

import base64
import contextlib
import fcntl
import hashlib
import json

from support.assertions import check
from support.deliveries import KEY, sign

CHAIN_START = "0" * 32


def chain(before, line_without_chain):
    """The chain value of a line that follows the value `before`."""
    return hashlib.blake2b(before.encode() + line_without_chain, digest_size=16).hexdigest()


def chain_of(before, line, recorded):
    """The chain value that `line`, which contains the value `recorded`, must have after the value `before`."""
    return chain(before, line.replace(b'"chain":"' + recorded.encode() + b'",', b""))


def make_line(before, seq, received_at, body, signature, key=KEY):
    """Returns (the line without its line break, its chain value)."""
    fingerprint = hashlib.sha256(key.encode()).hexdigest()[:8]
    head = f'{{"seq":{seq},"received_at":"{received_at}","key":"{fingerprint}","signature":"{signature}",'.encode()
    tail = b'"event":' + body + b"}"
    value = chain(before, head + tail)
    return head + f'"chain":"{value}",'.encode() + tail, value


def verify_journal(lab, keys=(KEY,)):
    """Checks that every line is JSON, numbered without a gap, chained and signed, and that no identifier is there twice. Returns
    {event id: number}."""
    value, numbers, requests = CHAIN_START, {}, set()
    for expected, line in enumerate(lab.lines(), 1):
        record = json.loads(line)
        check(record["seq"] == expected, "seq", record["seq"], "instead of", expected)
        member = b'"chain":"' + record["chain"].encode() + b'",'
        check(line.count(member) == 1, "no chain in", line)
        value = chain_of(value, line, record["chain"])
        check(record["chain"] == value, "the chain breaks at", expected)
        raw = line[line.index(b'"event":') + 8:-1]
        if record.get("verbatim", True):
            readings = [key.encode() for key in keys]
            for key in keys:
                with contextlib.suppress(ValueError):
                    readings.append(base64.b64decode(key, validate=True))
            check(record["signature"] in [sign(raw, key) for key in readings], "the signature does not match in line", expected)
        event, request = record["event"]["data"]["id"], record["event"]["meta"]["request_id"]
        check(event not in numbers and request not in requests, event, "is in the journal twice")
        numbers[event] = expected
        requests.add(request)
    return numbers


def hold_lock(path):
    """Takes the append lock as another process would. Returns the open file; closing it releases the lock."""
    lock = open(path, "r+b")
    fcntl.lockf(lock, fcntl.LOCK_EX)
    return lock
