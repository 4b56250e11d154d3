"""Runs that nobody has given to their backend yet: `is_waiting` in run.json.

Such a run has a directory with all its files, and no job. Who gives it to its backend writes the record with
`is_waiting` false first, as part of the order, so a run that has it true has certainly no job.
"""

from __future__ import annotations

from pathlib import Path

from prl_submit.backends.local.processes import is_alive
from prl_submit.backends.waiting.names import listed, name_for, predecessors_of
from prl_submit.backends.waiting.queue_file import (
    QueueFile,
    is_elsewhere,
    queue_folder,
    read_queue,
    was_restarted,
)
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.layout import SWEEP_LOCK, sweep_folder
from prl_submit.runs.record import Record, SweptRun
from prl_submit.runs.states import AS_LAST_KNOWN, CANCELLED, LOST, QUEUED, State
from prl_submit.system.files import is_locked


def state_of_waiting(run: Run) -> State:
    """QUEUED while somebody is about to submit the run; LOST if nobody is; or how it has ended without a job."""
    cancelled = cancel_reason(run.path)
    if cancelled is not None:
        return State(state=CANCELLED, reason=f"{cancelled}; it was not submitted")
    record = run.require_record()
    return read_verdict(run) or _in_queue(run, record) or _not_submitted(run, record.sweep)


def _in_queue(run: Run, record: Record) -> State | None:
    """The state of a run that the waiting queue is to start; None if no queue has the run."""
    queue = read_queue(queue_folder(run.path, record))
    if queue is None or run.name not in queue.runs:
        return None
    if is_alive(queue.process):
        reason = queue.reasons.get(run.name) or _before_the_first_look(run)
        if record.sweep is not None:
            reason += f": {_running(queue, record.sweep)}"
        return State(state=QUEUED, reason=reason)
    host = queue.process.host
    if is_elsewhere(queue):
        return State(state=QUEUED, reason=f"{AS_LAST_KNOWN}: its queue runs on {host}, ask there")
    restarted = ", because the machine was restarted" if was_restarted(queue) else ""
    goes_on = f"`prl-submit resume {queue.name}` goes on"
    return State(state=LOST, reason=f"the queue on {host} has ended{restarted}: {goes_on}")


def _running(queue: QueueFile, sweep: SweptRun) -> str:
    """How many runs of the sweep are running: `2 of 8 runs of the sweep "lr" are running`."""
    if not queue.running:
        return f'no run of the sweep "{sweep.name}" is running'
    verb = "is" if queue.running == 1 else "are"
    of = f"{len(queue.runs)} run{'s' if len(queue.runs) != 1 else ''}"
    return f'{queue.running} of {of} of the sweep "{sweep.name}" {verb} running'


def _before_the_first_look(run: Run) -> str:
    """Why a run waits, as far as its record tells: the queue has just begun."""
    names = [name_for(each, run) for each in predecessors_of(run)]
    return f"waiting for {listed(names)}" if names else "waiting for its turn"


def _not_submitted(run: Run, sweep: SweptRun | None) -> State:
    """The state of a run that nobody has given to a backend or a queue."""
    if sweep is None:
        return State(state=LOST, reason="not submitted; `resume` submits it")
    if is_being_submitted(sweep_folder(run.path.parent, sweep.folder)):
        return State(state=QUEUED, reason=f"not submitted yet: {sweep.name} is being submitted")
    return State(state=LOST, reason=f"not submitted: `resume {sweep.name}` submits it")


def state_in_queue(run: Run) -> State | None:
    """The state of a run that a living waiting queue will submit; None if no such queue has it."""
    if cancel_reason(run.path) is not None or read_verdict(run) is not None:
        return None
    found = _in_queue(run, run.require_record())
    return found if found is not None and found.state == QUEUED else None


def is_being_submitted(folder: Path) -> bool:
    """True if a process submits runs of the sweep in this folder. False also where the file system has no locks."""
    return is_locked(folder / SWEEP_LOCK)
