"""The copy of a run's log: some backends bring the log to this machine while the job runs."""

from __future__ import annotations

from prl_submit import backends
from prl_submit.backends.base import LogCopier, NoLogCopier
from prl_submit.cli.console import note
from prl_submit.errors import PrlSubmitError, format_error
from prl_submit.runs.belonging import belonging, stranger
from prl_submit.runs.directory import Run


def log_copier(run: Run) -> LogCopier:
    """An object that copies the run's log to this machine.

    It copies nothing for a copied run, for another user's run, and where the backend fails, which a
    line on stderr says.
    """
    try:
        if run.record is not None and belonging(run).has_job and stranger(run.path) is None:
            return backends.load(run.record.backend).log_copier(run, note)
    except PrlSubmitError as error:
        note(format_error(error))
    return NoLogCopier()


def finish(copier: LogCopier) -> None:
    """Copy the rest of the log; where that fails, a line on stderr says why."""
    try:
        copier.finish()
    except PrlSubmitError as error:
        note(f"the log may not be whole: {error.message}")
