"""The table of verbs and their tables of options, as --help has them, and the manual agree."""

import re

from lab import Lab, ROOT, check, run_tests

OPTION = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z]+))? ", re.MULTILINE)
ITEM = re.compile(r"(?:Fl (\w) , )?Fl -([\w-]+)(?: Ar (\w+))?(?: ,|$)")


def verbs_and_options(lab):
    """{verb: {(letter, name, argument), ...}}, as --help has them."""
    verbs = re.findall(r"^  ([a-z-]+) ", lab.tool("--help").ok().stdout, re.MULTILINE)
    return {verb: set(OPTION.findall(lab.tool(verb, "--help").ok().stdout)) for verb in verbs}


def documented(section):
    """The options that have an item in a section of the manual."""
    return {(letter, name, argument.upper()) for line in re.findall(r"^\.It (Fl .*)$", section, re.MULTILINE)
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


run_tests(the_manual_has_each_verb_and_option_and_no_other)
