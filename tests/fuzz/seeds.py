#!/usr/bin/env python3
"""seeds.py DIRECTORY: writes seeds for the fuzzers there: bodies, lines of a journal, and FastCGI requests."""

import json
import pathlib
import sys

from support.deliveries import vectors
from support.fastcgi import fastcgi_request
from support.journal import CHAIN_START, make_line

root, chain, lines = pathlib.Path(sys.argv[1]), CHAIN_START, b""
for kind in ("intake", "record", "records"):
    (root / kind).mkdir(parents=True, exist_ok=True)
for seq, (name, body, key, signature) in enumerate(vectors(), 1):
    (root / "intake" / name).write_bytes(body)
    (root / "records" / name).write_bytes(fastcgi_request(body, signature))
    line, chain = make_line(chain, seq, "2026-11-23T12:00:00.123456Z", json.dumps(json.loads(body)).encode(), signature, key)
    lines += line + b"\n"
    if seq in (1, 3):
        (root / "record" / f"{seq}-lines").write_bytes(lines)
