"""The state of a run: QUEUED, RUNNING, or how it ended."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.attempts import Attempt, read_attempts
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import ExitRecord, read_exit
from prl_submit.runs.progress import Progress, read_progress
from prl_submit.runs.record import Record
from prl_submit.runs.times import iso_time

QUEUED = "QUEUED"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
TIMEOUT = "TIMEOUT"
LOST = "LOST"
#: launch.sh's exit codes if it was stopped: by its time limit, by SIGINT, by SIGTERM.
INTERRUPTED = (124, 130, 143)
FINISHED = frozenset({SUCCEEDED, FAILED, CANCELLED, TIMEOUT, LOST})
#: So begins the reason of a state that nobody could confirm now.
AS_LAST_KNOWN = "as last known"


class State(Struct, frozen=True, kw_only=True):
    """What a backend says of one run."""

    state: str
    reason: str | None = None
    exit_code: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    restarts: int = 0
    #: The job's id if the backend has just found it; None: the id is in run.json.
    job_id: str | None = None
    #: Why the backend gave no answer, so that the state is the last known one; None if it answered.
    unreachable: str | None = None
    #: True if the backend refused our query (no permission), so retrying is pointless.
    is_denied: bool = False
    #: True if the job has failed already, and its last processes are about to end.
    is_ending: bool = False


class Status(Struct, frozen=True, kw_only=True):
    """A run as `--json` prints it. A value that is not known is null. Keys are never renamed or removed."""

    run: str
    path: str
    name: str | None
    backend: str | None
    job_id: str | None
    state: str
    reason: str | None
    exit_code: int | None
    restarts: int
    step: int | None
    max_steps: int | None
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    #: When the last step was logged. If that is long ago, the training may hang.
    last_step_at: str | None
    attempts: list[Attempt]


def is_confirmed(reason: str | None) -> bool:
    """False if a state's reason says that the state is only the last known one."""
    return not (reason or "").startswith(AS_LAST_KNOWN)


def state_of_exit(ended: ExitRecord) -> State:
    """The state that exit.json tells."""
    state = ended.state or (SUCCEEDED if ended.exit_code == 0 else FAILED)
    return State(
        state=state if state in FINISHED else FAILED,
        reason=ended.reason,
        exit_code=ended.exit_code,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        restarts=ended.restarts,
    )


def finished_state(run: Run) -> State | None:
    """The final state, if exit.json tells it or run.json cannot be read; None if the backend must be asked."""
    if run.record is None:
        return State(state=LOST, reason=run.fault)
    ended = read_exit(run.path, run.record.restarts)
    return None if ended is None else _or_cancelled(run.path, state_of_exit(ended))


def _or_cancelled(run: Path, state: State) -> State:
    """CANCELLED if SIGTERM ended the job and there is a cancel.json; else the state unchanged.

    launch.sh looks for cancel.json too, but on a full disk `cancel` can write it only after the job's end.
    """
    if state.state == FAILED and state.exit_code == 128 + signal.SIGTERM:
        reason = cancel_reason(run)
        if reason is not None:
            return msgspec.structs.replace(state, state=CANCELLED, reason=reason)
    return state


def status_of(run: Run, state: State, progress: Progress | None = None) -> Status:
    """The status of a run. Its `started_at` is when the first attempt began.

    `progress`: how far the training is, if the caller has read that already.
    """
    progress = progress or read_progress(run.path)
    record: Record | None = run.record
    attempts = read_attempts(run.path, record) if record else []
    first = attempts[0].started_at if attempts else record.started_at if record else None
    return Status(
        run=run.name,
        path=str(run.path),
        name=record.name if record else None,
        backend=record.backend if record else None,
        job_id=state.job_id or (record.job_id if record else None),
        state=state.state,
        reason=state.reason,
        exit_code=state.exit_code,
        restarts=max(state.restarts, record.restarts if record else 0),
        step=progress.step,
        max_steps=progress.max_steps,
        submitted_at=record.submitted_at if record else None,
        started_at=first or state.started_at,
        ended_at=state.ended_at,
        last_step_at=iso_time(progress.logged_at),
        attempts=attempts,
    )
