"""Runs that are looked at again and again: each look reads and asks only what may have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

from prl_submit import backends
from prl_submit.backends.asking import states_of
from prl_submit.results.run_status import RunView, TrainingReader
from prl_submit.runs.directory import Run, is_run_name, names_in, read_run, sort_key
from prl_submit.runs.layout import ATTEMPTS, EXIT, LOGS, RECORD, STEPS, kept_file
from prl_submit.runs.states import FINISHED, State, Status, status_of

_Times = tuple[int, ...]


class _Live(Struct):
    """One run. `record_time`: run.json's, by which a resumed run is found. `is_shown`: it is in the table."""

    run: Run
    record_time: int
    state: State | None = None
    exit_time: int = 0
    is_shown: bool = True
    status: Status | None = None
    status_of_times: tuple[State, _Times] | None = None
    reader: TrainingReader | None = None
    view: RunView | None = None


class LiveRuns:
    """The named runs; if none is named, all runs in an output root that have not ended, and that begin later."""

    def __init__(self, named: list[Run], root: Path) -> None:
        self._root = root
        self._finds_new = not named
        self._runs = {str(run.path): _Live(run, _time(run.path / RECORD)) for run in named}
        self._asked = float("-inf")

    def look(self) -> list[RunView]:
        """All runs in the table, in the order of their numbers."""
        if self._finds_new:
            self._find_new()
        self._ask()
        now = time.time()
        shown = [live for live in self._runs.values() if live.is_shown]
        return [
            self._view(live, now)
            for live in sorted(shown, key=lambda live: sort_key(live.run.name))
        ]

    def pause(self) -> float:
        """Seconds between two questions: the longest pause that one of the runs' backends asks for."""
        names = {
            live.run.record.backend
            for live in self._runs.values()
            if live.is_shown and live.run.record is not None and _is_open(live)
        }
        return max(map(backends.pause, names), default=0.0)

    def _find_new(self) -> None:
        """Find runs that were submitted or resumed since the last look."""
        for name in names_in(self._root):
            if not is_run_name(name):
                continue
            path = self._root / name
            at = _time(path / RECORD)
            known = self._runs.get(str(path))
            if known is not None and known.record_time == at:
                continue
            run = read_run(path)
            if run is None:
                continue
            if known is None:
                self._runs[str(path)] = _Live(run, at)
            elif known.state is not None and known.state.state in FINISHED:
                known.run, known.record_time, known.state = run, at, None

    def _ask(self) -> None:
        """Ask about the runs that have not ended, and about those whose exit.json is new."""
        due = [live for live in self._runs.values() if _is_open(live)]
        is_due = time.monotonic() - self._asked >= self.pause()
        asked = [live for live in due if is_due or live.state is None or _has_ended(live)]
        if not asked:
            return
        for live in asked:
            live.exit_time = _time(live.run.path / EXIT)
            live.run = read_run(live.run.path) or live.run
        for live, state in zip(asked, states_of([live.run for live in asked]), strict=True):
            is_new = live.state is None and live.view is None
            live.state = state
            if is_new and self._finds_new:
                live.is_shown = state.state not in FINISHED
            elif state.state not in FINISHED:
                live.is_shown = True
        self._asked = time.monotonic()

    def _view(self, live: _Live, now: float) -> RunView:
        """The run with its training. One that has ended is looked at once more and then no longer."""
        state = live.state or State(state="LOST")
        times = _times(live.run)
        seen = (state, times)
        if live.view is not None and state.state in FINISHED and live.status_of_times == seen:
            return live.view
        if live.status is None or live.status_of_times != seen:
            live.status, live.status_of_times = status_of(live.run, state), seen
        if live.reader is None:
            live.reader = TrainingReader(live.run)
        live.view = live.reader.look(live.run, live.status, now)
        return live.view


def _is_open(live: _Live) -> bool:
    return live.state is None or live.state.state not in FINISHED


def _has_ended(live: _Live) -> bool:
    """True if the job has written an exit.json since it was asked about."""
    return _time(live.run.path / EXIT) != live.exit_time


def _times(run: Run) -> _Times:
    """When the files changed that a status is made of."""
    found = [_time(run.path / name) for name in (STEPS, ATTEMPTS)]
    return (*found, _time(kept_file(run.path / LOGS, 0)))


def _time(path: Path) -> int:
    """When a file was changed, in nanoseconds; 0 if it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
