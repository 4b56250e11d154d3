"""Somebody else's words (a scheduler's, an API server's, a log's) as one harmless line of bounded length."""

from __future__ import annotations

import re

#: ANSI sequences: colours, cursor movements, and titles of terminal windows.
_SEQUENCES = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -~])")


def one_line(text: str) -> str:
    """The words on one line, without what a terminal would obey."""
    plain = _SEQUENCES.sub("", text)
    shown = "".join(char if char.isprintable() else " " for char in plain)
    return " ".join(shown.split())


def excerpt(text: str, most: int = 300) -> str:
    """At most `most` characters of one line: its beginning and its end, where the cause often is."""
    line = one_line(text)
    if len(line) <= most:
        return line
    end = (most - 3) // 2
    return f"{line[: most - 3 - end].rstrip()} … {line[-end:].lstrip()}"
