"""A curve in one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

#: From low to high. A terminal that cannot show these gets the characters of ASCII.
_BARS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"
#: Values that differ by less are equal: their means were rounded differently.
_ROUNDING = 1e-12


def sparkline(values: Sequence[float], width: int = 20, *, ascii_only: bool = False) -> str:
    """The values as a row of `width` characters at most, the lowest value at the bottom.

    Where there are more values than characters, a character is the mean of its values. A blank means
    that none of its values is a finite number. If all values are equal, the line is in the middle.
    """
    cells = _cells(values, max(width, 1))
    finite = [cell for cell in cells if cell is not None]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    bars = _ASCII if ascii_only else _BARS
    return "".join(" " if cell is None else bars[_level(cell, low, high)] for cell in cells)


def _level(value: float, low: float, high: float) -> int:
    """From 0 for the lowest value to 7 for the highest."""
    half_range = high / 2 - low / 2  # halves, because the difference may overflow
    if half_range <= max(abs(low), abs(high)) * _ROUNDING:
        return len(_BARS) // 2 - 1
    share = (value / 2 - low / 2) / half_range
    return min(int(share * len(_BARS)), len(_BARS) - 1)


def _cells(values: Sequence[float], width: int) -> list[float | None]:
    """The means of equal parts of the values, `width` at most; None for a part without a finite value."""
    count = min(width, len(values))
    cells: list[float | None] = []
    for place in range(count):
        part = values[place * len(values) // count : (place + 1) * len(values) // count]
        finite = [value for value in part if isfinite(value)]
        cells.append(sum(value / len(finite) for value in finite) if finite else None)
    return cells


def trend(values: Sequence[float]) -> str:
    """`rising`, `falling` or `flat`: the last third of the values against the first third.

    `flat` if their means differ by less than the spread within the thirds; empty with fewer than 6 values.
    """
    finite = [value for value in values if isfinite(value)]
    third = len(finite) // 3
    if third < 2:
        return ""
    first, last = finite[:third], finite[-third:]
    change = sum(last) / third - sum(first) / third
    spread = max(_spread(first), _spread(last))
    if abs(change) <= spread / third**0.5 * 2 or change == 0:
        return "flat"
    return "rising" if change > 0 else "falling"


def _spread(values: Sequence[float]) -> float:
    """The standard deviation."""
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5)
