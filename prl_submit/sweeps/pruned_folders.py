"""What `prune --runs` leaves of a sweep's folder after it has deleted runs of the sweep."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.deleting import delete_folder
from prl_submit.runs.directory import Run, list_runs, names_in
from prl_submit.runs.layout import SWEEPS, TASKS_SUFFIX, sweep_folder
from prl_submit.sweeps.sweep_file import read_sweep, submitting


def tidy_sweeps(root: Path, deleted: Iterable[Run]) -> list[str]:
    """Tidy the folders of the sweeps of deleted runs; the names of those that are deleted.

    A folder is deleted if no run of the sweep is left, because nobody can name the sweep any more. Else it
    stays, because `resume` needs it, and only the links to the deleted runs are removed.
    """
    sweeps = [run.record.sweep for run in deleted if run.record is not None]
    folders = {sweep.folder for sweep in sweeps if sweep is not None}
    left = {_folder_of(run) for run in list_runs(root)} if folders else set()
    gone = []
    for name in sorted(folders):
        folder = sweep_folder(root, name)
        with contextlib.suppress(OSError, PrlSubmitError), submitting(folder):
            if name in left or _has_prepared_runs(folder):
                _remove_dead_links(folder)
            else:
                delete_folder(root / SWEEPS, name)
                gone.append(name)
    return gone


def _folder_of(run: Run) -> str | None:
    return run.record.sweep.folder if run.record is not None and run.record.sweep else None


def _has_prepared_runs(folder: Path) -> bool:
    """True if directories of the sweep's runs are left, whose run.json may be missing or damaged; or nobody knows."""
    file = read_sweep(folder)
    return file is None or any(os.path.lexists(folder.parent.parent / run.run) for run in file.runs)


def _remove_dead_links(folder: Path) -> None:
    """Remove the links in the folders of job arrays that lead to no run."""
    for tasks in names_in(folder):
        if not tasks.endswith(TASKS_SUFFIX) or (folder / tasks).is_symlink():
            continue
        for name in names_in(folder / tasks):
            link = folder / tasks / name
            if link.is_symlink() and not link.exists():
                link.unlink()
