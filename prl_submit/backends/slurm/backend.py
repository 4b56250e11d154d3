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
from prl_submit.backends.base import Backend, Finding, ignore_message
from prl_submit.backends.other_nodes import refusal_of_other_nodes
from prl_submit.backends.slurm import states as slurm_states
from prl_submit.backends.slurm.inherited_environment import job_environ, site_defaults
from prl_submit.backends.slurm.job_listing import ListedJob, is_live, never_ran, squeue_argv
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
from prl_submit.backends.slurm.refusals import NO_NODE, choices_argv, explain, parse_choices
from prl_submit.backends.slurm.sbatch_answer import job_id_of, was_never_sent, was_refused
from prl_submit.backends.slurm.slurm_commands import (
    SilentError,
    SlurmCommands,
    first_line,
    gave_no_answer,
    unreachable,
)
from prl_submit.backends.submit_once import record_first
from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    OutcomeUnknownError,
    PrlSubmitError,
    Refusal,
    RefusedError,
)
from prl_submit.planning.plan import Plan
from prl_submit.runs.cancellation import CancelNote
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import BATCH_SCRIPT, CANCEL, JOB
from prl_submit.runs.record import Record
from prl_submit.spec.sections import Platform
from prl_submit.system import shell
from prl_submit.system.files import remove_inside
from prl_submit.system.owners import user_name
from prl_submit.system.shell import Answer

#: Seconds until a submission without an answer is given up, and between two looks for its token.
_LOOKUP_S = 60.0
_LOOK_AGAIN_S = 2.0
_CANCEL_POLL_S = 1.0


class SlurmBackend(Backend):
    """A Slurm cluster, through its own commands."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """Ask `sbatch --test-only` when and where the job would start. Raises as `submit` does."""
        slurm = _slurm()
        _refuse_hopeless(plan, slurm)  # --test-only would refuse it too, but use up a job id
        environ = job_environ(plan, os.environ)
        answer = slurm.ask(["sbatch", "--test-only"], stdin=artefact, environ=environ)
        if answer.code != 0:
            raise RefusedError([_no_node(answer, plan, slurm) or _explain(answer.err, plan, slurm)])
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
            return _sbatch(run, plan, record, slurm, tell)

        return record_first(run, read_run(run), record, order)

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """The state of each run, from at most one squeue and one sacct for all runs."""
        return slurm_states.states(runs, _slurm())

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Call scancel. Slurm gives the processes KillWait (usually 30 s) to end."""
        slurm = _slurm()
        job = _find(run, slurm)
        if job is None:
            return False
        if is_live(job):
            cancel_note = CancelNote(run.path)
            try:
                _scancel(run, job, slurm)
            except BaseException:  # Ctrl-C too: a job that goes on must not be shown as cancelled
                remove_inside(run.path, CANCEL)
                raise
            cancel_note.close()
        while wait and (job := _find(run, slurm)) is not None and is_live(job):
            time.sleep(_CANCEL_POLL_S)
        return True

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


def _sbatch(
    run: Path, plan: Plan, record: Record, slurm: SlurmCommands, tell: Callable[[str], None]
) -> str:
    argv = ["sbatch", "--parsable", str(run / BATCH_SCRIPT)]
    answer = slurm.order(argv, job_environ(plan, os.environ))
    job_id = job_id_of(answer)
    if job_id is not None:
        if answer.err.strip():  # a plugin of the site, on budgets or on a partition that it chose
            tell(answer.err.strip())
        return job_id
    if was_refused(answer):
        raise RefusedError([_explain(answer.err, plan, slurm)])
    if was_never_sent(answer):
        raise unreachable(answer)
    # sbatch failed, but Slurm may have taken the job.
    found = _look_for(run, record, slurm)
    if found is None or never_ran(found):
        raise _no_job(answer, plan, slurm)
    return found.job_id


def _no_job(answer: Answer, plan: Plan, slurm: SlurmCommands) -> PrlSubmitError:
    """The error for a submission that failed, when Slurm has said that it has no such job."""
    said = (answer.out + answer.err).strip()
    if gave_no_answer(answer) and answer.code not in (126, 127):  # those are a wrapper's
        return unreachable(answer)
    if answer.code < 0:
        return BackendRefusedError(
            f"sbatch was ended by signal {-answer.code}, and Slurm has no such job"
        )
    if answer.code == 0:
        said = first_line(answer.out or answer.err)
        return BackendRefusedError(f"sbatch gave no job id, and Slurm has no such job: {said}")
    if not said:
        return BackendRefusedError(
            f"sbatch failed without a word (exit code {answer.code}), and Slurm has no such job",
            "`type sbatch` shows whether it is a wrapper of your site",
        )
    return RefusedError([_explain(said, plan, slurm)])


def _look_for(run: Path, record: Record, slurm: SlurmCommands) -> ListedJob | None:
    """The job of this submission; None if Slurm has said twice that there is none.

    Raises OutcomeUnknownError if Slurm gives no answer for a minute.
    """
    deadline = time.monotonic() + _LOOKUP_S
    denied = 0
    while True:
        try:
            jobs = slurm_states.squeue(slurm, squeue_argv(uids=[os.getuid()]))
        except BackendUnreachableError as error:
            if time.monotonic() > deadline:
                raise OutcomeUnknownError(
                    f"{error.message}: whether it took the job is not known",
                    "do not submit again: `prl-submit status latest` will find the job, if there is one",
                ) from None
        else:
            mine = slurm_states.match(run, record, jobs)
            if mine is not None:
                return mine
            denied += 1
            if denied == 2:  # Slurm may answer the first question before it takes the job
                return None
        time.sleep(_LOOK_AGAIN_S)


def _explain(err: str, plan: Plan, slurm: SlurmCommands) -> Refusal:
    refusal = explain(err, plan)
    variable = f"SBATCH_{(refusal.key or '').partition('.')[2].upper()}"
    if refusal.key and variable in os.environ and variable in site_defaults(plan):
        message = f"{variable}={os.environ[variable]}: {refusal.message}"
        return Refusal(None, message, "it stands in your environment, not in the spec")
    argv = choices_argv(refusal.key, user_name())
    if argv is None:
        return refusal
    try:
        answer = slurm.ask(argv)
    except BackendUnreachableError:
        return refusal
    return explain(err, plan, parse_choices(answer.out) if answer.code == 0 else ())


def _no_node(answer: Answer, plan: Plan, slurm: SlurmCommands) -> Refusal | None:
    """The refusal if nodes are drained or down: sbatch's message is the same as for nodes that are too small."""
    if not any(words in answer.err for words in NO_NODE):
        return None
    try:
        nodes = slurm.ask(SINFO_STATES)
    except BackendUnreachableError:
        return None
    return unavailable(plan, nodes.out, os.environ.get("SBATCH_PARTITION"))


def _scancel(run: Run, job: ListedJob, slurm: SlurmCommands) -> None:
    answer = slurm.order(["scancel", job.job_id])
    if gave_no_answer(answer):
        raise unreachable(answer)
    if answer.code != 0:
        raise BackendRefusedError(f"{run.name}: Slurm refused: {first_line(answer.err)}")


def _find(run: Run, slurm: SlurmCommands) -> ListedJob | None:
    """The run's job as Slurm has it now. A later job with the same id is another one."""
    if run.record is None:
        return None
    record = slurm_states.present(run, run.record)
    by_id = squeue_argv(job_ids=[record.job_id]) if record.job_id is not None else None
    jobs = slurm_states.squeue(slurm, by_id or squeue_argv(uids=[os.getuid()]))
    found = slurm_states.match(run.path, record, jobs)
    if found is None and record.job_id is not None:
        why = slurm_states.why_strange(run.path, record, jobs)
        if why is not None:
            raise BackendRefusedError(f"{run.name}: {why}; nothing was cancelled")
    return found


BACKEND = SlurmBackend()
