"""The tool in root's hands, beside a web server's user who wants to become root: no path and no setting that this user can
change is followed, and nothing that root does locks the handler out. The laboratory of all other tests is of the layout that
`init` makes; here are the others."""

import json
import os
import pathlib
import pwd
import shutil
import stat
import struct
import subprocess

from hostile import Root, as_root
from support.assertions import PATIENCE, check, wait_for
from support.deliveries import KEY, press, sign
from support.fastcgi import fastcgi
from support.laboratory import NOWHERE, TOOL
from support.runner import run_tests

FORWARD = ["forward", "--to", NOWHERE, "--once", "--name", "y"]
NEW = "bmV3LWRvb3Jwb3N0LXNpZ25pbmcta2V5LW9mLTMyLWI="


def cgi_as_root(lab, body):
    env = {**lab.environment(), "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "HTTP_X_SIGNATURE": sign(body), "HOME": "/root",
           "USER": "root"}
    result = subprocess.run([lab.binary], input=body, env=env, capture_output=True)
    return int(result.stdout.split()[1]), result.stderr.decode()


@as_root
def a_second_init_is_as_safe_as_the_first():
    with Root() as lab:
        lab.tool("init", lab.home, input="short\n").fails()
        aim = lab.path / "of-root"
        aim.mkdir(mode=0o700)
        lab.hostile(f"rmdir {lab.home}/journal; ln -s {aim} {lab.home}/journal; ln -s {lab.secret} {lab.home}/key.new")
        check((lab.home / "journal").is_dir() and not (lab.home / "journal").is_symlink(), "the journal was replaced")
        lab.tool("init", lab.home, input=KEY + "\n").ok()
        check(aim.stat().st_uid == 0 and stat.S_IMODE(aim.stat().st_mode) == 0o700, "a directory of root's was given away")
        lab.use_home()
        lab.receives(1)


@as_root
def init_refuses_what_others_can_change():
    with Root() as lab:
        open_to_all = lab.path / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o1777)
        check("other users could create it" in lab.tool("init", open_to_all / "x", "--generate").fails().stderr, "sticky")
        lab.hostile(f"mkdir {open_to_all}/theirs")
        check("owned by www-data" in lab.tool("init", open_to_all / "theirs", "--generate").fails().stderr, "theirs")
        check("owned by www-data" in lab.tool("init", open_to_all / "theirs/x", "--generate").fails().stderr, "in theirs")
        lab.hostile(f"ln -s {lab.path} {open_to_all}/link")
        check("owned by www-data" in lab.tool("init", open_to_all / "link/x", "--generate").fails().stderr, "a link of theirs")
        of_root = lab.path / "of-root"
        of_root.mkdir()
        check("does not belong to www-data" in lab.tool("init", lab.home, "--generate", "--journal", of_root).fails().stderr, "given away")
        check(of_root.stat().st_uid == 0, "given away")


@as_root
def an_old_layout_is_refused_told_and_repaired():
    with Root() as lab:
        lab.old_layout()
        for verb in (["log"], ["stats"], ["rejected"], ["check"], ["prune", "--keep", "9d"], ["exec", "--status"], ["exec", "--once", "--", "/bin/true"],
                     FORWARD, ["forward", "--status"], ["sign", "/dev/null"], ["key", "list"], ["key", "add"], ["key", "retire", "69ffb5b9"], ["trigger", "--url", "http://127.0.0.1:1/"]):
            check(f"doorpost init --repair {lab.home}" in lab.tool(*verb, input=NEW).fails().stderr, verb)
        result = lab.tool("doctor")
        check(f"doorpost init --repair {lab.home}" in result.fails().stdout, result)
        check(f"doorpost init --repair {lab.home}" in lab.tool("init", lab.home).fails().stderr, "init")
        for verb in (["log"], ["key", "list"], ["stats"]):
            lab.tool(*verb, **lab.as_user()).ok()  # the user itself may
        lab.tool("init", "--repair", lab.home).ok()
        made = {path.name: (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in (lab.home, *lab.home.iterdir())}
        user, group = lab.user.pw_uid, lab.user.pw_gid
        check(made == {"home": (0, group, 0o750), "key": (0, group, 0o640), "doorpost.env": (0, group, 0o640), "journal": (user, group, 0o700)}, made)
        lab.receives(1)
        check("All checks passed" in lab.tool("doctor").ok().stdout, "doctor")
        check("button_press" in lab.tool("log").ok().stdout, "log")
        lab.tool("init", "--repair", lab.home).ok()  # again


@as_root
def repair_believes_nothing_that_could_lead_elsewhere():
    with Root() as lab:
        lab.old_layout()
        other = lab.path / "of-nobody"
        other.mkdir(mode=0o700)
        nobody = pwd.getpwnam("nobody")
        os.chown(other, nobody.pw_uid, nobody.pw_gid)
        (lab.home / "doorpost.env").write_text(f"DOORPOST_KEY_FILE={lab.home}/key\nDOORPOST_JOURNAL={other}\n")
        check("not to www-data" in lab.tool("init", "--repair", lab.home).fails().stderr, "another's journal")
        check("owned by www-data" in lab.tool("log").fails().stderr, "believed all the same")
        for plant in (f"ln -s {lab.secret} key", "mkfifo key", "mkdir key", f"ln {lab.secret} key"):
            lab.old_layout()
            lab.hostile(f"cd {lab.home} && rm -f key && {plant}")
            lab.tool("init", "--repair", lab.home).fails()
            lab.is_untouched()
        lab.old_layout()
        (lab.home / "key").unlink()
        os.link(lab.secret, lab.home / "key")  # as a user can where fs.protected_hardlinks is off
        check("has other hard links" in lab.tool("init", "--repair", lab.home).fails().stderr, "published a file of root's")
        lab.is_untouched()


@as_root
def repair_gives_the_owner_what_root_has_made():
    with Root() as lab:
        lab.old_layout()
        lab.receive(press(1), b'{"meta":1}')
        lab.tool("init", "--repair", lab.home).ok()
        lab.tool("exec", "--once", "--name", "x", "--from", "start", "--", "/bin/sh", "-c", "exit 78").ok()
        with open(lab.segment(), "ab") as segment:
            segment.write(b'{"seq":')
        (lab.journal / "cursors/x.waiting").write_text(f'{"":127}\n[9,"2026-11-23",8123,"{0:016}","{0:016}",2,1795420800]\n')
        (lab.journal / "counted").write_text('{"through":"2026-01-01","events":{},"rejected":{},"delays":0,"delay_seconds":0}')
        (lab.journal / "pruned").write_text('{"seq":1,"chain":"' + "0" * 32 + '"}\n')
        (lab.journal / "notes").write_text("an administrator's, which nobody needs to open")
        for path in lab.journal.rglob("*"):
            os.chown(path, 0, 0)
        check(lab.cgi(press(2), sign(press(2)))[0] == 503, "the handler is locked out")
        check(f"do not belong to its owner, www-data: run doorpost init --repair {lab.home}" in lab.tool("doctor").fails().stdout, lab.tool("doctor"))
        lab.tool("init", "--repair", lab.home).ok()
        theirs = [path.name for path in lab.journal.rglob("*") if path.stat().st_uid != lab.user.pw_uid]
        check(theirs == ["notes"], theirs)
        lab.receives(2)
        check("files in the journal" not in lab.tool("doctor").stdout, "doctor")
        check("no problems" in lab.tool("check").ok().stdout, "check")
        lab.tool("exec", "--once", "--name", "x", "--", "/bin/true").ok()


@as_root
def repair_gives_away_nothing_that_was_brought_there():
    """What can be in the journal that root has, and the user wants: links, and files that were moved there."""
    with Root() as lab:
        lab.old_layout()
        lab.receive(press(1))
        lab.tool("init", "--repair", lab.home).ok()
        names = ("2026-01-01.jsonl", "counted", "cursors/x", "cursors/x.lock", "rejected/2026-01-01.jsonl", "damaged/2026-01-01-5")
        for name in names:
            (lab.journal / name).parent.mkdir(exist_ok=True)
            lab.own((lab.journal / name).parent)
        for plant in ("a link", "a second name", "a file", "a directory", "a list of another user's"):
            for name in names:
                target = lab.journal / name
                if plant == "a link":
                    lab.hostile(f"ln -s {lab.secret} {target}")
                elif plant == "a second name":  # as a user can where fs.protected_hardlinks is off
                    os.link(lab.secret, target)
                elif plant == "a file":  # that was in a directory of the user's
                    shutil.copy(lab.secret, target)
                elif plant == "a directory":
                    target.mkdir(mode=0o775)
                    os.chown(target, 0, lab.user.pw_gid)
                else:
                    target.write_text('{"seq":1,')
                    os.chown(target, 65534, 65534)
                before = target.lstat()
                result = lab.tool("init", "--repair", lab.home)
                if plant != "a link":
                    check(f"{target} does not belong to www-data" in result.fails().stderr, plant, name, result)
                after = target.lstat()
                check((after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode), plant, name, after)
                target.rmdir() if plant == "a directory" else target.unlink()
                lab.is_untouched()
        shared = lab.journal / "damaged"
        shutil.rmtree(shared)
        shared.mkdir()
        shared.chmod(0o2775)
        os.chown(shared, 0, lab.user.pw_gid)
        lab.tool("init", "--repair", lab.home).fails()
        check(shared.stat().st_uid == 0, "a directory was given away that the user could have moved there")


@as_root
def nothing_that_init_does_locks_another_user_out():
    with Root() as lab:
        other = pwd.getpwnam("nobody")
        lab.tool("init", lab.home, "--journal", lab.path / "var", "--user", "nobody", "--generate").ok()
        (lab.path / "var/lock").touch()

        def layout():
            return [(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777)
                    for path in (lab.home, lab.home / "key", lab.home / "doorpost.env", lab.path / "var", *lab.path.glob("var/*"))]
        made = layout()
        check(made == [(0, other.pw_gid, 0o750), (0, other.pw_gid, 0o640), (0, other.pw_gid, 0o640), (other.pw_uid, other.pw_gid, 0o700), (0, 0, 0o644)],
              made)
        for again in (["init", lab.home], ["init", lab.home, "--journal", lab.path / "var"], ["init", "--repair", lab.home, "--user", "www-data"]):
            lab.tool(*again).fails()
            check(layout() == made, again, layout())
        check("use --user" in lab.tool("init", lab.home).fails().stderr, lab.tool("init", lab.home))
        lab.tool("init", "--repair", lab.home).ok()  # finds whose it is
        check(layout() == [*made[:4], (other.pw_uid, other.pw_gid, 0o644)], layout())
        lab.tool("init", lab.home, "--journal", lab.path / "var", "--user", "nobody").ok()


@as_root
def what_a_user_could_replace_is_neither_made_nor_taken_over():
    with Root() as lab:
        theirs = lab.path / "theirs"
        theirs.mkdir()
        lab.own(theirs)
        result = lab.tool("init", lab.home, "--journal", theirs / "journal", "--generate").fails()
        check(f"sudo -u www-data mkdir {theirs}/journal" in result.stderr and list(theirs.iterdir()) == [], result)
        lab.hostile(f"mkdir {theirs}/journal")
        lab.tool("init", lab.home, "--journal", theirs / "journal", "--generate").ok()
        nobody = lab.path / "of-nobody"
        nobody.mkdir(mode=0o700)
        os.chown(nobody, 65534, 65534)
        before = nobody.stat()
        lab.hostile(f"ln -s {nobody} {theirs}/doorpost; ln -s {lab.home} {theirs}/other")
        for name in ("doorpost", "other"):
            check("owned by www-data" in lab.tool("init", "--repair", theirs / name).fails().stderr, name)
        check(nobody.stat().st_uid == before.st_uid and nobody.stat().st_mode == before.st_mode, "taken over")


@as_root
def a_link_of_the_operators_stays_and_one_of_another_user_is_refused():
    with Root() as lab:
        secrets = lab.path / "secrets"
        secrets.mkdir(mode=0o755)
        lab.key_file.rename(secrets / "ring-key")
        lab.key_file.symlink_to("secrets/ring-key")
        lab.tool("key", "add", input=NEW + "\n").ok()
        check(lab.key_file.is_symlink() and (secrets / "ring-key").read_text() == f"{KEY}\n{NEW}\n", "the target")
        check(stat.S_IMODE((secrets / "ring-key").stat().st_mode) == 0o640 and not list(lab.path.glob("*/*.new")), "mode")
        theirs = lab.path / "theirs"
        theirs.mkdir()
        lab.own(theirs)
        lab.configure(KEY_FILE=theirs / "key")
        lab.hostile(f"ln -s {lab.secret} {theirs}/key")
        for verb in (["key", "add"], ["key", "list"], ["sign", "/dev/null"]):
            check("owned by www-data" in lab.tool(*verb, input=NEW + "\n").fails().stderr, verb)
        lab.is_untouched()
        check(list(theirs.iterdir()) == [theirs / "key"], "something was made")
        check("owned by www-data" in lab.tool("doctor").fails().stdout, "doctor")


@as_root
def a_journal_that_others_can_put_another_in_place_of_is_refused():
    with Root() as lab:
        proof = lab.path / "proof"
        open_to_all = lab.path / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o1777)
        shared = lab.path / "shared"
        shared.mkdir()
        os.chown(shared, 0, lab.user.pw_gid)
        shared.chmod(0o2770)
        elsewhere = lab.path / "theirs"
        elsewhere.mkdir()
        lab.own(elsewhere)
        of_nobody = lab.path / "of-nobody"
        of_nobody.mkdir()
        os.chown(of_nobody, 65534, 65534)
        lab.hostile(f"ln -s {of_nobody} {elsewhere}/journal")
        for journal in (open_to_all, shared, elsewhere / "journal"):
            lab.configure(JOURNAL=journal, ON_EVENT=f"/bin/touch {proof}")
            for verb in (["exec", "--once", "--name", "on-event", "--from", "start"], ["exec", "--status"], ["log"], ["stats"], ["check"], ["check", "--rebuild-index"],
                         ["prune", "--keep", "9d"], ["rejected"], FORWARD, ["forward", "--status"]):
                check("root trusts nothing that another user can change" in lab.tool(*verb).fails().stderr, journal, verb)
            check("root trusts nothing" in lab.tool("doctor").fails().stdout, journal, "doctor")
            check(not proof.exists() and list(journal.iterdir()) == [], journal, "was written to")
        lab.configure(JOURNAL=shared)
        lab.receives(1)  # and the handler is not locked out


@as_root
def the_journal_is_read_as_its_owner():
    with Root() as lab:
        lab.receive(press(1))
        lab.hostile(f"cd {lab.journal} && ln -s {lab.secret} 2026-01-01.jsonl && mkdir rejected && ln -s {lab.secret} rejected/2026-01-01.jsonl")
        for verb in (["log"], ["log", "--json"], ["stats"], ["stats", "--prometheus"], ["rejected"], ["rejected", "--replay"], ["check"],
                     ["check", "--rebuild-index"], ["doctor"], ["prune", "--keep", "30d", "--force"], ["exec", "--status"], ["exec", "--failed"],
                     ["exec", "--drop", "1", "--name", "x"], ["exec", "--once", "--name", "x", "--", "/bin/true"], ["exec", "--retry-failed", "--name", "x", "--", "/bin/true"],
                     FORWARD, ["forward", "--status"]):
            result = lab.tool(*verb)
            check("secret" not in result.stdout + result.stderr, verb, result)
            trace = lab.path / "trace"
            lab.run(["strace", "-f", "-o", trace, "-e", "trace=openat,setuid,setgroups", TOOL, *verb], env={"ASAN_OPTIONS": "detect_leaks=0"})
            lines = trace.read_text().splitlines()
            if not any("openat(" in line for line in lines):
                return "strace sees nothing here"
            parent = lines[0].split()[0]
            became = next((number for number, line in enumerate(lines) if line.startswith(parent) and f"setuid({lab.user.pw_uid})" in line), None)
            check(became is not None, verb, "stays root")
            early = [line for line in lines[:became] if line.startswith(parent) and f'"{lab.journal}' in line]
            check(not early, verb, "opened as root:", *early)
            check(any("setgroups(" in line for line in lines[:became]), verb, "keeps root's groups")


@as_root
def nothing_in_the_journal_holds_root_up():
    names = ("2026-01-01.jsonl", "rejected", "rejected/2026-01-01.jsonl", "lock", "format", "pruned", "pruned.new", "counted", "counted.new", "damaged",
             "damaged/2026-01-01-5", "seen", "seen/state", "seen/00", "seen.new", "cursors", "cursors/x", "cursors/x.lock", "cursors/x.spare",
             "cursors/x.failed", "cursors/x.failed.new", "cursors/x.recent", "cursors/x.waiting", "cursors/x.waiting.new", "cursors/x.instructions", "cursors/y", "cursors/y.lock")
    with Root() as lab:
        for plant in ("mkfifo {}", "ln -s /dev/zero {}", "mkdir {}"):
            for name in names:
                lab.hostile(f"cd {lab.journal} && rm -rf ./* && mkdir -p $(dirname {name}) && {plant.format(name)}")
                check(os.path.lexists(lab.journal / name), plant, name)
                for verb in (["log"], ["stats", "--prometheus"], ["rejected"], ["check"], ["prune", "--keep", "1d"], ["exec", "--status"],
                             ["exec", "--once", "--name", "x", "--", "/bin/true"], FORWARD, ["forward", "--status"], ["doctor"]):
                    result = subprocess.run([TOOL, *verb], env=lab.environment(), capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
                    check(result.returncode in (0, 1), plant, name, verb, result)
                check(cgi_as_root(lab, press(1))[0] in (200, 503), plant, name, "the handler")


@as_root
def doctor_tries_the_user_of_the_worker_in_its_groups():
    with Root() as lab:
        os.chown(lab.key_file, 0, 0)
        lab.key_file.chmod(0o640)
        result = lab.run(["setpriv", "--groups", "0", TOOL, "doctor"])
        check("the user www-data cannot read the key file" in result.fails().stdout, result)
        os.chown(lab.key_file, 0, lab.user.pw_gid)
        lab.env_file.chmod(0o600)
        check("the user www-data cannot read the settings" in lab.tool("doctor").fails().stdout, "settings")
        lab.env_file.chmod(0o644)
        listener, path = lab.listener()
        lab.worker(listener, **lab.as_user())
        check(fastcgi(path, press(1), sign(press(1)))[0] == 200, "a delivery")
        nobody = pwd.getpwnam("nobody")
        for entry in (lab.journal, *lab.journal.rglob("*")):
            os.chown(entry, nobody.pw_uid, nobody.pw_gid)
        os.chown(lab.key_file, 0, nobody.pw_gid)
        result = lab.tool("doctor")
        check("the user www-data cannot read the key" in result.fails().stdout, result)
    with Root() as lab:  # a worker has the groups that it was started with, whatever /etc/group says
        os.chown(lab.key_file, 0, 54321)
        listener, path = lab.listener()
        check("cannot read the key file" in lab.tool("doctor").fails().stdout, "no worker")
        worker = lab.worker(listener, **{**lab.as_user(), "extra_groups": [54321]})
        check(fastcgi(path, press(1), sign(press(1)))[0] == 200, "a delivery")
        check("www-data can write to the journal, and read the settings and the key" in lab.tool("doctor").stdout, lab.tool("doctor"))
        worker.terminate()
        worker.wait()
        os.chown(lab.key_file, 0, lab.user.pw_gid)
        lab.worker(listener, **{**lab.as_user(), "group": 54321})
        fastcgi(path, press(1), sign(press(1)))
        check("cannot read the key file" in lab.tool("doctor").fails().stdout, lab.tool("doctor"))


@as_root
def what_root_makes_is_open_to_the_handler():
    with Root() as lab:
        for verb in (["doctor"], ["exec", "--once", "--name", "n", "--", "/bin/true"], ["check", "--rebuild-index"], ["prune", "--keep", "1d"], FORWARD):
            lab.tool(*verb).fails() if verb == FORWARD else lab.tool(*verb).ok()
            owners = {path.stat().st_uid for path in lab.journal.rglob("*")}
            check(owners <= {lab.user.pw_uid}, verb, owners)
            lab.receives(verb[0])
        result = json.loads(lab.tool("exec", "--status", "--json").ok().stdout)
        check([one["name"] for one in result] == ["n"], result)


def owners(lab):
    return {(path.stat().st_uid, path.stat().st_gid) for path in (lab.journal, *lab.journal.rglob("*"))}


@as_root
def a_handler_that_root_runs_goes_on_as_the_owner():
    with Root() as lab:
        web = (lab.user.pw_uid, lab.user.pw_gid)
        proof = lab.journal / "proof"
        lab.configure(ON_EVENT=lab.path / "on-event")
        (lab.path / "on-event").write_text(f'#!/bin/sh\necho "$(id -u)" "$(id -G)" "$HOME" "$USER" >{proof}.new && mv {proof}.new {proof}\n')
        (lab.path / "on-event").chmod(0o755)
        shutil.copy(lab.own_tool, lab.binary.with_name("doorpost"))
        check(cgi_as_root(lab, press(1))[0] == 200, "as CGI")
        wait_for(proof.exists, "what an event starts")
        said = proof.read_text().split()
        check(said == [str(web[0]), str(web[1]), lab.user.pw_dir, lab.user.pw_name], said)
        check(owners(lab) == {web}, owners(lab))
        lab.configure()
        status, log = cgi_as_root(lab, b'{"meta":1}')
        check(status == 400, status, log)
        listener, path = lab.listener()
        worker = lab.worker(listener)
        for number in range(2, 20):
            check(fastcgi(path, press(number), sign(press(number)))[0] == 200, "a worker", *lab.log_texts())
        for task in pathlib.Path(f"/proc/{worker.pid}/task").iterdir():
            status = (task / "status").read_text().split("\n")
            check([f"Uid:\t{web[0]}\t{web[0]}\t{web[0]}\t{web[0]}", f"Groups:\t{web[1]} "] ==
                  [line for line in status if line.startswith(("Uid", "Groups"))], "a thread that is still root:", status)
        lab.write_keys(NEW, KEY)  # as `key add` leaves it: the group of the user may read it
        wait_for(lambda: fastcgi(path, press(20), sign(press(20), NEW))[0] == 200, "the new key")
        check(owners(lab) == {web}, owners(lab))
        lab.receives(21)


@as_root
def a_handler_that_root_runs_trusts_only_root():
    with Root() as lab:
        lab.old_layout()
        status, log = cgi_as_root(lab, press(1))
        check(status == 503 and f"doorpost init --repair {lab.home}" in log, status, log)
        check(list((lab.home / "journal").iterdir()) == [], "something was made")
    with Root() as lab:
        os.chown(lab.key_file, 0, 0)
        lab.key_file.chmod(0o600)
        status, log = cgi_as_root(lab, press(1))
        check(status == 503 and "cannot read the key file" in log, "a key that the owner cannot read is no surprise at the next rotation:", status, log)
        shared = lab.path / "shared"
        shared.mkdir()
        os.chown(shared, 0, lab.user.pw_gid)
        shared.chmod(0o2770)
        lab.configure(JOURNAL=shared)
        status, log = cgi_as_root(lab, press(1))
        check(status == 503 and "root trusts nothing that another user can change" in log and list(shared.iterdir()) == [], status, log)
    with Root() as lab:  # all of it root's
        os.chown(lab.journal, 0, 0)
        check(cgi_as_root(lab, press(1))[0] == 200 and owners(lab) == {(0, 0)}, owners(lab))
        lab.own(lab.key_file)
        status, log = cgi_as_root(lab, press(2))
        check(status == 503 and "owned by www-data" in log, status, log)


@as_root
def a_log_that_another_user_replaced_is_not_followed_by_root():
    with Root() as lab:
        os.chown(lab.journal, 0, 0)
        theirs, of_root = lab.path / "theirs", lab.path / "of-root"
        for path in (theirs, of_root):
            path.mkdir()
        lab.own(theirs)
        for directory, followed in ((theirs, False), (of_root, True)):
            listener, path = lab.listener()
            log = directory / "log"
            with open(log, "ab") as stream:
                worker = lab.start([lab.binary], stdin=listener, stderr=stream)
            fastcgi(path, press(1), sign(press(1)))
            wait_for(lambda: log.read_text(), "a line")
            log.rename(directory / "log.1")
            log.touch()
            lab.own(log) if not followed else None
            before = len((directory / "log.1").read_text().splitlines())
            for number in range(2, 5):
                fastcgi(path, press(number), sign(press(number)))
            worker.terminate()
            worker.wait()
            lines = [len(each.read_text().splitlines()) for each in (directory / "log.1", log)]
            check(lines == ([before, 3] if followed else [before + 3, 0]), directory, before, lines)


@as_root
def an_access_control_list_is_looked_at():
    """chmod and ls show what it lets others do as the rights of the group, which may be root's."""
    with Root() as lab:
        conf = lab.path / "conf"
        conf.mkdir()
        lab.env_file = lab.env_file.rename(conf / "doorpost.env")
        os.chown(lab.env_file, 0, 0)
        entries = ((0x01, 7, -1), (0x02, 7, lab.user.pw_uid), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1))  # acl(5): tag, rights, user
        try:
            os.setxattr(conf, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries))
        except OSError:
            return "there are no such lists here"
        check(lab.hostile(f"touch {conf}/x").returncode == 0, "the user cannot write there")
        check(f"a group can write to {conf}" in lab.tool("log").fails().stderr, lab.tool("log"))
        conf.chmod(0o755)
        check(lab.hostile(f"touch {conf}/y").returncode != 0, "the user can write there")
        lab.tool("log").ok()


run_tests(a_second_init_is_as_safe_as_the_first, init_refuses_what_others_can_change, an_old_layout_is_refused_told_and_repaired,
          repair_believes_nothing_that_could_lead_elsewhere, repair_gives_the_owner_what_root_has_made,
          repair_gives_away_nothing_that_was_brought_there, nothing_that_init_does_locks_another_user_out,
          what_a_user_could_replace_is_neither_made_nor_taken_over,
          a_link_of_the_operators_stays_and_one_of_another_user_is_refused, a_journal_that_others_can_put_another_in_place_of_is_refused,
          the_journal_is_read_as_its_owner, nothing_in_the_journal_holds_root_up, doctor_tries_the_user_of_the_worker_in_its_groups,
          what_root_makes_is_open_to_the_handler, a_handler_that_root_runs_goes_on_as_the_owner, a_handler_that_root_runs_trusts_only_root,
          a_log_that_another_user_replaced_is_not_followed_by_root, an_access_control_list_is_looked_at)
