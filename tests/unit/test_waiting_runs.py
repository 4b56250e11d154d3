"""The state of a run that nobody has given to its backend yet."""

from __future__ import annotations

import fcntl
from pathlib import Path

from prl_submit.backends.asking import states_of
from prl_submit.runs.cancellation import write_cancel
from prl_submit.runs.layout import SWEEP_LOCK, sweep_folder
from prl_submit.runs.record import SweptRun
from tests.support.records import make_run

SWEPT = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=1)


def test_it_is_lost_unless_somebody_submits_the_sweep(tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1-20261130-120000", sweep=SWEPT, is_waiting=True)
    state = states_of([run])[0]
    assert (state.state, state.reason) == ("LOST", "not submitted: `resume lr` submits it")
    folder = sweep_folder(tmp_path, SWEPT.folder)
    folder.mkdir(parents=True)
    with open(folder / SWEEP_LOCK, "w") as lock:
        assert states_of([run])[0].state == "LOST"
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = states_of([run])[0]
        assert (state.state, state.reason) == ("QUEUED", "not submitted yet: lr is being submitted")
    assert states_of([run])[0].state == "LOST"


def test_without_a_sweep(tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1-20261130-120000", is_waiting=True)
    assert states_of([run])[0].reason == "not submitted; `resume` submits it"


def test_one_that_was_cancelled_before_it_was_submitted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1-20261130-120000", sweep=SWEPT, is_waiting=True)
    write_cancel(run.path)
    state = states_of([run])[0]
    assert state.state == "CANCELLED"
    assert (state.reason or "").startswith("cancelled by ")
    assert (state.reason or "").endswith("; it was not submitted")
