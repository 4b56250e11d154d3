"""Call sbatch once, and find out what became of the job if sbatch's answer does not tell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from prl_submit.backends.slurm import states as slurm_states
from prl_submit.backends.slurm.array_ids import array_of
from prl_submit.backends.slurm.inherited_environment import job_environ, site_defaults
from prl_submit.backends.slurm.job_listing import ListedJob, never_ran, squeue_argv
from prl_submit.backends.slurm.job_table import JobTable
from prl_submit.backends.slurm.refusals import choices_argv, explain, parse_choices
from prl_submit.backends.slurm.sbatch_answer import job_id_of, was_never_sent, was_refused
from prl_submit.backends.slurm.slurm_commands import (
    SlurmCommands,
    first_line,
    gave_no_answer,
    unreachable,
)
from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    OutcomeUnknownError,
    PrlSubmitError,
    Refusal,
    RefusedError,
)
from prl_submit.planning.plan import Plan
from prl_submit.runs.record import Record
from prl_submit.system.owners import user_name
from prl_submit.system.shell import Answer

#: Seconds until a submission without an answer is given up, and between two looks for its token.
_LOOKUP_S = 60.0
_LOOK_AGAIN_S = 2.0


def sbatch(
    argv: list[str],
    plan: Plan,
    looked_for: tuple[Path, Record],
    slurm: SlurmCommands,
    tell: Callable[[str], None],
) -> str:
    """Call sbatch; the id of the job, or of the array.

    `argv`: options and the script. `looked_for`: a run of the job with its record, by which the job is found
    if sbatch's answer is lost. Raises RefusedError, BackendRefusedError or BackendUnreachableError if there
    is no job, OutcomeUnknownError if there may be one.
    """
    argv = ["sbatch", "--parsable", *argv]
    answer = slurm.order(argv, job_environ(plan, os.environ))
    job_id = job_id_of(answer)
    if job_id is not None:
        if answer.err.strip():  # a plugin of the site, on budgets or on a partition that it chose
            tell(answer.err.strip())
        return job_id
    if was_refused(answer):
        raise RefusedError([explained(answer.err, plan, slurm)])
    if was_never_sent(answer):
        raise unreachable(answer)
    # sbatch failed, but Slurm may have taken the job.
    found = _look_for(*looked_for, slurm)
    if found is None or never_ran(found):
        raise _no_job(answer, plan, slurm)
    return array_of(found.job_id)


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
    return RefusedError([explained(said, plan, slurm)])


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
            mine = slurm_states.match(run, record, JobTable(jobs).candidates(record))
            if mine is not None:
                return mine
            denied += 1
            if denied == 2:  # Slurm may answer the first question before it takes the job
                return None
        time.sleep(_LOOK_AGAIN_S)


def explained(err: str, plan: Plan, slurm: SlurmCommands) -> Refusal:
    """The refusal that sbatch printed as `err`, with the values that the cluster has instead."""
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
