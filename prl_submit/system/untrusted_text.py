"""Making text of a scheduler, an API server or a job harmless before it is printed on a terminal.

An escape sequence in a log, a reason or a file name can clear the screen, change the window's title, or
write over earlier lines. Logs keep their colours, line ends and tabs.
"""

from __future__ import annotations

import codecs
import re

# Patterns are texts here, which `re` compiles when they are first used: `check` seldom needs one.
#: A sequence that sets a colour (SGR).
_COLOUR = r"\x1b\[[0-9;:]*m"
#: The escape sequences of ECMA-48: those that begin with ESC [, those that begin with ESC ] and the like,
#: both also in their 8-bit forms, and all others.
_CSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"
_OTHER = r"\x1b[ -/]*[0-~]"
#: Control characters, and the characters that change the direction of writing. Tab, line feed and carriage
#: return are not among them, because a progress bar returns to the beginning of its line with the last one.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_SEQUENCE = f"{_STRING}|{_CSI}|{_OTHER}"
_ANY = f"{_SEQUENCE}|{_CONTROL}|\r|[\ud800-\udfff]"
_BUT_COLOUR = f"({_COLOUR})|{_SEQUENCE}|{_CONTROL}"
#: The beginning of a sequence at the end of a text; its rest may follow in the next piece.
_BEGUN = r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8})?\Z"
_IN_JSON = r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def words(text: str) -> str:
    """The text with `?` in place of each sequence and control character. Line feeds and tabs stay."""
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return re.sub(_ANY, "?", text)


def one_line(text: str) -> str:
    """The text on one line, without sequences and control characters."""
    shown = "".join(char if char.isprintable() else " " for char in re.sub(_SEQUENCE, "", text))
    return " ".join(shown.split())


def excerpt(text: str, most: int = 300) -> str:
    """The text on one line of at most `most` characters: its beginning, `…`, and its end.

    The end is kept because it often has the cause of an error.
    """
    line = one_line(text)
    if len(line) <= most:
        return line
    end = (most - 3) // 2
    return f"{line[: most - 3 - end].rstrip()} … {line[-end:].lstrip()}"


def in_json(text: str) -> str:
    """The same JSON, with escapes in place of characters that would change a terminal."""
    return re.sub(_IN_JSON, lambda match: f"\\u{ord(match[0]):04x}", text)


class Filter:
    """Makes a job's output harmless. The output comes in pieces, and a piece may end inside a sequence."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def __call__(self, content: bytes) -> bytes:
        """The next piece of the output without sequences, except colours, and without control characters."""
        text = self._begun + self._decoder.decode(content)
        found = re.search(_BEGUN, text)
        self._begun = found[0] if found else ""
        text = text[: len(text) - len(self._begun)]
        return re.sub(_BUT_COLOUR, lambda match: match[1] or "", text).encode("utf-8")
