"""A run's state and status: from exit.json, from its record and from its log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exits import ExitRecord, read_exit
from prl_submit.runs.progress import Progress
from prl_submit.runs.states import State, finished_state, state_of_exit, status_of
from tests.support.records import make_run, record

ROOT = Path(__file__).resolve().parents[3]
THEN = time.struct_time((2026, 11, 22, 21, 0, 0, 6, 326, 0))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"exit_code": "x"}'])
def test_no_exit_record(tmp_path: Path, text: str | None) -> None:
    path = make_run(tmp_path / "v1-20261122-210100").path
    if text is not None:
        (path / "exit.json").write_text(text)
    run = read_run(path)
    assert run is not None
    assert read_exit(path, 0) is None
    assert finished_state(run) is None


def test_an_exit_record_of_an_earlier_attempt_is_none(tmp_path: Path) -> None:
    (tmp_path / "exit.json").write_bytes(b'{"exit_code": 1, "restarts": 1, "reason": "\xff"}')
    assert read_exit(tmp_path, 2) is None
    ended = read_exit(tmp_path, 1)
    assert ended == ExitRecord(exit_code=1, restarts=1, reason="\ufffd")


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        (ExitRecord(exit_code=0), "SUCCEEDED"),
        (ExitRecord(exit_code=1), "FAILED"),
        (ExitRecord(exit_code=143, state="CANCELLED"), "CANCELLED"),
        (ExitRecord(exit_code=124, state="TIMEOUT"), "TIMEOUT"),
        (ExitRecord(exit_code=0, state="RUNNING"), "FAILED"),
    ],
)
def test_the_jobs_own_word(ended: ExitRecord, state: str) -> None:
    assert state_of_exit(ended).state == state


def test_everything_known_of_a_run(tmp_path: Path) -> None:
    path = make_run(tmp_path / "v1-20261122-210100", restarts=1).path
    (path / "exit.json").write_text('{"exit_code": 3, "restarts": 1, "ended_at": "e"}')
    (path / "logging.jsonl").write_text('{"global_step/max_steps": "4/8"}')
    run = read_run(path)
    assert run is not None
    state = finished_state(run)
    assert state is not None
    status = status_of(run, state)
    assert (status.state, status.exit_code, status.restarts) == ("FAILED", 3, 1)
    assert (status.step, status.max_steps, status.ended_at) == (4, 8, "e")
    assert (status.job_id, status.name, status.run) == ("77", "mr", path.name)


def test_a_step_that_was_logged_in_the_year_30489(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's time may be any number; one run must not end `list`."""
    run = Run(tmp_path, 0, record())
    for seconds, known in [(9e11, False), (0.0, True)]:
        progress = Progress(1, 2, seconds)
        monkeypatch.setattr("prl_submit.runs.states.read_progress", lambda _, found=progress: found)
        status = status_of(run, State(state="RUNNING"))
        assert (status.last_step_at is not None) is known
