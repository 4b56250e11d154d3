"""A line about each sweep in a list of runs: how many of its runs are in which state."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from prl_submit.runs.directory import Run
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
)

_ORDER = (SUCCEEDED, RUNNING, QUEUED, FAILED, TIMEOUT, CANCELLED, LOST)


def sweep_heads(runs: Sequence[tuple[Run, str]], names: Sequence[str]) -> list[str]:
    """The lines about the sweeps that the user named. `runs`: each with its state; `names`: what the user typed."""
    typed = {os.path.basename(os.path.abspath(name)) for name in names}
    found: dict[str, tuple[str, list[str]]] = {}
    for run, state in runs:
        sweep = run.record.sweep if run.record is not None else None
        if sweep is not None and typed & {sweep.name, sweep.folder}:
            found.setdefault(sweep.folder, (sweep.name, []))[1].append(state)
    return [_head(name, states) for name, states in found.values()]


def _head(name: str, states: list[str]) -> str:
    """`lr: 3 of 8 SUCCEEDED, 2 RUNNING, 3 QUEUED`."""
    counts = Counter(states)
    told = [f"{counts[state]} {state}" for state in _ORDER[1:] if counts[state]]
    return ", ".join([f"{name}: {counts[SUCCEEDED]} of {len(states)} {SUCCEEDED}", *told])
