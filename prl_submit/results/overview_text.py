"""The overview of a training in lines of at most 76 columns, for `status`."""

from __future__ import annotations

from datetime import datetime, timedelta

from prl_submit.results.overview import Overview
from prl_submit.results.sparkline import sparkline
from prl_submit.results.time_words import short, time_left
from prl_submit.runs.times import age

#: The columns of the bar and of the curve.
_BAR = 20
_CURVE = 20


def overview_lines(view: Overview, now: float, *, ascii_only: bool = False) -> list[str]:
    """How far the training is and when it ends; how it goes; what is odd. Empty before the first step.

    step 412/1200 ███████░░░░░░░░░░░░░ 34%  36 s/it  7.9 h left, ends Tue 14:05
    reward 0.415 ▁▂▂▃▄▄▅▆▆▇ rising  kl 0.012  len 311  78 GiB  21s ago
    """
    if view.step is None:
        return []
    lines = ["  ".join(_way(view, now, ascii_only)), "  ".join(_course(view, now, ascii_only))]
    if view.silence is not None:
        lines.append(view.silence)
    return [line for line in lines if line]


def _way(view: Overview, now: float, ascii_only: bool) -> list[str]:
    parts = [f"step {view.step}/{view.max_steps or '?'}"]
    if view.step is not None and view.max_steps:
        share = min(view.step / view.max_steps, 1.0)
        parts[0] += f" {bar(share, ascii_only=ascii_only)} {share:.0%}"
    if view.seconds_per_step is not None:
        parts.append(f"{short(view.seconds_per_step)} s/it")
    if view.seconds_left is not None and view.ends_at is not None:
        about = "about " if view.is_rough else ""
        parts.append(
            f"{about}{time_left(view.seconds_left)} left, ends {end_date(view.ends_at, now)}"
        )
    return parts


def _course(view: Overview, now: float, ascii_only: bool) -> list[str]:
    parts = []
    if view.reward is not None:
        curve = sparkline(view.rewards, _CURVE, ascii_only=ascii_only)
        parts.append(
            " ".join(word for word in ("reward", short(view.reward), curve, view.trend) if word)
        )
    if view.kl is not None:
        parts.append(f"kl {view.kl:.2g}")
    if view.completion_length is not None:
        parts.append(f"len {short(view.completion_length)}")
    if view.peak_memory_gib is not None:
        parts.append(f"{short(view.peak_memory_gib)} GiB")
    if view.logged_at is not None and view.seconds_left is not None:
        parts.append(f"{age(now - view.logged_at)} ago")
    return parts


def bar(share: float, width: int = _BAR, *, ascii_only: bool = False) -> str:
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
