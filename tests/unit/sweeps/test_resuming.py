"""Resuming a sweep while somebody else resumes one of its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from prl_submit.runs.directory import Run
from prl_submit.runs.record import SweptRun, write_record
from prl_submit.runs.states import FAILED, State
from prl_submit.submission import World
from prl_submit.sweeps import resuming
from prl_submit.sweeps.resuming import resume_sweep
from prl_submit.system import shell
from tests.support.records import make_run, record


def test_a_run_that_another_process_has_just_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record names the job of the new attempt, which must not be forgotten nor started twice."""
    swept = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=1)
    run = make_run(tmp_path / "v1-20261130-120000", sweep=swept)
    resumed = record(sweep=swept, job_id="78", restarts=1)

    def states_of(runs: Sequence[Run]) -> list[State]:
        for each in runs:  # meanwhile `resume v1` is typed elsewhere
            write_record(each.path, resumed)
        return [State(state=FAILED) for _ in runs]

    monkeypatch.setattr(resuming, "states_of", states_of)
    found = resume_sweep([run], World(os.environ, shell.run), is_whole=True)
    assert [each.words for each in found.outcomes] == [
        "left alone: another process has just resumed it"
    ]
    assert found.sweep.runs == []
    assert (run.path / "run.json").read_bytes().count(b"78") == 1
