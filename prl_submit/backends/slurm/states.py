"""The states of runs, from one squeue and one sacct for all runs and from each run directory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.slurm.array_ids import array_of, is_job_id
from prl_submit.backends.slurm.evidence import SlurmEvidence
from prl_submit.backends.slurm.job_listing import (
    ListedJob,
    is_live,
    parse_sacct,
    parse_squeue,
    sacct_argv,
    slurm_time,
    squeue_argv,
)
from prl_submit.backends.slurm.job_table import JobTable
from prl_submit.backends.slurm.judge import judge, may_start_again
from prl_submit.backends.slurm.ownership import has_token, is_own, why_not_own
from prl_submit.backends.slurm.slurm_commands import NotInstalledError, SlurmCommands, first_line
from prl_submit.backends.waiting.names import name_for, predecessors_of
from prl_submit.errors import BackendUnreachableError
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exits import read_exit, read_node_exits
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.last_known import as_last_known, last_known, missing_since
from prl_submit.runs.layout import BATCH_SCRIPT, JOB, SLURM_LOG, SWEEPS
from prl_submit.runs.limits import limits_of
from prl_submit.runs.record import ArrayTask, Record
from prl_submit.runs.states import (
    AS_LAST_KNOWN,
    FINISHED,
    LOST,
    QUEUED,
    SUCCEEDED,
    TIMEOUT,
    State,
    finished_state,
)
from prl_submit.runs.times import until
from prl_submit.system.files import is_locked, tail_bytes
from prl_submit.system.owners import user_name
from prl_submit.system.reading import read_record

#: Seconds that Slurm may not know a job before the job is lost. Its exit.json may appear late on a shared file
#: system (NFS keeps attributes for up to 60 s), and one empty answer proves nothing.
MISSING_S = 60.0
#: Seconds that slurmdbd may take to answer. squeue and the run directories know most ends without it.
ACCOUNTING_S = 5.0
#: More ids than this do not fit into one argument (Linux: 128 KiB).
MANY = 10_000
_LOG_TAIL = 16_384


class SlurmAnswers(Struct, frozen=True):
    """Slurm's answers. `jobs`: each run's job, by the run's index. `silence`: why squeue gave no answer, or None.

    `unsettled`: runs whose ended job is not yet in accounting, which may tell more, such as who cancelled it.
    `untold`: why accounting gave no answer. `records`: the runs' records with the ids of these jobs.
    """

    jobs: dict[int, ListedJob]
    silence: str | None = None
    unsettled: frozenset[int] = frozenset()
    untold: str | None = None
    records: Mapping[int, Record] = {}
    #: Why the job with a run's id does not belong to the run, by the run's index.
    strangers: Mapping[int, str] = {}


def states(runs: Sequence[Run], slurm: SlurmCommands) -> list[BackendAnswer]:
    """The state of each run."""
    try:
        answers = _ask(runs, slurm)
    except BackendUnreachableError as error:
        answers = SlurmAnswers({}, error.message)
    return [_state(run, i, answers) for i, run in enumerate(runs)]


def _ask(runs: Sequence[Run], slurm: SlurmCommands) -> SlurmAnswers:
    records = {i: present(run, run.record) for i, run in enumerate(runs) if run.record is not None}
    table = JobTable(squeue_for(runs, list(records.values()), slurm))
    named = {i: table.candidates(record) for i, record in records.items()}
    matches = {i: match(runs[i].path, record, named[i]) for i, record in records.items()}
    found = {i: job for i, job in matches.items() if job is not None}
    strangers = {
        i: reason
        for i, record in records.items()
        if record.job_id is not None and i not in found
        if (reason := why_strange(runs[i].path, record, named[i])) is not None
    }
    for i, job in found.items():
        records[i] = msgspec.structs.replace(records[i], job_id=job.job_id)
    ended = [i for i in records if i not in found or not is_live(found[i])]
    # If squeue lists the id as another run's job, accounting's row with that id is not about this run either.
    ended = [i for i in ended if i in found or not named[i] or records[i].job_id is None]
    answers = _settled(found, runs, records, ended, slurm)
    return msgspec.structs.replace(answers, strangers=strangers)


def _settled(
    found: dict[int, ListedJob],
    runs: Sequence[Run],
    records: Mapping[int, Record],
    ended: Sequence[int],
    slurm: SlurmCommands,
) -> SlurmAnswers:
    """The jobs that squeue listed, with what accounting knows of those that have ended."""
    try:
        rows = _ask_accounting([records[i].job_id for i in ended], slurm)
    except BackendUnreachableError as error:
        unsettled = frozenset(ended)
        return SlurmAnswers(found, unsettled=unsettled, records=records, untold=error.message)
    if rows is None:
        return SlurmAnswers(found, records=records)
    settled = {}
    for i in ended:
        row = next(reversed(rows.with_id(records[i].job_id)), None)
        job = found.get(i)
        if row is not None and _is_final(row) and _names(row, job, runs[i], records[i]):
            settled[i] = _combined(job or row, row)
    unsettled = frozenset(i for i in ended if i not in settled)
    return SlurmAnswers(found | settled, unsettled=unsettled, records=records)


def _names(row: ListedJob, job: ListedJob | None, run: Run, record: Record) -> bool:
    """True if accounting's row is the run's job, by its name or its batch script.

    `job`: the run's job as squeue lists it. A user may have changed its name. The tasks of an array have the
    sweep's name, as the tasks of an earlier sweep from the same spec have; so the sweep's folder must be named.
    """
    if row.task is not None and record.sweep is not None and row.command:
        return f"/{SWEEPS}/{record.sweep.folder}/" in row.command
    names = {record.name} if job is None else {record.name, job.name}
    return row.name in names or str(run.path / BATCH_SCRIPT) in (row.command or "")


def _is_final(row: ListedJob) -> bool:
    """True if the row is complete. At first the row of an ended job may lack its end and who ended it."""
    return not is_live(row) and row.ended_at is not None


def squeue_for(
    runs: Sequence[Run], records: Sequence[Record], slurm: SlurmCommands
) -> list[ListedJob]:
    """The jobs among which those of the runs are. `records`: the runs' records, from `present`."""
    ids = [record.job_id for record in records if record.job_id is not None]
    if len(ids) == len(records) and len(set(map(array_of, ids))) < MANY:
        return squeue(slurm, squeue_argv(job_ids=ids))
    # A job of which only the token is known is searched among all jobs of the user.
    return squeue(slurm, squeue_argv(uids=sorted({os.getuid(), *map(_owner, runs)})))


def squeue(slurm: SlurmCommands, argv: Sequence[str]) -> list[ListedJob]:
    """The jobs that squeue lists; none if it does not know the id. Raises BackendUnreachableError."""
    answer = slurm.ask(argv)
    if answer.code != 0 and "Invalid job id" not in answer.err:
        raise BackendUnreachableError(f"Slurm does not answer: {first_line(answer.err)}")
    jobs = parse_squeue(answer.out)
    if answer.out.strip() and not jobs:  # an unknown version of squeue, or a wrapper of the site
        raise BackendUnreachableError(f"squeue's answer does not read: {first_line(answer.out)}")
    return jobs


def _owner(run: Run) -> int:
    try:
        return run.path.stat().st_uid
    except OSError:
        return os.getuid()


def match(run: Path, record: Record, jobs: Sequence[ListedJob]) -> ListedJob | None:
    """The run's own job among `jobs`.

    Slurm may give an id out again after its controller crashed, and users copy run directories.
    """
    return next((job for job in reversed(jobs) if is_own(run, record, job)), None)


def why_strange(run: Path, record: Record, jobs: Sequence[ListedJob]) -> str | None:
    """Why a job with the run's id and token is not the run's own; None if there is no such job."""
    claimed = (job for job in jobs if has_token(job, record))
    reasons = (why_not_own(run, record, job) for job in claimed)
    return next((reason for reason in reasons if reason is not None), None)


def present(run: Run, record: Record) -> Record:
    """The record with the job id that job.sbatch wrote down, because somebody may have typed `sbatch` since."""
    try:
        job_id = read_record(run.path / JOB).decode("ascii").strip()
    except (OSError, ValueError):
        return record
    return msgspec.structs.replace(record, job_id=job_id) if is_job_id(job_id) else record


def _ask_accounting(job_ids: Sequence[str | None], slurm: SlurmCommands) -> JobTable | None:
    """The rows of sacct for jobs that have ended or that squeue no longer lists.

    None if the cluster has no accounting. Raises BackendUnreachableError if slurmdbd does not answer. Rows may
    be late: sacct may list an ended job as PENDING. So a row that is not final tells nothing.
    """
    known = [job_id for job_id in job_ids if job_id is not None]
    if not known:
        return JobTable([])
    try:
        answer = slurm.ask(sacct_argv(known), timeout=ACCOUNTING_S)
    except NotInstalledError:
        return None
    if answer.code == 0:
        return JobTable(parse_sacct(answer.out))
    if "accounting storage is disabled" in answer.err:
        return None
    raise BackendUnreachableError(f"Slurm's accounting does not answer: {first_line(answer.err)}")


def _combined(known: ListedJob, accounted: ListedJob) -> ListedJob:
    """The job as squeue lists it, with the final state and who cancelled it, which only accounting knows."""
    uid = accounted.cancelled_by
    who = user_name(int(uid)) if uid and uid.isdigit() else uid
    return msgspec.structs.replace(known, cancelled_by=who, state=accounted.state)


def _state(run: Run, index: int, answers: SlurmAnswers) -> BackendAnswer:
    record, job, silence = run.record, answers.jobs.get(index), answers.silence
    if record is None:
        return BackendAnswer(state=State(state=LOST, reason=run.fault))
    record = answers.records.get(index, record)
    run = msgspec.structs.replace(run, record=record)
    seen = _gather(run, record, job, silence)
    state = _why_not_again(run, judge(seen), seen)
    if silence is not None and may_start_again(seen):
        state = None
    if state is None and index in answers.strangers:
        return BackendAnswer(state=State(state=LOST, reason=answers.strangers[index]))
    if state is None:
        return _unknown(run, record, silence or answers.untold)
    ended = state.state in FINISHED and (job is None or not is_live(job))
    return BackendAnswer(
        state=msgspec.structs.replace(state, job_id=record.job_id),
        job_id=None if job is None else record.job_id,
        is_final=ended and silence is None and index not in answers.unsettled,
        is_missing=None if job is None else False,
    )


def _why_not_again(run: Run, state: State | None, seen: SlurmEvidence) -> State | None:
    """The state. The reason of a time-out also says why Slurm did not restart the job, if it could have."""
    if state is None or state.state != TIMEOUT or run.record is None:
        return state
    most = limits_of(run.path, run.record).max_restarts
    again = state.restarts - run.record.restarts
    if not most or seen.cancelled:
        return state
    if again >= most:
        why = f"not started again: restarts.max is {most}, and used up"
    elif not any(run.path.glob("checkpoint-*")):
        why = "not started again: it has no checkpoint yet to go on from"
    else:
        return state
    return msgspec.structs.replace(state, reason="; ".join(filter(None, [state.reason, why])))


def is_held(run: Path) -> bool:
    """True if a process of the run is alive: all of them inherit the lock that launch.sh takes on each node.

    A launch.sh that starts while the lock is looked at would find it taken. So call this only for a job that
    Slurm has ended.
    """
    return any(is_locked(file) for file in run.glob(".node*.lock"))


def _gather(run: Run, record: Record, job: ListedJob | None, silence: str | None) -> SlurmEvidence:
    restarted = job is not None and bool(job.restarts)
    live = job is not None and is_live(job)
    ended = read_exit(run.path, record.restarts)
    log = b"" if live and not restarted else tail_bytes(run.path / SLURM_LOG, _LOG_TAIL)
    return SlurmEvidence(
        exit=ended,
        others=[] if live else read_node_exits(run.path, record.restarts),
        job=job,
        cancelled=cancel_reason(run.path),
        log=log.decode("utf-8", "replace"),
        job_id=record.job_id,
        now=time.time(),
        alive=not live and ended is None and silence is None and is_held(run.path),
        task=record.place if isinstance(record.place, ArrayTask) else None,
        restarts_before=record.restarts,
        max_restarts=limits_of(run.path, record).max_restarts if restarted or silence else None,
        waits_for=[] if ended is not None else _waits_for(run),
    )


def _waits_for(run: Run) -> list[tuple[str, str | None]]:
    """The runs of --after that have not succeeded, each with how it ended: by its files, and without asking."""
    found: list[tuple[str, str | None]] = []
    for each in predecessors_of(run):
        other = read_run(Path(each.run))
        state = (finished_state(other) or read_verdict(other)) if other is not None else None
        if state is None or state.state != SUCCEEDED:
            found.append((name_for(each, run), None if state is None else state.state))
    return found


def _unknown(run: Run, record: Record, silence: str | None) -> BackendAnswer:
    """The answer for a job that Slurm does not list and that left no exit.json.

    It is the last known state. After MISSING_S seconds it is LOST.
    """
    if silence is not None:
        state = as_last_known(run.path, silence)
        return BackendAnswer(state=msgspec.structs.replace(state, job_id=record.job_id))
    last = last_known(run.path)
    what = f"job {record.job_id}" if record.job_id else "its job"
    if (owner := _owner(run)) != os.getuid():  # a site may show each user only the own jobs
        reason = f"{AS_LAST_KNOWN}: Slurm does not list {what}, which is {user_name(owner)}'s"
        return BackendAnswer(state=State(state=last, reason=reason, job_id=record.job_id))
    since = missing_since(run.path, record)
    if since is not None and time.time() - since > MISSING_S:
        last, reason = LOST, _why_lost(record, last)
    else:
        reason = f"{AS_LAST_KNOWN}: Slurm does not list {what}; asked again after a minute"
    state = State(state=last, reason=reason, job_id=record.job_id)
    return BackendAnswer(state=state, is_missing=True)


def _why_lost(record: Record, last: str) -> str:
    if record.job_id is None:
        return "it was never submitted: the submission was interrupted before Slurm had the job"
    if last == QUEUED:
        why = f"Slurm no longer knows job {record.job_id}, and it never began"
        if array_of(record.job_id) == record.job_id:
            return why
        return f"{why}; a task that scancel ends before it begins is forgotten at once"
    return (
        f"Slurm no longer knows job {record.job_id}, and it left no exit.json: "
        "killed (SIGKILL), or its node failed"
    )


#: Slurm 26.05 and later print `a` before `using`. In a federation Slurm also prints the cluster's name.
_START = (
    r"to start at (\S+)(?: on cluster \S+)?(?: a)? using (\d+) processors "
    r"on nodes? (\S+)(?: in partition (\S+))?"
)


def test_only_words(err: str, now: float) -> str:
    """The answer of `sbatch --test-only` in words: when and where the job would start. `now`: seconds since 1970."""
    found = re.search(_START, err)
    if found is None:
        return f"Slurm would take it: {first_line(err)}"
    partition = f" of partition {found[4]}" if found[4] else ""
    start = until(slurm_time(found[1]) or found[1], now)
    return f"Slurm would start it {start} on {found[3]}{partition}"
