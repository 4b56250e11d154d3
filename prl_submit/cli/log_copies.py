"""The copy of a log: some backends bring it to this machine while the job runs."""

from __future__ import annotations

from prl_submit import backends
from prl_submit.cli.console import note
from prl_submit.errors import PrlSubmitError, format_error
from prl_submit.runs.belonging import belonging, stranger
from prl_submit.runs.directory import Run


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
