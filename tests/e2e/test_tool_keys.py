"""Keys: rotation while deliveries flow; and signatures by hand, with what is wrong when they do not hold."""

import base64
import gzip
import hashlib
import hmac
import itertools
import json
import os
import subprocess
import threading
import urllib.parse

from support.assertions import check, wait_for
from support.deliveries import KEY, press, sign, vectors
from support.laboratory import TOOL, Lab, open_terminal
from support.runner import run_tests
from support.servers import lighttpd_fastcgi

NEW = "bmV3LWRvb3Jwb3N0LXNpZ25pbmcta2V5LW9mLTMyLWI="


def listed(lab):
    return {one["fingerprint"]: one for one in json.loads(lab.tool("key", "list", "--json").ok().stdout)}


def a_rotation_loses_no_delivery():
    with Lab() as lab:
        server = lighttpd_fastcgi(lab)
        answers, stop = {KEY: [], NEW: []}, {KEY: threading.Event(), NEW: threading.Event()}

        def send(key):
            number = 0
            while not stop[key].is_set():
                body = press(f"{key[:4]}-{number}")
                answers[key].append(server.request(body, sign(body, key))[0])
                number += 1
        old, new = (threading.Thread(target=send, args=(key,)) for key in (KEY, NEW))
        old.start()
        try:
            wait_for(lambda: len(answers[KEY]) > 20, "deliveries with the old key")
            lab.tool("key", "add", input=NEW + "\n").ok()
            new.start()  # Ring signs with the old key until the new one is set there, and for some time after
            wait_for(lambda: len(answers[NEW]) > 50 and len(answers[KEY]) > 50, "deliveries with both keys")
            stop[KEY].set()
            old.join()
            lab.tool("key", "retire", "69ffb5b9").ok()
            after = len(answers[NEW])
            wait_for(lambda: len(answers[NEW]) > after + 50, "deliveries with the new key alone")
        finally:
            for key, thread in ((KEY, old), (NEW, new)):
                stop[key].set()
                if thread.ident:
                    thread.join()
        check(set(answers[KEY] + answers[NEW]) == {200}, "a delivery was lost:", set(answers[KEY] + answers[NEW]))
        check(len(lab.lines()) == len(answers[KEY]) + len(answers[NEW]), "lines")
        wait_for(lambda: server.request(press("late"), sign(press("late")))[0] == 401, "the old key to be refused")


def keys_are_listed_and_never_told():
    with Lab() as lab:
        result = lab.tool("key", "list").ok()
        check("69ffb5b9  line 1 as text" in result.stdout and "as base64" in result.stdout, result)
        check(KEY not in result.stdout, "the key is shown")
        fingerprint = hashlib.sha256(base64.b64decode(KEY)).hexdigest()[:8]
        check(listed(lab)[fingerprint] == {"fingerprint": fingerprint, "reading": "base64", "line": 1}, listed(lab))


def comments_mode_and_other_lines_stay():
    with Lab() as lab:
        lab.key_file.write_text(f"# the first\n{KEY}\n")
        lab.key_file.chmod(0o640)
        lab.tool("key", "add", "--from", "-", input="# from Ring, in March\n" + NEW).ok()
        check(lab.key_file.read_text() == f"# the first\n{KEY}\n# from Ring, in March\n{NEW}\n", lab.key_file.read_text())
        lab.tool("key", "retire", [name for name, one in listed(lab).items() if one["line"] == 2][0][:6]).ok()
        check(lab.key_file.read_text() == f"# the first\n# from Ring, in March\n{NEW}\n", lab.key_file.read_text())
        check(lab.key_file.stat().st_mode & 0o777 == 0o640, "mode")
        check(sorted(path.name for path in lab.path.glob("keys*")) == ["keys"], "left behind")


def what_would_break_the_key_file_is_refused():
    with Lab() as lab:
        before = lab.key_file.read_text()
        check("shorter than 16 bytes" in lab.tool("key", "add", input="short\n").fails().stderr, "short")
        check("contains no key" in lab.tool("key", "retire", "69ffb5b9").fails().stderr, "the last one")
        check("no key has the fingerprint" in lab.tool("key", "retire", "00000000").fails().stderr, "unknown")
        check("do not pass a key on the command line" in lab.tool("key", "add", NEW).fails(2).stderr, "on the command line")
        check(lab.key_file.read_text() == before, "changed")
        lab.write_keys(KEY + "\0", "# another")
        damaged = lab.key_file.read_bytes()
        check("line 1: the key contains the invisible character U+0000" in lab.tool("key", "add", input=NEW + "\n").fails().stderr, "NUL")
        check(lab.key_file.read_bytes() == damaged, "changed")
        lab.key_file.unlink()
        check("No such file" in lab.tool("key", "list").fails().stderr, "missing")


def nothing_is_no_key_to_add():
    with Lab() as lab:
        before = lab.key_file.read_text()
        for nothing in ("", "\n", " \t\r\n", "# the new key comes here\n", "\ufeff# a comment\n"):
            for source in ([], ["--from", "-"]):
                result = lab.tool("key", "add", *source, input=nothing).fails()
                check("nothing was added" in result.stderr and not result.stdout, nothing, result)
        path = lab.path / "new"
        for text in (NEW.encode("utf-16"), NEW.encode("utf-16-be"), NEW.encode() + b"\0", f"# of March\n{NEW}\n\0".encode()):
            path.write_bytes(text)
            check("nothing was added: the new key is UTF-16 or has NUL characters" in lab.tool("key", "add", "--from", path).fails().stderr, text)
        check("is not base64" in lab.tool("key", "add", input=f'"{NEW}"').ok().stderr, "quotation marks")
        lab.write_keys(KEY)
        path.write_text(NEW + " " + NEW)
        check("line 2: text after the key" in lab.tool("key", "add", "--from", path).fails().stderr, "two keys on a line")
        check(lab.key_file.read_text() == before, "changed")
        path.write_bytes(b"\xef\xbb\xbf" + NEW.encode() + b"  # of March\r\n")
        lab.tool("key", "add", "--from", path).ok()
        check(hashlib.sha256(NEW.encode()).hexdigest()[:8] in listed(lab), listed(lab))


def a_key_is_asked_for_without_echo():
    with Lab() as lab:
        terminal = open_terminal()
        if not terminal:
            return "no terminal can be had here"
        master, slave = terminal
        process = subprocess.Popen([TOOL, "key", "add"], stdin=slave, stdout=subprocess.PIPE, stderr=slave, env=lab.environment(),
                                   start_new_session=True)
        os.close(slave)
        shown = b""
        while b"not shown): " not in shown:
            shown += os.read(master, 1024)
        os.write(master, NEW.encode() + b"\n")
        check(b"Added" in process.communicate()[0] and process.returncode == 0, "not added")
        os.set_blocking(master, False)
        try:
            shown += os.read(master, 1024)
        except OSError:
            pass
        os.close(master)
        check(NEW.encode() not in shown and NEW in lab.key_file.read_text(), shown)


def sign_makes_rings_signatures():
    with Lab() as lab:
        for name, body, key, signature in vectors():
            lab.write_keys(key)
            path = lab.path / "body"
            path.write_bytes(body)
            made = [lab.tool("sign", *reading, path) for reading in ([], ["--base64"])]
            check(signature in [one.stdout.strip() for one in made], name)
            good = lab.tool("verify-signature", "--signature", signature, path).ok()
            check("good" in good.stdout, good)
        check(lab.tool("sign", input="x").ok().stdout == lab.tool("sign", "-", input="x").ok().stdout, "standard input")


def the_usual_mistakes_are_named():
    with Lab() as lab:
        body = json.dumps(json.loads(press(1)), indent=1).encode() + b"\n"
        compact = press(1)
        digest = hmac.new(KEY.encode(), compact, hashlib.sha256).digest()
        spaced = json.dumps(json.loads(compact)).encode()
        for sent, signature, told in (
                (compact, sign(compact + b"\n"), "with a final line break"),
                (compact + b"\n", sign(compact), "without the final line break"),
                (body, sign(compact), "serialized differently"),
                (compact, sign(spaced), "json.dumps()"),
                (body, sign(body.replace(b"\n", b"")), "without line breaks"),
                (compact, sign(compact, KEY + "\n"), "with a line break after it"),
                (compact, sign(compact, KEY + "\r\n"), "with CR LF after it"),
                (compact, "sha256=" + base64.b64encode(digest).decode(), "in hexadecimal"),
                (compact, base64.urlsafe_b64encode(digest).decode().rstrip("="), "in hexadecimal"),
                (compact, sign(compact)[:-1], "has 63 digits"),
                (compact, sign(compact) + "0", "has 65 digits"),
                (compact, "sha256=" + "0" * 128, "SHA-512"),
                (compact, sign(compact)[:-1] + "x", "character 64"),
                (compact, sign(compact, "another key of some length"), "no configured key matches")):
            path = lab.path / "body"
            path.write_bytes(sent)
            result = lab.tool("verify-signature", "-s", signature, path).fails()
            check(told in result.stderr and KEY not in result.stderr, told, "was expected:", result)
        lab.write_keys(hashlib.sha256(b"x").hexdigest())
        result = lab.tool("verify-signature", "-s", sign(compact, hashlib.sha256(b"x").digest()), input=compact.decode()).fails()
        check("decoded from hexadecimal" in result.stderr, result)


def changed_bodies_are_named():
    with Lab() as lab:
        body = press(1)
        event = json.loads(body)
        pretty = json.dumps(event, indent=2).encode()
        lab.receive(body)
        lab.receive(b"[]")
        line, rejected = lab.segment().read_bytes(), max((lab.journal / "rejected").iterdir()).read_bytes()
        umlaut = press("Haustür 🔔")
        name = "ünïcode 🔔 \\" .encode()
        form = urllib.parse.quote_plus(body).encode()
        gateway = {"headers": {}, "isBase64Encoded": False, "body": body.decode()}
        shuffled = json.dumps(event, sort_keys=True, separators=(",", ":")).encode()
        part = b'--xyz\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + body + b"\r\n--xyz--\r\n"
        # One document as JavaScript, Python and PHP, PHP, Go, Gson, and .NET print it; spaced, and indented.
        printed = [b'{"a":"%s","b":[],"c":[1,{"d":null}]}' % value.encode() for value in (
            "ü🔔/<&=", r"\u00fc\ud83d\udd14/<&=", r"\u00fc\ud83d\udd14\/<&=", r"ü🔔/\u003c\u0026=", r"ü🔔/\u003c\u0026\u003d",
            r"\u00FC\uD83D\uDD14/\u003C\u0026=")]
        printed += [json.dumps(json.loads(printed[0]), **how).encode() for how in ({}, {"indent": 2}, {"indent": 4, "ensure_ascii": False}, {"indent": "\t"})]
        event_of_others = press("Ann & Bob's").replace(b'"meta"', b'"extra":{"z":1,"a":2},"meta"')
        odd = b'{"a\\\\":"b\\"c, d: e","f":[1,2]}'
        for have, signed, told in (
                (b"\xef\xbb\xbf" + body, body, "without the byte order mark"),
                (b"\xef\xbb\xbf" + body + b"\r\n", body, "without the byte order mark"),
                (body, b"\xef\xbb\xbf" + body, "with a byte order mark"),
                (body.decode().encode("utf-16"), body, "the file is UTF-16"),
                ((name.decode() + "\r\n").encode("utf-16"), name, "the file is UTF-16"),
                (umlaut.decode().encode("utf-16-le"), umlaut, "the file is UTF-16"),
                (umlaut.decode().encode("utf-16-be"), umlaut, "UTF-16 (big-endian)"),
                (pretty.replace(b"\n", b"\r\n"), pretty, "LF instead of CR LF"),
                (pretty, pretty.replace(b"\n", b"\r\n"), "CR LF instead of LF"),
                (b"  " + body + b" \n", body, "without the leading and trailing white space"),
                (gzip.compress(body), body, "gunzipped"),
                (base64.b64encode(body), body, "decoded from base64"),
                (base64.urlsafe_b64encode(umlaut).rstrip(b"="), umlaut, "decoded from base64"),
                (base64.encodebytes(body), body, "decoded from base64"),
                (form, body, "decoded as a form"), (form + b"=", body, "decoded as a form"), (body + b"=", body, "decoded as a form"),
                (b"payload=" + form + b"&x=1", body, "value of the form's field"),
                (part, body, "the part after the first blank line"),
                (b"POST /doorpost HTTP/1.1\r\nHost: a\r\n\r\n" + body, body, "the part after the first blank line"),
                (line, body, "in this journal line"), (line.rstrip(b"\n"), body, "in this journal line"),
                (rejected, b"[]", "line of rejected/"),
                (json.dumps(gateway).encode(), body, 'the member "body"'),
                (json.dumps(body.decode()).encode(), body, "JSON string"),
                (shuffled, body, "members in Ring's order"),
                (body, json.dumps(event, sort_keys=True).encode(), "sorted by name"),
                (body, shuffled, "sorted by name"),
                (odd, json.dumps(json.loads(odd)).encode(), "json.dumps()"),
                *((*pair, "the same JSON serialized differently") for pair in itertools.permutations(printed, 2)),
                (body.replace(b"1771027372393", b"1.771027372393e12"), body, "the same JSON serialized differently"),
                (umlaut, json.dumps(json.loads(umlaut)).encode() + b"\n", "as Python's json.dumps() does: the body was parsed and serialized again; "
                                                                         "verify and pass on the raw bytes; also with a final line break"),
                (event_of_others, json.dumps(json.loads(event_of_others), sort_keys=True, indent=2).encode(), "sorted by name"),
                (body + b"\0", body, "leading and trailing white space or NUL"), (body + b"\x1a", body, "leading and trailing white space or NUL"),
                (b"\n" + body, body, "leading and trailing white space or NUL"), (b"'" + body + b"'\n", body, "without the surrounding quotation marks"),
                ("{'ü'}".encode("latin-1"), "{'ü'}".encode(), "the file is Latin-1"),
                (body, base64.b64encode(body), "their base64"), (body, b"", "an empty body")):
            path = lab.path / "body"
            path.write_bytes(have)
            result = lab.tool("verify-signature", "-s", sign(signed), path).fails()
            check(told in result.stderr and KEY not in result.stderr, told, "was expected:", result)
        for have in (b"", b"\0", b"\x1f\x8b" + bytes(40), gzip.compress(body)[:-9], b"\xff\xfe\x00\xd8", b"=", b"%", b"%4", b"--\n\n", b'{"body":7}',
                     b"[" * 100, b'{"a":' * 30 + b"1" + b"}" * 30, gzip.compress(bytes(9 << 20)), b"\n" * 131072):
            path.write_bytes(have)
            check("no configured key matches" in lab.tool("verify-signature", "-s", "0" * 64, path).fails().stderr, have[:40])
        # What only begins with the document, or has more signed than it, is none of these.
        for have, signed in ((body + b"\n" + press(2), body), (body + b"x", body), (body, b"1771027372." + body), (body, b"v0:1771027372:" + body),
                             (body, body + b"1771027372"), (body[:-1], body), (b"", body)):
            path.write_bytes(have)
            result = lab.tool("verify-signature", "-s", sign(signed), path).fails()
            check("no configured key matches" in result.stderr and " it matches " not in result.stderr, have, result)
            check(have or "the body is empty" in result.stderr, result)


def keys_that_were_copied_wrong_are_named():
    with Lab() as lab:
        body, raw = press(1), base64.b64decode(KEY)
        signer = "whsec_" + KEY
        for line, key, told in (
                (f'"{KEY}"', KEY, "quotation marks"), (f"'{KEY}'", raw, "quotation marks"),
                (f"RING_HMAC_KEY={KEY}", KEY, "the name before it"), (f"export RING_KEY={KEY}", raw, "the name before it"),
                (f'hmac-key: "{KEY}"', KEY, "the name before it"), (f'HMAC_KEY = "whsec_{KEY}"', raw, "without the prefix whsec_"),
                (signer, KEY, "without the prefix whsec_"), (signer, raw, "without the prefix whsec_"),
                (KEY.rstrip("="), KEY, "this part of the base64 was cut off"), (KEY.rstrip("="), raw, "this part of the base64 was cut off"),
                (KEY[:20] + " " + KEY[20:], KEY, "without the white space in it"),
                (raw.decode("latin-1"), KEY, "encoded in base64 again"),
                (base64.urlsafe_b64encode(b"\xff" * 32).decode(), b"\xff" * 32, "from URL-safe base64"),
                (base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="), b"\xff" * 32, "from URL-safe base64"),
                (raw.hex(), raw, "decoded from hexadecimal"),
                *((around.replace("KEY", KEY), key, "the other text on its line") for key in (KEY, raw) for around in (
                    '"KEY', "“KEY”", '"KEY",', '{"hmac_key": "KEY"}', "- KEY", "Bearer KEY", "const key = 'KEY';", "set RING_KEY=KEY",
                    f"{NEW[:20]} KEY"))):
            lab.write_keys("# a comment", line)
            result = lab.tool("verify-signature", "-s", sign(body, key), input=body.decode()).fails()
            check(told in result.stderr and "on line 2" in result.stderr and KEY not in result.stderr, told, "was expected:", result)
        lab.write_keys(KEY)
        for digest, told in ((hashlib.sha256(body), "plain SHA-256 of the body"), (hashlib.sha256(KEY.encode() + body), "the key followed by the body"),
                             (hashlib.sha256(body + KEY.encode()), "the body followed by the key"),
                             (hmac.new(b"", body, hashlib.sha256), "an empty key"), (hmac.new(body, KEY.encode(), hashlib.sha256), "swap the two")):
            result = lab.tool("verify-signature", "-s", digest.hexdigest(), input=body.decode()).fails()
            check(told in result.stderr, told, "was expected:", result)


def signatures_that_are_not_rings_are_named():
    with Lab() as lab:
        body = press(1)
        right, wrong = sign(body), sign(b"other")
        digits = right[7:]
        for signature, told in (
                (f"X-Signature: {right}", "a whole header line"), (f"x-signature:{digits}", "a whole header line"),
                (f"HTTP_X_SIGNATURE={right}", "a whole header line"), (f'"{right}"', "quotation marks"), (f" {right}", "white space"),
                (f"{right}\n", "white space"), (f"SHA256={digits}", "spells the scheme"), (f"sha-256={digits}", "spells the scheme"), (f"sha256:{digits}", "spells the scheme"),
                (f"{wrong},{right}", "is a list"), (f"t=1771027372,v1={digits}", "is a list"), (f"{right};{wrong}", "is a list"),
                (f"X-Hub-Signature-256: {right}", "a whole header line"), (f'{{"X-Signature": "{right}"}}', "a whole header line"),
                (f"{right};", "has more than"), (f"0x{digits}", "has more than"), (f"b'{digits}'", "has more than"), (f"\u200b{right}", "has more than"),
                (base64.b64encode(digits.encode()).decode(), "base64 of hexadecimal digits"), (base64.b64encode(bytes.fromhex(digits)).decode(), "this is base64"),
                (f"HMAC-SHA2-256(stdin)= {digits}", "has more than"), (f"<{digits}>", "has more than")):
            result = lab.tool("verify-signature", "-s", signature, input=body.decode()).fails()
            check(told in result.stderr and "otherwise it is good" in result.stderr, signature, told, "was expected:", result)
        for digits in (right[7:].upper(), right.upper().replace("SHA", "sha")):
            check("good" in lab.tool("verify-signature", "-s", digits, input=body.decode()).ok().stdout, digits)
        base64_body = base64.b64encode(hashlib.sha256(body).digest()).decode()
        for signature, told in (("", "is empty"), ("sha256=", "is empty"), (" ", "is empty"), ('""', "is empty"), ("undefined", "is empty"),
                                ("sha256=None", "is empty"), ("sha256=null", "is empty"), ("[object Object]", "is empty"),
                                (right[7:] * 2, "the first 64 match"), (right + "00", "the first 64 match"),
                                (right.replace("=", "%3D"), "URL-encoded"), (base64_body, "plain SHA-256 of the body"), (KEY, "no configured key matches"),
                                ("sha1=" + "0" * 40, "has 40 digits"), ("0" * 40, "SHA-1"), ("sha512=" + "0" * 128, "SHA-512"), ("0" * 32, "MD5"),
                                (f"{wrong},{wrong}", "none of its digests"), (f'"{wrong}"', "no configured key matches"), ("=", "not a hexadecimal digit")):
            result = lab.tool("verify-signature", "-s", signature, input=body.decode()).fails()
            check(told in result.stderr, signature, told, "was expected:", result)


def bad_input_is_told():
    with Lab() as lab:
        check("No such file" in lab.tool("sign", lab.path / "none").fails().stderr, "missing")
        check("Is a directory" in lab.tool("sign", lab.path).fails().stderr, "a directory")
        with open(lab.path / "sparse", "wb") as file:
            file.truncate(10 << 30)
        for arguments in (["sign", lab.path / "sparse"], ["verify-signature", "-s", "0" * 64, lab.path / "sparse"]):
            check("no delivery is that large" in lab.tool(*arguments).fails().stderr, "10 GB")
        (lab.path / "sparse").chmod(0o600)
        check("larger than" in lab.tool("sign", "--key-file", lab.path / "sparse", input="x").fails().stderr, "a key of 10 GB")


run_tests(a_rotation_loses_no_delivery, keys_are_listed_and_never_told, comments_mode_and_other_lines_stay,
          what_would_break_the_key_file_is_refused, nothing_is_no_key_to_add, a_key_is_asked_for_without_echo, sign_makes_rings_signatures,
          the_usual_mistakes_are_named, changed_bodies_are_named,
          keys_that_were_copied_wrong_are_named, signatures_that_are_not_rings_are_named, bad_input_is_told)
