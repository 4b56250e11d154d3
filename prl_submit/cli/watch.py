"""Waiting for runs to end: a backend is asked again and again, but never more often than it allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from prl_submit import backends
from prl_submit.backends.asking import refreshed, states_of
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.errors import BackendUnreachableError
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import EXIT
from prl_submit.runs.logs import POLL_S as FOLLOW_POLL_S
from prl_submit.runs.states import FINISHED, QUEUED, State, Status, is_confirmed, status_of

#: Seconds between two looks at the runs' files.
POLL_S = 0.5
#: Once all jobs have been queued for LONG_S seconds, the backend is asked every QUEUED_POLL_S seconds.
QUEUED_POLL_S, LONG_S = 5.0, 60.0
#: After so many refused questions in a row the waiting is given up.
DENIALS = 3
#: A job that wrote its exit.json less than so many seconds ago is about to end: ask at each look.
_ENDING_S = 15.0


class Watch:
    """The statuses of runs over time. Each look reads files; the backend is asked when that is due."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        self._states: dict[int, State] = {}
        self._asked = float("-inf")
        self._denials = 0
        self._queued_since = time.monotonic()
        self._exits: list[int] = []

    def look(self) -> list[Status]:
        """The status of each run. Asks the backend where that is due or an exit.json is new."""
        exits = [self._exit_time(run) for run in self._runs]
        if exits != self._exits or self._is_due(exits):
            self._exits = exits
            self._runs = [refreshed(run) for run in self._runs]
            self._states = dict(enumerate(self._ask_open()))
            self._give_up_if_denied()
            # After the answer: a scheduler that answers slowly is busy, and gets its whole pause.
            self._asked = time.monotonic()
        return [status_of(run, self._states[i]) for i, run in enumerate(self._runs)]

    def _is_due(self, exits: list[int]) -> bool:
        """True if the last answer is older than the pause that the backend asks for."""
        pause = POLL_S if self._is_ending(exits) else self._pause()
        return time.monotonic() - self._asked >= pause

    def _give_up_if_denied(self) -> None:
        """Raise BackendUnreachableError where the backend refuses our questions again and again.

        One refusal may be chance: new access rights take a moment until every server knows them.
        """
        denied = [state for state in self._states.values() if state.is_denied]
        self._denials = self._denials + 1 if denied else 0
        if self._denials == DENIALS:
            raise BackendUnreachableError(f"cannot wait: {denied[0].unreachable}")

    def _ask_open(self) -> list[State]:
        """The states of all runs; those that have ended are not asked about again."""
        old = self._states
        due = [i for i in range(len(self._runs)) if self._is_open(i)]
        answers = states_of([self._runs[i] for i in due])
        new = old | dict(zip(due, answers, strict=True))
        return [new[i] for i in range(len(self._runs))]

    def _is_open(self, index: int) -> bool:
        """True until we have seen the run ended."""
        state = self._states.get(index)
        return state is None or state.state not in FINISHED

    def _is_ending(self, exits: list[int]) -> bool:
        """True if a run that is still open for us wrote its exit.json a moment ago."""
        now = time.time()
        ages = [now - at / 1e9 for index, at in enumerate(exits) if self._is_open(index)]
        return any(0 <= age < _ENDING_S for age in ages)

    def _pause(self) -> float:
        """Seconds between two questions: the longest that one of the runs' backends asks for."""
        names = {run.record.backend for run in self._runs if run.record is not None}
        pause = max((backends.pause(name) for name in names), default=0.0)
        if not self._is_long_queued():
            return pause
        return max(pause, min(QUEUED_POLL_S, pause * 5))

    def _is_long_queued(self) -> bool:
        """True if every open run has been queued for LONG_S: news is not expected soon."""
        open_states = {state.state for state in self._states.values()} - FINISHED
        if open_states != {QUEUED}:
            self._queued_since = time.monotonic()
        return time.monotonic() - self._queued_since > LONG_S

    @staticmethod
    def _exit_time(run: Run) -> int:
        """When exit.json was written, in nanoseconds since 1970; 0 where there is none."""
        try:
            return (run.path / EXIT).stat().st_mtime_ns
        except OSError:
            return 0


class Background:
    """One run watched by a thread, so that a slow scheduler does not hold up the printed log."""

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
        except BaseException as fault:  # `latest` raises it in the main thread
            self._fault = fault

    def latest(self) -> Status | None:
        """The newest status; None before the first answer. Raises what the thread ran into."""
        if self._fault is not None:
            raise self._fault
        return self._status

    def last(self) -> Status:
        """The status after the run's end; waits for the end."""
        self._thread.join()
        status = self.latest()
        if status is None:  # cannot be: the thread ends with a status or a fault
            raise AssertionError
        return status


def wait_for(runs: Sequence[Run], changed: Callable[[Status], None]) -> list[Status]:
    """Wait until all runs have ended; their last statuses.

    `changed` is called for each new state of a run, and for each new reason why a run is queued.
    """
    watch, seen = Watch(runs), dict[str, str]()
    while True:
        statuses = watch.look()
        for run, status in zip(runs, statuses, strict=True):
            told = news(status)
            if seen.get(status.path) == told:
                continue
            seen[status.path] = told
            changed(status)
            if status.state in FINISHED:
                finish(log_copier(refreshed(run)))
        if all(status.state in FINISHED for status in statuses):
            return statuses
        time.sleep(POLL_S)


def news(status: Status) -> str:
    """A text that differs from the last one when the user should be told of the run again."""
    # The expected start after ", expected" is left out: a scheduler changes it all the time.
    reason = (status.reason or "").partition(", expected")[0]
    told = status.state == QUEUED or not is_confirmed(reason)
    return f"{status.state} {reason}" if told else status.state
