"""The values and lines of ms-swift's files, in all forms that ms-swift 3.1 to 4.6 writes.

ms-swift 4 prints numbers as texts; ms-swift 3 writes percentages and times as texts; both write NaN and
Infinity, which are no JSON. A line may also be damaged: by a full disk, by a power cut, or because a
restarted training went on behind a line that was cut.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
from typing import Any

import msgspec

#: A number's text is not longer than this.
_LONGEST_NUMBER = 40
#: A printed line is not longer than this; Python's parser needs a hundred times as much memory.
_LONGEST_PRINTED = 1 << 16
_MOST_STEPS = 10**15
_DECODER = msgspec.json.Decoder()
_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
#: Python prints these without quotes, and its parser does not read them.
_PRINTED_NOT_FINITE = re.compile(rb"([:,\[] ?)(nan|-?inf)\b")


def number(value: object) -> float | None:
    """The number in a value: a JSON number, `"0.015"`, `"12.5%"` (0.125), `"nan"`. None for anything else."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) < 1 << 1000 else math.inf if value > 0 else -math.inf
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return None
    digits = value.strip()
    try:
        return float(digits[:-1]) / 100 if digits.endswith("%") else float(digits)
    except ValueError:
        return None


def seconds(value: object) -> float | None:
    """The seconds in `"35d 10h 21m 39s"`, as ms-swift's `format_time` writes it, or in a number; else None."""
    if not isinstance(value, str) or value[-1:] != "s" or len(value) > _LONGEST_NUMBER:
        return number(value)
    total = 0
    try:
        for part in value.split(" "):
            total += int(part[:-1]) * _UNITS[part[-1]]
    except (ValueError, LookupError):
        return None
    return float(total) if total >= 0 else None


def step_of(value: object) -> tuple[int, int] | None:
    """The step and the number of steps in `"5/60"`."""
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return None
    first, _, second = value.partition("/")
    try:
        step, count = int(first), int(second)
    except ValueError:
        return None
    return (step, count) if 0 <= step < _MOST_STEPS and 0 <= count < _MOST_STEPS else None


def decode_line(line: bytes) -> dict[str, Any] | None:
    """The object in a line of logging.jsonl; None if the line is damaged.

    If a restarted training went on behind a cut line, the second object in the line is returned.
    """
    found = decode_object(line)
    if found is None and (begin := line.rfind(b'{"')) > 0:
        return decode_object(line[begin:])
    return found


def decode_object(text: bytes) -> dict[str, Any] | None:
    """The object in a text of JSON, which may have NaN and Infinity; None if it is damaged or no object."""
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        found = _decode_slowly(text)
    return found if isinstance(found, dict) else None


def _decode_slowly(line: bytes) -> Any:
    """JSON that may have NaN and Infinity; None if it is damaged."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line.decode("utf-8", "replace"))
    return None


def printed_object(line: bytes) -> dict[str, Any] | None:
    """The object that ms-swift printed at the end of a line of a log, behind a progress bar; else None."""
    place = line.rfind(b"{'")
    if place < 0 or (place > 0 and line[place - 1 : place] not in (b"\r", b" ")):
        return None
    return printed_line(line[place:])


def printed_line(line: bytes) -> dict[str, Any] | None:
    """The same object as ms-swift prints it into the log of node 0: `{'loss': '0.1', …}`; else None."""
    if not line.startswith(b"{'") or len(line) > _LONGEST_PRINTED:
        return None
    text = _PRINTED_NOT_FINITE.sub(rb"\1'\2'", line.strip()).decode("utf-8", "replace")
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return found if isinstance(found, dict) else None
