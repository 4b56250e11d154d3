"""Slurm: job.sbatch is submitted exactly once, and Slurm's own commands are asked about the job.

run.json is written before sbatch is called, without a job id, and the job's comment holds the run's token. So
whenever the submitting process, sbatch or the controller dies, the token finds the job, and nothing is submitted
twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, Finding, SweepOrder, ignore_message
from prl_submit.backends.other_nodes import refusal_of_other_nodes
from prl_submit.backends.slurm import states as slurm_states
from prl_submit.backends.slurm.array_submission import array_limits, plan_arrays, submit_arrays
from prl_submit.backends.slurm.cancel_jobs import cancel_jobs
from prl_submit.backends.slurm.inherited_environment import job_environ
from prl_submit.backends.slurm.partitions import (
    QOS_FLAGS,
    SINFO,
    SINFO_STATES,
    chosen,
    hopeless,
    in_words,
    parse_sinfo,
    unavailable,
)
from prl_submit.backends.slurm.refusals import NO_NODE
from prl_submit.backends.slurm.sbatch_order import explained, sbatch
from prl_submit.backends.slurm.slurm_commands import SilentError, SlurmCommands
from prl_submit.backends.submit_once import record_first
from prl_submit.errors import (
    BackendUnreachableError,
    PrlSubmitError,
    Refusal,
    RefusedError,
)
from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import BATCH_SCRIPT, JOB
from prl_submit.runs.record import Record
from prl_submit.runs.states import QUEUED, RUNNING, State, is_confirmed
from prl_submit.spec.sections import Platform
from prl_submit.system import shell
from prl_submit.system.files import remove_inside
from prl_submit.system.shell import Answer

#: The name of this backend in run.json.
NAME = "slurm"


class SlurmBackend(Backend):
    """A Slurm cluster, through its own commands."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """Ask `sbatch --test-only` when and where the job would start. Raises as `submit` does."""
        slurm = _slurm()
        _refuse_hopeless(plan, slurm)  # --test-only would refuse it too, but use up a job id
        environ = job_environ(plan, os.environ)
        answer = slurm.ask(["sbatch", "--test-only"], stdin=artefact, environ=environ)
        if answer.code != 0:
            raise RefusedError(
                [_no_node(answer, plan, slurm) or explained(answer.err, plan, slurm)]
            )
        return slurm_states.test_only_words(answer.err, time.time())

    def refusal_here(self, environ: Mapping[str, str], names: Platform) -> PrlSubmitError | None:
        """The refusal on one of several nodes of a platform, which has no Slurm."""
        if shutil.which("sbatch") is not None:
            return None
        return refusal_of_other_nodes(environ, names, "sbatch is not on this node")

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Call sbatch. Raises RefusedError, BackendUnreachableError, or OutcomeUnknownError."""
        slurm = _slurm()
        _refuse_hopeless(plan, slurm)

        def order() -> str:
            with contextlib.suppress(OSError):
                remove_inside(run, JOB)  # an earlier job's
            return sbatch([str(run / BATCH_SCRIPT)], plan, (run, record), slurm, tell)

        return record_first(run, read_run(run), record, order)

    def submit_many(
        self, sweep: SweepOrder, tell: Callable[[str], None] = ignore_message
    ) -> list[Record]:
        """Submit the runs as job arrays: one sbatch for all runs with the same options.

        Raises as `submit` does. If one array is refused, those before it stay submitted.
        """
        slurm = _slurm()
        limits = array_limits(slurm)
        if limits.size < 2:  # MaxArraySize 0 or 1: the site has switched job arrays off
            return self._submit_each(sweep, tell)
        arrays = plan_arrays(sweep, limits)
        for array in arrays:
            _refuse_hopeless(array.items[0].plan, slurm)
        return submit_arrays(arrays, sweep, slurm, tell)

    def _submit_each(self, sweep: SweepOrder, tell: Callable[[str], None]) -> list[Record]:
        """Submit a job for each run; with max_parallel the waiting queue submits them."""
        if sweep.max_parallel is None:
            return super().submit_many(sweep, tell)
        from prl_submit.backends.waiting.start_queue import queue_sweep

        return queue_sweep(sweep)

    def job_to_wait_for(self, run: Run, state: State) -> str | None:
        """The job id of a run whose job this cluster has: sbatch can make the new job depend on it."""
        record = run.record
        is_here = state.state in (QUEUED, RUNNING) and is_confirmed(state.reason)
        if record is None or record.is_waiting or record.backend != NAME or not is_here:
            return None
        return state.job_id or record.job_id

    def refusal_to_wait(self, plan: Plan) -> PrlSubmitError | None:
        """The refusal of --after beside a dependency with `?`, because Slurm joins either all by or all by and."""
        given = plan.slurm.dependency or ""
        if "?" not in given:
            return None
        return PrlSubmitError(
            f"--after: slurm.dependency is {given}, in which `?` means or, and Slurm cannot join that "
            "with a job that must succeed too; nothing was created",
            "use `,` there, or leave --after out",
        )

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """The state of each run, from at most one squeue and one sacct for all runs."""
        return slurm_states.states(runs, _slurm())

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Call scancel. Slurm gives the processes KillWait (usually 30 s) to end."""
        (found,) = cancel_jobs([run], _slurm(), wait=wait)
        if isinstance(found, PrlSubmitError):
            raise found
        return found

    def cancel_many(self, runs: Sequence[Run], *, wait: bool) -> list[bool | PrlSubmitError]:
        """Call scancel once for all runs."""
        try:
            return cancel_jobs(runs, _slurm(), wait=wait)
        except BackendUnreachableError as error:
            return [error for _ in runs]

    def doctor(self) -> Finding:
        """The cluster this machine submits to, if it is a login node of one."""
        if shutil.which("sbatch") is None:
            hint = "needed for --backend slurm alone"
            return Finding("Slurm", None, "sbatch is not on PATH", hint)
        try:
            answer = _slurm().ask(SINFO)
        except PrlSubmitError as error:
            return Finding("Slurm", None, error.message, error.hint)
        words = [in_words(partition) for partition in parse_sinfo(answer.out).values()]
        return Finding("Slurm", True, "; ".join(words) or "no partition is open to you")


def _slurm() -> SlurmCommands:
    return SlurmCommands(shell.run, os.environ)


def _refuse_hopeless(plan: Plan, slurm: SlurmCommands) -> None:
    try:
        answer = slurm.ask(SINFO)
    except SilentError:
        return  # sbatch may still get an answer, and Slurm refuses a hopeless job itself
    partitions = chosen(plan, parse_sinfo(answer.out), os.environ.get("SBATCH_PARTITION"))
    refusals = hopeless(plan, partitions, other_qos="SBATCH_QOS" in os.environ)
    if any(refusal.key == "resources.time_limit" for refusal in refusals) and _lifts_limits(slurm):
        refusals = hopeless(plan, partitions, other_qos=True)
    if refusals:
        raise RefusedError(refusals)


def _lifts_limits(slurm: SlurmCommands) -> bool:
    """True if some QoS may allow more time than a partition. The user's default QoS may be such a one."""
    try:
        answer = slurm.ask(QOS_FLAGS, timeout=slurm_states.ACCOUNTING_S)
    except BackendUnreachableError:
        return False
    return "PartitionTimeLimit" in answer.out


def _no_node(answer: Answer, plan: Plan, slurm: SlurmCommands) -> Refusal | None:
    """The refusal if nodes are drained or down: sbatch's message is the same as for nodes that are too small."""
    if not any(words in answer.err for words in NO_NODE):
        return None
    try:
        nodes = slurm.ask(SINFO_STATES)
    except BackendUnreachableError:
        return None
    return unavailable(plan, nodes.out, os.environ.get("SBATCH_PARTITION"))


BACKEND = SlurmBackend()
