"""All that is known of one attempt of a run, before anybody has judged it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from prl_submit.backends.slurm.batch_log import OUT_OF_MEMORY, of_this_attempt
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.record import ArrayTask
from prl_submit.runs.states import FAILED, INTERRUPTED


class SlurmEvidence(Struct, frozen=True, kw_only=True):
    """What the run directory, Slurm and the processes on the nodes say about one attempt.

    `exit`: exit.json of node 0. `others`: exit.json of the other nodes, with their node ranks.
    `job`: the job as squeue or sacct lists it; None if neither does.
    `cancelled`: the reason in cancel.json; None if the user did not cancel the run.
    `log`: the end of logs/slurm.log. `job_id`: the id of the run's newest job.
    `restarts_before`: restarts of the run's earlier jobs (before a `resume`).
    `max_restarts`: restarts.max of the plan; None if it does not matter for this job.
    `now`: seconds since the epoch; the expected start is told relative to it (`in 10m`).
    `task`: which task of which array the run is; None for a run with a job of its own.
    `alive`: a process of the run still holds the lock that launch.sh takes.
    `waits_for`: the runs of --after that have not succeeded, each with how it ended, if it did.
    """

    exit: ExitRecord | None = None
    others: Sequence[tuple[int, ExitRecord]] = ()
    job: ListedJob | None = None
    cancelled: str | None = None
    log: str = ""
    job_id: str | None = None
    restarts_before: int = 0
    max_restarts: int | None = None
    now: float = 0.0
    task: ArrayTask | None = None
    alive: bool = False
    waits_for: Sequence[tuple[str, str | None]] = ()

    @property
    def restarts(self) -> int:
        """Restarts of the run so far: those of its earlier jobs and those that Slurm lists."""
        listed = self.job.restarts if self.job is not None else None
        return self.restarts_before + (listed or 0)

    @property
    def ran_out_of_memory(self) -> bool:
        """True if Slurm or slurmstepd reports a process killed at the job's memory limit."""
        if self.job is not None and self.job.state == "OUT_OF_MEMORY":
            return True
        return bool(OUT_OF_MEMORY.search(of_this_attempt(self.log)))


def is_own_end(record: ExitRecord) -> bool:
    """True if launch.sh ended by itself, and was not stopped by a signal from outside."""
    return record.exit_code not in INTERRUPTED


def of_newest_attempt(seen: SlurmEvidence) -> SlurmEvidence:
    """The evidence without exit.json files of earlier attempts of the run."""
    listed = seen.job.restarts if seen.job is not None else None
    if listed is None:
        records = [record for _, record in seen.others]
        records += [seen.exit] if seen.exit is not None else []
        restarts = max((record.restarts for record in records), default=0)
    else:
        restarts = seen.restarts_before + listed
    # sacct does not list restarts. But an exit.json from before the job's start is of another attempt.
    began = seen.job.started_at if seen.job is not None and listed is None else None

    def is_current(record: ExitRecord) -> bool:
        ended_before = began is not None and is_before(record.ended_at, began)
        return record.restarts >= restarts and not ended_before

    return msgspec.structs.replace(
        seen,
        exit=seen.exit if seen.exit and is_current(seen.exit) else None,
        others=[(rank, record) for rank, record in seen.others if is_current(record)],
    )


def is_before(one: str | None, other: str) -> bool:
    """Compare two ISO 8601 times with zone. False if one of them is not such a time."""
    try:
        return datetime.fromisoformat(one or "") < datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False


def first_to_fail(
    own: ExitRecord | None, others: Sequence[tuple[int, ExitRecord]]
) -> ExitRecord | None:
    """The exit.json of the node that failed first and by itself, with the node in its reason.

    When one node fails, launch.sh stops the others; their exit codes say nothing of the cause. `own`:
    node 0's. Returns `own` if node 0 was the first, or if no node failed by itself.
    """
    records = [*others, *([(0, own)] if own is not None else [])]
    failed = [
        (record.ended_at or "", rank, record)
        for rank, record in records
        if record.state == FAILED and is_own_end(record)
    ]
    if not failed:
        return own
    _, rank, record = min(failed, key=lambda item: item[:2])
    if rank == 0:
        return own
    reason = f"node {rank} ({record.node}): {record.reason}"
    return msgspec.structs.replace(record, reason=reason)
