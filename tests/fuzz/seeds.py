#!/usr/bin/env python3
"""seeds.py DIRECTORY: writes the fuzzers' seeds there: bodies, journal lines, and FastCGI requests."""

import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from lab import fastcgi_request, vectors  # noqa: E402

root, chain, lines = pathlib.Path(sys.argv[1]), "0" * 32, b""
for kind in ("intake", "record", "records"):
    (root / kind).mkdir(parents=True, exist_ok=True)
for seq, (name, body, _, signature) in enumerate(vectors(), 1):
    (root / "intake" / name).write_bytes(body)
    (root / "records" / name).write_bytes(fastcgi_request(body, signature))
    head = f'{{"seq":{seq},"received_at":"2026-11-23T12:00:00.123456Z","key":"69ffb5b9","signature":"{signature}",'.encode()
    event = b'"event":' + json.dumps(json.loads(body)).encode() + b"}"
    chain = hashlib.blake2b(chain.encode() + head + event, digest_size=16).hexdigest()
    lines += head + b'"chain":"' + chain.encode() + b'",' + event + b"\n"
    if seq in (1, 3):
        (root / "record" / f"{seq}-lines").write_bytes(lines)
