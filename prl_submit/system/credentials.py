"""Leaving credentials out of texts: of a user's code, and of settings that tables and reports show.

Too much is left out rather than too little, because others often read these texts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prl_submit.system.credential_patterns import (
    HARMLESS,
    OF_TOKENIZERS,
    WORDS,
    IsName,
    assigning_patterns,
    patterns,
)

#: Stands where a credential was.
MARK = "***"


def masked(text: str, values: Iterable[str] = ()) -> tuple[str, int]:
    """A text without credentials, and in how many places one was left out. `values`: credentials that are known."""
    count = 0
    for value in values:
        count += text.count(value)
        text = text.replace(value, MARK)
    for pattern in patterns():
        text, marks = _replaced(text, pattern, None)
        count += marks
    text, marks = _without_ends_of_keys(text)
    count += marks
    if not any(word in text.lower() for word in WORDS):
        return text, count
    lines = text.split("\n")
    for number, line in enumerate(lines):
        lowered = line.lower()
        if any(word in lowered for word in WORDS):
            lines[number], marks = _masked_line(line)
            count += marks
    return "\n".join(lines), count


def _without_ends_of_keys(text: str) -> tuple[str, int]:
    """The text without the last lines of private keys, whose first lines a difference may not show."""
    if "-----END" not in text:
        return text, 0
    lines = text.split("\n")
    count = 0
    for number, line in enumerate(lines):
        if not re.match(r"[ +-]?-----END [A-Z ]*PRIVATE KEY", line):
            continue
        place = number - 1
        while place >= 0 and re.fullmatch(r"[ +-]?[ \t]*[A-Za-z0-9+/=]+\r?", lines[place]):
            sign = lines[place][:1]
            lines[place] = f"{sign if sign in ' +-' else ''}{MARK}"
            place -= 1
        count += place < number - 1
    return "\n".join(lines), count


def _masked_line(line: str) -> tuple[str, int]:
    """A line without the credentials that it assigns to a name, and how many these are."""
    count = 0
    for pattern, is_name in assigning_patterns():
        line, marks = _replaced(line, pattern, is_name)
        count += marks
    return line, count


def _replaced(text: str, pattern: re.Pattern[str], is_name: IsName | None) -> tuple[str, int]:
    """The text with a mark for each credential that the pattern finds, and how many these are."""
    count = 0

    def mark(match: re.Match[str]) -> str:
        nonlocal count
        if is_name is not None:
            name = _name_before(match.string, match.start()) + match["name"]
            if not is_name(name) or _is_harmless(name.lstrip("-"), match["value"]):
                return match[0]
        count += 1
        return f"{match['kept'] if 'kept' in match.re.groupindex else ''}{MARK}"

    return pattern.sub(mark, text), count


def _name_before(text: str, end: int) -> str:
    """The part of a name that stands before a place in a text."""
    start = end
    while start > max(end - 60, 0) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    return text[start:end]


def _is_harmless(name: str, value: str) -> bool:
    """True if an assigned value is no credential."""
    if value == MARK or HARMLESS.fullmatch(value) or OF_TOKENIZERS.fullmatch(name):
        return True
    if name.endswith("PWD"):
        return value[:1] in "/.~"  # the working directory
    # `API_KEY = "mean"` is nobody's; a credential has digits, or is longer.
    return name.lower().endswith("key") and value.isalpha() and len(value) < 16
