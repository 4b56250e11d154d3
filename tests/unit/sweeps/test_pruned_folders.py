"""The folder of a sweep whose runs are deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

from prl_submit.runs.directory import Run
from prl_submit.runs.record import SweptRun
from prl_submit.sweeps.pruned_folders import tidy_sweeps
from prl_submit.sweeps.sweep_file import SweepFile, SweptEntry, submitting, write_sweep
from tests.support.records import make_run

FOLDER = "lr-20261130-120000"


def sweep(root: Path) -> tuple[Path, list[Run]]:
    """The folder of a sweep of two runs, which Slurm has as a job array; and the runs."""
    folder = root / "sweeps" / FOLDER
    (folder / "job.tasks").mkdir(parents=True)
    runs = []
    for index in (1, 2):
        swept = SweptRun(name="lr", id="5f", folder=FOLDER, index=index)
        runs.append(make_run(root / f"v{index}-20261130-120000", sweep=swept))
        (folder / "job.tasks" / str(index)).symlink_to(f"../../../{runs[-1].name}")
    entries = [
        SweptEntry(index=at, run=run.name, name=f"lr-{at}", values={})
        for at, run in enumerate(runs, 1)
    ]
    file = SweepFile(
        name="lr",
        id="5f",
        backend="slurm",
        submitted_at="2026-11-30T12:00:00+00:00",
        keys=[],
        max_parallel=None,
        workdir="/",
        runs=entries,
    )
    write_sweep(folder, file)
    return folder, runs


def test_of_one_run_only_the_link_goes(tmp_path: Path) -> None:
    folder, (first, second) = sweep(tmp_path)
    shutil.rmtree(first.path)
    assert tidy_sweeps(tmp_path, [first]) == []
    assert [path.name for path in (folder / "job.tasks").iterdir()] == ["2"]
    assert (folder / "sweep.json").exists()
    assert second.path.exists()


def test_with_the_last_run_the_folder_goes(tmp_path: Path) -> None:
    folder, runs = sweep(tmp_path)
    for run in runs:
        shutil.rmtree(run.path)
    with submitting(folder):
        assert tidy_sweeps(tmp_path, runs) == [], "somebody submits runs of it just now"
    assert folder.exists()
    assert tidy_sweeps(tmp_path, runs) == [FOLDER]
    assert list((tmp_path / "sweeps").iterdir()) == []


def test_a_run_without_run_json_keeps_the_folder(tmp_path: Path) -> None:
    folder, (first, second) = sweep(tmp_path)
    shutil.rmtree(first.path)
    (second.path / "run.json").unlink()
    assert tidy_sweeps(tmp_path, [first]) == []
    assert (folder / "sweep.json").exists()
