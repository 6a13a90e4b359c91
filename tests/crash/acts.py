"""What an operator may do to a journal's files, how to undo each act, and what is allowed meanwhile.

An act is a function of a World (world.py): it does it, and returns a function that undoes it, or None."""

import datetime
import os
import re
import subprocess

from preload import read_tree, remove

YEAR = 365 * 86400
BOM = b"\xef\xbb\xbf"
SECTOR = 512


class Skip(Exception):
    """The act is impossible at this point of the history."""


class Act:
    """`refuses`: what may be answered 503 while the act is in effect: "all", "repetitions" or "rejected".
    `stops_consumers`: an exec may fail while it is in effect.
    `forgets`: only the lines and the cursor still show which numbers were given.
    `repeats`: a consumer's cursor is older or gone, so it may run an event again.
    `intact`: no line is changed, so the journal is whole and in order at the end.
    `hurts_index`: `doorpost check` may find damage in a part of the index that no delivery has needed yet."""

    def __init__(self, name, do, refuses="", stops_consumers=False, forgets=False, repeats=False, intact=False, hurts_index=False,
                 needs_root=False):
        self.name, self.do, self.refuses, self.stops_consumers, self.forgets = name, do, refuses, stops_consumers, forgets
        self.repeats, self.intact, self.hurts_index, self.needs_root = repeats, intact, hurts_index, needs_root


# ---- which file ----

def newest(world):
    days = world.day_files()
    if not days:
        raise Skip
    return days[-1]


def older(world):
    days = world.day_files()
    if len(days) < 2:
        raise Skip
    return world.chance.choice(days[:-1])


def over(world):
    """A day that need not be read to continue: not the one with the last line."""
    days = [path for path in world.day_files() if path.stat().st_size > 0]
    if len(days) < 2:
        raise Skip
    return world.chance.choice(days[:-1])


def part(name):
    def find(world):
        if not (world.journal / name).exists():
            raise Skip
        return world.journal / name
    return find


def index_file(world):
    files = [path for path in sorted(world.journal.glob("seen/*")) if path.stat().st_size > 0]
    if not files:
        raise Skip
    return world.chance.choice(files)


def the_directory(world):
    return world.journal


# ---- the acts; each returns a function that undoes it, or None ----

def nothing(_):
    return None


def free_day(world, path, step):
    day = datetime.date.fromisoformat(path.name[:10])
    while True:
        day += datetime.timedelta(days=step * world.chance.randrange(1, 4))
        if not (world.journal / f"{day}.jsonl").exists():
            return world.journal / f"{day}.jsonl"


def put_back(world, path, name):
    """Renames it to `name`, or to an earlier day if that name is now in use."""
    if name.exists():
        name = free_day(world, name, -1)
    path.rename(name)


def rename(which, to):
    def do(world):
        path = which(world)
        name = to(world, path)
        path.rename(name)
        return lambda: put_back(world, name, path)
    return do


def to_no_day(world, path):
    return path.with_name(path.name + world.chance.choice([".bak", "~", ".1"]))


def to_earlier(world, path):
    return free_day(world, path, -1)


def to_later(world, path):
    return free_day(world, path, 1)


def link_away(which):
    def do(world):
        path = which(world)
        away = world.path / "journal.aside"
        os.link(path, away)
        path.unlink()
        return lambda: put_back(world, away, path)
    return do


def delete(which):
    def do(world):
        remove(which(world))
    return do


def clear(which):
    def do(world):
        which(world).write_bytes(b"")
    return do


def cut(which, at_boundary):
    """Truncates the file, like a full disk or an interrupted copy: between two lines, or within one."""
    def do(world):
        path = which(world)
        text = path.read_bytes()
        ends = [match.end() for match in re.finditer(b"\n", text)][:-1]
        if not ends:
            raise Skip
        end = world.chance.choice(ends)
        os.truncate(path, end if at_boundary else end + world.chance.randrange(1, text.index(b"\n", end) - end))
    return do


def edit(which, change):
    def do(world):
        path = which(world)
        text = path.read_bytes()
        changed = change(text, world.chance)
        if changed == text:
            raise Skip
        world.put_either_way(path, changed)
    return do


def erase_line(which_line):
    def change(text, _):
        lines = text.splitlines(keepends=True)
        if len(lines) < 3:
            raise Skip
        del lines[which_line if which_line is not None else len(lines) // 2]
        return b"".join(lines)
    return change


def swap_lines(text, chance):
    lines = text.splitlines(keepends=True)
    if len(lines) < 2:
        raise Skip
    first = chance.randrange(len(lines) - 1)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    return b"".join(lines)


def add_blank_line(text, chance):
    lines = text.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines) + 1), b"\n")
    return b"".join(lines)


def damage(which, where, kind):
    """Overwrites up to a sector in place."""
    def do(world):
        path = which(world)
        size = path.stat().st_size
        if size == 0:
            raise Skip
        length = min(SECTOR, size) if kind == "zeros" else world.chance.randrange(1, min(SECTOR, size) + 1)
        at = size - length if where == "end" else world.chance.randrange(size - length + 1) // (SECTOR if kind == "zeros" else 1)
        at = at * SECTOR if where != "end" and kind == "zeros" else at
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes(length) if kind == "zeros" else world.chance.randbytes(length))
    return do


def shorten(world):
    path = index_file(world)
    os.truncate(path, world.chance.randrange(path.stat().st_size))


def grow(world):
    path = index_file(world)
    with open(path, "ab") as file:
        file.write(world.chance.choice([bytes, world.chance.randbytes])(world.chance.randrange(1, 9000)))


def swap_directory(fill):
    """Moves the journal's directory away and puts another in its place; undoing moves it back."""
    def do(world):
        away = world.path / "journal.away"
        world.journal.rename(away)
        fill(world, away)

        def undo():
            remove(world.path / "journal.aside")
            world.journal.rename(world.path / "journal.aside")
            away.rename(world.journal)
        return undo
    return do


def with_an_empty_one(world, _):
    world.lay_out({".": None}, world.journal)


def with_a_copy(world, away):
    subprocess.run(["cp", "-a", away, world.journal], check=True)


def with_a_linked_copy(world, away):
    subprocess.run(["cp", "-al", away, world.journal], check=True)


def an_older(world):
    if not world.past:
        raise Skip
    return world.chance.choice(world.past).files


def with_an_older_copy(world, _):
    world.lay_out(an_older(world), world.journal)


def with_an_older_copy_on_another_machine(world, away):
    with_an_older_copy(world, away)
    world.handler.boot.write_text("another machine's boot")


def restore_days(in_place):
    def do(world):
        days = {name: content for name, content in an_older(world).items() if name.endswith(".jsonl") and "/" not in name}
        now = read_tree(world.journal)
        changed = [name for name, content in days.items() if content != now.get(name)]
        if not changed:
            raise Skip
        for name in changed:
            if in_place and name in now:
                (world.journal / name).write_bytes(days[name])
            else:
                world.put(world.journal / name, days[name])
        for path in world.day_files():
            if path.name not in days and world.chance.random() < 0.5:
                path.unlink()
    return do


def restore_part(name):
    def do(world):
        old = {path: content for path, content in an_older(world).items() if path.split("/")[0] == name}
        put_part(world, name, old)
    return do


def put_part(world, name, old):
    if not old or old == {path: content for path, content in read_tree(world.journal).items() if path.split("/")[0] == name}:
        raise Skip
    if world.chance.random() < 0.5:  # otherwise it overwrites what is there
        remove(world.journal / name)
    for path, content in old.items():
        if content is not None:
            world.put_either_way(world.journal / path, content)
        elif not (world.journal / path).exists():
            world.lay_out({path: None}, world.journal)


def put_index_of_another_history(world):
    put_part(world, "seen", {path: content for path, content in world.other.files.items() if path.split("/")[0] == "seen"})


def forbid(which):
    """chmod 000, or a change of owner to root, as by root's editor; only root can do either to another user."""
    def do(world):
        path = which(world)
        mode = path.stat().st_mode & 0o7777
        if world.chance.random() < 0.5:
            path.chmod(0)
        else:
            os.chown(path, 0, 0)
            path.chmod(0o700 if path.is_dir() else 0o600)

        def undo():
            world.own(path)
            path.chmod(mode)
        return undo
    return do


def mount_read_only(world):
    world.handler.read_only.touch()
    return world.handler.read_only.unlink


def lose_the_boot_id(world):
    world.handler.boot.unlink()
    return lambda: world.handler.boot.write_text("the first boot")


def boot_each_time(world):
    world.boots = 1

    def undo():
        world.boots = 0
    return undo


def step_clock(seconds):
    def do(world):
        world.set_day(world.day, seconds)
        return lambda: world.set_day(world.day, 0)
    return do


def day_acts():
    """Acts on one day file, the newest or an older one."""
    for which in (newest, older):
        day = f"{'the newest' if which is newest else 'an older'} day"
        yield Act(f"rename {day} to no day", rename(which, to_no_day))
        yield Act(f"rename {day} to an earlier day", rename(which, to_earlier))
        yield Act(f"rename {day} to a later day", rename(which, to_later))
        yield Act(f"link {day} elsewhere and delete its name", link_away(which))
        yield Act(f"delete {day}", delete(which))
        yield Act(f"clear {day}", clear(which))
        yield Act(f"cut {day} at a line's end", cut(which, True))
        yield Act(f"cut {day} within a line", cut(which, False))
        for where in ("end", "middle"):
            for kind in ("zeros", "garbage"):
                yield Act(f"{kind} at the {where} of {day}", damage(which, where, kind))
        yield Act(f"a byte order mark before {day}", edit(which, lambda text, _: BOM + text))
        yield Act(f"CRLF in {day}", edit(which, lambda text, _: text.replace(b"\n", b"\r\n")))
        for name, line in (("first", 0), ("middle", None), ("last", -1)):
            yield Act(f"erase the {name} line of {day}", edit(which, erase_line(line)))
        yield Act(f"swap two lines of {day}", edit(which, swap_lines))
        yield Act(f"a blank line in {day}", edit(which, add_blank_line))
        yield Act(f"{day} without its last line break", edit(which, lambda text, _: text.removesuffix(b"\n")))


ACTS = [
    Act("nothing", nothing, intact=True),
    *day_acts(),
    # Events that arrive meanwhile stay in the directory that is then removed.
    Act("swap the directory for an empty one", swap_directory(with_an_empty_one), forgets=True, repeats=True, intact=True),
    Act("swap the directory for a copy", swap_directory(with_a_copy), forgets=True, repeats=True, intact=True),
    # Lines appended to the shared files appear in both directories; new files do not.
    Act("swap the directory for a linked copy", swap_directory(with_a_linked_copy), forgets=True, repeats=True),
    Act("swap the directory for an older copy", swap_directory(with_an_older_copy), forgets=True, repeats=True, intact=True),
    Act("restore all on another machine", swap_directory(with_an_older_copy_on_another_machine), forgets=True, repeats=True,
        intact=True),
    Act("restore the days in place", restore_days(True)),
    Act("restore the days as new files", restore_days(False)),
    Act("restore seen/", restore_part("seen"), forgets=True, intact=True),
    Act("restore cursors/", restore_part("cursors"), repeats=True, intact=True),
    Act("restore rejected/", restore_part("rejected"), intact=True),
    Act("seen/ of another history", put_index_of_another_history, forgets=True, intact=True),
    Act("delete seen/", delete(part("seen")), forgets=True, intact=True),
    Act("delete cursors/", delete(part("cursors")), repeats=True, intact=True),
    Act("delete rejected/", delete(part("rejected")), intact=True),
    Act("delete lock", delete(part("lock")), intact=True),
    Act("delete pruned", delete(part("pruned")), intact=True),
    Act("zeros in seen/", damage(index_file, "middle", "zeros"), forgets=True, intact=True, hurts_index=True),
    Act("garbage in seen/", damage(index_file, "middle", "garbage"), forgets=True, intact=True, hurts_index=True),
    Act("a file of seen/ cut short", shorten, forgets=True, intact=True, hurts_index=True),
    Act("a file of seen/ grown", grow, forgets=True, intact=True, hurts_index=True),
    Act("no access to the newest day", forbid(newest), "all", stops_consumers=True, intact=True, needs_root=True),
    # The index knows what was stored there, but it is unknown whether that is still there.
    Act("no access to an older day", forbid(over), "repetitions", stops_consumers=True, intact=True, needs_root=True),
    Act("no access to the directory", forbid(the_directory), "all", stops_consumers=True, intact=True, needs_root=True),
    Act("no access to seen/", forbid(part("seen")), "all", intact=True, needs_root=True),
    Act("no access to a file of seen/", forbid(index_file), "all", forgets=True, intact=True, needs_root=True),
    Act("no access to lock", forbid(part("lock")), "all", stops_consumers=True, intact=True, needs_root=True),
    Act("no access to rejected/", forbid(part("rejected")), "rejected", intact=True, needs_root=True),
    Act("mount it read-only", mount_read_only, "all", stops_consumers=True, intact=True),
    Act("a boot id that cannot be read", lose_the_boot_id, forgets=True, intact=True),
    Act("another boot each time", boot_each_time, forgets=True, intact=True),
    Act("the clock a year ahead", step_clock(YEAR), intact=True),
    Act("the clock a year back", step_clock(-YEAR), intact=True),
]
