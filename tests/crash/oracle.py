"""An independent reader of day files, including damaged ones. It uses none of Doorpost's code."""

import collections
import json
import re

from support.deliveries import sign
from support.journal import CHAIN_START, chain_of

START = re.compile(rb'\{"seq":\d')
BOM = b"\xef\xbb\xbf"

Line = collections.namedtuple("Line", "day at seq event text whole")


class Journal:
    """The day files by name: `days` has their bytes, `lines` the lines that have all of their bytes.

    A line is `whole` if its end is recognizable too: by a line break, the end of the file, or the beginning of another line
    after a damaged line break. If not, a reader may find the line or miss it."""

    def __init__(self, directory):
        self.days = {}
        for path in sorted(directory.glob("*.jsonl")):
            if re.fullmatch(r"\d{4}-\d\d-\d\d\.jsonl", path.name):
                self.days[path.name[:10]] = path.read_bytes()
        self.lines = []

    def candidates(self):
        """Everything that begins like a line, up to a line break."""
        for text in self.days.values():
            for match in START.finditer(text):
                end = text.find(b"\n", match.start())
                if end >= 0:
                    yield text[match.start():end].removesuffix(b"\r")

    def find(self, known):
        """Finds the known lines, given as {text: (event, seq)}."""
        for day, text in self.days.items():
            for line, (event, seq) in known.items():
                at = text.find(line)
                while at >= 0:
                    end = at + len(line)
                    whole = text[end:end + 1] in (b"", b"\n") or text[end:end + 2] == b"\r\n" or START.match(text, end + 1)
                    self.lines.append(Line(day, at, seq, event, line, bool(whole)))
                    at = text.find(line, end)
        self.lines.sort()

    def events(self):
        return {line.event for line in self.lines if line.whole}

    def last_seq(self):
        """The number of the last whole line of the newest day."""
        newest = max(self.days, default=None)
        return max((line.seq for line in self.lines if line.whole and line.day == newest), default=0)

    def __repr__(self):
        by_day = {day: [] for day in self.days}
        for line in self.lines:
            by_day[line.day].append(f"{line.seq}:{line.event}{'' if line.whole else '?'}")
        return " ".join(f"{day[5:]}({len(self.days[day])} bytes): {', '.join(lines)};" for day, lines in by_day.items())


def is_proven(text):
    """Returns True if this is a line with a valid signature."""
    try:
        line = json.loads(text)
        return sign(text[text.index(b'"event":') + 8:-1]) == line["signature"] and isinstance(line["chain"], str)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def soundness(days, pruned):
    """Returns "sound" if every byte belongs to a line that continues the chain, and "damaged" if not; "either" if the only
    exceptions are an editor's marks (a byte order mark, CRLF, a blank line, a last line without its break), or if the journal
    begins in the middle: deleting the oldest days is allowed. `pruned` is the recorded number of the last pruned line."""
    chain, seq, edited = None, None, False
    for day in sorted(days):
        text = days[day]
        edited |= text.startswith(BOM) or (text != b"" and not text.endswith(b"\n"))
        for line in text.removeprefix(BOM).split(b"\n")[:None if text and not text.endswith(b"\n") else -1]:
            edited |= line.endswith(b"\r") or line == b""
            line = line.removesuffix(b"\r")
            if line == b"":
                continue
            try:
                entry = json.loads(line)
                recorded, number = entry["chain"], entry["seq"]
                recorded.encode()
            except (ValueError, KeyError, TypeError, AttributeError):
                return "damaged"
            before = chain or (CHAIN_START if number == 1 else None)
            edited |= before is None and number != pruned + 1
            if before is not None and (recorded != chain_of(before, line, recorded) or number != (seq or 0) + 1):
                return "damaged"
            chain, seq = recorded, number
    return "either" if edited else "sound"
