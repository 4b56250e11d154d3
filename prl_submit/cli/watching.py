"""Looking runs up, asking after them, and waiting, for all commands that take RUN."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from prl_submit import backends
from prl_submit.cli.console import note, raw, table
from prl_submit.errors import EXIT_INTERRUPTED, EXIT_JOB_FAILED, PrlSubmitError
from prl_submit.follow import LogReader, follow
from prl_submit.runs import Run, read_run
from prl_submit.states import FINISHED, LOST, SUCCEEDED, State, Status, finished_state, status_of

POLL_S = 0.5


def states_of(runs: Sequence[Run]) -> list[State]:
    """Each run's state: its own exit.json first, then one question per backend for the rest."""
    found = [finished_state(run) for run in runs]
    open_runs: dict[str, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        if found[index] is None and run.record is not None:
            open_runs[run.record.backend].append(index)
    for name, indices in open_runs.items():
        for index, answer in zip(indices, _ask(name, [runs[i] for i in indices]), strict=True):
            found[index] = answer
    return [state for state in found if state is not None]


def _ask(backend: str, runs: list[Run]) -> list[State]:
    try:
        module = backends.load(backend)
    except PrlSubmitError as error:  # one such run must not hide the others
        return [State(state=LOST, reason=error.message)] * len(runs)
    return module.states(runs)


def statuses_of(runs: Sequence[Run]) -> list[Status]:
    """Each run as JSON shows it."""
    return [status_of(run, state) for run, state in zip(runs, states_of(runs), strict=True)]


def refreshed(run: Run) -> Run:
    """The run with its record read again; as it was, where its directory has gone."""
    return read_run(run.path) or run


def wait_for(runs: Sequence[Run], changed: Callable[[Status], None]) -> list[Status]:
    """Wait until all have ended; `changed` is told of each new state."""
    seen: dict[str, str] = {}
    while True:
        statuses = statuses_of([refreshed(run) for run in runs])
        for status in statuses:
            if seen.get(status.path) != status.state:
                seen[status.path] = status.state
                changed(status)
        if all(status.state in FINISHED for status in statuses):
            return statuses
        time.sleep(POLL_S)


def follow_run(
    run: Run,
    *,
    node: int | None = None,
    tail: int | None = None,
    seen: dict[Path, int] | None = None,
) -> Status:
    """Print the run's output to its end and return how it ended."""
    status = statuses_of([refreshed(run)])[0]

    def is_finished() -> bool:
        nonlocal status
        status = statuses_of([refreshed(run)])[0]
        return status.state in FINISHED

    last = b"\n"

    def write(content: bytes) -> None:
        nonlocal last
        last = content[-1:]
        raw(content)

    follow(LogReader(run.path, node, tail, seen), write, is_finished)
    if last != b"\n":  # a progress bar; what is said next begins a line
        raw(b"\n")
    return status


def result_code(statuses: Sequence[Status]) -> int:
    """0 where all succeeded, else 1."""
    return 0 if all(status.state == SUCCEEDED for status in statuses) else EXIT_JOB_FAILED


def interrupted(runs: Sequence[Run]) -> int:
    """What Ctrl-C says while one waits: the jobs go on."""
    for run in runs:
        note(f"\ninterrupted: {run.run} goes on")
        note(f"  follow it: prl-submit logs {_name(run)} -f")
        note(f"  end it:    prl-submit cancel {_name(run)}")
    return EXIT_INTERRUPTED


def _name(run: Run) -> str:
    return str(run.path) if run.path.parent != Path("output").absolute() else f"v{run.number}"


def describe(status: Status) -> str:
    """One line on one run."""
    steps = f", step {status.step}/{status.max_steps}" if status.step is not None else ""
    reason = f": {status.reason}" if status.reason else ""
    return f"{status.run} {status.state}{steps}{reason}"


def status_table(statuses: Sequence[Status]) -> str:
    """Runs as columns."""
    rows = [
        [
            status.run,
            status.name or "?",
            status.backend or "?",
            status.job_id or "-",
            status.state,
            "-" if status.step is None else f"{status.step}/{status.max_steps}",
            str(status.restarts),
            status.reason or "",
        ]
        for status in statuses
    ]
    return table(["RUN", "NAME", "BACKEND", "JOB", "STATE", "STEP", "RESTARTS", "REASON"], rows)


class Handover:
    """While a container's main process waits, SIGTERM is meant for the job: hand it over."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._cancel)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _cancel(self, number: int, frame: FrameType | None) -> None:
        record = refreshed(self._run).record
        if record is not None and record.process is not None:
            from prl_submit.backends.local import signal_group

            note("got SIGTERM: handed on to the job, waiting for its end")
            signal_group(record.process, signal.SIGTERM)
