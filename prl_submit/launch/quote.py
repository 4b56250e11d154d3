"""Quoting a text for bash, for a `#SBATCH` line, and for a comment. Each has rules of its own."""

from __future__ import annotations

import re

_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


def bash(text: str) -> str:
    """One bash word that bash reads as exactly `text`: unquoted if that is safe, else in single quotes.

    Raises ValueError if the text holds a NUL byte, because no argument can hold one.
    """
    if "\0" in text:
        raise ValueError("an argument cannot hold a NUL byte")
    if _BARE.fullmatch(text) and not text.startswith("="):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def sbatch(text: str) -> str:
    r"""A value for a `#SBATCH` line: unquoted if that is safe, else in double quotes.

    On such a line sbatch takes `\` as an escape of the next character, inside quotes too (Slurm 22.05,
    sbatch/opt.c `_get_argument`). So bash's quoting would lose backslashes. Raises ValueError if the
    text holds a line end or a NUL byte.
    """
    if any(char in text for char in "\0\n\r"):
        raise ValueError("a #SBATCH line cannot hold a line end or a NUL byte")
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def comment(text: str) -> str:
    """Text for the rest of a `#` line. Line ends and other control characters become spaces."""
    return "".join(char if char.isprintable() else " " for char in text)
