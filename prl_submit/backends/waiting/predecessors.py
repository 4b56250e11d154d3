"""The runs that another run waits for (`--after`): whether they have succeeded, or never will."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from prl_submit import backends
from prl_submit.backends.asking import states_of
from prl_submit.backends.waiting.names import name_for, predecessors_of
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.states import FINISHED, LOST, SUCCEEDED, State

#: Seconds for which a run must be LOST, or its directory gone, until the runs after it end: a file server may be slow.
_LOST_S = 60.0


class Predecessors:
    """What is known of all runs that the runs of a queue wait for."""

    def __init__(self) -> None:
        self._succeeded: set[str] = set()
        self._never: dict[str, str] = {}
        self._lost_since: dict[str, float] = {}

    def ask(self, runs: Iterable[Run]) -> None:
        """Ask for the states of the predecessors of these runs, once for each."""
        paths = {each.run for run in runs for each in predecessors_of(run)} - self._succeeded
        found = {path: read_run(Path(path)) for path in sorted(paths)}
        there = {path: run for path, run in found.items() if run is not None}
        states = dict(zip(there, states_of(list(there.values())), strict=True))
        self._never = {}
        for path in paths:
            if path not in states:
                self._note(path, "is gone", is_certain=False)
            elif states[path].state == SUCCEEDED:
                self._succeeded.add(path)
            elif states[path].state in FINISHED and not may_go_on(there[path], states[path]):
                self._note(path, states[path].state, is_certain=states[path].state != LOST)
            else:
                self._lost_since.pop(path, None)

    def _note(self, path: str, words: str, *, is_certain: bool) -> None:
        since = self._lost_since.setdefault(path, time.monotonic())
        if is_certain or time.monotonic() - since >= _LOST_S:
            self._never[path] = words

    def open_ones(self, run: Run) -> list[str]:
        """The predecessors of a run that have not succeeded yet, in words."""
        return [
            name_for(each, run) for each in predecessors_of(run) if each.run not in self._succeeded
        ]

    def why_never(self, run: Run) -> str | None:
        """`v3 FAILED`, if a predecessor of a run has ended so; None while the run may start one day."""
        ended = [each for each in predecessors_of(run) if each.run in self._never]
        return f"{name_for(ended[0], run)} {self._never[ended[0].run]}" if ended else None


def may_go_on(run: Run, state: State) -> bool:
    """True if somebody else than the user may start the job of a failed run again."""
    if run.record is None:
        return False
    try:
        return state.state != LOST and backends.load(run.record.backend).may_start_again(run)
    except PrlSubmitError:
        return False
