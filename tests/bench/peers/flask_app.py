"""The peer in Python: the handler that Ring's documentation sketches for Flask, made durable."""

import hashlib
import hmac
import json
import os

from flask import Flask, request

KEY = open(os.environ["DOORPOST_KEY_FILE"]).read().strip().encode()
JOURNAL = os.open(os.environ["PEER_JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
seen = set()  # of this process, as such handlers have it
app = Flask(__name__)


@app.post("/doorpost")
def webhook():
    body = request.get_data()
    signature = request.headers.get("X-Signature", "").removeprefix("sha256=")
    if not hmac.compare_digest(hmac.new(KEY, body, hashlib.sha256).hexdigest(), signature):
        return {"status": "unauthorized"}, 401
    event = json.loads(body)
    if event["meta"]["request_id"] in seen:
        return {"status": "duplicate"}
    seen.add(event["meta"]["request_id"])
    os.write(JOURNAL, body + b"\n")
    os.fdatasync(JOURNAL)
    return {"status": "stored"}
