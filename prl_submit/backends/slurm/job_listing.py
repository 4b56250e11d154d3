"""The questions to squeue and sacct, and their answers parsed into `ListedJob`s."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from prl_submit.backends.slurm.array_ids import JobIds, array_of, parse_ids
from prl_submit.backends.slurm.directives import TOKEN_PREFIX
from prl_submit.backends.slurm.partitions import parse_gres

#: The fields of squeue --Format. Written as `NAME:END`, a field has unlimited width and ends with END.
_SQUEUE = [
    *("JobID", "RestartCnt", "State", "exit_code", "StartTime", "EndTime", "NumNodes"),
    *("tres-per-node", "NodeList", "Reason", "UserID", "SubmitTime"),
    *("Command", "STDOUT", "Name", "Comment", "JobArrayID"),
]
#: Ends each field. Names, paths and comments may hold any other character; prl-submit refuses control
#: characters in all of them.
_END = "\x1f"
#: The fields of sacct --format.
_SACCT = "JobID State ExitCode Start End NNodes NodeList Reason SubmitLine JobName"


class ListedJob(Struct, frozen=True, kw_only=True):
    """One job as squeue or sacct lists it. Times are local, ISO 8601 with zone.

    `exit_code`, `signal`: of the batch script; None until it has ended.
    `restarts`: how often Slurm has requeued the job; None from sacct, which does not list it.
    `gpus`: per node. `cancelled_by`: a uid or user name, from sacct only.
    `command`: the path of the batch script (squeue), or the whole sbatch command (sacct).
    `stdout`: the path of its output, in which Slurm may not have replaced `%j` and the like.
    `job_id`: of a task of an array `4711_3`. `ids`: the same, or the several tasks of the row.
    `raw_id`: the id that a started task has besides, and that slurmstepd's messages have.
    """

    job_id: str
    state: str
    ids: JobIds | None = None
    raw_id: str | None = None
    restarts: int | None = 0
    gpus: int = 0
    exit_code: int | None = None
    signal: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    node_count: int = 1
    nodes: str | None = None
    reason: str | None = None
    cancelled_by: str | None = None
    comment: str | None = None
    name: str | None = None
    user_id: int | None = None
    submitted_at: str | None = None
    command: str | None = None
    stdout: str | None = None

    def has_token(self, token: str) -> bool | None:
        """True if its comment has this run's token, False if another's, None if it has no token."""
        if self.comment is None or TOKEN_PREFIX not in self.comment:
            return None
        rest = self.comment.rpartition(TOKEN_PREFIX)[2]
        return rest.startswith(token) and not rest[len(token) :][:1].isalnum()

    @property
    def task(self) -> int | None:
        """Its number in its array; None for a job that is no task, and for a row of several tasks."""
        return None if self.ids is None else self.ids.task


def squeue_argv(*, job_ids: Sequence[str] = (), uids: Sequence[int] = ()) -> list[str]:
    """The squeue command that lists waiting, running and recently ended jobs.

    `job_ids`: those jobs; of a task's id all tasks of its array. Without ids: all jobs of the users `uids`.
    squeue's option --array, which prints a row for each task, is not used: with it squeue 22.05 forgets the last
    task of `1-999:2`.
    """
    fields = ",".join(f"{name}:{_END}" for name in _SQUEUE)
    users = ",".join(map(str, uids))
    which = f"--jobs={_without_tasks(job_ids)}" if job_ids else f"--user={users}"
    # --all: also in partitions that are hidden from the user.
    return ["squeue", "--noheader", "--all", "--states=all", which, f"--Format={fields}"]


def _without_tasks(job_ids: Sequence[str]) -> str:
    """The jobs and arrays for an option. For `4711_3` sacct would not list the row `4711_[3-9]`."""
    return ",".join(dict.fromkeys(map(array_of, job_ids)))


def sacct_argv(job_ids: Sequence[str]) -> list[str]:
    """The sacct command that lists these jobs and the arrays of these tasks, without their steps."""
    fields = ",".join(_SACCT.split())
    return [
        *("sacct", "--noheader", "--parsable2", "--allocations", f"--delimiter={_END}"),
        *(f"--jobs={_without_tasks(job_ids)}", f"--format={fields}"),
    ]


def parse_squeue(text: str) -> list[ListedJob]:
    """The jobs in the output of `squeue_argv`'s command.

    Rows that cannot be parsed are skipped; somebody else's job may have a control character in its
    name.
    """
    rows = [line.split(_END) for line in text.split(f"{_END}\n")]
    jobs = [_from_squeue(row) for row in rows if len(row) == len(_SQUEUE)]
    return [job for job in jobs if job is not None]


def _from_squeue(row: list[str]) -> ListedJob | None:
    fields = dict(zip(_SQUEUE, row, strict=True))
    # After a row that could not be parsed, its remainder precedes the id.
    raw_id = fields["JobID"].rpartition("\n")[2]
    ids = parse_ids(fields["JobArrayID"])
    if ids is None or not raw_id.isdecimal() or not fields["RestartCnt"].isdecimal():
        return None
    ended = fields["State"] in _ENDED
    code, signal = _wait_status(fields["exit_code"]) if ended else (None, None)
    return ListedJob(
        job_id=fields["JobArrayID"],
        ids=ids,
        raw_id=raw_id,
        state=fields["State"],
        restarts=int(fields["RestartCnt"]),
        exit_code=code,
        signal=signal,
        started_at=slurm_time(fields["StartTime"]),
        ended_at=slurm_time(fields["EndTime"]) if ended else None,
        node_count=_number(fields["NumNodes"]) or 1,
        gpus=sum(parse_gres(fields["tres-per-node"]).values()),
        nodes=fields["NodeList"] or None,
        reason=_none_if_empty(fields["Reason"]),
        name=fields["Name"],
        comment=fields["Comment"],
        user_id=_number(fields["UserID"]),
        submitted_at=slurm_time(fields["SubmitTime"]),
        command=_none_if_empty(fields["Command"]),
        stdout=_none_if_empty(fields["STDOUT"]),
    )


def parse_sacct(text: str) -> list[ListedJob]:
    """The jobs in the output of `sacct_argv`'s command. Rows that cannot be parsed are skipped."""
    rows = [line.split(_END) for line in text.split("\n")]
    jobs = [_from_sacct(row) for row in rows if len(row) == len(_SACCT.split())]
    return [job for job in jobs if job is not None]


def _from_sacct(row: list[str]) -> ListedJob | None:
    job_id, state, status, start, end, count, nodes, reason, line, name = row
    ids = parse_ids(job_id)
    if ids is None:
        return None
    state, _, cancelled_by = state.partition(" by ")  # `CANCELLED by 1000`
    code, _, signal = status.partition(":")
    return ListedJob(
        job_id=job_id,
        ids=ids,
        state=state,
        restarts=None,
        exit_code=_number(code),
        signal=_number(signal) or None,
        started_at=slurm_time(start),
        ended_at=slurm_time(end),
        node_count=_number(count) or 1,
        nodes=_none_if_empty(nodes),
        reason=_none_if_empty(reason),
        cancelled_by=cancelled_by or None,
        command=_none_if_empty(line),
        name=name,
    )


#: States of jobs that have ended (squeue(1), JOB STATE CODES). A state that is in neither set below is
#: taken for a running job's, so that a new version's state never ends a run.
_ENDED = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
#: States of jobs that wait for their first start, or for the next one after a requeue.
_WAITING = frozenset(
    [
        "PENDING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESV_DEL_HOLD",
        "SPECIAL_EXIT",
        "EXPEDITING",
    ]
)


def is_live(job: ListedJob) -> bool:
    """True if the job waits, runs, or is in a state that prl-submit does not know."""
    return job.state not in _ENDED


def never_ran(job: ListedJob) -> bool:
    """True if Slurm ended the job without giving it a node.

    When slurmctld refuses a job with "Requested node configuration is not available", it has already
    created the job, and lists it like this (seen with Slurm 22.05.8).
    """
    return job.state == "FAILED" and job.nodes is None and job.started_at == job.ended_at


def is_waiting(job: ListedJob) -> bool:
    """True if the job waits for its first start, or for another start after a requeue."""
    return job.state in _WAITING


def _wait_status(text: str) -> tuple[int | None, int | None]:
    """Exit code and signal from squeue's field exit_code.

    Slurm 22.05 prints the status of wait(2) as one number, newer versions print `code:signal`.
    """
    first, colon, second = text.partition(":")
    code, signal = _number(first), _number(second)
    if code is None:
        return None, None
    if colon:
        return code, signal or None
    return code >> 8, (code & 0x7F) or None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _none_if_empty(text: str) -> str | None:
    """None for the words that Slurm prints for a missing value."""
    return None if text in ("", "None", "None assigned", "(null)", "Unknown", "N/A") else text


def slurm_time(text: str) -> str | None:
    """A time as Slurm prints it (local, without zone) as ISO 8601 with zone; None for `Unknown`."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat(timespec="seconds")
    except ValueError:  # N/A, Unknown, None
        return None
