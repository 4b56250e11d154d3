"""Time spans and times as people read them."""

from __future__ import annotations

from datetime import datetime

import pytest

from prl_submit.runs.times import age, until


def test_ages() -> None:
    """Spans are shown in their two largest units."""
    spans = [-5, 0, 59, 60, 3599, 7500, 86400 * 3 + 3600 * 4]
    assert [age(s) for s in spans] == ["0s", "0s", "59s", "1m", "59m", "2h05m", "3d04h"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(600, "in 10m"), (7500, "in 2h05m"), (1, "in 1s"), (0, "now"), (-60, "now")],
)
def test_until(seconds: int, words: str) -> None:
    """The time until a moment is shown with the moment."""
    time = "2026-11-30T08:12:33+01:00"
    now = datetime.fromisoformat(time).timestamp() - seconds
    assert until(time, now) == f"{words} ({time})"


def test_until_no_time() -> None:
    assert until("Unknown", 0) == "Unknown"
