"""Times as the API and as logs write them."""

from __future__ import annotations

import calendar
import re
import time

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
SECOND = 1_000_000_000


def stamp(seconds: float | None = None) -> str:
    """A time as in objects, in whole seconds. None: now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def precise(nanoseconds: int) -> str:
    """A time as in logs, with nine digits after the point."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def nanoseconds(text: str) -> int:
    """Nanoseconds from 1970 to a time in RFC 3339. Raises ValueError if the text is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a time: {text}")
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    if found[3] != "Z":
        hours, minutes = found[3][1:].split(":")
        seconds -= int(found[3][0] + "1") * (int(hours) * 3600 + int(minutes) * 60)
    return seconds * SECOND + int((found[2] or "").ljust(9, "0"))
