"""Which directories the RUNs of `compare` and `report` mean: also of trainings that ms-swift ran alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prl_submit.errors import NoSuchRunError
from prl_submit.runs.directory import find_runs


def training_folders(names: Sequence[str], root: Path) -> list[Path]:
    """The directories of runs, of all runs of a sweep, or one that ms-swift made without prl-submit."""
    return [folder for name in names for folder in _folders(name, root)]


def _folders(name: str, root: Path) -> list[Path]:
    from prl_submit.results.run_result import is_training

    try:
        return [run.path for run in find_runs(name, root)]
    except NoSuchRunError:
        folder = Path(name).absolute()
        if "/" in name and is_training(folder):
            return [folder]
        raise
