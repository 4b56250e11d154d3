"""The tree of a spec -> YAML text that reads back as exactly the same text, value by value."""

from __future__ import annotations

import re
from typing import Union

#: Text (never typed here), null, lists and mappings.
Tree = Union[str, None, list["Tree"], dict[str, "Tree"]]

#: Bare where no reader takes it for anything else; `#` and `:` only inside a word.
_BARE = re.compile(r"[\w./+][\w./+@%=~^-]*(?:[#:][\w./+@%=~^-]+)*")
_NUMBER = re.compile(r"[-+]?[0-9.][0-9.eE+-]*", re.ASCII)
#: What YAML 1.1 counts in sixties.
_CLOCK = re.compile(r"[0-9-]+(:[0-9]+)+", re.ASCII)
#: Words that YAML readers take for something else than text, in any case.
_WORDS = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"])
_WIDTH = 96


def write_spec(tree: dict[str, Tree], comment: str) -> str:
    """The file's text. `comment` becomes its first line."""
    lines = [f"# {comment}"]
    for key, value in tree.items():
        lines += _entry(
            key, value, 0, texts=key in ("environment", "local", "name", "output", "workdir")
        )
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Tree, depth: int, *, texts: bool) -> list[str]:
    """`texts`: what looks like a number or a boolean is text here, and is shown to be."""
    start = "  " * depth + scalar(key, texts=True) + ":"
    if isinstance(value, dict):
        inner = [_entry(k, v, depth + 1, texts=texts) for k, v in value.items()]
        return [start, *(line for lines in inner for line in lines)]
    if isinstance(value, list):
        return _list(start, value, depth, texts=texts)
    return _block(f"{start} ", value, depth) or [f"{start} {scalar(value, texts=texts)}"]


def _list(start: str, items: list[Tree], depth: int, *, texts: bool) -> list[str]:
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
    """Several lines as they are, where YAML can hold them so; else nothing."""
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
    """One value as YAML. `texts`: what looks like a number or a boolean is text, and is quoted."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        raise TypeError("a list or a mapping is no scalar")
    if _CLOCK.fullmatch(value) or (texts and (_NUMBER.fullmatch(value) or value.lower() in _WORDS)):
        return f'"{value}"'
    if (_BARE.fullmatch(value) or _NUMBER.fullmatch(value)) and value.lower() != "null":
        return value
    if value and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    if char in short:
        return short[char]
    if char.isprintable():
        return char
    number = ord(char)
    return (
        f"\\x{number:02x}"
        if number < 256
        else f"\\u{number:04x}"
        if number < 65536
        else f"\\U{number:08x}"
    )
