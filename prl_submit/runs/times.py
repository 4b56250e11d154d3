"""Times in words: how long ago, how long until."""

from __future__ import annotations

from datetime import datetime


def age(seconds: float) -> str:
    """A time span with its two largest units at most: `45s`, `12m`, `2h05m`, `3d04h`.

    0s for a negative one: clocks of a file server and of this machine differ.
    """
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m" if minutes else f"{rest}s"


def until(time: str, now: float) -> str:
    """`in 10m (2026-11-30T08:12:33+01:00)` for an ISO 8601 time with zone; `now` since the epoch.

    A text that is no such time is returned as it is; for a time that has passed the words are `now (…)`.
    """
    try:
        seconds = datetime.fromisoformat(time).timestamp() - now
    except ValueError:
        return time
    return f"in {age(seconds)} ({time})" if seconds >= 1 else f"now ({time})"
