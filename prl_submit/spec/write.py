"""Writing a spec as YAML text. Reading the text gives back exactly the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Union

#: A spec as texts, nulls, lists and mappings. Numbers and booleans are texts here.
Tree = Union[str, None, list["Tree"], dict[str, "Tree"]]

#: Text that needs no quotes: every YAML reader takes it for the same text. `#` and `:` only inside a word.
_BARE = re.compile(r"[\w./+][\w./+@%=~^-]*(?:[#:][\w./+@%=~^-]+)*")
_NUMBER = re.compile(r"[-+]?[0-9.][0-9.eE+-]*", re.ASCII)
#: Text such as `12:00:00`, which YAML 1.1 reads as a number to the base 60.
_CLOCK = re.compile(r"[0-9-]+(:[0-9]+)+", re.ASCII)
#: Words that YAML readers do not take for text, in upper or lower case.
_WORDS = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"])
_WIDTH = 96
#: Top-level keys whose values are all texts.
_TEXT_SECTIONS = ("environment", "local", "name", "output", "platform", "workdir")


def write_spec(
    tree: dict[str, Tree], comment: str, comments: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The text of a spec file. `comment` becomes its first line; `comments`: lines before sections."""
    lines = [f"# {comment}"]
    for key, value in tree.items():
        if key in comments:
            lines.append(f"# {comments[key]}")
        lines += _entry(key, value, 0, texts=key in _TEXT_SECTIONS)
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Tree, depth: int, *, texts: bool) -> list[str]:
    """The lines of a key and its value.

    `texts`: all values here are texts, so a value that looks like a number or a boolean gets quotes.
    """
    start = "  " * depth + scalar(key, texts=True) + ":"
    if isinstance(value, dict):
        inner = [_entry(k, v, depth + 1, texts=texts) for k, v in value.items()]
        return [start, *(line for lines in inner for line in lines)]
    if isinstance(value, list):
        return _list(start, value, depth, texts=texts)
    return _block(f"{start} ", value, depth) or [f"{start} {scalar(value, texts=texts)}"]


def _list(start: str, items: list[Tree], depth: int, *, texts: bool) -> list[str]:
    """The lines of a list: one line if it is short, else one line for each item."""
    written = [scalar(item, texts=texts) for item in items if not isinstance(item, (dict, list))]
    short = f"{start} [{', '.join(written)}]"
    if len(short) <= _WIDTH and not any(" " in text or "\\" in text for text in written):
        return [short]
    lines = [start]
    for item, text in zip(items, written, strict=True):
        lines += _block("  " * (depth + 1) + "- ", item, depth + 1) or [
            "  " * (depth + 1) + f"- {text}"
        ]
    return lines


def _block(start: str, value: Tree, depth: int) -> list[str]:
    """A text of several lines as a YAML block; nothing if the text cannot be written so."""
    if not isinstance(value, str) or "\n" not in value or value != value.strip():
        return []
    lines = value.split("\n")
    if not all(_is_printable(line) for line in lines):
        return []
    inner = "  " * (depth + 1)
    return [f"{start}|-", *(inner + line if line else "" for line in lines)]


def _is_printable(text: str) -> bool:
    return all(char.isprintable() or char == "\t" for char in text)


def scalar(value: Tree, *, texts: bool) -> str:
    """One value as YAML. `texts`: the value is a text, so one that looks like a number gets quotes."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        raise TypeError("a list or a mapping is not a scalar")
    if _CLOCK.fullmatch(value) or (texts and (_NUMBER.fullmatch(value) or value.lower() in _WORDS)):
        return f'"{value}"'
    if (_BARE.fullmatch(value) or _NUMBER.fullmatch(value)) and value.lower() != "null":
        return value
    if value and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    """A character inside double quotes."""
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    if char in short:
        return short[char]
    if char.isprintable():
        return char
    number = ord(char)
    if number < 256:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
