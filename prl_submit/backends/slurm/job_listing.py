"""What squeue and sacct say of jobs, read into one shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from prl_submit.backends.slurm.directives import TOKEN_PREFIX
from prl_submit.backends.slurm.partitions import parse_gres

#: Unlimited width by the suffix form. Names, paths and comments may hold anything but control characters,
#: which prl-submit lets into none of them; so one of those ends each field.
_SQUEUE = [
    *("JobID", "RestartCnt", "State", "exit_code", "StartTime", "EndTime", "NumNodes"),
    *("tres-per-node", "NodeList", "Reason", "UserID", "SubmitTime"),
    *("Command", "STDOUT", "Name", "Comment"),
]
_END = "\x1f"
_SACCT = "JobIDRaw State ExitCode Start End NNodes NodeList Reason SubmitLine JobName"


class ListedJob(Struct, frozen=True, kw_only=True):
    """One job as Slurm has it. Times are ISO 8601 with zone.

    `exit_code`/`signal` are the batch script's; None where it has not ended. `gpus`: per node.
    `restarts` None: not told. `cancelled_by`: a uid. `command`: its script's path, or how sacct says
    that it was submitted. `stdout`: the path of its output, perhaps as a pattern.
    """

    job_id: str
    state: str
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
        """Whether its comment carries the token; None where it carries none at all."""
        if self.comment is None or TOKEN_PREFIX not in self.comment:
            return None
        rest = self.comment.rpartition(TOKEN_PREFIX)[2]
        return rest.startswith(token) and not rest[len(token) :][:1].isalnum()


def squeue_argv(*, job_ids: Sequence[str] = (), uids: Sequence[int] = ()) -> list[str]:
    """The question for live and lately ended jobs: these, or all of these users."""
    fields = ",".join(f"{name}:{_END}" for name in _SQUEUE)
    users = f"--user={','.join(map(str, uids))}"
    which = f"--jobs={','.join(job_ids)}" if job_ids else users
    # --all: hidden partitions too.
    return ["squeue", "--noheader", "--all", "--states=all", which, f"--Format={fields}"]


def sacct_argv(job_ids: Sequence[str]) -> list[str]:
    """The question for ended jobs. The delimiter is no character of a name."""
    fields = ",".join(_SACCT.split())
    return [
        *("sacct", "--noheader", "--parsable2", "--allocations", "--delimiter=\x1f"),
        *(f"--jobs={','.join(job_ids)}", f"--format={fields}"),
    ]


def parse_squeue(text: str) -> list[ListedJob]:
    """The answer to squeue_argv; what does not read (a control character in a name) is passed over."""
    rows = (line.split(_END) for line in text.split(f"{_END}\n"))
    return [job for row in rows if len(row) == len(_SQUEUE) and (job := _squeue(row))]


def _squeue(row: list[str]) -> ListedJob | None:
    told = dict(zip(_SQUEUE, row, strict=True))
    job_id = told["JobID"].rpartition("\n")[2]  # what stands before it is a word of somebody else's
    restarts, state = told["RestartCnt"], told["State"]
    status, end, count = told["exit_code"], told["EndTime"], told["NumNodes"]
    user = told["UserID"]
    if not job_id.isdecimal() or not restarts.isdecimal():
        return None
    ended = state in _ENDED
    code, signal = _wait_status(status) if ended else (None, None)
    return ListedJob(
        job_id=job_id,
        state=state,
        restarts=int(restarts),
        exit_code=code,
        signal=signal,
        started_at=slurm_time(told["StartTime"]),
        ended_at=slurm_time(end) if ended else None,
        node_count=int(count) if count.isdecimal() else 1,
        gpus=sum(parse_gres(told["tres-per-node"]).values()),
        nodes=told["NodeList"] or None,
        reason=_meaning(told["Reason"]),
        name=told["Name"],
        comment=told["Comment"],
        user_id=int(user) if user.isdecimal() else None,
        submitted_at=slurm_time(told["SubmitTime"]),
        command=_meaning(told["Command"]),
        stdout=_meaning(told["STDOUT"]),
    )


def parse_sacct(text: str) -> list[ListedJob]:
    """The answer to sacct_argv."""
    rows = (line.split("\x1f") for line in text.split("\n"))
    return [job for row in rows if len(row) == len(_SACCT.split()) and (job := _sacct(row))]


def _sacct(row: list[str]) -> ListedJob | None:
    job_id, state, status, start, end, count, nodes, reason, line, name = row
    if not job_id.isdecimal():
        return None
    word, _, who = state.partition(" by ")  # `CANCELLED by 1000`
    code, _, signal = status.partition(":")
    return ListedJob(
        job_id=job_id,
        state=word,
        restarts=None,
        exit_code=int(code) if code.isdecimal() else None,
        signal=int(signal) if signal.isdecimal() and signal != "0" else None,
        started_at=slurm_time(start),
        ended_at=slurm_time(end),
        node_count=int(count) if count.isdecimal() else 1,
        nodes=_meaning(nodes),
        reason=_meaning(reason),
        cancelled_by=who or None,
        command=_meaning(line),
        name=name,
    )


#: At their end (squeue(1), JOB STATE CODES). A word that is not here ends nothing.
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
#: Not yet started, or not again.
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
    """Whether the job waits, runs, or is in a state that we do not know."""
    return job.state not in _ENDED


def never_ran(job: ListedJob) -> bool:
    """Whether Slurm ended the job without ever giving it a node.

    slurmctld makes a job that it then refuses: "Requested node configuration is not available" leaves one.
    """
    return job.state == "FAILED" and job.nodes is None and job.started_at == job.ended_at


def is_waiting(job: ListedJob) -> bool:
    """Whether the job waits to start, or to start again."""
    return job.state in _WAITING


def _wait_status(text: str) -> tuple[int | None, int | None]:
    """The exit_code of squeue is the status of wait(2), or `code:signal` in newer versions."""
    code, colon, signal = text.partition(":")
    if not code.isdecimal():
        return None, None
    if colon:
        return int(code), int(signal) or None if signal.isdecimal() else None
    return int(code) >> 8, int(code) & 0x7F or None


def _meaning(text: str) -> str | None:
    return None if text in ("", "None", "None assigned", "(null)", "Unknown", "N/A") else text


def slurm_time(text: str) -> str | None:
    """Slurm prints local time without a zone."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat(timespec="seconds")
    except ValueError:  # N/A, Unknown, None
        return None


def newest(jobs: Iterable[ListedJob]) -> dict[str, ListedJob]:
    """By job id; of several rows of one id (a requeue) the last."""
    return {job.job_id: job for job in jobs}
