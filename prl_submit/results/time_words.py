"""Numbers, times and dates in few words. Quick to import, because `check` uses it."""

from __future__ import annotations

import time

#: The seconds of 1000 years; what is longer is nobody's time.
_LONGEST = 86_400 * 365 * 1000
#: Numbers above it are shown with an exponent.
_LARGEST = 1e9


def in_words(seconds: float) -> str:
    """A time with one unit: `35 days`, `2.5 hours`, `12 minutes`, `40 seconds`."""
    if seconds >= _LONGEST:
        return "more than 1000 years"
    for unit, size in (("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= size * 1.5:
            return f"{_two_digits(seconds / size)} {unit}s"
    return f"{_two_digits(seconds)} seconds"


def time_left(seconds: float) -> str:
    """A time in few characters: `40 s`, `12 min`, `2.5 h`, `35 days`."""
    if seconds >= _LONGEST:
        return "more than 1000 years"
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size * 1.5:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{seconds:.0f} s"


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def short(value: float) -> str:
    """A number with three digits at most after it is rounded: 35.3, 2.2, 0.163, 12, 1e+20."""
    if 100 <= abs(value) < _LARGEST:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def until(ends_at: float, now: float) -> str:
    """`17:42` today, `tomorrow 17:42`, else `2027-01-04`, in the local time zone. Both are seconds since 1970."""
    try:
        end, today, tomorrow = map(time.localtime, (ends_at, now, now + 86_400))
    except (ValueError, OverflowError, OSError):
        return "in more than 1000 years"
    if end[:3] == today[:3]:
        return time.strftime("%H:%M", end)
    if end[:3] == tomorrow[:3]:
        return time.strftime("tomorrow %H:%M", end)
    return time.strftime("%Y-%m-%d", end)
