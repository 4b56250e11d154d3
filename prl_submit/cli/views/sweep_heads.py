"""A line about each sweep in a list of runs: how many of its runs are in which state."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from prl_submit.runs.directory import Run
from prl_submit.runs.layout import RECORD, sweep_folder
from prl_submit.runs.record import SweptRun
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
)
from prl_submit.sweeps.sweep_file import read_sweep

_ORDER = (SUCCEEDED, RUNNING, QUEUED, FAILED, TIMEOUT, CANCELLED, LOST)


def sweep_heads(runs: Sequence[tuple[Run, str]], names: Sequence[str]) -> list[str]:
    """The lines about the sweeps that the user named. `runs`: each with its state; `names`: what the user typed."""
    typed = {os.path.basename(os.path.abspath(name)) for name in names}
    found: dict[Path, list[tuple[SweptRun, str]]] = defaultdict(list)
    for run, state in runs:
        sweep = run.record.sweep if run.record is not None else None
        if sweep is not None and typed & {sweep.name, sweep.folder}:
            found[sweep_folder(run.path.parent, sweep.folder)].append((sweep, state))
    return [_head(folder, swept) for folder, swept in found.items()]


def _head(folder: Path, swept: Sequence[tuple[SweptRun, str]]) -> str:
    """`lr: 3 of 8 SUCCEEDED, 2 RUNNING, 3 QUEUED`."""
    counts = Counter(state for _, state in swept)
    others = Counter(_without_record(folder, {sweep.index for sweep, _ in swept}))
    told = [f"{counts[state]} {state}" for state in _ORDER[1:] if counts[state]]
    told += [f"{count} {words}" for words, count in others.items()]
    number = len(swept) + others.total()
    return ", ".join([f"{swept[0][0].name}: {counts[SUCCEEDED]} of {number} {SUCCEEDED}", *told])


def _without_record(folder: Path, known: set[int]) -> Iterator[str]:
    """What became of the runs that sweep.json has and no run directory shows. `known`: the indices of the others."""
    file = read_sweep(folder)
    for entry in file.runs if file is not None else ():
        run = folder.parent.parent / entry.run
        if entry.index in known:
            continue
        if not run.is_dir():
            yield "removed"
        else:
            yield "with a damaged run.json" if (run / RECORD).exists() else "not submitted"
