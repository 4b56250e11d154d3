"""The line of `status SWEEP` that counts its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prl_submit.cli.views.sweep_heads import sweep_heads
from prl_submit.runs.record import SweptRun
from prl_submit.sweeps.sweep_file import SweepFile, SweptEntry, write_sweep
from tests.support.records import make_run


def test_the_runs_of_each_sweep_are_counted(tmp_path: Path) -> None:
    runs = []
    for number, (folder, state) in enumerate(
        [
            ("a-1", "FAILED"),
            ("a-1", "QUEUED"),
            ("a-1", "SUCCEEDED"),
            ("b-1", "RUNNING"),
            ("b-1", "RUNNING"),
        ]
    ):
        swept = SweptRun(name=folder[0], id="5f", folder=folder, index=number + 1)
        runs.append((make_run(tmp_path / f"v{number}-x", sweep=swept), state))
    alone = make_run(tmp_path / "v9-x")
    assert sweep_heads([(alone, "RUNNING"), *runs], ["a", "out/sweeps/b-1", "v9"]) == [
        "a: 1 of 3 SUCCEEDED, 1 QUEUED, 1 FAILED",
        "b: 0 of 2 SUCCEEDED, 2 RUNNING",
    ]
    assert sweep_heads(runs, ["v0"]) == []


def test_runs_that_are_gone_are_counted(tmp_path: Path) -> None:
    """sweep.json has all runs: one that a user removed, or whose run.json is damaged, is not forgotten."""
    folder = tmp_path / "sweeps" / "lr-20261130-120000"
    folder.mkdir(parents=True)
    names = [f"v{number}-20261130-120000" for number in range(1, 6)]
    entries = [
        SweptEntry(index=index, run=name, name=f"lr-{index}", values={})
        for index, name in enumerate(names, 1)
    ]
    usual: dict[str, Any] = {
        "name": "lr",
        "id": "5f",
        "backend": "local",
        "submitted_at": "",
        "keys": [],
    }
    write_sweep(folder, SweepFile(**usual, max_parallel=None, workdir="/", runs=entries))
    swept = [SweptRun(name="lr", id="5f", folder=folder.name, index=number) for number in (1, 2)]
    first = make_run(tmp_path / names[0], sweep=swept[0])
    renamed = make_run(tmp_path / "v2-kept", sweep=swept[1])
    (tmp_path / names[2]).mkdir()
    (tmp_path / names[2] / "run.json").write_text("{")
    (tmp_path / names[3]).mkdir()
    assert sweep_heads([(first, "SUCCEEDED"), (renamed, "FAILED")], ["lr"]) == [
        "lr: 1 of 5 SUCCEEDED, 1 FAILED, 1 with a damaged run.json, 1 not submitted, 1 removed"
    ]
