"""A SIGTERM that arrives while prl-submit waits for jobs in the foreground is sent on to the jobs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from types import FrameType

from prl_submit import backends
from prl_submit.backends.asking import refreshed
from prl_submit.backends.waiting.release import cancel_waiting
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import Run
from prl_submit.runs.states import finished_state
from prl_submit.spec.traits import traits_of


class ForwardSigterm:
    """While this lasts, a SIGTERM to prl-submit goes to the jobs in the foreground, and prl-submit waits on.

    A platform that runs prl-submit as a container's main process sends SIGTERM to it alone, but means
    the jobs. A run that waits in a queue is cancelled, or the queue would start it in the room of those
    that end. A queue without runs that wait ends by itself.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = [run for run in runs if run.record is not None]
        self._runs = [run for run in self._runs if _is_in_foreground(run)]

    def __enter__(self) -> None:
        if self._runs:
            self._before = signal.signal(signal.SIGTERM, self._forward)

    def __exit__(self, *_: object) -> None:
        if self._runs:
            signal.signal(signal.SIGTERM, self._before)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        cancelled = [run for run in self._runs if _is_cancelled_now(run)]
        told = [run for run in self._runs if run not in cancelled and _is_told(run)]
        if cancelled:
            _say(f"got SIGTERM: {_waited(len(cancelled), len(self._runs))}")
        if told:
            jobs = "the job" if len(self._runs) == 1 else f"{len(told)} of the jobs"
            end = "its end" if len(told) == 1 else "their end"
            _say(f"got SIGTERM: handed on to {jobs}, waiting for {end}")


def _is_in_foreground(run: Run) -> bool:
    return traits_of(run.require_record().backend).foreground


def _is_cancelled_now(run: Run) -> bool:
    """True if the run waited for its start, and is cancelled. False if it was started, also at this moment."""
    record = refreshed(run).record
    if record is None or not record.is_waiting:
        return False
    try:
        return cancel_waiting(run)
    except PrlSubmitError as error:
        _say(f"got SIGTERM: {error.message}")
        return False


def _is_told(run: Run) -> bool:
    """True if the signal was handed on to the run's job, which has not ended yet."""
    run = refreshed(run)
    if run.record is None or run.record.is_waiting or finished_state(run) is not None:
        return False
    return backends.load(run.record.backend).forward_signal(run, signal.SIGTERM)


def _waited(count: int, of: int) -> str:
    """What is said of the runs that waited."""
    if of == 1:
        return "the run waited, and is cancelled"
    return f"{count} run{'s' if count > 1 else ''} that waited {'are' if count > 1 else 'is'} cancelled"


def _say(text: str) -> None:
    """Print a line on stderr from a signal handler, which may have interrupted Python while it wrote there."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, f"{text}\n".encode())
