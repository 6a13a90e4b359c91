"""Every row of the table of answers and every sample, by curl, through each web server as it ships."""

import json

from lab import KEY, Lab, check, press, run_tests, sign, vectors, verify_journal
from servers import apache_fcgid, for_each_server

OLD_KEY = "retired-signing-key-of-last-year"


def send(server, lab, body, signature, content_type="application/json"):
    file = lab.path / "body"
    file.write_bytes(body)
    fields = ["-H", f"X-Signature: {signature}"] if signature is not None else []
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


def every_row_of_the_table(start):
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
        for method in ("GET", "PUT", "DELETE"):
            fields, _ = expect(server.curl("-X", method), 405, "method_not_allowed")
            check(fields.get("Allow") == "POST", fields)
        # Without a length: lighttpd says 411 itself, others leave it to Doorpost, mod_fcgid makes it a length of 0.
        status, _, _ = server.curl("-X", "POST")
        check(status == (401 if start is apache_fcgid else 411), status, "for no length")

        for path in ("/", "/doorpost/", "/doorpost/x", "/doorpostx", "/doorpost.cgi", "/.htaccess"):
            status, _, _ = server.request(one, sign(one), path=path)
            check(status in (403, 404), path, "is open:", status)

        lab.key_file.chmod(0o644)
        fields, _ = expect(send(server, lab, press(8), sign(press(8))), 503, "unavailable")
        check(int(fields["Retry-After"]) > 0, fields)
        lab.key_file.chmod(0o600)
        expect(send(server, lab, press(8), sign(press(8))), 200, "stored", seq=5)

        check(len(verify_journal(lab)) == 5, "not five lines")
        rejected = [json.loads(line) for path in (lab.journal / "rejected").iterdir()
                    for line in path.read_text().splitlines()]
        check([line["reason"].split(":")[0] for line in rejected] ==
              ["meta.request_id is missing", "the body is not JSON", "stale"], rejected)


def every_sample(start):
    with Lab() as lab:
        server = start(lab)
        lab.write_keys(KEY, OLD_KEY)
        count = 0
        for name, body, _, signature in vectors():
            event = json.loads(body)["data"]["id"]
            count += 1
            expect(send(server, lab, body, signature), 200, "stored", event_id=event, seq=count)
            expect(send(server, lab, body, signature), 200, "duplicate", event_id=event, seq=count)
            expect(send(server, lab, body + b"\n", signature), 401, "unauthorized")
        check(count == 17 and len(verify_journal(lab, (KEY, OLD_KEY))) == 17, "not all samples are kept")
        for line, (name, body, _, _) in zip(lab.lines(), vectors()):
            kept = line[line.index(b'"event":') + 8:-1]
            check(kept == body.replace(b"\n", b" "), name, "was not kept byte for byte")


run_tests(*for_each_server(every_row_of_the_table), *for_each_server(every_sample))
