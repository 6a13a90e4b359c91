"""Deliveries as Ring sends them: bodies, signatures, and the samples in tests/vectors. HMAC comes from Python, not from Doorpost."""

import hashlib
import hmac
import http.client
import json
import pathlib
import threading

VECTORS = pathlib.Path(__file__).resolve().parents[1] / "vectors"
KEY = (VECTORS / "key.txt").read_text().strip()


def sign(body, key=KEY):
    return "sha256=" + hmac.new(key.encode() if isinstance(key, str) else key, body, hashlib.sha256).hexdigest()


def press(number, **meta):
    """The body of a press that differs from all others by its number (or name)."""
    device = f"device-{sum(str(number).encode()) % 5}"
    return json.dumps({
        "meta": {"version": "1.1", "time": "2026-02-14T00:02:53.027052438Z", "request_id": f"request-{number}",
                 "account_id": "account-1", **meta},
        "data": {"id": f"event-{number}", "type": "button_press",
                 "attributes": {"source": device, "source_type": "devices", "timestamp": 1771027372393},
                 "relationships": {"devices": {"links": {"self": f"/v1/devices/{device}"}}}}},
        separators=(",", ":")).encode()


def vectors():
    """(file name, body, key, signature) of each sample. `key` is the line for a key file."""
    for line in (VECTORS / "signatures.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            name, reading, signature = line.split("\t")
            key = (VECTORS / reading.split(" ")[0]).read_text().strip()
            yield name, (VECTORS / name).read_bytes(), key, signature


def load(send, bodies, clients=16):
    """Sends every body from `clients` threads at once. Returns {body: [(status, word, seq), ...]}; if no answer came,
    the status is 0."""
    queue, answers, lock = list(enumerate(bodies)), {}, threading.Lock()
    queue.reverse()

    def client():
        while True:
            with lock:
                if not queue:
                    return
                _, body = queue.pop()
            try:
                status, _, text = send(body, sign(body))
                parsed = json.loads(text) if status == 200 else {}
                result = status, parsed.get("status"), parsed.get("seq")
            except (OSError, http.client.HTTPException, TypeError):
                result = 0, None, None
            with lock:
                answers.setdefault(body, []).append(result)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
