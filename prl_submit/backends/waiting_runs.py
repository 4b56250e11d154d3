"""Runs that nobody has given to their backend yet: `is_waiting` in run.json.

Such a run has a directory with all its files, and no job. Who gives it to its backend writes the record with
`is_waiting` false first, as part of the order, so a run that has it true has certainly no job.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import SWEEP_LOCK, sweep_folder
from prl_submit.runs.states import CANCELLED, LOST, QUEUED, State


def state_of_waiting(run: Run) -> State:
    """QUEUED while somebody is about to submit the run; LOST if nobody is; CANCELLED if it was cancelled before."""
    cancelled = cancel_reason(run.path)
    if cancelled is not None:
        return State(state=CANCELLED, reason=f"{cancelled}; it was not submitted")
    sweep = run.require_record().sweep
    if sweep is None:
        return State(state=LOST, reason="not submitted; `resume` submits it")
    if is_being_submitted(sweep_folder(run.path.parent, sweep.folder)):
        return State(state=QUEUED, reason=f"not submitted yet: {sweep.name} is being submitted")
    return State(state=LOST, reason=f"not submitted: `resume {sweep.name}` submits it")


def is_being_submitted(folder: Path) -> bool:
    """True if a process submits runs of the sweep in this folder. False also where the file system has no locks."""
    try:
        lock = os.open(folder / SWEEP_LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(lock)
    return False
