"""Words that others wrote (a scheduler, an API server, a job), made harmless before a terminal sees them.

An escape sequence of a log, a reason or a file name can clear the screen, change the title, or write
over lines that were there before. Colours (SGR) are kept in logs, and so is what ends or indents lines.
"""

from __future__ import annotations

import codecs
import re

_COLOUR = r"\x1b\[[0-9;:]*m"
#: ESC [ … and ESC ] …, in their forms of seven and of eight bits, and all other sequences (ECMA-48).
_CSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"
_OTHER = r"\x1b[ -/]*[0-~]"
#: Controls without tab, line feed and carriage return, with which a progress bar begins its line anew;
#: and the marks that turn the direction of writing round.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_SEQUENCE = f"{_STRING}|{_CSI}|{_OTHER}"
_SEQUENCES = re.compile(_SEQUENCE)
_ANY = re.compile(f"{_SEQUENCE}|{_CONTROL}|\r|[\ud800-\udfff]")
_BUT_COLOUR = re.compile(f"({_COLOUR})|{_SEQUENCE}|{_CONTROL}")
#: The beginning of a sequence whose end has not come yet.
_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8})?\Z")
_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def words(text: str) -> str:
    """Words for a person, without sequences and controls; several lines stay several."""
    return text if text.isprintable() else _ANY.sub("?", text)


def one_line(text: str) -> str:
    """The words on one line, without sequences and controls."""
    shown = "".join(char if char.isprintable() else " " for char in _SEQUENCES.sub("", text))
    return " ".join(shown.split())


def excerpt(text: str, most: int = 300) -> str:
    """At most `most` characters of one line: its beginning and its end, where the cause often is."""
    line = one_line(text)
    if len(line) <= most:
        return line
    end = (most - 3) // 2
    return f"{line[: most - 3 - end].rstrip()} … {line[-end:].lstrip()}"


def in_json(text: str) -> str:
    """JSON that means the same, in which what a terminal would obey is escaped."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Filter:
    """A job's output for a terminal, in the pieces in which it comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def __call__(self, content: bytes) -> bytes:
        """What a terminal may see of it."""
        text = self._begun + self._decoder.decode(content)
        found = _BEGUN.search(text)
        self._begun = found[0] if found else ""
        text = text[: len(text) - len(self._begun)]
        return _BUT_COLOUR.sub(lambda match: match[1] or "", text).encode("utf-8")
