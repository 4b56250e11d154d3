"""Jobs and exit.json files, and their states, for the tests of judge and ended_job."""

from __future__ import annotations

from prl_submit.backends.slurm.evidence import SlurmEvidence
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.backends.slurm.judge import judge
from prl_submit.backends.slurm.reasons import ENDED
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    SUCCEEDED,
    TIMEOUT,
    State,
)

OOM = ENDED["OUT_OF_MEMORY"]
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT")
ON_NODES = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
ENDS = {
    "COMPLETED": SUCCEEDED,
    "FAILED": FAILED,
    "CANCELLED": CANCELLED,
    "TIMEOUT": TIMEOUT,
    "DEADLINE": TIMEOUT,
    "NODE_FAIL": FAILED,
    "BOOT_FAIL": FAILED,
    "OUT_OF_MEMORY": FAILED,
    "PREEMPTED": FAILED,
    "REVOKED": FAILED,
}


def at(minute: int) -> str:
    """A time."""
    return f"2026-11-22T21:{minute:02d}:00+01:00"


def own(code: int, state: str | None = None, **more: object) -> ExitRecord:
    """exit.json as launch.sh writes it."""
    word = state or (SUCCEEDED if code == 0 else FAILED)
    reason = None if word == SUCCEEDED else f"words for {code}"
    fields = {"started_at": at(0), "ended_at": at(10), "node": "n0", "reason": reason}
    return ExitRecord(exit_code=code, state=word, **(fields | more))  # type: ignore[arg-type]


def job(
    state: str, code: int | None = None, signal: int | None = None, **more: object
) -> ListedJob:
    """A job as squeue or sacct lists it."""
    fields = {"started_at": at(1), "ended_at": at(11), "nodes": "n1", "name": "mr"}
    if state in (*WAITING, *ON_NODES):
        fields["ended_at"] = None  # type: ignore[assignment]
    if state in WAITING:
        fields |= {"started_at": None, "nodes": None}  # type: ignore[dict-item]
    return ListedJob(job_id="77", state=state, exit_code=code, signal=signal, **(fields | more))  # type: ignore[arg-type]


def verdict(**evidence: object) -> State:
    """The state; the test fails if there is none."""
    state = judge(SlurmEvidence(**evidence))  # type: ignore[arg-type]
    assert state is not None
    return state


def last_words(cause: str = "", job_id: int = 77) -> str:
    """The end of Slurm's log."""
    due = f" DUE TO {cause}" if cause else ""
    return f"slurmstepd: error: *** JOB {job_id} ON n1 CANCELLED AT 2026-11-22T21:11:00{due} ***\n"
