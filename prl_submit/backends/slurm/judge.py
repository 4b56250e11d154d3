"""What became of a job: its own exit.json, Slurm's answer and the run's logs, weighed.

None of them alone is trusted (facts: what Slurm says too early, too late, or not at all).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from prl_submit.backends.slurm.batch_log import (
    OUT_OF_MEMORY,
    SRUN,
    due_to,
    last_line,
    of_this_attempt,
)
from prl_submit.backends.slurm.job_listing import ListedJob, is_live, is_waiting
from prl_submit.backends.slurm.reasons import ENDED, why_waiting
from prl_submit.runs.directory import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
    state_of_exit,
)
from prl_submit.runs.times import until

_STATES = {"COMPLETED": SUCCEEDED, "CANCELLED": CANCELLED, "TIMEOUT": TIMEOUT, "DEADLINE": TIMEOUT}
_DUE_TO = {
    "TIME LIMIT": (TIMEOUT, "the time limit was reached"),
    "PREEMPTION": (FAILED, ENDED["PREEMPTED"]),
    "NODE FAILURE": (FAILED, ENDED["NODE_FAIL"]),
    "JOB REQUEUE": (FAILED, "put back into the queue"),
}
#: slurmd could not start the batch script; it shows as signal 53 (facts).
_LAUNCH_SIGNAL = 53
_SCANCEL = (CANCELLED, "cancelled by scancel")
_MEMORY_WORDS = ENDED["OUT_OF_MEMORY"]


class SlurmEvidence(Struct, frozen=True, kw_only=True):
    """All that is known of one attempt.

    `exit`: node 0's own word; `others`: the other nodes', by node rank; `cancelled`: the words of
    cancel.json; `log`: the end of Slurm's log; `job_id`: the run's present job; `restarts_before`:
    earlier jobs of this run; `now`: seconds since the epoch, from which a start is told as `in 10m`.
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
    alive: bool = False


def judge(seen: SlurmEvidence) -> State | None:
    """The job's state, or None where nothing is known of its end and Slurm has no such job."""
    before = seen
    seen = _this_attempt(seen)
    job, ended = seen.job, seen.exit
    if job is not None and is_live(job):
        its_own = ended is not None and ended.exit_code not in INTERRUPTED
        state = _live(job, before)
        if ended is None or not its_own or is_waiting(job):
            return state
        # Slurm may find processes to kill, start the job again, or hear other nodes: no end is told yet.
        told = f"ended as {state_of_exit(ended).state}; Slurm has not let go of its node yet"
        reason = told if job.node_count == 1 else "node 0 has ended"
        return msgspec.structs.replace(state, reason=reason)
    if seen.alive and ended is None:
        return _outlived(job, seen)
    if ended is not None and ended.exit_code not in INTERRUPTED:
        return _finished(ended, seen)
    if job is not None:
        return _ended(job, ended, seen)
    if ended is not None:
        return _interrupted(ended, seen)
    return _from_log(seen)


def _outlived(job: ListedJob | None, seen: SlurmEvidence) -> State:
    """Slurm has ended the job, or its node: processes that it did not reach go on, or somebody started some."""
    told = f"Slurm says {job.state}" if job else f"Slurm does not know job {seen.job_id}"
    return State(
        state=RUNNING,
        reason=f"{told}, but processes of the run are still alive",
        started_at=job.started_at if job else None,
        restarts=seen.restarts_before + ((job.restarts or 0) if job else 0),
    )


def may_start_again(seen: SlurmEvidence) -> bool:
    """Whether what looks like an end may be an interruption, for which there are restarts left."""
    if not seen.max_restarts or seen.cancelled:
        return False
    return seen.exit is None or seen.exit.exit_code in INTERRUPTED


def _this_attempt(seen: SlurmEvidence) -> SlurmEvidence:
    """Without what earlier attempts of the run left behind."""
    known = [record.restarts for _, record in seen.others] + [
        seen.exit.restarts if seen.exit else 0
    ]
    told = seen.job.restarts if seen.job else None
    restarts = max(known) if told is None else seen.restarts_before + told
    # Accounting does not tell restarts; but what ended before the job began was another attempt's.
    began = seen.job.started_at if seen.job is not None and told is None else None

    def is_current(record: ExitRecord) -> bool:
        before = began is not None and _is_before(record.ended_at, began)
        return record.restarts >= restarts and not before

    return msgspec.structs.replace(
        seen,
        exit=seen.exit if seen.exit and is_current(seen.exit) else None,
        others=[(rank, record) for rank, record in seen.others if is_current(record)],
    )


def _is_before(one: str | None, other: str) -> bool:
    try:
        return datetime.fromisoformat(one or "") < datetime.fromisoformat(other)
    except (ValueError, TypeError):  # not ours, or without a zone
        return False


def _live(job: ListedJob, seen: SlurmEvidence) -> State:
    again = _restarted(job, seen)
    if is_waiting(job):
        reason = ", ".join(part for part in (again, _waiting_words(job, seen.now)) if part)
        state = State(state=QUEUED, reason=reason)
    else:
        words = {"COMPLETING": "ending", "SUSPENDED": "suspended", "STOPPED": "stopped"}
        own = "being cancelled" if seen.cancelled else words.get(job.state)
        reason = ", ".join(part for part in (own, again) if part)
        state = State(state=RUNNING, reason=reason or None, started_at=job.started_at)
    return msgspec.structs.replace(state, restarts=seen.restarts_before + (job.restarts or 0))


def _waiting_words(job: ListedJob, now: float) -> str:
    if job.state == "CONFIGURING":
        return "its nodes are being made ready"
    expected = f", expected to start {until(job.started_at, now)}" if job.started_at else ""
    return why_waiting(job) + expected


def _restarted(job: ListedJob, seen: SlurmEvidence) -> str | None:
    if not job.restarts:
        return None
    most = f" of {seen.max_restarts}" if (seen.max_restarts or 0) >= job.restarts else ""
    cause = due_to(seen.log, job.job_id)
    words = {
        "TIME LIMIT": "out of time",
        "PREEMPTION": "preempted",
        "NODE FAILURE": "a node failed",
    }
    if seen.exit is not None and seen.exit.state == TIMEOUT:
        cause = "TIME LIMIT"
    return ", ".join(p for p in (words.get(cause or ""), f"restart {job.restarts}{most}") if p)


def _finished(ended: ExitRecord, seen: SlurmEvidence) -> State:
    """The job came to its own end; Slurm's word is told only where it differs."""
    state = state_of_exit(_first_to_fail(ended, seen.others) or ended)
    job = seen.job
    if job is None or is_live(job):
        return state
    # Times are whole seconds: a job may begin and end within the same one.
    if job.ended_at and ended.started_at and _is_before(job.ended_at, ended.started_at):
        by_hand = f"started by hand when job {job.job_id} had ended"
        return msgspec.structs.replace(state, reason=_join(state.reason, by_hand))
    if _ran_out_of_memory(job, seen) and state.state != SUCCEEDED:
        return msgspec.structs.replace(state, reason=_join(_MEMORY_WORDS, state.reason))
    told = job.exit_code if job.signal is None else 128 + job.signal
    agree = told in (None, ended.exit_code, state.exit_code)
    if agree and (_STATES.get(job.state, FAILED) == state.state or state.state == TIMEOUT):
        return state
    return msgspec.structs.replace(
        state, reason=_join(state.reason, f"Slurm says {_slurm_words(job)}")
    )


def _slurm_words(job: ListedJob) -> str:
    signal = f", signal {job.signal}" if job.signal else ""
    return f"{job.state}, exit code {job.exit_code}{signal}"


def _ended(job: ListedJob, ended: ExitRecord | None, seen: SlurmEvidence) -> State:
    """Slurm ended it, or it left no word of its own."""
    if ended is not None and ended.state == TIMEOUT:
        return state_of_exit(ended)
    failed = _first_to_fail(None, seen.others)
    if failed is None and job.state == "FAILED" and (told := _told_by_srun(seen)):
        return _of_job(State(state=FAILED, reason=told[1], exit_code=told[0]), job, seen)
    if failed is not None and job.state in ("FAILED", "COMPLETED"):
        found = state_of_exit(failed)
        if _ran_out_of_memory(job, seen):
            found = msgspec.structs.replace(found, reason=_join(_MEMORY_WORDS, found.reason))
        return _of_job(found, job, seen)
    code = ended.exit_code if ended else job.exit_code
    if job.signal and not ended:
        code = 128 + job.signal
    if code == 0 and job.state != "COMPLETED":
        code = None  # Slurm's 0 of a job that was not let come to its end
    state = _STATES.get(job.state, FAILED)
    if job.state in ("FAILED", "COMPLETED") and ended is not None:
        state = state_of_exit(ended).state
    found = State(state=state, reason=_why_ended(job, ended, seen), exit_code=code)
    return _of_job(found, job, seen)


def _of_job(state: State, job: ListedJob, seen: SlurmEvidence) -> State:
    never_ran = job.started_at == job.ended_at and seen.exit is None and not job.nodes
    return msgspec.structs.replace(
        state,
        started_at=None if never_ran else job.started_at,
        ended_at=job.ended_at,
        restarts=max(state.restarts, seen.restarts_before + (job.restarts or 0)),
    )


def _why_ended(job: ListedJob, ended: ExitRecord | None, seen: SlurmEvidence) -> str | None:
    if job.state == "CANCELLED":
        return seen.cancelled or f"cancelled by {job.cancelled_by or 'scancel'}"
    if job.state == "COMPLETED" and ended is None:
        return "it left no exit.json; Slurm says COMPLETED"
    if job.state == "NODE_FAIL":
        one = job.nodes and not set(job.nodes) & set("[,")
        return f"node {job.nodes} failed" if one else f"a node failed ({job.nodes})"
    if job.state in ENDED:
        return ENDED[job.state]
    if _ran_out_of_memory(job, seen):
        return _MEMORY_WORDS
    if job.signal == _LAUNCH_SIGNAL:
        return (
            f"Slurm could not start it on {job.nodes} ({job.reason}): is the run directory on a "
            "file system that the nodes share?"
        )
    own = ended.reason if ended else last_line(of_this_attempt(seen.log))
    return own or f"it left no exit.json; Slurm says {_slurm_words(job)}"


def _interrupted(ended: ExitRecord, seen: SlurmEvidence) -> State:
    """Stopped by a signal, and Slurm no longer knows why; its log may."""
    found = _from_log(seen)
    state = state_of_exit(ended)
    if found is None or state.state in (TIMEOUT, CANCELLED):
        return state
    code = ended.exit_code if found.exit_code is None else found.exit_code
    return msgspec.structs.replace(state, state=found.state, reason=found.reason, exit_code=code)


def _from_log(seen: SlurmEvidence) -> State | None:
    """From what the run itself holds."""
    failed = _first_to_fail(None, seen.others)
    if failed is not None:
        return state_of_exit(failed)
    if seen.cancelled:
        return State(state=CANCELLED, reason=seen.cancelled)
    cause = due_to(of_this_attempt(seen.log), seen.job_id)
    if cause is None:
        return None
    unknown = (FAILED, f"ended by Slurm: {cause.lower()}") if cause else _SCANCEL
    state, reason = _DUE_TO.get(cause, unknown)
    return State(state=state, reason=reason)


def _told_by_srun(seen: SlurmEvidence) -> tuple[int | None, str] | None:
    """Exit code and words of the task that srun saw end first, where it left no word of its own."""
    for node, tasks, words in SRUN.findall(of_this_attempt(seen.log)):
        own = re.fullmatch(r"Exited with exit code (\d+)", words)
        if own and int(own[1]) in INTERRUPTED:
            continue  # taken down with the others
        where = f"node {tasks} ({node})"
        if words == "Killed":
            return 137, f"{where}: killed (SIGKILL); out of memory is the usual cause"
        return int(own[1]) if own else None, f"{where}: {words}"
    return None


def _ran_out_of_memory(job: ListedJob, seen: SlurmEvidence) -> bool:
    return job.state == "OUT_OF_MEMORY" or bool(OUT_OF_MEMORY.search(of_this_attempt(seen.log)))


def _first_to_fail(
    own: ExitRecord | None, others: Sequence[tuple[int, ExitRecord]]
) -> ExitRecord | None:
    """The node that failed by itself before the others were taken down with it; else `own`."""
    failed = [
        (record.ended_at or "", rank, record)
        for rank, record in others
        if record.state == FAILED and record.exit_code not in INTERRUPTED
    ]
    if own is not None and own.state == FAILED and own.exit_code not in INTERRUPTED:
        failed.append((own.ended_at or "", 0, own))
    if not failed:
        return own
    _, rank, record = min(failed, key=lambda item: item[:2])
    if rank == 0:
        return own
    reason = f"node {rank} ({record.node}): {record.reason}"
    return msgspec.structs.replace(record, reason=reason)


def _join(first: str | None, second: str | None) -> str:
    return "; ".join(part for part in (first, second) if part)
