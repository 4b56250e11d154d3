"""What a run is doing: QUEUED, RUNNING, or how it has ended."""

from __future__ import annotations

import signal
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.attempts import Attempt, read_attempts
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import ExitRecord, read_exit
from prl_submit.runs.progress import read_progress
from prl_submit.runs.record import Record

QUEUED = "QUEUED"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
TIMEOUT = "TIMEOUT"
LOST = "LOST"
#: launch.sh's exit codes when somebody ended it: the time limit, SIGINT, SIGTERM.
INTERRUPTED = (124, 130, 143)
FINISHED = frozenset({SUCCEEDED, FAILED, CANCELLED, TIMEOUT, LOST})


class State(Struct, frozen=True, kw_only=True):
    """What a backend says of one run."""

    state: str
    reason: str | None = None
    exit_code: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    restarts: int = 0
    #: The job's id where the backend has just found it; None: run.json has it.
    job_id: str | None = None
    #: Why the backend could not be asked: the state is the last one known.
    unreachable: str | None = None
    #: True if the backend refused our query (no permission), so retrying is pointless.
    is_denied: bool = False
    #: Whether the job has failed already, and only the ends of its last processes are waited for.
    is_ending: bool = False


class Status(Struct, frozen=True, kw_only=True):
    """One run as JSON shows it; absent is null, keys are only ever added."""

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
    #: When the last step was logged: a training that hangs logs no further one.
    last_step_at: str | None
    attempts: list[Attempt]


def state_of_exit(ended: ExitRecord) -> State:
    """The state in exit.json, which the job wrote itself."""
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
    """What can be said without asking the backend: a damaged record, or the job's own exit.json."""
    if run.record is None:
        return State(state=LOST, reason=run.fault)
    ended = read_exit(run.path, run.record.restarts)
    return None if ended is None else _or_cancelled(run.path, state_of_exit(ended))


def _or_cancelled(run: Path, state: State) -> State:
    """CANCELLED for a job that SIGTERM ended and whose cancel.json came too late for launch.sh.

    On a full disk `cancel` writes that note when the job has ended.
    """
    if state.state == FAILED and state.exit_code == 128 + signal.SIGTERM:
        reason = cancel_reason(run)
        if reason is not None:
            return msgspec.structs.replace(state, state=CANCELLED, reason=reason)
    return state


def status_of(run: Run, state: State) -> Status:
    """Everything known of a run. `started_at` is when its first attempt began."""
    progress = read_progress(run.path)
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
        last_step_at=_local_time(progress.logged_at),
        attempts=attempts,
    )


def _local_time(seconds: float | None) -> str | None:
    """ISO 8601 with our zone, of seconds since the epoch; None for the time of a file beyond the year 9999."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
