"""The states of runs: read from their files, or asked of their backends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from prl_submit import backends
from prl_submit.backends.answers import keep
from prl_submit.backends.waiting_runs import state_of_waiting
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.belonging import belonging
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.states import LOST, State, Status, finished_state, status_of


def states_of(runs: Sequence[Run]) -> list[State]:
    """The state of each run, in the order of `runs`.

    A run whose end is recorded in its directory is not asked about. Each backend is asked once, about
    all of its other runs together. A copied directory has no job of its own, so its state is what its
    files said when it was copied.
    """
    found = [_without_asking(run) for run in runs]
    open_runs: dict[str, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        if found[index] is None and run.record is not None:
            open_runs[run.record.backend].append(index)
    for name, indices in open_runs.items():
        for index, answer in zip(indices, _ask(name, [runs[i] for i in indices]), strict=True):
            found[index] = answer
    return [state for state in found if state is not None]


def _without_asking(run: Run) -> State | None:
    """The state that the run's files give; None where the backend must be asked."""
    if run.record is None:
        return State(state=LOST, reason=run.fault)
    words = belonging(run).words
    if words is not None:
        return _by_its_files(run, words)
    return state_of_waiting(run) if run.record.is_waiting else read_verdict(run)


def _by_its_files(run: Run, words: str) -> State:
    """The state of a copied run: how its job had ended by then. `words`: whose copy the run is."""
    state = finished_state(run) or read_verdict(run, is_copy=True)
    if state is None:
        return State(state=LOST, reason=f"{words}; that had not ended then")
    reason = f"{state.reason}; {words}" if state.reason else words
    return msgspec.structs.replace(state, reason=reason)


def _ask(backend: str, runs: list[Run]) -> list[State]:
    """What the backend says of its runs."""
    try:
        found = backends.load(backend)
    except PrlSubmitError as error:
        # This prl-submit has no such backend; the other runs are still shown.
        lost = State(state=LOST, reason=error.message)
        return [finished_state(run) or lost for run in runs]
    answers = found.states(runs)
    return [keep(run, answer) for run, answer in zip(runs, answers, strict=True)]


def statuses_of(runs: Sequence[Run]) -> list[Status]:
    """The status of each run: its state, its progress and its times, as `--json` prints them."""
    return [status_of(run, state) for run, state in zip(runs, states_of(runs), strict=True)]


def refreshed(run: Run) -> Run:
    """The run with its record read again; unchanged where its directory was removed meanwhile."""
    return read_run(run.path) or run
