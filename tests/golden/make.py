#!/usr/bin/env python3
"""make.py BUILD VERSION: writes tests/golden/VERSION, a journal as the programs in BUILD write it, once for each release. What is in
it: each sample, a body with line breaks, a signed body that is no event, days that were pruned, and a consumer that is behind."""

import datetime
import pathlib
import shutil
import sys

from support.deliveries import KEY, press, vectors
from support.laboratory import ROOT, Lab

build, version = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]

with Lab(binary=build / "doorpost.cgi") as lab:
    today = datetime.date.today()
    lab.write_days({str(today - datetime.timedelta(40)): [press(1), press(2)], str(today - datetime.timedelta(20)): [press(3), press(4)]})
    lab.tool("prune", "--keep", "30d").ok()
    lab.tool("exec", "--once", "--name", "golden", "--from", "start", "--", "true").ok()
    for _, body, key, signature in vectors():
        lab.write_keys(key)
        lab.cgi(body, signature)
    lab.write_keys(KEY)
    broken = press(5).replace(b',"data"', b',\n"data"')
    lab.receive(broken, b'{"signed":"and no event"}')
    target = ROOT / "tests/golden" / version
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(lab.journal, target)
