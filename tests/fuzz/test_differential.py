#!/usr/bin/env python3
"""Compares the event parser with Python's json. Bodies are generated, changed by byte, token and member, and given to both:
both must accept the same bodies as JSON and read the same values, except for the DIFFERENCES below.

INPUTS bodies (20000) are generated from SEED by JOBS processes (1). `make differential-fuzz` does ten million."""

import collections
import json
import multiprocessing
import os
import pathlib
import random
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

from support.assertions import check
from support.runner import run_tests

INPUTS, JOBS = int(os.environ.get("INPUTS", "20000")), int(os.environ.get("JOBS", "1"))
SEED = os.environ.get("SEED", "20261123")
BATCH = 2000  # bodies for each process of the parser

# ---- what Python says ----


class Number:
    """A number with a fraction or an exponent, as it is written."""

    def __init__(self, written):
        self.written = written


def refuse(constant):
    raise ValueError(constant)


DECODER = json.JSONDecoder(parse_constant=refuse, parse_float=Number)
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F])|\\.")


def too_deep(data):
    depth = deepest = 0
    if data.count(b"[") + data.count(b"{") > 64:
        for character in STRING.sub(b"", data):
            depth += (character in b"[{") - (character in b"]}")
            deepest = max(deepest, depth)
    return deepest > 64


def lone_surrogate(data):
    return b"\\u" in data and any(found.group(1) for found in ESCAPE.finditer(data))


def nul_in_name(data):
    found = []
    if b"\\u0000" in data:
        json.loads(data, object_pairs_hook=lambda pairs: found.extend(name for name, _ in pairs if "\0" in name))
    return bool(found)


# Bodies that Python accepts and we refuse: our reason, the function that recognizes such a body, and why.
DIFFERENCES = [
    ("the body is nested deeper than 64 levels", too_deep, "a limit: what Ring sends has six levels"),
    ("the body is not valid JSON", lone_surrogate, "no character: json-c reads U+FFFD, which would make two identifiers one"),
    ("a member name contains a NUL character", nul_in_name, "json-c cuts the name there, and would take it for another one"),
]

# ---- what makes an event usable ----


class Unusable(Exception):
    pass


def member(value, name):
    return value.get(name) if isinstance(value, dict) else None


def text(value, name, path):
    found = member(value, name)
    size = len(found.encode()) if isinstance(found, str) else 0
    for wrong, what in ((found is None, "is missing"), (not isinstance(found, str), "is not a string"), (found == "", "is empty"),
                        (size > 512, "is longer than 512 bytes"), (size > 0 and "\0" in found, "contains a NUL character")):
        if wrong:
            raise Unusable(f"{path} {what}")
    return found


def either(*attempts):
    """The result of the first attempt that succeeds."""
    for attempt in attempts:
        try:
            return attempt()
        except Unusable:
            pass
    return ""


def timestamp(attributes):
    found, path = member(attributes, "timestamp"), "data.attributes.timestamp"
    if found is None:
        raise Unusable(f"{path} is missing")
    limit = 2**63 - 2
    if isinstance(found, Number):
        mantissa, _, exponent = found.written.lower().partition("e")
        whole, _, places = mantissa.partition(".")
        limit, found, exponent = 2**53, int(whole + places), int(exponent or 0) - len(places)
        while found and found % 10 == 0:
            found, exponent = found // 10, exponent + 1
        if found and exponent < 0:
            raise Unusable(f"{path} is not an integer")
        found *= 10 ** min(max(exponent, 0), 40)
    if type(found) is not int:
        raise Unusable(f"{path} is not an integer")
    if abs(found) > limit:
        raise Unusable(f"{path} is out of range")
    return found


def fields(payload):
    """The fields of a payload, in the order of verdicts.c. Raises Unusable if it is not an event."""
    if not isinstance(payload, dict):
        raise Unusable("the body is not a JSON object")
    meta, data = payload.get("meta"), payload.get("data")
    for name, value in (("meta", meta), ("data", data)):
        if not isinstance(value, dict):
            raise Unusable(f"{name} is missing or not an object")
    attributes = data.get("attributes")
    request, event, kind = text(meta, "request_id", "meta.request_id"), text(data, "id", "data.id"), text(data, "type", "data.type")
    account = either(lambda: text(meta, "account_id", ""))
    if kind == "button_press":
        if meta.get("version") == "1.1":
            text(meta, "account_id", "meta.account_id")
        device, sub_type = text(attributes, "source", "data.attributes.source"), ""
        if text(attributes, "source_type", "data.attributes.source_type") != "devices":
            raise Unusable("data.attributes.source_type of a press must be devices")
        when = timestamp(attributes)
    else:
        sub_type = either(lambda: text(attributes, "sub_type", ""), lambda: text(data, "subType", ""))
        device = either(lambda: text(attributes, "source", "")) if member(attributes, "source_type") == "devices" else ""
        when = either(lambda: timestamp(attributes)) or 0
    return [request, event, kind, account, device, sub_type, str(when), "" if meta.get("time") is None else "given"]


def difference(body, answer):
    """The error in the parser's answer, or None."""
    verdict, *said = answer
    if verdict == "trouble":
        return "json-c does not take it"
    try:
        payload = DECODER.decode(body.decode())
    except ValueError:
        right = said[0].startswith("the body is not valid JSON") or (said[0] == DIFFERENCES[0][0] and body.count(b"[") + body.count(b"{") > 64)
        return None if verdict == "refused" and right else "Python does not take it as JSON"
    reasons = [reason for reason, predicate, _ in DIFFERENCES if predicate(body)]
    if reasons:
        return None if verdict == "refused" and said[0] in reasons else f"should be refused: {reasons[0]}"
    try:
        wanted = fields(payload)
    except Unusable as reason:
        return None if (verdict, said) == ("refused", [str(reason)]) else f"should be refused: {reason}"
    return None if verdict == "taken" and said in (wanted, wanted + wanted[:2]) else f"should be taken: {wanted}"


# ---- the bodies ----

TEXTS = [b'"%s"' % text for text in (
    b"", b"a", b"id", b"request_id", b"devices", b"users", b"button_press", b"motion_detected", b"1.1", b"1.0", b"simulated",
    b"2026-02-14T00:02:53Z", "Ü€🔔".encode(), b"a b", b"\\u0061", b"\\u00DC\\u20ac", b"\\ud83d\\udd14", b"button\\u005fpress",
    b"\\\"\\\\\\/\\b\\f\\n\\r\\t", b"a\\\\u0000", b"\\u0000", b"a\\u0000b", b"\\ud800", b"\\udc00", b"\\udd14\\ud83d", b"\\ud800\\ud800\\udc00", b"\\ud800\\ue000",
    b"\\uDBFF\\uDFFF", b"\\ud800x", b"\\ud800\\n", b"\\\\ud800", b"\\x", b"\\u12g4", b"\\u12", b"\\U0041", b"\\'", b"\x00", b"\x1f", b"\x7f", b"\t", b"\n",
    b"\xff", b"\xc0\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\x80",
    b"'", b"//", b"/*", b"NaN", b"x" * 7, b"x" * 8, b"x" * 9, b"xxxxxxx\\u0041", b"xxxxxxx\x01", b"xxxxxxx\xc3\x9c", b"xxx\x1fxxxxxxxx", b"xxx\x80xxxxxxxx", b"xxx\\qxxxxxxxx", b"xxx\\nxxxxxxxx", b"x" * 512, b"x" * 513, b"\xc3\x9c" * 257)]
NUMBERS = (b"0 -0 1 17 -1 1771027372393 9007199254740993 9223372036854775806 9223372036854775807 9223372036854775808 -9223372036854775808 "
           b"18446744073709551615 18446744073709551616 99999999999999999999999 1771027372393.0 1.771027372393e12 1771027372393.5 1.5 -0.0 0e9 0E-9 "
           b"1e3 15e-1 150e-1 1E+2 1e-2 9007199254740992.0 9007199254740993.0 1e15 1e16 1e400 1e-400 1e99999 1e-99999 0.1e1 123456789.000000000000000001 "
           b"01 -01 00 1. .5 +1 1e 1e+ - -a 0x10 1_0 1e5.5 -Infinity Infinity NaN nan 1-2 1e1e1").split()
WORDS = b"null null true false nul True NULL truefalse tru\x00 undefined".split(b" ")
NAME_TEXTS = [b'"%s"' % name for name in (
    b"x", b"y", b"", b"meta", b"data", b"id", b"type", b"request_id", b"account_id", b"version", b"time", b"attributes", b"source", b"source_type",
    b"timestamp", b"sub_type", b"subType", b"ID", b"id ", b"\\u0069d", b"request\\u005fid", b"m\\u0065ta", b"\\u0000", b"id\\u0000", b"request_id\\u0000x",
    b"id\\\\u0000", "Ü".encode(), b"\xff", b"\\ud800", b"__proto__")]
MARKS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\n", b"\r\n", b"\t", b"\f", b"\v", b"\xa0", b"\x00", b"//", b"/**/", b"\xef\xbb\xbf", b"\xe2\x80\xa8"]
TOKENS = TEXTS + NUMBERS + WORDS + NAME_TEXTS + MARKS * 4


def mostly_right(pool):
    """The pool with its valid JSON three times in it."""
    def is_json(token):
        try:
            DECODER.decode(token.decode())
        except ValueError:
            return False
        return not lone_surrogate(token)
    return pool + 2 * [token for token in pool if is_json(token)]


TEXTS, NUMBERS, WORDS, NAME_TEXTS = map(mostly_right, (TEXTS, NUMBERS, WORDS, NAME_TEXTS))
BYTES = b'"\\{}[]:,\n\0 9-e.u\xc3\x9c\xff0truefalsn'


class Maker:
    """Generates bodies from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, depth=0):
        """The tokens of any value."""
        draw = self.random.random()
        if draw < 0.4 or depth > 3:
            return [self.random.choice(TEXTS)]
        if draw < 0.7:
            return [self.random.choice(NUMBERS if draw < 0.6 else WORDS)]
        if draw < 0.72:
            return self.nested(self.random.randrange(56, 70))
        count = self.random.randrange(3)
        if draw < 0.85:
            return [b"[", *self.joined([self.value(depth + 1) for _ in range(count)]), b"]"]
        return self.object([(self.random.choice(NAME_TEXTS), self.value(depth + 1)) for _ in range(count)])

    def nested(self, levels):
        opening = [self.random.choice((b"[", b'{"x":')) for _ in range(levels)]
        inner = [b"1"] if opening[-1] != b"[" or self.random.random() < 0.5 else []
        return opening + inner + [b"]" if mark == b"[" else b"}" for mark in reversed(opening)]

    @staticmethod
    def joined(values):
        tokens = [token for value in values for token in (*value, b",")]
        return tokens[:-1]

    def object(self, members):
        return [b"{", *self.joined([[name, b":", *value] for name, value in members]), b"}"]

    def members(self, usual):
        """An object with these members; sometimes one is omitted, odd, repeated, misspelled or followed by another."""
        members = []
        for name, value in usual:
            value = value if isinstance(value, list) else [value]
            draw = self.random.random()
            name = b'"%s"' % name
            if draw < 0.02:
                continue
            if draw < 0.05:
                value = self.value()
            elif draw < 0.07:
                members.append((name, self.value()))
            elif draw < 0.09:
                at = self.random.randrange(1, len(name) - 1)
                name = name[:at] + b"\\u%04x" % name[at] + name[at + 1:]
            elif draw < 0.12:
                members.append((self.random.choice(NAME_TEXTS), self.value()))
            elif draw < 0.13:
                members.insert(0, (name, value))
                continue
            members.append((name, value))
        return self.object(members)

    def event(self):
        kind = b'"motion_detected"' if self.random.random() < 0.3 else b'"button_press"'
        meta = [(b"version", b'"1.1"'), (b"time", b'"2026-02-14T00:02:53Z"'), (b"request_id", b'"r"'), (b"account_id", b'"a"')]
        attributes = [(b"source", b'"d"'), (b"source_type", b'"devices"'), (b"timestamp", b"1771027372393")]
        if self.random.random() < 0.1:
            meta[0] = (b"version", self.random.choice((b'"1.0"', b'"1.1\\u0000"', b'"1\\u002e1"', b"1.1")))
            meta[3] = (b"account_id", self.value())
        if self.random.random() < 0.1:
            attributes.append((b"sub_type", b'"human"'))
        if self.random.random() < 0.2:
            attributes[2] = (b"timestamp", self.random.choice(NUMBERS))
        data = [(b"id", b'"i"'), (b"type", kind), (b"attributes", self.members(attributes))]
        return self.members([(b"meta", self.members(meta)), (b"data", self.members(data))])

    def change_tokens(self, tokens):
        for _ in range(self.random.randrange(1, 4)):
            at, draw = self.random.randrange(len(tokens)), self.random.random()
            if draw < 0.25:
                tokens[at] = self.random.choice(TOKENS)
            elif draw < 0.5:
                tokens.insert(at, self.random.choice(TOKENS))
            elif draw < 0.65 and len(tokens) > 1:
                del tokens[at]
            elif draw < 0.8:
                tokens[at:at] = tokens[at:at + self.random.randrange(1, 9)]
            else:
                other = self.random.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
        return tokens

    def change_bytes(self, body):
        body = bytearray(body)
        for _ in range(self.random.randrange(1, 4)):
            at, draw = self.random.randrange(len(body) or 1), self.random.random()
            if draw < 0.35:
                body[at:at + 1] = bytes([self.random.choice(BYTES)])
            elif draw < 0.5:
                body[at:at + 1] = bytes([self.random.randrange(256)])
            elif draw < 0.65:
                body[at:at] = bytes([self.random.choice(BYTES)])
            elif draw < 0.8:
                del body[at:at + self.random.randrange(1, 9)]
            elif draw < 0.95:
                body[at:at] = body[at:at + self.random.randrange(1, 17)]
            else:
                del body[at:]
        return bytes(body)

    def body(self):
        draw = self.random.random()
        if draw < 0.04:
            return b"".join(self.random.choice(TOKENS) for _ in range(self.random.randrange(9)))
        if draw < 0.08:
            return b"".join(self.value())
        tokens = self.event()
        if draw < 0.25:
            tokens = self.change_tokens(tokens)
        elif draw < 0.3:
            tokens.insert(self.random.choice((0, len(tokens))), self.random.choice(MARKS + WORDS))
        body = b"".join(tokens) if draw < 0.6 else b" \n".join(tokens) if draw < 0.65 else b"\t".join(tokens)
        return self.change_bytes(body) if draw > 0.8 else body


# ---- the comparison ----

def answers(bodies):
    """The answer of build/check/verdicts to each body."""
    asked = b"".join(struct.pack("=I", len(body)) + body for body in bodies)
    said = subprocess.run([ROOT / "build/check/verdicts"], input=asked, capture_output=True)
    check(said.returncode == 0, said.returncode, said.stderr.decode(errors="replace"))
    at = 0
    while at < len(said.stdout):
        (length,) = struct.unpack_from("=I", said.stdout, at)
        yield [field.decode() for field in said.stdout[at + 4:at + 4 + length].split(b"\0")[:-1]]
        at += 4 + length


def compare(number):
    """Compares one batch. Returns the count of each answer, and the differences."""
    maker = Maker(f"{SEED}/{number}")
    bodies = [maker.body() for _ in range(min(BATCH, INPUTS - number * BATCH))]
    counts, differences = collections.Counter(), []
    for body, answer in zip(bodies, answers(bodies), strict=True):
        counts[answer[0] if answer[0] == "taken" else answer[1]] += 1
        counts["identifiers told at once"] += len(answer) == 11
        wrong = difference(body, answer)
        if wrong:
            differences.append(f"{body!r}: {wrong}; the parser says {answer}")
    return counts, differences


def python_and_the_parser_agree():
    counts, differences = collections.Counter(), []
    with multiprocessing.Pool(JOBS) as pool:
        for counted, found in pool.imap_unordered(compare, range(-(-INPUTS // BATCH))):
            counts += counted
            differences += found
    total = counts.total() - counts["identifiers told at once"]
    check(not differences, f"{len(differences)} differences in {total} bodies (SEED={SEED}):\n" + "\n".join(differences[:20]))
    check(total == INPUTS, total, "bodies were compared")
    for reason, _, _ in DIFFERENCES:
        check(counts[reason] or INPUTS < 20000, "no body was refused because", reason)
    if len(sys.argv) > 1 or os.environ.get("VERBOSE"):
        print("\n".join(f"# {reason}: {count}" for reason, count in counts.most_common()))
    print(f"# {total} bodies: {counts['taken']} taken by both, {total - counts['taken']} refused, {len(DIFFERENCES)} known differences, no other")


if __name__ == "__main__":
    run_tests(python_and_the_parser_agree)
