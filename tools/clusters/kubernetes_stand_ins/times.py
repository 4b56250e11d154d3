"""Times as the API and logs write them."""

from __future__ import annotations

import calendar
import re
import time

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
SECOND = 1_000_000_000


def stamp(seconds: float | None = None) -> str:
    """As in objects: whole seconds; now, if not said."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def precise(nanoseconds: int) -> str:
    """As in logs: with nine digits."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def nanoseconds(text: str) -> int:
    """What RFC 3339 says, since 1970; ValueError where it is not that."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a time: {text}")
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    if found[3] != "Z":
        hours, minutes = found[3][1:].split(":")
        seconds -= int(found[3][0] + "1") * (int(hours) * 3600 + int(minutes) * 60)
    return seconds * SECOND + int((found[2] or "").ljust(9, "0"))
