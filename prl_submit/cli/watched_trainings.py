"""Whether trainings still go on, and whether their files have changed: for a report that is written anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from prl_submit.cli.watch import Watch
from prl_submit.results.metrics_reader import read_recent_metrics
from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import COMPLETIONS, EXIT, LABELS, STEPS
from prl_submit.runs.states import FINISHED

_FILES = (STEPS, COMPLETIONS, EXIT, LABELS)


class WatchedTrainings:
    """The states of trainings over time. A training without prl-submit has ended when its last step is logged."""

    def __init__(self, folders: Sequence[Path]) -> None:
        runs = [read_run(folder) for folder in folders]
        self._folders = list(folders)
        self._runs = [run for run in runs if run is not None]
        self._others = [folder for folder, run in zip(folders, runs, strict=True) if run is None]
        self._watch = Watch(self._runs)
        self._seen: list[object] | None = None

    def look(self) -> tuple[dict[Path, str], bool]:
        """The state of each run that prl-submit started, and True if all trainings have ended."""
        statuses = self._watch.look() if self._runs else []
        states = {run.path: status.state for run, status in zip(self._runs, statuses, strict=True)}
        ended = [state in FINISHED for state in states.values()]
        return states, all(ended) and all(map(_is_over, self._others))

    def is_new(self, states: dict[Path, str]) -> bool:
        """True if a file or a state is not as it was when this was asked last."""
        files = [_stamp(folder / name) for folder in self._folders for name in _FILES]
        seen: list[object] = [states, files]
        changed = seen != self._seen
        self._seen = seen
        return changed


def _is_over(folder: Path) -> bool:
    """True if a training of ms-swift alone has logged its last step, or its directory is gone."""
    metrics = read_recent_metrics(folder)
    is_last = metrics.step is not None and metrics.step == metrics.max_steps
    return metrics.summary is not None or is_last or not os.path.isdir(folder)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
