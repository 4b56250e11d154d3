"""Parts of tables and pages of trainings: the bar, and the date of the end."""

from __future__ import annotations

from datetime import datetime, timedelta


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `width` characters, of which a share is full."""
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    count = min(int(share * width), width)
    return full * count + empty * (width - count)


def end_date(ends_at: float, now: float) -> str:
    """`14:05` today, `tomorrow 14:05`, `Tue 14:05` in the next days, else `2026-12-30`, in the local time zone."""
    try:
        end, today = datetime.fromtimestamp(ends_at), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):
        return "in more than 1000 years"
    days = (end.date() - today.date()) // timedelta(days=1)
    if days <= 0:
        return f"{end:%H:%M}"
    if days == 1:
        return f"tomorrow {end:%H:%M}"
    return f"{end:%a %H:%M}" if days < 7 else f"{end:%Y-%m-%d}"
