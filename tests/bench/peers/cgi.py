#!/usr/bin/python3
"""The same job as a Python CGI script."""
import fcntl
import hashlib
import hmac
import json
import os
import sys

body = sys.stdin.buffer.read(int(os.environ["CONTENT_LENGTH"]))
key = open(os.environ["DOORPOST_KEY_FILE"]).read().strip().encode()
signature = os.environ.get("HTTP_X_SIGNATURE", "").removeprefix("sha256=")
if not hmac.compare_digest(hmac.new(key, body, hashlib.sha256).hexdigest(), signature):
    print("Status: 401 Unauthorized\r\n\r\n", end="")
    sys.exit()
event = json.loads(body)
with open(os.environ["PEER_JOURNAL"], "ab") as journal:
    fcntl.flock(journal, fcntl.LOCK_EX)
    journal.write(body + b"\n")
    journal.flush()
    os.fdatasync(journal.fileno())
print("Content-Type: application/json\r\n\r\n" + json.dumps({"status": "stored", "event_id": event["data"]["id"]}))
