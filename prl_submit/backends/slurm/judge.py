"""Decide a run's state from its exit.json files, Slurm's answer and the run's log.

None of the three is trusted alone. squeue forgets a job MinJobAge seconds after its end (usually 300).
sacct lists an ended job up to some seconds late, and nothing at a site without accounting. Slurm calls a
job COMPLETED if its last process exits with 0, even if another was killed. A killed job leaves no
exit.json.
"""

from __future__ import annotations

import msgspec

from prl_submit.backends.slurm.batch_log import due_to
from prl_submit.backends.slurm.ended_job import by_log, ended_by_slurm, interrupted, own_end
from prl_submit.backends.slurm.evidence import SlurmEvidence, is_own_end, of_newest_attempt
from prl_submit.backends.slurm.job_listing import ListedJob, is_live, is_waiting
from prl_submit.backends.slurm.reasons import why_waiting
from prl_submit.runs.states import QUEUED, RUNNING, TIMEOUT, State, state_of_exit
from prl_submit.runs.times import until


def judge(seen: SlurmEvidence) -> State | None:
    """The run's state; None if Slurm lists no such job and the run directory does not tell its end."""
    newest = of_newest_attempt(seen)
    job, ended = newest.job, newest.exit
    if job is not None and is_live(job):
        return _live_job(job, seen, newest)
    if newest.alive and ended is None:
        return _still_alive(job, newest)
    if ended is not None and is_own_end(ended):
        return own_end(ended, newest)
    if job is not None:
        return ended_by_slurm(job, ended, newest)
    if ended is not None:
        return interrupted(ended, newest)
    return by_log(newest)


def may_start_again(seen: SlurmEvidence) -> bool:
    """True if the job may only have been interrupted, and has restarts left.

    While Slurm does not answer, nobody knows whether it will requeue such a job.
    """
    if not seen.max_restarts or seen.cancelled:
        return False
    return seen.exit is None or not is_own_end(seen.exit)


def _still_alive(job: ListedJob | None, seen: SlurmEvidence) -> State:
    """The state while a process of the run holds its lock although Slurm has ended or forgotten the job.

    Slurm may not have reached the processes (a lost node), or a user has started launch.sh by hand.
    """
    words = f"Slurm says {job.state}" if job else f"Slurm does not know job {seen.job_id}"
    return State(
        state=RUNNING,
        reason=f"{words}, but processes of the run are still alive",
        started_at=job.started_at if job else None,
        restarts=seen.restarts,
    )


def _live_job(job: ListedJob, seen: SlurmEvidence, newest: SlurmEvidence) -> State:
    """The state of a job that Slurm lists as waiting or running.

    Even if launch.sh has written exit.json, the state is not final yet: Slurm may still have processes
    to kill, may requeue the job, or other nodes may still run.
    """
    state = _waiting(job, seen) if is_waiting(job) else _running(job, seen)
    state = msgspec.structs.replace(state, restarts=seen.restarts)
    ended = newest.exit
    if ended is None or not is_own_end(ended) or is_waiting(job):
        return state
    reason = "node 0 has ended"
    if job.node_count == 1:
        reason = f"ended as {state_of_exit(ended).state}; Slurm has not let go of its node yet"
    return msgspec.structs.replace(state, reason=reason)


def _waiting(job: ListedJob, seen: SlurmEvidence) -> State:
    if job.state == "CONFIGURING":
        why = "its nodes are being made ready"
    else:
        why = why_waiting(job, seen.task, seen.waits_for)
        if job.started_at:
            why += f", expected to start {until(job.started_at, seen.now)}"
    again = _restart_words(job, seen)
    return State(state=QUEUED, reason=f"{again}, {why}" if again else why)


def _running(job: ListedJob, seen: SlurmEvidence) -> State:
    words = {"COMPLETING": "ending", "SUSPENDED": "suspended", "STOPPED": "stopped"}
    parts = ["being cancelled" if seen.cancelled else words.get(job.state, "")]
    parts.append(_restart_words(job, seen))
    reason = ", ".join(part for part in parts if part)
    return State(state=RUNNING, reason=reason or None, started_at=job.started_at)


def _restart_words(job: ListedJob, seen: SlurmEvidence) -> str:
    """`preempted, restart 1 of 3`; empty for a job that Slurm has not requeued."""
    if not job.restarts:
        return ""
    number = f"restart {job.restarts}"
    if (seen.max_restarts or 0) >= job.restarts:
        number += f" of {seen.max_restarts}"
    cause = due_to(seen.log, job.raw_id or job.job_id)
    if seen.exit is not None and seen.exit.state == TIMEOUT:
        cause = "TIME LIMIT"
    words = {
        "TIME LIMIT": "out of time",
        "PREEMPTION": "preempted",
        "NODE FAILURE": "a node failed",
    }
    return f"{words[cause]}, {number}" if cause in words else number
