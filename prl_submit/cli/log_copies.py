"""The copy of a run's log: some backends bring the log to this machine while the job runs."""

from __future__ import annotations

import threading

from prl_submit import backends
from prl_submit.backends.asking import refreshed
from prl_submit.backends.base import LogCopier, NoLogCopier
from prl_submit.cli.console import note
from prl_submit.errors import PrlSubmitError, format_error
from prl_submit.runs.belonging import belonging, stranger
from prl_submit.runs.directory import Run

#: Seconds between two looks whether a run that waits has started.
_LOOK_S = 1.0


def log_copier(run: Run) -> LogCopier:
    """An object that copies the run's log to this machine.

    It copies nothing for a copied run, for another user's run, and where the backend fails, which a
    line on stderr says.
    """
    try:
        if run.record is not None and belonging(run).has_job and stranger(run.path) is None:
            if run.record.is_waiting:
                return LogsOnceStarted(run)
            return backends.load(run.record.backend).log_copier(run, note)
    except PrlSubmitError as error:
        note(format_error(error))
    return NoLogCopier()


class LogsOnceStarted:
    """Copies the log of a run that still waits, from the moment when the run is started."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._copier: LogCopier | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait_for_start, daemon=True)

    def start(self) -> None:
        """Look again and again in the background whether the run has started."""
        self._thread.start()

    def _wait_for_start(self) -> None:
        while not self._over.wait(_LOOK_S):
            if _has_started(self._run):
                self._copier = log_copier(refreshed(self._run))
                self._copier.start()
                return

    def finish(self) -> None:
        """Copy all lines that were written until now, and stop. Raises PrlSubmitError."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._copier is None and _has_started(self._run):
            self._copier = log_copier(refreshed(self._run))
        if self._copier is not None:
            self._copier.finish()


def _has_started(run: Run) -> bool:
    record = refreshed(run).record
    return record is not None and not record.is_waiting


def finish(copier: LogCopier) -> None:
    """Copy the rest of the log; where that fails, a line on stderr says why."""
    try:
        copier.finish()
    except PrlSubmitError as error:
        note(f"the log may not be whole: {error.message}")
