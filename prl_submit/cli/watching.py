"""Looking runs up, asking after them, and waiting, for all commands that take RUN."""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

import msgspec

from prl_submit import backends
from prl_submit.cli.console import note, raw, table
from prl_submit.cli.options import output_root
from prl_submit.errors import (
    EXIT_INTERRUPTED,
    EXIT_JOB_FAILED,
    BackendUnreachableError,
    PrlSubmitError,
    format_error,
)
from prl_submit.launch.quote import bash
from prl_submit.runs.belonging import belonging, stranger
from prl_submit.runs.directory import EXIT, PLAN, Run, read_run
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.logs import POLL_S as FOLLOW_POLL_S
from prl_submit.runs.logs import LogReader, follow, node_logs
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.states import (
    FINISHED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    State,
    Status,
    finished_state,
    status_of,
)
from prl_submit.runs.times import age
from prl_submit.system.untrusted_text import words

POLL_S = 0.5
#: Seconds between two questions about jobs that have been queued for LONG_S.
QUEUED_POLL_S, LONG_S = 5.0, 60.0
#: Refusals in a row after which waiting is given up.
DENIALS = 3
#: Seconds after its exit.json in which a job is asked after at each look: it is about to end.
_ENDING_S = 15.0


def states_of(runs: Sequence[Run]) -> list[State]:
    """Each run's state: a kept end first, then one question per backend for the rest.

    A directory whose job is another one's has no state but what its files say.
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
    if run.record is None:
        return State(state=LOST, reason=run.fault)
    words = belonging(run).words
    return read_verdict(run) if words is None else _by_its_files(run, words)


def _by_its_files(run: Run, words: str) -> State:
    """How a copied run had ended when it was copied. `words`: whose copy it is."""
    state = finished_state(run) or read_verdict(run, is_copy=True)
    if state is None:
        return State(state=LOST, reason=f"{words}; that had not ended then")
    reason = f"{state.reason}; {words}" if state.reason else words
    return msgspec.structs.replace(state, reason=reason)


def _ask(backend: str, runs: list[Run]) -> list[State]:
    try:
        module = backends.load(backend)
    except PrlSubmitError as error:  # one such run must not hide the others
        lost = State(state=LOST, reason=error.message)
        return [finished_state(run) or lost for run in runs]
    return module.states(runs)


def statuses_of(runs: Sequence[Run]) -> list[Status]:
    """Each run as JSON shows it."""
    return [status_of(run, state) for run, state in zip(runs, states_of(runs), strict=True)]


def refreshed(run: Run) -> Run:
    """The run with its record read again; as it was, where its directory has gone."""
    return read_run(run.path) or run


class Watch:
    """The states of runs over time, without asking a scheduler more often than it likes."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        self._states: dict[int, State] = {}
        self._asked = float("-inf")
        self._denials = 0
        self._queued_since = time.monotonic()
        self._exits: list[int] = []

    def look(self) -> list[Status]:
        """Each run's status, the backend asked anew where that is due."""
        exits = [self._exit_time(run) for run in self._runs]
        since = time.monotonic() - self._asked
        if exits != self._exits or since >= (POLL_S if self._is_ending(exits) else self._pause()):
            self._exits = exits
            self._runs = [refreshed(run) for run in self._runs]
            self._states = dict(enumerate(self._ask_open()))
            self._give_up_if_denied()
            self._asked = time.monotonic()  # a slow answer is a busy scheduler: then the pause
        return [status_of(run, self._states[i]) for i, run in enumerate(self._runs)]

    def _give_up_if_denied(self) -> None:
        """Who may not ask waits in vain; once more, since rights take a moment to spread."""
        denied = [state for state in self._states.values() if state.is_denied]
        self._denials = self._denials + 1 if denied else 0
        if self._denials == DENIALS:
            raise BackendUnreachableError(f"cannot wait: {denied[0].unreachable}")

    def _ask_open(self) -> list[State]:
        old = self._states
        due = [i for i in range(len(self._runs)) if i not in old or old[i].state not in FINISHED]
        answers = states_of([self._runs[i] for i in due])
        new = old | dict(zip(due, answers, strict=True))
        return [new[i] for i in range(len(self._runs))]

    def _is_ending(self, exits: list[int]) -> bool:
        """Whether a job that has not ended for us yet wrote its exit.json a moment ago."""
        is_open = [
            i not in self._states or self._states[i].state not in FINISHED
            for i in range(len(exits))
        ]
        ages = [time.time() - at / 1e9 for at, open_ in zip(exits, is_open, strict=True) if open_]
        return any(0 <= age < _ENDING_S for age in ages)

    def _pause(self) -> float:
        names = {run.record.backend for run in self._runs if run.record is not None}
        pause = max((backends.pause(name) for name in names), default=0.0)
        return max(pause, min(QUEUED_POLL_S, pause * 5)) if self._is_long_queued() else pause

    def _is_long_queued(self) -> bool:
        """Whether all wait in a queue, and have for a while: nobody is in a hurry."""
        open_ = [state.state for state in self._states.values() if state.state not in FINISHED]
        if set(open_) != {QUEUED}:
            self._queued_since = time.monotonic()
        return time.monotonic() - self._queued_since > LONG_S

    @staticmethod
    def _exit_time(run: Run) -> int:
        try:
            return (run.path / EXIT).stat().st_mtime_ns
        except OSError:
            return 0


class Background:
    """One run watched by a thread, so that a slow scheduler does not hold up the output."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._status: Status | None = None
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        try:
            while self._status is None or self._status.state not in FINISHED:
                self._status = self._watch.look()[0]
                time.sleep(FOLLOW_POLL_S)
        except BaseException as fault:  # told by whoever asks next
            self._fault = fault

    def latest(self) -> Status | None:
        """What was last heard; None before the first answer."""
        if self._fault is not None:
            raise self._fault
        return self._status

    def last(self) -> Status:
        """How it ended."""
        self._thread.join()
        status = self.latest()
        if status is None:  # the thread ends with a status or a fault
            raise AssertionError
        return status


def wait_for(runs: Sequence[Run], changed: Callable[[Status], None]) -> list[Status]:
    """Wait until all have ended; `changed` is told of each new state, and of new reasons to wait."""
    watch, seen = Watch(runs), dict[str, str]()
    while True:
        statuses = watch.look()
        for run, status in zip(runs, statuses, strict=True):
            if seen.get(status.path) != (news := _news(status)):
                seen[status.path] = news
                changed(status)
                if status.state in FINISHED:
                    finish(log_copier(refreshed(run)))
        if all(status.state in FINISHED for status in statuses):
            return statuses
        time.sleep(POLL_S)


def _news(status: Status) -> str:
    reason = (status.reason or "").partition(", expected")[0]  # the forecast moves all the time
    told = status.state == QUEUED or reason.startswith("as last known")
    return f"{status.state} {reason}" if told else status.state


def follow_run(
    run: Run,
    *,
    reader: LogReader | None = None,
    seen: dict[Path, int] | None = None,
) -> Status:
    """Print the run's output to its end and return how it ended; say what it waits for."""
    reader = reader or LogReader(lambda: node_logs(run.path), seen=seen, name=node_name(run))
    watcher = Background(Watch([run]))
    keeper = log_copier(run)
    keeper.start()
    told = ""

    def is_finished() -> bool:
        nonlocal told
        status = watcher.latest()
        if status is not None and status.state == QUEUED and told != _news(status):
            told = _news(status)
            note(describe(status))
        if status is None or status.state not in FINISHED:
            return False
        finish(keeper)
        return True

    last = b"\n"

    def write(content: bytes) -> None:
        nonlocal last
        last = content[-1:]
        raw(content)

    follow(reader, write, is_finished)
    if last != b"\n":  # a progress bar; what is said next begins a line
        raw(b"\n")
    return watcher.last()


def node_name(run: Run) -> Callable[[int], str] | None:
    """What nodes of the run are called where each line is marked with its own; None: it has one."""
    try:
        several = read_plan(run.path / PLAN).plan.resources.nodes > 1
    except PrlSubmitError:
        several = len(node_logs(run.path)) > 1
    name = run.record.backend if run.record else "local"
    return backends.load(name).node_name if several else None


def log_copier(run: Run) -> backends.LogCopier:
    """What brings the run's log here; where that cannot be, a note says why."""
    try:
        if run.record is not None and belonging(run).has_job and stranger(run.path) is None:
            return backends.load(run.record.backend).log_copier(run, note)
    except PrlSubmitError as error:
        note(format_error(error))
    return backends.NoLogCopier()


def finish(keeper: backends.LogCopier) -> None:
    """Bring the rest of a log; where that cannot be, a note says why."""
    try:
        keeper.finish()
    except PrlSubmitError as error:
        note(f"the log may not be whole: {error.message}")


def result_code(statuses: Sequence[Status]) -> int:
    """0 where all succeeded, else 1."""
    return 0 if all(status.state == SUCCEEDED for status in statuses) else EXIT_JOB_FAILED


def interrupted(runs: Sequence[Run]) -> int:
    """What Ctrl-C says while one waits: the jobs go on."""
    for run in runs:
        if run.record is not None and run.record.job_id is None:
            note(f"\ninterrupted: whether the job of {run.name} was submitted is not known yet")
            note(f"  ask again: prl-submit status {typed(run)}")
            continue
        note(f"\ninterrupted: {run.name} goes on")
        note(f"  follow it: prl-submit logs {typed(run)} -f")
        note(f"  end it:    prl-submit cancel {typed(run)}")
    return EXIT_INTERRUPTED


def typed(run: Run) -> str:
    """How a command typed here names the run."""
    here = run.path.parent == output_root(None)
    return run.name if here else bash(str(run.path))


def describe(status: Status) -> str:
    """One line on one run."""
    steps = f", step {_progress(status)}" if status.step is not None else ""
    reason = f": {status.reason}" if status.reason else ""
    return words(f"{status.run} {status.state}{steps}{reason}")


def _progress(status: Status) -> str:
    """`5/60`; of a training that goes on, with the age of that step: `5/60, 12m ago`."""
    if status.step is None:
        return "-"
    steps = f"{status.step}/{status.max_steps}"
    if status.state != RUNNING or status.last_step_at is None:
        return steps
    seconds = time.time() - datetime.fromisoformat(status.last_step_at).timestamp()
    return f"{steps}, {age(seconds)} ago"


def status_table(statuses: Sequence[Status]) -> str:
    """Runs as columns."""
    rows = [
        [
            status.run,
            status.name or "?",
            status.backend or "?",
            status.job_id or "-",
            status.state,
            _progress(status),
            str(status.restarts),
            status.reason or "",
        ]
        for status in statuses
    ]
    return table(["RUN", "NAME", "BACKEND", "JOB", "STATE", "STEP", "RESTARTS", "REASON"], rows)


class ForwardSigterm:
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
            from prl_submit.backends.local.backend import signal_job

            note("got SIGTERM: handed on to the job, waiting for its end")
            signal_job(refreshed(self._run), record.process, signal.SIGTERM)
