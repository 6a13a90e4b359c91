"""Whatever an operator does to the journal's files, at any time, no other event is lost or repeated, and Doorpost recovers.

A history of deliveries over four days is run once, and the journal is copied after each step. A state is one such copy, one act
(renaming a day, restoring a part from an older copy, removing permissions, and so on), more deliveries, the act undone
if possible, and more deliveries. Deliveries go through one CGI process each, or through a FastCGI worker that has everything
open when the act happens and a second one that starts after it. An independent reading of the day files before and after
each answer determines what the answer must be.

acts.py lists the acts, world.py has the invariants, oracle.py the independent reading of the day files.

ACT_STATES (or STATES) is the number of states, SEED the random seed, ACT a part of the names of the acts to try, STATE the
number of a single state to try: together with the ACT that failed, it reproduces the failure."""

import collections
import contextlib
import multiprocessing
import os
import pathlib
import random
import shutil
import tempfile

from preload import BUILD, ROOT, SCRATCH, read_tree, sanitizer
from support.assertions import check
from support.deliveries import press
from support.runner import run_tests
from acts import ACTS, Skip
from world import USER, Snapshot, World, rejected_body

STATES = int(os.environ.get("ACT_STATES") or os.environ.get("STATES", "500"))
SEED = int(os.environ.get("SEED", "20261123"))
ACT, STATE = os.environ.get("ACT", ""), os.environ.get("STATE")
CHECKED = ROOT / "build/check"  # the programs built with sanitizers
SANITIZED_EVERY = 16  # one in so many rounds through the acts uses them


# ---- the history ----

HISTORY = (
    *[("press", 1), ("press", 2), ("exec",), ("press", 3), ("midnight",)],
    *[("press", 4), ("reject", 1), ("press", 1), ("batch", 5, 6, 5), ("exec",), ("press", 7), ("midnight",)],
    *[("press", 8), ("press", 5), ("press", 9), ("exec",), ("batch", 10, 11), ("reject", 2), ("press", 12), ("midnight",)],
    *[("press", 13), ("exec",), ("prune",), ("press", 14), ("press", 9), ("press", 15)])
OTHER_HISTORY = (*[("press", f"other-{number}") for number in range(6)], ("midnight",), ("press", "other-6"), ("press", "other-7"))


def record(history, world):
    """Runs a history from an empty journal. Returns a snapshot after each step."""
    world.begin(Snapshot({".": None}, 0, [], "", {}), random.Random(0))
    snapshots = []
    for what, *numbers in history:
        if what == "midnight":
            world.set_day(world.day + 1)
        elif what == "exec":
            world.consume()
        elif what == "prune":
            world.tool("prune", "--keep", "2d").ok()
        elif what == "batch":
            worker = world.start_worker()
            world.deliver([press(number) for number in numbers], worker)
            world.stop(worker)
        else:
            world.deliver([rejected_body(numbers[0]) if what == "reject" else press(numbers[0])], None)
        snapshots.append(Snapshot(read_tree(world.journal), world.day, list(world.sent), world.ran_text(), dict(world.lines)))
    return snapshots


# ---- all of them ----

def try_state(number, act, worlds, snapshots, other):
    """Returns False if the act was impossible at every point of the history that was drawn."""
    sanitized = "sanitized" if "sanitized" in worlds and number // len(ACTS) % SANITIZED_EVERY == 0 else "plain"
    world = worlds[sanitized]
    for attempt in range(20):
        chance = random.Random(f"{SEED}-{number}-{attempt}")
        position = chance.randrange(len(snapshots))
        with_worker = chance.random() < 0.5
        world.begin(snapshots[position], chance, snapshots[:position], other)
        try:
            world.run(act, with_worker)
            return True
        except Skip:
            continue
        except Exception as error:  # noqa: BLE001
            raise AssertionError(f"state {number}, {act.name}, after step {position} {HISTORY[position]}, "
                                 f"{'worker' if with_worker else 'CGI'}, {sanitized}: {error!r}") from None
        finally:
            world.end()
    return False


@contextlib.contextmanager
def readable_directory(where=SCRATCH):
    with tempfile.TemporaryDirectory(prefix="doorpost-acts-", dir=where) as directory:
        os.chmod(directory, 0o755)
        yield directory


def run_share(work):
    """Tries this process's share of the states. Returns the number tried and the first failure, by act."""
    share, shares, builds, snapshots, other = work
    acts = acts_to_try()
    tried, failures = collections.Counter(), {}
    with contextlib.ExitStack() as stack:
        worlds = {kind: World(stack.enter_context(readable_directory()), *build) for kind, build in builds.items()}
        for number in range(share, STATES, shares) if STATE is None else [int(STATE)] * (share == 0):
            act = acts[number % len(acts)]
            if act.name in failures:
                continue
            try:
                tried[act.name] += try_state(number, act, worlds, snapshots, other)
            except AssertionError as error:
                failures[act.name] = str(error)
    return tried, failures


def acts_to_try():
    return [act for act in ACTS if ACT in act.name and (USER or not act.needs_root)]


def copy_programs(directory):
    """Copies them where the handler's user can read them. Returns {kind of build: (directory, shim, what to preload first)}."""
    builds = {"plain": (BUILD, "shim.so", "")}
    if (CHECKED / "doorpost.cgi").exists():
        builds["sanitized"] = (CHECKED, "shim-plain.so", sanitizer())
    for kind, (build, shim, before) in builds.items():
        to = pathlib.Path(directory, kind)
        to.mkdir(mode=0o755)
        for source in (build / "doorpost.cgi", build / "doorpost", BUILD / shim):
            shutil.copy(source, to)
        builds[kind] = to, to / shim, before
    return builds


def try_all(acts):
    """Returns {act: number of states tried}, and {act: first failure} of those that failed."""
    shares = os.cpu_count() or 1
    with readable_directory(None) as programs, readable_directory() as directory, multiprocessing.Pool(shares) as pool:
        builds = copy_programs(programs)
        world = World(directory, *builds["plain"])
        snapshots, other = record(HISTORY, world), record(OTHER_HISTORY, world)[-1]
        results = pool.map(run_share, [(share, shares, builds, snapshots, other) for share in range(shares)])
    tried, failures = collections.Counter(), {}
    for counts, some in reversed(results):
        tried.update(counts)
        failures.update(some)
    return tried, failures


def over_all_acts():
    acts = acts_to_try()
    tried, failures = try_all(acts)
    print(f"# {tried.total()} states of {len(+tried)} acts, seed {SEED}", flush=True)
    print("# each:", ", ".join(f"{act.name} {tried[act.name]}" for act in acts), flush=True)
    tests = []
    for act in ACTS if not ACT else acts:
        def one(act=act):
            if act not in acts:
                return "needs root"
            check(act.name not in failures, failures.get(act.name))
            check(tried[act.name] or STATE or STATES < 4 * len(acts), "not tried")
        one.title = f"{act.name}: no other event is lost or repeated"
        tests.append(one)
    return tests


if __name__ == "__main__":
    run_tests(*over_all_acts())
