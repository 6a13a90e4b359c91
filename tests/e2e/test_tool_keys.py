"""Keys: rotation while deliveries flow; and signatures by hand, with what is wrong when they do not hold."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import threading

from lab import KEY, Lab, TOOL, check, open_terminal, press, run_tests, sign, vectors, wait_for
from servers import lighttpd_fastcgi

NEW = "bmV3LWRvb3Jwb3N0LXNpZ25pbmcta2V5LW9mLTMyLWI="


def listed(lab):
    return {one["fingerprint"]: one for one in json.loads(lab.tool("key", "list", "--json").ok().stdout)}


def a_rotation_loses_no_delivery():
    with Lab() as lab:
        server = lighttpd_fastcgi(lab)
        answers, stop = {KEY: [], NEW: []}, threading.Event()
        turn = {"new": False, "old": True}

        def send(key, name):
            number = 0
            while not stop.is_set():
                if turn[name]:  # Ring signs with the old key until it is told of the new one, and some time after
                    body = press(f"{name}-{number}")
                    answers[key].append(server.request(body, sign(body, key))[0])
                    number += 1
        threads = [threading.Thread(target=send, args=pair) for pair in ((KEY, "old"), (NEW, "new"))]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: len(answers[KEY]) > 20, "deliveries with the old key")
            lab.tool("key", "add", input=NEW + "\n").ok()
            turn["new"] = True
            wait_for(lambda: len(answers[NEW]) > 50 and len(answers[KEY]) > 50, "deliveries with both keys")
            turn["old"] = False
            sent = len(answers[KEY]) + 1
            wait_for(lambda: len(answers[NEW]) > sent, "the last deliveries with the old key")
            lab.tool("key", "retire", "69ffb5b9").ok()
            after = len(answers[NEW])
            wait_for(lambda: len(answers[NEW]) > after + 50, "deliveries with the new key alone")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        check(set(answers[KEY] + answers[NEW]) == {200}, "a delivery was lost:", set(answers[KEY] + answers[NEW]))
        check(len(lab.lines()) == len(answers[KEY]) + len(answers[NEW]), "lines")
        wait_for(lambda: server.request(press("late"), sign(press("late")))[0] == 401, "the old key to be refused")


def keys_are_listed_and_never_told():
    with Lab() as lab:
        result = lab.tool("key", "list").ok()
        check("69ffb5b9  line 1 as text" in result.stdout and "as base64" in result.stdout, result)
        check(KEY not in result.stdout, "the key is told")
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
        check("under 16 bytes" in lab.tool("key", "add", input="short\n").fails().stderr, "short")
        check("holds no key" in lab.tool("key", "retire", "69ffb5b9").fails().stderr, "the last one")
        check("no key has the fingerprint" in lab.tool("key", "retire", "00000000").fails().stderr, "unknown")
        check("never given on the command line" in lab.tool("key", "add", NEW).fails(2).stderr, "on the command line")
        check(lab.key_file.read_text() == before, "changed")
        lab.key_file.unlink()
        check("No such file" in lab.tool("key", "list").fails().stderr, "missing")


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
                (compact, sign(compact + b"\n"), "with a line break at the end"),
                (compact + b"\n", sign(compact), "without the line break at the end"),
                (body, sign(compact), "printed differently"),
                (compact, sign(spaced), "json.dumps()"),
                (body, sign(body.replace(b"\n", b"")), "without any line breaks"),
                (compact, sign(compact, KEY + "\n"), "with a line break behind it"),
                (compact, sign(compact, KEY + "\r\n"), "with CR LF behind it"),
                (compact, "sha256=" + base64.b64encode(digest).decode(), "in hexadecimal"),
                (compact, base64.urlsafe_b64encode(digest).decode().rstrip("="), "in hexadecimal"),
                (compact, sign(compact)[:-1], "has 63 digits"),
                (compact, sign(compact) + "0", "has 65 digits"),
                (compact, "sha256=" + "0" * 128, "SHA-512"),
                (compact, sign(compact)[:-1] + "x", "character 64"),
                (compact, sign(compact, "another key of some length"), "no key at hand makes")):
            path = lab.path / "body"
            path.write_bytes(sent)
            result = lab.tool("verify-signature", "-s", signature, path).fails()
            check(told in result.stderr and KEY not in result.stderr, told, "was expected:", result)
        lab.write_keys(hashlib.sha256(b"x").hexdigest())
        result = lab.tool("verify-signature", "-s", sign(compact, hashlib.sha256(b"x").digest()), input=compact.decode()).fails()
        check("decoded from hexadecimal" in result.stderr, result)


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
          what_would_break_the_key_file_is_refused, a_key_is_asked_for_without_echo, sign_makes_rings_signatures,
          the_usual_mistakes_are_named, bad_input_is_told)
