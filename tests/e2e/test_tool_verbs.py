"""What is made from the table of verbs and their tables of options: --help, which the manual has to match, and the completions of
real shells, each at a terminal."""

import os
import re
import shutil

from support.assertions import check, wait_for
from support.laboratory import ROOT, Lab, open_terminal
from support.runner import run_tests

OPTION = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z|]+))? ", re.MULTILINE)
ITEM = re.compile(r"(?:Fl (\w) , )?Fl -([\w-]+)(?: Ar (\w+(?: \| \w+)*))?(?: ,|$)")


def verbs_and_options(lab):
    """{verb: {(letter, name, argument), ...}}, as --help has them."""
    verbs = re.findall(r"^  ([a-z-]+) ", lab.tool("--help").ok().stdout, re.MULTILINE)
    return {verb: set(OPTION.findall(lab.tool(verb, "--help").ok().stdout)) for verb in verbs}


def documented(section):
    """The options that have an item in a section of the manual."""
    return {(letter, name, argument.upper().replace(" ", "")) for line in re.findall(r"^\.It (Fl .*)$", section, re.MULTILINE)
            for letter, name, argument in ITEM.findall(line)}


def the_manual_has_each_verb_and_option_and_no_other():
    with Lab() as lab:
        common, *sections = (ROOT / "cli/doorpost.1").read_text().split("\n.Ss ")
        common = documented(common)
        sections = {section.split()[0]: documented(section) for section in sections}
        verbs = verbs_and_options(lab)
        check(list(sections) == list(verbs), "the manual's verbs:", *sections, "and those of the table:", *verbs)
        for verb, options in verbs.items():
            check(sections[verb] <= options, "doorpost", verb, "does not have", *sections[verb] - options)
            check(options <= sections[verb] | common, "the manual's section", verb, "lacks", *options - sections[verb] - common)
        unused = common - set().union(*verbs.values())
        check(not unused, "no verb has", *unused)


class Shell:
    """A shell at a terminal, which writes down what it would offer for a command line when Tab is pressed."""

    def __init__(self, lab, command, prompt, **env):
        self.here = lab.path / "here"
        self.offers = lab.path / "offers"
        self.here.mkdir()
        self.offers.touch()
        (self.here / "directory").mkdir()
        (self.here / "file").touch()
        self.terminal, end = open_terminal()
        os.set_blocking(self.terminal, False)
        self.shown = ""
        self.process = lab.start(command, stdin=end, stdout=end, stderr=end, cwd=self.here, start_new_session=True,
                                 env={**lab.environment(), "TERM": "dumb", "OFFERS": str(self.offers), **env})
        os.close(end)
        lab.stack.callback(os.close, self.terminal)  # which ends the shell: it ignores SIGTERM
        wait_for(lambda: prompt in self.look(), "a prompt")

    def look(self):
        try:
            self.shown += os.read(self.terminal, 65536).decode(errors="replace")
        except BlockingIOError:
            pass
        check(self.process.poll() is None, "the shell has ended:", self.shown)
        return self.shown

    def offered(self, line):
        self.offers.write_text("")
        os.write(self.terminal, line.encode() + b"\t")
        wait_for(lambda: self.look() and self.offers.read_text().splitlines()[-1:] == ["."], f"what is offered for {line!r}")
        os.write(self.terminal, b"\x15")  # Ctrl-U
        return {word.rstrip("/") for word in self.offers.read_text().split()[:-1]}


def bash(lab):
    start = lab.path / "bashrc"
    start.write_text(f"""{lab.tool("completion", "bash").ok().stdout}
        note() {{ _doorpost; printf '%s\\n' "${{COMPREPLY[@]}}" . >>"$OFFERS"; COMPREPLY=(); }}
        complete -F note doorpost
        PS1='> '\n""")
    return Shell(lab, ["bash", "--noprofile", "--rcfile", start, "-i"], "> ")


def zsh(lab):
    (lab.path / "_doorpost").write_text(lab.tool("completion", "zsh").ok().stdout)
    (lab.path / ".zshrc").write_text("""
        fpath=($ZDOTDIR $fpath)
        autoload -Uz compinit && compinit -u -D
        compadd() {
            local -a offers
            [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]] || { builtin compadd -O offers "$@"; print -lr -- $offers >>$OFFERS }
            builtin compadd "$@"
        }
        note() { _main_complete; print -r . >>$OFFERS; compstate[insert]= compstate[list]= }
        zle -C note complete-word note
        bindkey '^I' note
        PS1='> '\n""")
    return Shell(lab, ["zsh", "-d", "-i"], "> ", ZDOTDIR=str(lab.path))


def check_completion(start, *more):
    with Lab() as lab:
        verbs = verbs_and_options(lab)
        shell = start(lab)
        check(shell.offered("doorpost ") - {"--help", "--version"} == {*verbs, "help", "version"}, "verbs:", shell.offered("doorpost "))
        check(shell.offered("doorpost help ") >= set(verbs), "help:", shell.offered("doorpost help "))
        for verb, options in verbs.items():
            offered = shell.offered(f"doorpost {verb} -")
            wanted = {f"--{name}" for _, name, _ in options} | {"--help"}
            letters = {f"-{letter}" for letter, _, _ in options if letter} | {"-h", "-"}
            check(wanted <= offered <= wanted | letters, verb, "offers", *offered, "and should", *wanted)
        for line, some, other in (("verify", {"verify-signature"}, "log"), ("log --since ", {"now", "today", "yesterday"}, "--until"), ("log -S y", {"yesterday"}, "now"),
                                  ("exec --from ", {"start", "end"}, "file"), ("trigger b", {"button_press"}, "log"), ("key r", {"retire"}, "list"),
                                  ("log --type co_", {"co_detected"}, "log"), ("sign f", {"file"}, "directory"), ("key --from ", {"file"}, "start"),
                                  ("log --conf ", {"file"}, "--json"), ("check -J ", {"directory"}, "file"), ("init d", {"directory"}, "file"),
                                  ("doctor --user roo", {"root"}, "file"), ("log --device ", set(), "--json"), ("completion ", {"bash", "zsh"}, "log"), *more):
            offered = shell.offered("doorpost " + line)
            check(some <= offered and other not in offered, line, "offers", *offered)


def bash_completes_verbs_options_and_values():
    check_completion(bash)


def zsh_completes_verbs_options_and_values():
    if not shutil.which("zsh"):
        return "zsh is not here"
    check_completion(zsh, ("exec --name x -- tru", {"true"}, "--name"))


def the_scripts_are_made_for_known_shells_alone():
    with Lab() as lab:
        for arguments in ([], ["fish"], ["bash", "zsh"]):
            lab.tool("completion", *arguments).fails(2)


run_tests(the_manual_has_each_verb_and_option_and_no_other, bash_completes_verbs_options_and_values, zsh_completes_verbs_options_and_values,
          the_scripts_are_made_for_known_shells_alone)
