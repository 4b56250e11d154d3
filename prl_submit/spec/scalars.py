"""Text of a scalar -> value: YAML 1.2's core schema, durations, sizes.

YAML 1.1 is what bites: there `no` is false, `010` is 8, `12:00:00` is 43200 and `1e-6` is text.
"""

from __future__ import annotations

import math
import re

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
#: What ms-swift's argparse takes for a boolean (transformers.hf_argparser.string_to_bool).
_YES = frozenset({"yes", "true", "t", "y", "1", "on"})
_NO = frozenset({"no", "false", "f", "n", "0", "off"})
_INFINITIES = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Compiled on use (re keeps them): most commands meet none of these.
_COMPOUND = r"([0-9]{1,9}[smhdw])+"
_CLOCK = r"(?:([0-9]{1,9})-)?([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}))?"
_DAYS_HOURS = r"([0-9]{1,9})-([0-9]{1,2})"
_MEMORY = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([KMGT])i?B?"
MAX_SECONDS = 366 * 86400


def resolve(text: str) -> str | int | float | bool:
    """What an unquoted scalar looks like. `010` stays text: as a number it could be 8 or 10."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    # int() takes time quadratic in the digits, and no argument has more than a float's range.
    if _INT.fullmatch(text) and len(text) <= 300:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _INFINITIES.get(text.lower(), text)


def parse_bool(text: str) -> bool | None:
    """A boolean where one is wanted, `yes` and `off` included; None where the word is not one."""
    word = text.lower()
    return word in _YES if word in _YES or word in _NO else None


def parse_int(text: str) -> int | None:
    """A whole number where one is wanted; leading zeros mean nothing (`010` is ten)."""
    bare = text.strip()
    return int(bare) if re.fullmatch(r"[-+]?[0-9]{1,18}", bare, re.ASCII) else None


def is_digits(text: str) -> bool:
    """Whether `int` takes the text, which has digits alone: `str.isdigit` holds for `²` too, and for any length."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def parse_float(text: str) -> int | float | None:
    """A number where one is wanted, whole where it is written so; None where the text is none."""
    if (whole := parse_int(text)) is not None:
        return whole
    if text.lower() in _INFINITIES:
        return _INFINITIES[text.lower()]
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        return None
    # `1e400` overflows to infinity, which is not what was written.
    return None if number is not None and math.isinf(number) and text[-1:].isdigit() else number


def parse_duration(text: str) -> int | None:
    """Seconds of `12:00:00`, `1-06:00:00`, `1-06:00`, `1-6`, `90m`, `1h30m`, `2d`.

    Colons and dashes as Slurm's --time has them. What people read in two ways is refused: a bare
    number (minutes for Slurm, seconds elsewhere) and `12:00` (twelve minutes for Slurm).
    None where the text is no duration, or not within a year.
    """
    seconds = 0
    if re.fullmatch(_COMPOUND, text):
        seconds = sum(int(n) * _UNITS[u] for n, u in re.findall(r"([0-9]+)([smhdw])", text))
    elif match := re.fullmatch(_CLOCK, text):
        days, first, second, third = match.groups()
        seconds = _clock_seconds(days, int(first), int(second), third)
    elif match := re.fullmatch(_DAYS_HOURS, text):
        seconds = int(match[1]) * 86400 + int(match[2]) * 3600
    return seconds if 0 < seconds <= MAX_SECONDS else None


def duration_hint(text: str) -> str | None:
    """What to write for a duration that can be read in two ways; None for anything else."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return f"say the unit: {text}s, {text}m or {text}h"
    if match := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,2})", text):
        return f"{text}:00 is {match[1]} hours, {match[1]}m{match[2]}s is {match[1]} minutes"
    return None


def _clock_seconds(days: str | None, first: int, second: int, third: str | None) -> int:
    if second > 59 or (third is not None and int(third) > 59):
        return 0
    if third is None and days is None:
        return 0
    return int(days or 0) * 86400 + first * 3600 + second * 60 + int(third or 0)


def format_duration(seconds: int) -> str:
    """`1-06:00:00` or `12:00:00`, which Slurm reads too."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


#: All the memory of a node, as Slurm says it (`--mem=0`).
ALL_MEMORY = "0"


def parse_memory(text: str) -> str | None:
    """`256G`, `256GiB`, `1.5T` -> `256G`, `256G`, `1536G`: whole binary K, M, G or T; else None."""
    match = re.fullmatch(_MEMORY, text, re.IGNORECASE)
    if match is None:
        return None
    number, unit = float(match[1]), match[2].upper()
    while number != int(number) and unit != "K":
        number, unit = number * 1024, {"T": "G", "G": "M", "M": "K"}[unit]
    return f"{int(number)}{unit}" if 1 <= number < 10**9 else None


def parse_node_memory(text: str) -> str | None:
    """As parse_memory; `0` and `all` are ALL_MEMORY."""
    return ALL_MEMORY if text.lower() in ("0", "all") else parse_memory(text)


def mebibytes(size: str) -> float:
    """A size as parse_memory gives it, `256G`, in MiB; ALL_MEMORY is 0."""
    if size == ALL_MEMORY:
        return 0
    return int(size[:-1]) * {"K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}[size[-1]]


def to_quantity(size: str | None) -> str:
    """As Kubernetes writes it: `256G`, as parse_memory gives it, is `256Gi`. Raises ValueError."""
    if size is None:
        raise ValueError("is no size such as 50G")
    return f"{size}i"


def format_number(value: int | float) -> str:
    """As a person writes it: `1e-6`, not Python's `1e-06`; reads back as the same number."""
    return re.sub(r"e([-+])0+(?=[0-9])", r"e\1", repr(value)).replace("e+", "e")
