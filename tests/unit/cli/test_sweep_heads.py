"""The line of `status SWEEP` that counts its runs."""

from __future__ import annotations

from pathlib import Path

from prl_submit.cli.views.sweep_heads import sweep_heads
from prl_submit.runs.record import SweptRun
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
