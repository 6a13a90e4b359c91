"""The operator's tool from `init` to `stats`, against a real lighttpd that runs with what init wrote."""

import json
import os
import re
import shutil
import stat

from support.assertions import check
from support.deliveries import KEY, press
from support.laboratory import ROOT, TOOL, Lab
from support.runner import run_tests
from support.servers import lighttpd_fastcgi


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def set_up(lab, *arguments, **options):
    """`doorpost init` in the laboratory, whose own key, journal and settings give way to it."""
    home = lab.path / "home"
    result = lab.tool("init", home, *arguments, **options)
    lab.env_file, lab.journal, lab.key_file = home / "doorpost.env", home / "journal", home / "key"
    return result


def from_init_to_stats():
    with Lab() as lab:
        out = set_up(lab, "--generate").ok().stdout
        check("doctor --conf" in out and "lighttpd" in out, out)
        server = lighttpd_fastcgi(lab)
        url = server.url
        out = lab.tool("doctor", "--url", url).ok().stdout
        for word in ("stored in", "duplicate in", "unauthorized in", "All checks passed"):
            check(word in out, word, "is missing:", out)
        lab.tool("trigger", "--url", url, "--count", "3", "--device", "front door").ok()
        out = lab.tool("trigger", "device_online", "--url", url, "--duplicate").ok().stdout
        check(re.search(r'"stored".*\n.*"duplicate"', out), out)
        check("401" in lab.tool("trigger", "--url", url, "--bad-signature").ok().stdout, "no 401")
        out = lab.tool("log").ok().stdout
        check(len(out.splitlines()) == 5 and out.count('"front door"') == 3 and "device_online" in out, out)
        totals = json.loads(lab.tool("stats", "--json").ok().stdout)
        check(totals["events"] == 4 and totals["presses"] == 3, "the doctor's own press counts:", totals)
        check(totals["presses_by_device"] == {"front door": 3}, totals)
        check("5 lines, 5 signatures verified, index compared: no problems" in lab.tool("check").ok().stdout, "check")


def what_init_makes_is_closed_to_others():
    with Lab() as lab:
        set_up(lab, input=KEY + "\n").ok()
        home = lab.path / "home"
        made = [(mode(path), os.stat(path).st_uid, os.stat(path).st_gid) for path in (home, home / "key", home / "doorpost.env", home / "journal")]
        if lab.user:  # the journal alone is the web server's
            user, group = lab.user.pw_uid, lab.user.pw_gid
            check(made == [(0o750, 0, group), (0o640, 0, group), (0o640, 0, group), (0o700, user, group)], made)
        else:
            check([one[0] for one in made] == [0o700, 0o600, 0o600, 0o700], made)
        check((home / "key").read_text() == KEY + "\n", "another key")
        check("69ffb5b9" in lab.tool("key", "list").ok().stdout, "key list")


def what_init_makes_has_names_that_are_on_the_disk():
    with Lab() as lab:
        trace = lab.path / "trace"
        result = lab.run(["strace", "-y", "-o", trace, "-e", "trace=mkdirat,renameat,fsync", TOOL, "init", lab.path / "home", "--generate"],
                         env={"ASAN_OPTIONS": "detect_leaks=0"}).ok()  # which does not work under strace
        calls = [line for line in trace.read_text().splitlines() if line.endswith(" = 0")]
        if not calls:
            return "strace sees nothing here"
        for number, call in enumerate(calls):
            made = re.match(r"(?:mkdir|rename)at\(\d+<([^>]*)>", call)
            synced = made and any(one.startswith("fsync(") and f"<{made[1]}>" in one for one in calls[number:])
            check(not made or synced, call, "is not durable:", *calls, result)
        check(sum(call.startswith("mkdir") for call in calls) == 2, *calls)


def the_journal_can_be_elsewhere():
    with Lab() as lab:
        set_up(lab, "--generate", "--journal", lab.path / "var").ok()
        check(f'DOORPOST_JOURNAL="{lab.path}/var"' in lab.env_file.read_text() and mode(lab.path / "var") == 0o700, "elsewhere")
        check(not (lab.path / "home/journal").exists(), "both")


def init_spoils_nothing():
    with Lab() as lab:
        set_up(lab, "--generate").ok()
        before = lab.key_file.read_text()
        check("already exists" in lab.tool("init", lab.path / "home", "--generate").fails().stderr, "a second key")
        check("already exists" in lab.tool("init", lab.path / "home").ok().stdout, "again")
        check(lab.key_file.read_text() == before, "the key was replaced")


def a_key_that_cannot_be_right_is_not_kept():
    with Lab() as lab:
        error = set_up(lab, input="half-a-key\n").fails().stderr
        check("shorter than 16 bytes" in error and not (lab.path / "home/key").exists(), error)
        check("half-a-key" not in error, "the key is shown")
        check("No such file" in set_up(lab, "--key-file", lab.path / "none").fails().stderr, "missing file")


def usage_errors_are_2_and_name_the_way_out():
    with Lab() as lab:
        for arguments in ([], ["nonsense"], ["log", "--nonsense"], ["log", "extra"], ["init"], ["log", "-n", "x"],
                          ["log", "--since", "the day after"], ["log", "--since", "2026-02-30"], ["prune"], ["prune", "--keep", "x"],
                          ["trigger"], ["trigger", "nonsense", "--url", "http://127.0.0.1"], ["verify-signature"], ["stats", "--json", "--prometheus"],
                          ["key", "nonsense"], ["key", "retire"], ["rejected", "--body"], ["init", "x", "--generate", "--key-file", "y"],
                          ["log", "--since", "2026-01-02", "--until", "2026-01-01"]):
            result = lab.tool(*arguments)
            check(result.returncode == 2 and result.stderr and not result.stdout, arguments, result)
        check(lab.tool("--help").ok().stdout.startswith("usage:"), "--help")
        check(lab.tool("--version").ok().stdout.startswith("doorpost "), "--version")


def near_misses_are_answered_with_what_was_meant():
    with Lab() as lab:
        for arguments, meant in ((["stat"], "stats"), (["dcotor"], "doctor"), (["verify"], "verify-signature"), (["help", "prnue"], "prune"),
                                 (["log", "--jason"], "--json"), (["log", "--sinc=yesterday"], None), (["log", "--snice=now"], "--since"),
                                 (["hlep"], "help"), (["versoin"], "version"), (["--json", "lgo"], "log"),
                                 (["exec", "--retry-fail-ed"], "--retry-failed"), (["log", "--json=1"], "--json"), (["nonsense"], None),
                                 (["log", "--zzzzzzzz"], None), (["x" * 5000], None), (["trigger", "buton_press", "--url", "http://127.0.0.1"], "button_press")):
            result = lab.tool(*arguments)
            check((f'did you mean "{meant}"?' if meant else "did you mean") in result.stderr or not meant, arguments, result)
            check(meant or "did you mean" not in result.stderr, arguments, result)
        check("--since requires a value" in lab.tool("log", "--since").fails(2).stderr, "no value")


def help_and_version_are_verbs_too():
    with Lab() as lab:
        check(lab.tool("help", "stats").ok().stdout == lab.tool("stats", "--help").ok().stdout, "help stats")
        check(lab.tool("help", "help").ok().stdout == lab.tool("help", "version").ok().stdout == lab.tool("help").ok().stdout, "help help")
        check(lab.tool("help").ok().stdout == lab.tool("--help").ok().stdout == lab.tool("-h").ok().stdout, "help")
        check(lab.tool("version").ok().stdout == lab.tool("--version").ok().stdout, "version")


def options_may_stand_before_the_verb():
    with Lab() as lab:
        lab.receive(press(1))
        told = lab.tool("log", "--json").ok().stdout
        nothing = {"DOORPOST_CONF": "/dev/null"}
        for arguments in (["--json", "log"], ["--conf", lab.env_file, "log", "--json"], ["--json", f"--journal={lab.journal}", "log"],
                          ["-J", lab.journal, "--type", "button_press", "log", "--json"],
                          ["--since", "2 hours ago", "--type", "button_press", "--json", "log", "-J", lab.journal]):
            check(lab.tool(*arguments, env=nothing if len(arguments) > 2 else {}).ok().stdout == told, arguments)
        check("an option" in lab.tool("--json").fails(2).stderr and "an option" in lab.tool("--conf", "log").fails(2).stderr, "no verb")
        check("unknown verb" in lab.tool("--json", "nonsense", "x").fails(2).stderr, "nonsense")


def man_pages_are_clean():
    if not shutil.which("mandoc"):
        return "mandoc is not here"
    with Lab() as lab:
        for page in ("cli/doorpost.1", "cgi/doorpost.cgi.8", "cgi/doorpost-door.cgi.8", "lib/doorpost-journal.5"):
            result = lab.run(["mandoc", "-T", "lint", "-W", "style", ROOT / page])
            # Whether the pages that it refers to are installed here does not matter.
            findings = [line for line in (result.stdout + result.stderr).splitlines()
                        if "referenced manual not found" not in line and "mandoc.db" not in line]
            check(not findings, *findings)


def a_full_disk_is_told():
    with Lab() as lab:
        with open("/dev/full", "w") as full:
            check("cannot write" in lab.tool("--help", stdout=full).fails().stderr, "silence")


run_tests(from_init_to_stats, what_init_makes_is_closed_to_others, what_init_makes_has_names_that_are_on_the_disk, the_journal_can_be_elsewhere, init_spoils_nothing, a_key_that_cannot_be_right_is_not_kept,
          usage_errors_are_2_and_name_the_way_out,
          near_misses_are_answered_with_what_was_meant, help_and_version_are_verbs_too, options_may_stand_before_the_verb,
          man_pages_are_clean, a_full_disk_is_told)
