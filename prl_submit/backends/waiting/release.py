"""A waiting run is given to its backend, or it ends without that. Each happens under the lock of the run, once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import msgspec

from prl_submit import backends
from prl_submit.errors import BackendRefusedError
from prl_submit.runs.cancellation import write_cancel
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exclusive import BusyError, exclusive
from prl_submit.runs.final_state import read_verdict, write_verdict
from prl_submit.runs.layout import CANCEL
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.states import State
from prl_submit.runs.times import local_now

_POLL_S = 0.05
#: Seconds that the start of a job may take, until `cancel` gives up: creating a PyTorchJob is tried for a minute.
_START_S = 90.0


def waits(run: Run | None) -> bool:
    """True if the run waits: it has no job, was not cancelled, and did not end otherwise."""
    if run is None or run.record is None or not run.record.is_waiting:
        return False
    return not os.path.lexists(run.path / CANCEL) and read_verdict(run) is None


def release(run: Run, gpus: Sequence[str] | None, tell: Callable[[str], None]) -> Run | None:
    """Give a run to its backend, if it still waits; the run as it is now.

    `gpus`: those of this machine that it gets; None: it finds its own. Raises BusyError, and as `submit` does.
    """
    with exclusive(run):
        found = read_run(run.path)
        if found is None or found.record is None or not waits(found):
            return found
        plan = read_plan(found.path).plan
        record = msgspec.structs.replace(found.record, is_waiting=False, released_at=local_now())
        backend = backends.load(record.backend)
        record = backend.start_on(gpus, found.path, plan, record, tell)
        return msgspec.structs.replace(found, record=record)


def end_waiting(run: Run, state: State) -> None:
    """Write that a run which still waits has ended without a job. Raises BusyError."""
    with exclusive(run):
        found = read_run(run.path)
        if found is not None and waits(found):
            write_verdict(found, state)


def cancel_waiting(run: Run) -> bool:
    """Cancel a run that waits, so that it never starts. False if it was started meanwhile.

    Raises BackendRefusedError if cancel.json cannot be written, or if the run is being started for too long.
    """
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with exclusive(run):
                found = read_run(run.path)
                if found is not None and found.record is not None and found.record.is_waiting:
                    write_cancel(run.path)
                    return True
                return False
        except BusyError:
            if time.monotonic() > deadline:
                raise BackendRefusedError(
                    f"{run.name} is just being started, and that takes long", "cancel it once more"
                ) from None
        except OSError as error:
            raise BackendRefusedError(
                f"{run.name} was not cancelled: {CANCEL} cannot be written: {error.strerror}"
            ) from None
        time.sleep(_POLL_S)
