"""Waiting for runs to end: their states are asked for again and again, as often as the backend likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from prl_submit import backends
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_states import refreshed, states_of
from prl_submit.errors import BackendUnreachableError
from prl_submit.runs.directory import EXIT, Run
from prl_submit.runs.logs import POLL_S as FOLLOW_POLL_S
from prl_submit.runs.states import FINISHED, QUEUED, State, Status, status_of

POLL_S = 0.5
#: Seconds between two questions about jobs that have been queued for LONG_S.
QUEUED_POLL_S, LONG_S = 5.0, 60.0
#: Refusals in a row after which waiting is given up.
DENIALS = 3
#: Seconds after its exit.json in which a job is asked after at each look: it is about to end.
_ENDING_S = 15.0


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
            if seen.get(status.path) != (told := news(status)):
                seen[status.path] = told
                changed(status)
                if status.state in FINISHED:
                    finish(log_copier(refreshed(run)))
        if all(status.state in FINISHED for status in statuses):
            return statuses
        time.sleep(POLL_S)


def news(status: Status) -> str:
    """A text that changes when a person should be told of the run again."""
    reason = (status.reason or "").partition(", expected")[0]  # the forecast moves all the time
    told = status.state == QUEUED or reason.startswith("as last known")
    return f"{status.state} {reason}" if told else status.state
