"""From the text of a scalar to its value: numbers and booleans, durations, sizes of memory.

Numbers and booleans are those of YAML 1.2's core schema. PyYAML follows YAML 1.1, where `no` is false,
`010` is 8, `12:00:00` is 43200 and `1e-6` is text; users of a job spec expect none of that.
"""

from __future__ import annotations

import math
import re

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
#: The words that ms-swift's parser takes for a boolean (transformers hf_argparser `string_to_bool`).
_YES = frozenset({"yes", "true", "t", "y", "1", "on"})
_NO = frozenset({"no", "false", "f", "n", "0", "off"})
_INFINITIES = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# These are compiled when they are first used (`re` caches them), because most commands use none.
_COMPOUND = r"([0-9]{1,9}[smhdw])+"
_CLOCK = r"(?:([0-9]{1,9})-)?([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}))?"
_DAYS_HOURS = r"([0-9]{1,9})-([0-9]{1,2})"
_MEMORY = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([KMGT])i?B?"
MAX_SECONDS = 366 * 86400


def resolve(text: str) -> str | int | float | bool:
    """The value of an unquoted scalar: a boolean, a number, or the text itself.

    `010` stays text, because as a number it could mean 8 or 10.
    """
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    # int() takes time quadratic in the number of digits. No argument needs more than a float's range.
    if _INT.fullmatch(text) and len(text) <= 300:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _INFINITIES.get(text.lower(), text)


def parse_bool(text: str) -> bool | None:
    """The value of a word where a boolean is wanted (`yes` and `off` count); None for another word."""
    word = text.lower()
    if word in _YES:
        return True
    return False if word in _NO else None


def parse_int(text: str) -> int | None:
    """The value of a text where a whole number is wanted; None if it is not one.

    Leading zeros mean nothing: `010` is ten.
    """
    bare = text.strip()
    return int(bare) if re.fullmatch(r"[-+]?[0-9]{1,18}", bare, re.ASCII) else None


def is_digits(text: str) -> bool:
    """True if the text is 1 to 18 ASCII digits, so that `int(text)` works and is fast.

    `str.isdigit` alone is not enough: it is true for `²`, and for a text of any length.
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


def parse_float(text: str) -> int | float | None:
    """The value of a text where a number is wanted: an int if written as one; None if it is no number."""
    whole = parse_int(text)
    if whole is not None:
        return whole
    if text.lower() in _INFINITIES:
        return _INFINITIES[text.lower()]
    if "_" in text:  # float() would take `1_000`
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    # `1e400` overflows to infinity, which is not what the user wrote.
    is_overflow = math.isinf(number) and text[-1:].isdigit()
    return None if is_overflow else number


def parse_duration(text: str) -> int | None:
    """The seconds in `12:00:00`, `1-06:00:00`, `1-06:00`, `1-6`, `90m`, `1h30m` or `2d`.

    Colons and dashes mean what they mean for Slurm's --time. Two forms are refused because people read
    them differently: a bare number (minutes for Slurm, seconds elsewhere), and `12:00` (twelve minutes
    for Slurm). None if the text is not a duration, is zero, or is longer than 366 days.
    """
    seconds = 0
    if re.fullmatch(_COMPOUND, text):
        seconds = sum(int(n) * _UNITS[u] for n, u in re.findall(r"([0-9]+)([smhdw])", text))
    elif clock := re.fullmatch(_CLOCK, text):
        days, first, second, third = clock.groups()
        seconds = _clock_seconds(days, int(first), int(second), third)
    elif days_hours := re.fullmatch(_DAYS_HOURS, text):
        seconds = int(days_hours[1]) * 86400 + int(days_hours[2]) * 3600
    return seconds if 0 < seconds <= MAX_SECONDS else None


def duration_hint(text: str) -> str | None:
    """A hint for a duration that people read in two ways, such as `90` or `12:00`; None for other text."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return f"write the unit: {text}s, {text}m or {text}h"
    if match := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,2})", text):
        return f"{text}:00 is {match[1]} hours, {match[1]}m{match[2]}s is {match[1]} minutes"
    return None


def _clock_seconds(days: str | None, first: int, second: int, third: str | None) -> int:
    """The seconds of DAYS-HOURS:MINUTES[:SECONDS] or HOURS:MINUTES:SECONDS; 0 if it is not a time."""
    if second > 59 or (third is not None and int(third) > 59):
        return 0
    if third is None and days is None:
        return 0  # `12:00`: hours and minutes, or minutes and seconds?
    return int(days or 0) * 86400 + first * 3600 + second * 60 + int(third or 0)


def format_duration(seconds: int) -> str:
    """Seconds as `1-06:00:00` or `12:00:00`, the form that Slurm's --time takes too."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


#: The size that means all memory of a node, as in Slurm's `--mem=0`.
ALL_MEMORY = "0"


def parse_memory(text: str) -> str | None:
    """A size of memory as a whole number and K, M, G or T (powers of 1024); None if it is not a size.

    `256G`, `256GiB` and `1.5T` become `256G`, `256G` and `1536G`.
    """
    match = re.fullmatch(_MEMORY, text, re.IGNORECASE)
    if match is None:
        return None
    number, unit = float(match[1]), match[2].upper()
    while number != int(number) and unit != "K":
        number, unit = number * 1024, {"T": "G", "G": "M", "M": "K"}[unit]
    return f"{int(number)}{unit}" if 1 <= number < 10**9 else None


def parse_node_memory(text: str) -> str | None:
    """As parse_memory, but `0` and `all` mean all memory of a node (ALL_MEMORY)."""
    return ALL_MEMORY if text.lower() in ("0", "all") else parse_memory(text)


def mebibytes(size: str) -> float:
    """The MiB in a size such as `256G`, written as parse_memory writes it. ALL_MEMORY gives 0."""
    if size == ALL_MEMORY:
        return 0
    return int(size[:-1]) * {"K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}[size[-1]]


def to_quantity(size: str | None) -> str:
    """A size as Kubernetes writes it: `256G` becomes `256Gi`.

    `size` is what parse_memory returned. Raises ValueError if that is None.
    """
    if size is None:
        raise ValueError("is not a size such as 50G")
    return f"{size}i"


def format_number(value: int | float) -> str:
    """A number as people write it: `1e-6`, where Python's repr is `1e-06`. It reads back as the same number."""
    return re.sub(r"e([-+])0+(?=[0-9])", r"e\1", repr(value)).replace("e+", "e")


def gpus_asked_for(count: int, kind: str | None) -> str:
    """`1 GPU per node is asked for`, `8 h100 GPUs per node are asked for`."""
    name = f"{kind} GPU" if kind else "GPU"
    one = count == 1
    return f"{count} {name}{'' if one else 's'} per node {'is' if one else 'are'} asked for"
