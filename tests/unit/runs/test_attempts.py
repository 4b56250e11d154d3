"""logs/attempts.jsonl as launch.sh, a full disk or somebody else may have left it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from prl_submit.runs.attempts import Attempt, attempt_seconds, gpu_hours, read_attempts
from prl_submit.runs.layout import ATTEMPTS, STEPS
from tests.support.records import record

RECORD = record(submitted_at="2026-11-30T10:00:00+00:00", resumed_at=["2026-11-30T12:00:00+00:00"])
BEGAN = '{"started_at": "2026-11-30T%s:01+00:00", "restarts": %d, "node": "n"}\n'
ENDED = '{"exit_code": 1, "state": "FAILED", "started_at": "2026-11-30T%s:01+00:00", "ended_at": "x", "restarts": %d, "node": "n", "reason": "r"}\n'


def read(tmp_path: Path, text: str) -> list[tuple[int, str | None, str | None]]:
    """Restarts, state and time of submission of each attempt."""
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / ATTEMPTS).write_text(text)
    attempts = read_attempts(tmp_path, RECORD)
    return [(a.restarts, a.state, (a.submitted_at or "")[11:16]) for a in attempts]


def test_starts_and_ends(tmp_path: Path) -> None:
    assert read_attempts(tmp_path, RECORD) == []
    first = BEGAN % ("10:00", 0) + ENDED % ("10:00", 0)
    assert read(tmp_path, first) == [(0, "FAILED", "10:00")]
    # The scheduler started it again, and it was killed; then somebody resumed it.
    later = first + BEGAN % ("11:00", 1) + BEGAN % ("12:00", 2) + ENDED % ("12:00", 2)
    assert read(tmp_path, later) == [
        (0, "FAILED", "10:00"),
        (1, None, "10:00"),
        (2, "FAILED", "12:00"),
    ]


def test_spoilt_lines(tmp_path: Path) -> None:
    """Lines that are damaged, nested without end or of another form are skipped."""
    deep = '{"x": ' + "[" * 100_000 + "\n"
    text = "\n" + deep + '{"started_at": "2026' + "\n" + "[]\n" + BEGAN % ("10:00", 0) + "\xff\n"
    assert read(tmp_path, text) == [(0, None, "10:00")]
    odd = '{"started_at": "yesterday", "restarts": 0}\n'
    assert read(tmp_path, odd) == [(0, None, "12:00")]


def test_a_clock_that_is_behind_the_submitters(tmp_path: Path) -> None:
    assert read(tmp_path, BEGAN % ("09:59", 0)) == [(0, None, "10:00")]


# --- attempts that were killed ----------------------------------------------------------------------


def began(time: str, restarts: int, until: str | None = None, gpus: int = 8) -> str:
    """The first line of an attempt; `until`: the last sign of the attempt before it."""
    sign = f', "earlier_until": "2026-11-30T{until}+00:00"' if until else ""
    started = f'"started_at": "2026-11-30T{time}+00:00"'
    return f'{{{started}, "restarts": {restarts}, "node": "n", "nodes": 2, "gpus": {gpus}{sign}}}\n'


def signs(tmp_path: Path, text: str) -> list[str | None]:
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / ATTEMPTS).write_text(text)
    return [attempt.last_sign_at for attempt in read_attempts(tmp_path, RECORD)]


@pytest.mark.parametrize(
    ("until", "sign"),
    [
        ("10:30:00", "10:30:00"),
        ("09:00:00", "10:00:00"),  # an older log, or another clock
        ("11:30:00", "11:00:00"),
        (None, None),
    ],
)
def test_the_next_attempt_knows_the_last_sign_of_a_killed_one(
    tmp_path: Path, until: str | None, sign: str | None
) -> None:
    text = began("10:00:00", 0) + began("11:00:00", 1, until)
    expected = None if sign is None else f"2026-11-30T{sign}+00:00"
    assert signs(tmp_path, text) == [expected, None]


def test_an_attempt_with_an_end_has_no_last_sign(tmp_path: Path) -> None:
    text = BEGAN % ("10:00", 0) + ENDED % ("10:00", 0) + began("11:00:00", 1, "10:30:00")
    assert signs(tmp_path, text) == [None, None]


def test_the_files_have_the_last_sign_of_the_last_attempt(tmp_path: Path) -> None:
    (tmp_path / STEPS).write_text("{}\n")
    for time, sign in (("09:00:00", None), ("10:30:00", "10:30:00")):  # 9:00 is before the attempt
        moment = datetime.fromisoformat(f"2026-11-30T{time}+00:00").timestamp()
        os.utime(tmp_path / STEPS, (moment, moment))
        (found,) = signs(tmp_path, began("10:00:00", 0))
        expected = None if sign is None else moment
        assert (found and datetime.fromisoformat(found).timestamp()) == expected


def test_the_end_keeps_what_the_beginning_said(tmp_path: Path) -> None:
    signs(tmp_path, began("10:00:01", 0) + ENDED % ("10:00", 0))
    (attempt,) = read_attempts(tmp_path, RECORD)
    assert (attempt.state, attempt.nodes, attempt.gpus) == ("FAILED", 2, 8)


# --- GPU-hours --------------------------------------------------------------------------------------


def hour(start: int, *, sign: bool = False, gpus: int | None = 8) -> Attempt:
    """An attempt of one hour, with an end or with a last sign."""
    times = [f"2026-11-30T{hour:02}:00:00+00:00" for hour in (start, start + 1)]
    end = {"last_sign_at": times[1]} if sign else {"ended_at": times[1]}
    return Attempt(started_at=times[0], gpus=gpus, **end)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempts", "gpus", "hours"),
    [
        ([], 8, None),
        ([hour(1)], None, 8.0),
        ([hour(1), hour(4, sign=True)], None, 16.0),
        ([hour(1), hour(4, gpus=2)], 8, 10.0),  # the attempt's own number
        ([hour(1, gpus=None)], 4, 4.0),
        ([hour(1, gpus=None)], None, None),
        ([hour(1, gpus=0)], 4, None),
        ([hour(1), Attempt(started_at="2026-11-30T05:00:00+00:00")], 8, 8.0),
        ([Attempt(started_at="x", ended_at="9" * 40)], 8, None),
    ],
)
def test_gpu_hours(attempts: list[Attempt], gpus: int | None, hours: float | None) -> None:
    assert gpu_hours(attempts, gpus) == hours


def test_a_clock_that_went_back() -> None:
    late = Attempt(started_at="2026-11-30T05:00:00+00:00", ended_at="2026-11-30T04:00:00+00:00")
    assert attempt_seconds(late) == 0.0
