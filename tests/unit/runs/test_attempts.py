"""logs/attempts.jsonl as launch.sh, a full disk or somebody else may have left it."""

from __future__ import annotations

from pathlib import Path

from prl_submit.runs.attempts import read_attempts
from prl_submit.runs.layout import ATTEMPTS
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
