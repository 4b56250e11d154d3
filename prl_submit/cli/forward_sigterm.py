"""A SIGTERM that arrives while prl-submit waits for a local job is sent on to the job."""

from __future__ import annotations

import signal
from types import FrameType

from prl_submit.cli.console import note
from prl_submit.cli.run_states import refreshed
from prl_submit.runs.directory import Run
from prl_submit.runs.record import LocalProcess


class ForwardSigterm:
    """While this lasts, a SIGTERM to prl-submit goes to the job, and prl-submit waits on.

    A platform that runs prl-submit as a container's main process sends SIGTERM to it alone, but means
    the job.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._cancel)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _cancel(self, number: int, frame: FrameType | None) -> None:
        record = refreshed(self._run).record
        if record is not None and isinstance(record.place, LocalProcess):
            from prl_submit.backends.local.backend import signal_job

            note("got SIGTERM: handed on to the job, waiting for its end")
            signal_job(refreshed(self._run), record.place, signal.SIGTERM)
