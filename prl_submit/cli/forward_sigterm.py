"""A SIGTERM that arrives while prl-submit waits for a job in the foreground is sent on to the job."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

from prl_submit import backends
from prl_submit.backends.asking import refreshed
from prl_submit.backends.waiting.release import cancel_waiting
from prl_submit.runs.directory import Run


class ForwardSigterm:
    """While this lasts, a SIGTERM to prl-submit goes to the job, and prl-submit waits on.

    A platform that runs prl-submit as a container's main process sends SIGTERM to it alone, but means
    the job.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._forward)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        run = refreshed(self._run)
        if run.record is not None and run.record.is_waiting and cancel_waiting(run):
            _say("got SIGTERM: the run waited, and is cancelled")
        elif run.record is not None:
            _say("got SIGTERM: handed on to the job, waiting for its end")
            backends.load(run.record.backend).forward_signal(run, signal.SIGTERM)


def _say(text: str) -> None:
    """Print a line on stderr from a signal handler, which may have interrupted Python while it wrote there."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, f"{text}\n".encode())
