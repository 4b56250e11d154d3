"""queue.json: what is read back, and what prl-submit cannot have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prl_submit.backends.asking import states_of
from prl_submit.backends.local.processes import identify
from prl_submit.backends.waiting.queue_file import (
    QueueFile,
    end_queue,
    queue_folder,
    read_queue,
    write_queue,
)
from prl_submit.cli.console import wrapped
from prl_submit.runs.record import Predecessor, SweptRun
from tests.support.records import make_run

NAME = "v5-20261130-120000"
SWEPT = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=1)


def queue(**fields: Any) -> QueueFile:
    usual: dict[str, Any] = {"process": identify(os.getpid()), "name": "lr", "runs": [NAME]}
    return QueueFile(**usual | fields)


def test_it_reads_back(tmp_path: Path) -> None:
    assert read_queue(tmp_path) is None
    one = queue(max_parallel=2, running=1, reasons={NAME: "waiting for v3"})
    write_queue(tmp_path, one)
    assert read_queue(tmp_path) == one
    write_queue(tmp_path, queue())
    assert read_queue(tmp_path) == queue(), "a new file is read, not the remembered one"


@pytest.mark.parametrize("name", ["../v5-20261130-120000", "/etc", "..", "v5", ""])
def test_a_run_that_no_queue_has_is_damage(tmp_path: Path, name: str) -> None:
    write_queue(tmp_path, queue())
    written = json.loads((tmp_path / "queue.json").read_text()) | {"runs": [name]}
    (tmp_path / "queue.json").write_text(json.dumps(written))
    assert read_queue(tmp_path) is None


def test_no_process_is_ended_that_is_no_queue(tmp_path: Path) -> None:
    """This process lives, and queue.json names it, but it is no queue."""
    write_queue(tmp_path, queue())
    assert not end_queue(tmp_path)


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (0, 'no run of the sweep "lr" is running'),
        (1, '1 of 8 runs of the sweep "lr" is running'),
        (2, '2 of 8 runs of the sweep "lr" are running'),
    ],
)
def test_the_reason_of_a_run_of_a_sweep_says_how_many_run(
    tmp_path: Path, running: int, words: str
) -> None:
    run = make_run(tmp_path / NAME, sweep=SWEPT, is_waiting=True, job_id=None)
    folder = queue_folder(run.path, run.require_record())
    folder.mkdir(parents=True)
    others = [f"v{number}-20261130-180000" for number in range(101, 108)]
    reasons = {NAME: "waiting for a free GPU"}
    write_queue(folder, queue(runs=[NAME, *others], running=running, reasons=reasons))
    reason = states_of([run])[0].reason
    assert reason == f"waiting for a free GPU: {words}"
    assert wrapped(reason, 80) == [f"    {reason}"], "it fits below the run's row"


def test_before_the_first_look_the_record_tells_why(tmp_path: Path) -> None:
    after = [Predecessor(run=str(tmp_path / "v3-x")), Predecessor(run="/else/v4-x")]
    run = make_run(tmp_path / NAME, after=after, is_waiting=True, job_id=None)
    (run.path / "logs").mkdir()
    write_queue(run.path / "logs", queue(name="v5"))
    assert states_of([run])[0].reason == "waiting for v3 and /else/v4-x"
