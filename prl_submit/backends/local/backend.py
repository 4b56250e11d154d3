"""This machine: launch.sh as a detached process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, SweepOrder, ignore_message
from prl_submit.backends.local import processes
from prl_submit.backends.local.gpu_pool import giving_out, pool_of, uuids_of
from prl_submit.backends.local.ownership import (
    is_elsewhere,
    is_job,
    may_be_job,
    process_of,
    remaining,
    signal_job,
    started_by_hand,
)
from prl_submit.backends.local.start import start_job
from prl_submit.backends.other_nodes import refusal_of_other_nodes
from prl_submit.errors import BackendRefusedError, PrlSubmitError, Refusal, RefusedError
from prl_submit.planning.plan import Plan
from prl_submit.runs.cancellation import CancelNote, cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL, EXIT, RECORD
from prl_submit.runs.limits import limits_of
from prl_submit.runs.record import LocalProcess, Record
from prl_submit.runs.states import AS_LAST_KNOWN, CANCELLED, LOST, RUNNING, State, finished_state
from prl_submit.spec.sections import Platform
from prl_submit.system.owners import owner_of, user_name
from prl_submit.system.shell import run as run_program

_POLL_S = 0.05
#: Seconds beyond its grace that launch.sh has to end.
_BEYOND_GRACE_S = 10
#: Seconds in which a process must be gone after SIGKILL.
_KILL_S = 10.0


class LocalBackend(Backend):
    """This machine."""

    def __init__(self) -> None:
        #: The GPUs that there are, by what the user chose of them.
        self._pools: dict[str | None, list[str]] = {}
        self._uuids: dict[str, str] | None = None

    def ask(self, plan: Plan, artefact: str) -> str:
        """Look whether this machine has what the job needs. Raises RefusedError where it has not."""
        from prl_submit.backends.local.this_machine import lacking

        if found := list(lacking(plan, os.environ, run_program)):
            raise RefusedError(found)
        return "this machine starts it at once"

    def refusal_here(self, environ: Mapping[str, str], names: Platform) -> PrlSubmitError | None:
        """The refusal on one of several nodes that a platform has given this command."""
        return refusal_of_other_nodes(environ, names, "--backend local trains on one machine")

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Start launch.sh. Raises BackendRefusedError."""
        return start_job(run, record)

    def start_on(
        self,
        gpus: Sequence[str] | None,
        run: Path,
        plan: Plan,
        record: Record,
        tell: Callable[[str], None] = ignore_message,
    ) -> Record:
        """Start launch.sh, which sees these GPUs alone. Raises BackendRefusedError."""
        on_gpus = plan.resources.accelerator == "gpu"
        return start_job(run, record, gpus if on_gpus else None)

    def submit_many(
        self, sweep: SweepOrder, tell: Callable[[str], None] = ignore_message
    ) -> list[Record]:
        """Start the waiting queue, which starts the runs. Raises RefusedError, BackendRefusedError."""
        from prl_submit.backends.waiting.start_queue import queue_sweep

        for item in sweep.items:
            if refusal := self._never_fits(item.plan):
                raise RefusedError([refusal])
        return queue_sweep(sweep)

    def _never_fits(self, plan: Plan) -> Refusal | None:
        """The refusal of a run that needs more GPUs than the queue may give out."""
        pool = self.shared_gpus(plan)
        wanted = plan.resources.nproc_per_node
        if not pool and plan.resources.accelerator == "cpu":
            return None
        if pool is None or len(pool) >= wanted:
            return None
        what = f"{wanted} GPU{'s are' if wanted != 1 else ' is'} needed, one per process"
        message = f"{plan.name}: {what}; there are {len(pool)} here for the sweep"
        return Refusal("resources.nproc_per_node", message, "fewer processes, or another --backend")

    def shared_gpus(self, plan: Plan) -> Sequence[str] | None:
        """The GPUs of which a run of a sweep gets some."""
        if not plan.shares_gpus:
            return None
        if plan.resources.accelerator != "gpu":
            return []
        chosen = plan.local.cuda_visible_devices
        if chosen not in self._pools:  # nvidia-smi may take a second
            self._pools[chosen] = pool_of(plan, os.environ, run_program)
        return self._pools[chosen]

    def gpus_in_use(self) -> AbstractContextManager[set[str]]:
        """The GPUs that jobs of prl-submit use on this machine."""
        if self._uuids is None:
            self._uuids = uuids_of(os.environ, run_program)
        return giving_out(self._uuids)

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """RUNNING while the process lives; a job that ended without exit.json was killed."""
        return [BackendAnswer(state=finished_state(run) or _state(run)) for run in runs]

    def forward_signal(self, run: Run, number: signal.Signals) -> bool:
        """Signal launch.sh, which ends the job as `cancel` would."""
        process = process_of(run)
        if process is None:
            return False
        signal_job(run, process, number)
        return True

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Send SIGTERM to launch.sh, which stops its ranks, and SIGKILL to what outlives the grace.

        This always waits, because a local job holds this machine's GPUs until it is gone.
        """
        process = process_of(run)
        if process is None:
            return False
        if not _may_be_ended(run, process):
            return True  # lost before anybody cancelled it
        cancel_note = CancelNote(run.path)
        grace = limits_of(run.path, run.require_record()).grace
        try:
            _end(run, process, time.monotonic() + grace + _BEYOND_GRACE_S)
        except PermissionError:
            message = f"{run.name} is somebody else's: it cannot be ended"
            raise BackendRefusedError(message) from None
        cancel_note.close()
        return True


def _state(run: Run) -> State:
    process = process_of(run)
    if process is None:
        return State(state=LOST, reason="run.json names no process")
    if processes.is_alive(process) and may_be_job(run, process):
        return State(state=RUNNING, started_at=run.record.ordered_at if run.record else None)
    if is_elsewhere(process):
        return State(state=RUNNING, reason=f"{AS_LAST_KNOWN}: it runs on {process.host}, ask there")
    # It may have ended after the caller looked for exit.json and before we looked for the process.
    return finished_state(run) or _vanished(run, process)


def _vanished(run: Run, process: LocalProcess) -> State:
    """The state of a run whose process is gone, and which left no exit.json that can be read."""
    if os.path.exists(run.path / CANCEL) and not remaining(run):
        return State(state=CANCELLED, reason=cancel_reason(run.path))
    reason = _why_nothing_is_here(run, process)
    if reason is not None:
        return State(state=LOST, reason=reason)
    left = remaining(run)
    if (by_hand := started_by_hand(run, left)) is not None:
        return State(state=RUNNING, reason=f"launch.sh was started by hand, as process {by_hand}")
    reason = f"process {process.pid} ended without exit.json: killed (SIGKILL), or the disk is full"
    if processes.is_alive(process):
        reason = f"process {process.pid}, which {RECORD} names, is not of this run"
    if left:
        still = f"{len(left)} of its processes still run"
        reason += f"; {still}, `prl-submit cancel {run.name}` ends them"
    return State(state=LOST, reason=reason)


def _why_nothing_is_here(run: Run, process: LocalProcess) -> str | None:
    """Why no process of the run can be on this machine; None where one can."""
    if process.boot != processes.boot_id():
        return "the machine was restarted while it ran"
    if not processes.is_visible(process):
        return "the container it ran in is gone"
    if os.path.exists(run.path / EXIT) and run.record and not run.record.restarts:
        return "it has ended, but its exit.json is damaged"
    return None


def _may_be_ended(run: Run, process: LocalProcess) -> bool:
    """True if processes of the run are here. Raises BackendRefusedError where they cannot be reached."""
    if is_elsewhere(process):
        raise BackendRefusedError(
            f"{run.name} runs on {process.host}, whose processes cannot be reached from here",
            f"cancel it there: prl-submit cancel {run.path}",
        )
    is_ours = processes.is_alive(process) and is_job(run, process)
    if is_ours is None:
        owner = user_name(owner_of(run.path))
        raise BackendRefusedError(f"{run.name} is {owner}'s: its processes cannot be ended by you")
    return is_ours or bool(remaining(run))


def _end(run: Run, process: LocalProcess, deadline: float) -> None:
    """SIGTERM, and SIGKILL at the deadline. Raises BackendRefusedError where even that ends nothing."""
    signal_job(run, process, signal.SIGTERM)
    by_hand = started_by_hand(run, remaining(run))
    if by_hand is not None:
        processes.send(by_hand, signal.SIGTERM)
    while time.monotonic() < deadline and (
        (processes.is_alive(process) and is_job(run, process))
        or (by_hand is not None and processes.command_line(by_hand))
    ):
        time.sleep(_POLL_S)
    signal_job(run, process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_S
    while left := remaining(run):
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, left))
            raise BackendRefusedError(
                f"{run.name}: SIGKILL did not end process {pids}",
                "it hangs in the kernel, often in the GPU's driver or on a file server",
            )
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


BACKEND = LocalBackend()
