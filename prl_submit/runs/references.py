"""Which runs begin from files of other runs: a checkpoint, adapters, a reference model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import Run
from prl_submit.runs.disk_use import CHECKPOINT
from prl_submit.runs.plan_file import find_plan

#: For each run directory's name, and each checkpoint in it (empty: the run as a whole), the runs that name it.
References = dict[str, dict[str, list[str]]]


def find_references(runs: Sequence[Run]) -> References:
    """What the plans of these runs name in directories of other ones among them."""
    names = {run.name for run in runs}
    found: References = {}
    for run in runs:
        if run.path.is_symlink():
            continue
        if run.record is not None and run.record.is_waiting:
            for before in run.record.after:
                _add(found, PurePath(before.run).name, "", run.name)
        plan = find_plan(run.path)
        for name, checkpoint in _named(plan, names - {run.name}) if plan is not None else ():
            _add(found, name, checkpoint, run.name)
    return found


def _add(found: References, run: str, checkpoint: str, user: str) -> None:
    users = found.setdefault(run, {}).setdefault(checkpoint, [])
    if user not in users:
        users.append(user)


def _named(plan: Plan, names: set[str]) -> Iterable[tuple[str, str]]:
    """The runs, each with the checkpoint or an empty text, that words of ms-swift's command line lead to."""
    for group in plan.arguments:
        for word in group:
            text = word.partition("=")[2] if word.startswith("--") else word
            if "/" in text:
                yield from _in_path(_real(plan.workdir, text), names)


def _real(workdir: str, text: str) -> str:
    """The path without links, such as `output/latest`; a path that is not on this machine as it is written."""
    path = os.path.join(workdir, text)
    return os.path.realpath(path) if os.path.exists(path) else path


def _in_path(path: str, names: set[str]) -> Iterable[tuple[str, str]]:
    parts = Path(path).parts
    for place, part in enumerate(parts):
        if part in names:
            below = parts[place + 1] if place + 1 < len(parts) else ""
            yield part, below if CHECKPOINT.fullmatch(below) else ""
