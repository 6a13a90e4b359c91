"""The table of answers, a row after the other, for whatever server passes requests on."""

import json

from support.assertions import check
from support.deliveries import press, sign
from support.journal import verify_journal
from support.laboratory import Lab


def send(server, lab, body, signature, content_type="application/json", coding=None):
    file = lab.path / "body"
    file.write_bytes(body)
    fields = ["-H", f"X-Signature: {signature}"] if signature is not None else []
    fields += ["-H", f"Transfer-Encoding: {coding}"] if coding else []
    return server.curl("-H", f"Content-Type: {content_type}", *fields, "--data-binary", f"@{file}")


def expect(answer, status, word, **members):
    got_status, fields, body = answer
    check(got_status == status, "status", got_status, "not", status, body)
    check(fields.get("Content-Type") == "application/json", fields)
    check(fields.get("Cache-Control") == "no-store", fields)
    parsed = json.loads(body)
    check(parsed["status"] == word, parsed, "not", word)
    for name, value in members.items():
        check(parsed.get(name) == value, name, "is", parsed.get(name), "not", value)
    return fields, body


def every_row_of_the_table(start, without_length=411, methods=("GET", "PUT", "DELETE"), chunks=True, other_paths=()):
    """`start` starts the server. `without_length` is the status for a request that has neither length nor body, `methods` are
    those that the server passes on, `chunks` tells whether it takes bodies in chunks, `other_paths` are those that it must refuse."""
    with Lab(MAX_AGE="36500d") as lab:
        server = start(lab)
        one = press(1)
        expect(send(server, lab, one, sign(one)), 200, "stored", event_id="event-1", seq=1)
        expect(send(server, lab, one, sign(one)), 200, "duplicate", event_id="event-1", seq=1)
        same_request = press(2, request_id="request-1")
        expect(send(server, lab, same_request, sign(same_request)), 200, "duplicate", seq=1)
        unknown = press(3).replace(b"button_press", b"telepathy").replace(b'"type"', b'"mood":{"new":[1]},"type"')
        expect(send(server, lab, unknown, sign(unknown)), 200, "stored", seq=2)
        plain = press(4)  # the signature says more than a content type
        expect(send(server, lab, plain, sign(plain)[7:].upper(), "text/plain"), 200, "stored", seq=3)

        missing = press(5).replace(b'"request_id":"request-5",', b"")
        expect(send(server, lab, missing, sign(missing)), 400, "rejected", reason="meta.request_id is missing")
        broken = b'{"meta":'
        expect(send(server, lab, broken, sign(broken)), 400, "rejected")
        stale = press(6, time="1900-01-01T00:00:00Z")
        expect(send(server, lab, stale, sign(stale)), 400, "rejected", reason="stale")

        refused = set()
        for signature in (None, "", "sha256=", "nonsense", sign(one)[:-1], sign(one)[:-1] + "g", sign(b"other"),
                          sign(one, "another key altogether")):
            refused.add(expect(send(server, lab, one, signature), 401, "unauthorized")[1])
        check(len(refused) == 1, "401 has several bodies:", refused)

        expect(send(server, lab, b"x" * 65537, "sha256=" + "0" * 64), 413, "too_large")
        large = press(7).replace(b'"relationships"', b'"filler":"' + b"x" * 64000 + b'","relationships"')
        expect(send(server, lab, large, sign(large)), 200, "stored", seq=4)
        for method in methods:
            fields, _ = expect(server.curl("-X", method), 405, "method_not_allowed")
            check(fields.get("Allow") == "POST", fields)
        head, _, rest = server.raw(f"HEAD {server.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()).partition(b"\r\n\r\n")
        check(b" 405 " in head and b"\r\nallow: post" in head.lower() and not rest, head, rest)
        status, _, _ = server.curl("-X", "POST")
        check(status == without_length, status, "for no length")
        seq = 5
        if chunks:
            expect(send(server, lab, press(9), sign(press(9)), coding="chunked"), 200, "stored", seq=seq)
            seq += 1

        for path in other_paths:
            status, _, _ = server.request(one, sign(one), path=path)
            check(status in (403, 404), path, "is open:", status)

        lab.key_file.chmod(0o644)
        fields, _ = expect(send(server, lab, press(8), sign(press(8))), 503, "unavailable")
        check(int(fields["Retry-After"]) > 0, fields)
        lab.key_file.chmod(0o640)
        expect(send(server, lab, press(8), sign(press(8))), 200, "stored", seq=seq)

        check(len(verify_journal(lab)) == seq, "not", seq, "lines")
        rejected = [json.loads(line) for path in (lab.journal / "rejected").iterdir()
                    for line in path.read_text().splitlines()]
        check([line["reason"].split(":")[0] for line in rejected] ==
              ["meta.request_id is missing", "the body is not valid JSON", "stale"], rejected)
