"""Every row of the table of answers and every sample, by curl, through each web server as it ships."""

import json

import answers
from answers import expect, send
from support.assertions import check
from support.deliveries import KEY, vectors
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests
from support.servers import apache_fcgid, for_each_server

OLD_KEY = "retired-signing-key-of-last-year"


def every_row_of_the_table(start):
    # Without a length: lighttpd says 411 itself, others leave it to Doorpost, mod_fcgid makes it a length of 0.
    answers.every_row_of_the_table(start, without_length=401 if start is apache_fcgid else 411,
                                   other_paths=("/", "/doorpost/", "/doorpost/x", "/doorpostx", "/doorpost.cgi", "/.htaccess"))


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
