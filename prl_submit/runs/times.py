"""Times: the present one, as text and as seconds, and in words how long ago, how long until."""

from __future__ import annotations

from datetime import datetime, timezone


def local_now() -> str:
    """Local time, ISO 8601 with zone, to the second."""
    try:
        return datetime.now().astimezone().isoformat(timespec="seconds")
    except ValueError:  # TZ names a zone more than a day away, which Python does not have
        return datetime.now(timezone.utc).isoformat(timespec="seconds")


def iso_time(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 with this machine's zone; None for a time after the year 9999."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None


def seconds_of(time: str | None) -> float | None:
    """A time in ISO 8601 as seconds since 1970; None for a text that is no time: somebody else may have written it."""
    try:
        return None if time is None else datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def age(seconds: float) -> str:
    """A time span with its two largest units at most: `45s`, `12m`, `2h05m`, `3d04h`.

    A negative span is shown as `0s`: the clocks of a file server and of this machine may differ.
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
    """`in 10m (2026-11-30T08:12:33+01:00)` for a time in ISO 8601 with zone. `now`: seconds since 1970.

    A time in the past gives `now (…)`. A text that is not a time is returned unchanged.
    """
    try:
        seconds = datetime.fromisoformat(time).timestamp() - now
    except ValueError:
        return time
    return f"in {age(seconds)} ({time})" if seconds >= 1 else f"now ({time})"
