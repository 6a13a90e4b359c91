"""`init`, `init --repair` and `key` in root's hands while the web server's user changes whatever this user can change, again and again: none
of the rounds is won."""

import os
import pathlib
import random
import shutil

from hostile import ROUNDS, Root, as_root, put
from support.assertions import check
from support.deliveries import KEY
from support.runner import run_tests

NEW = "bmV3LWRvb3Jwb3N0LXNpZ25pbmcta2V5LW9mLTMyLWI="


def swaps_in(directory, secret, journal):
    """Each name in the directory that root could open, make or rename becomes a link, a second name of a file, a FIFO, or a file again."""
    names = [name + end for name in ("key", "doorpost.env", "journal") for end in ("", ".new", ".repair", ".trial")]
    texts = {"key": KEY, "doorpost.env": f"DOORPOST_KEY_FILE={directory}/key\nDOORPOST_JOURNAL={journal}\n"}
    own = f"{directory}/own"

    def act():
        name = random.choice(names)
        put(f"{directory}/{name}", own, lambda: os.symlink(secret, own), lambda: os.link(secret, own), lambda: os.mkfifo(own),
            lambda: pathlib.Path(own).write_text(texts.get(name, "x")))
    return act


@as_root
def with_repair_and_key():
    with Root() as lab:
        for verbs in ([["init", "--repair", lab.home]], [["init", lab.home], ["key", "add"]], [["init", "--repair", lab.home], ["key", "add"]]):
            for number in range(ROUNDS):
                lab.old_layout()
                with lab.race(swaps_in(lab.home, lab.secret, lab.journal)):
                    for verb in verbs:
                        lab.tool(*verb, input=NEW + "\n")
                lab.is_untouched()
                check(not lab.disclosed(lab.home), "round", number, lab.disclosed(lab.home))


@as_root
def with_init():
    with Root() as lab:
        for number in range(2 * ROUNDS):
            shutil.rmtree(lab.home, ignore_errors=True)
            shutil.rmtree(lab.path / "var", ignore_errors=True)
            with lab.race(swaps_in(lab.home, lab.secret, lab.journal)):
                lab.tool("init", lab.home, "--generate", *(["--journal", lab.path / "var"] if number % 2 else [])).ok()
            lab.is_untouched()
            made = sorted(path.name for path in lab.home.iterdir())
            check(made == (["doorpost.env", "key"] if number % 2 else ["doorpost.env", "journal", "key"]), "round", number, made)
            check((lab.home / "key").stat().st_uid == 0 and not lab.disclosed(lab.home), "round", number)


run_tests(with_repair_and_key, with_init)
