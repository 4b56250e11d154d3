"""Where quotes, braces and parentheses end, and what escapes stand for."""

from __future__ import annotations

import re

from prl_submit.importing.scope import UnknownError
from prl_submit.importing.statement import Word

_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ANSI = re.compile(
    r"\\(?:x(?P<hex>[0-9A-Fa-f]{1,2})|u(?P<u>[0-9A-Fa-f]{1,4})|U(?P<U>[0-9A-Fa-f]{1,8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<letter>[ntrabfveE\\'\"?])|c(?P<control>.))|(?P<plain>[^\\]+|\\)",
    re.DOTALL,
)
#: Stands for what is quoted or expanded, where only bare characters count.
COVER = "\0"


def end_of_quotes(text: str, start: int) -> int:
    """Where the double quotes end that begin before `start`."""
    place = start
    while place < len(text) and text[place] != '"':
        place = _after(text, place, quoted=True)
    return place


def end_of_braces(text: str, start: int) -> int:
    """Where `${` ends that begins before `start`."""
    place = start
    while place < len(text) and text[place] != "}":
        place = _after(text, place, quoted=False)
    return place


def end_of_parentheses(text: str, start: int) -> int:
    """Where `(` ends that begins before `start`."""
    place, depth = start, 1
    while place < len(text):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
        place = _after(text, place, quoted=False)
    return place


def end_of_inner(text: str, start: int) -> int:
    """Where the inner parentheses of `$((` at `start` end."""
    return end_of_parentheses(text, start + 3)


def end_of_ansi(text: str, start: int) -> int:
    """Where `$'` ends that begins before `start`."""
    place = start
    while place < len(text) and text[place] != "'":
        place += 2 if text[place] == "\\" else 1
    return place


def _after(text: str, place: int, *, quoted: bool) -> int:
    """The place behind the character, escape, quotes, braces or parentheses at `place`."""
    char = text[place]
    if char == "\\":
        return place + 2
    if text.startswith("$'", place) and not quoted:
        return end_of_ansi(text, place + 2) + 1
    if char == "'" and not quoted:
        end = text.find("'", place + 1)
        return len(text) if end < 0 else end + 1
    if char == '"' and not quoted:
        return end_of_quotes(text, place + 1) + 1
    if text.startswith("${", place):
        return end_of_braces(text, place + 2) + 1
    if text.startswith("$(", place):
        return end_of_parentheses(text, place + 2) + 1
    if char == "`":
        end = text.find("`", place + 1)
        return len(text) if end < 0 else end + 1
    return place + 1


def bare_source(text: str) -> str:
    """The text with everything quoted, escaped or expanded covered."""
    found = []
    place = 0
    while place < len(text):
        end = _after(text, place, quoted=False)
        found.append(text[place] if end == place + 1 else COVER)
        place = end
    return "".join(found)


def split_words(text: str, line: int, *, operators: bool = False) -> list[Word]:
    """The words of a text between blanks. `operators`: those of `[[` end a word as well."""
    found: list[Word] = []
    current = ""
    place, is_regex = 0, False
    text = unfolded(text)
    while place < len(text):
        end = min(_after(text, place, quoted=False), len(text))
        piece = text[place:end]
        operator = _operator(text, place, current) if operators and not is_regex else ""
        if piece in (" ", "\t", "\n") or operator:
            if current:
                found.append(Word(current, line))
                is_regex = current == "=~"
            current = ""
            end = place + (len(operator) or 1)
            if operator:
                found.append(Word(operator, line))
        else:
            current += piece
            is_regex = is_regex and bool(current)
        place = end
    return [*found, Word(current, line)] if current else found


def _operator(text: str, place: int, current: str) -> str:
    """An operator of `[[` that needs no blanks around it."""
    if text.startswith(("&&", "||"), place):
        return text[place : place + 2]
    char = text[place]
    return char if (char == "(" and not current) or char == ")" or char in "<>" else ""


def unfolded(text: str) -> str:
    """The text with its continued lines joined, which bash does before anything else."""
    if "\\\n" not in text:
        return text
    found = []
    place, quoted = 0, False
    while place < len(text):
        end = place + 1
        if text[place] == "\\":
            end = place + 2
        elif text[place] == '"':
            quoted = not quoted
        elif not quoted and text.startswith("$'", place):
            end = end_of_ansi(text, place + 2) + 1
        elif not quoted and text[place] == "'":
            end = _after(text, place, quoted=False)
        found.append("" if text[place:end] == "\\\n" else text[place:end])
        place = end
    return "".join(found)


def ansi(text: str) -> str:
    r"""What `$'…'` stands for. Raises UnknownError for bytes that are not UTF-8."""
    found = bytearray()
    for match in _ANSI.finditer(text):
        if number := match["hex"]:
            found.append(int(number, 16))
        elif number := match["octal"]:
            found.append(int(number, 8) & 0xFF)
        elif number := match["u"] or match["U"]:
            found += _character(int(number, 16))
        elif match["control"]:
            raise UnknownError("holds a control character", "write it otherwise")
        elif letter := match["letter"]:
            found += {"e": "\x1b", "E": "\x1b"}.get(letter, _ESCAPED.get(letter, letter)).encode()
        else:
            found += match["plain"].encode("utf-8")
    try:
        plain = found.decode("utf-8")
    except UnicodeDecodeError:
        raise UnknownError("$'…' holds bytes that are not UTF-8", "write the text") from None
    return plain.partition("\0")[0]  # as bash does


def _character(number: int) -> bytes:
    try:
        return chr(number).encode("utf-8")
    except (ValueError, OverflowError, UnicodeEncodeError):
        raise UnknownError("$'…' holds what is no character", "write the text") from None
