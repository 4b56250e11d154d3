"""Quoting, one function per language. Each target reads its text by other rules."""

from __future__ import annotations

import re

_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


def bash(text: str) -> str:
    """One bash word that is exactly `text`; bare where that is safe, else in single quotes.

    Raises ValueError for NUL, which no argument can hold.
    """
    if "\0" in text:
        raise ValueError("an argument cannot hold a NUL byte")
    if _BARE.fullmatch(text) and not text.startswith("="):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def sbatch(text: str) -> str:
    r"""A value on a `#SBATCH` line: bare where that is safe, else in double quotes.

    There `\` escapes the next character, inside quotes too (sbatch/opt.c `_get_argument`, 22.05),
    so bash's quoting would lose backslashes. Raises ValueError for what no line can hold.
    """
    if any(char in text for char in "\0\n\r"):
        raise ValueError("a #SBATCH line cannot hold a line end or a NUL byte")
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def comment(text: str) -> str:
    """Text for the rest of a `#` line: control characters, line ends above all, become spaces."""
    return "".join(char if char.isprintable() else " " for char in text)
