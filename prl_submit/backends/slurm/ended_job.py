"""The final state of a job that has ended, and why it ended, in words."""

from __future__ import annotations

import re

import msgspec

from prl_submit.backends.slurm.array_ids import array_of
from prl_submit.backends.slurm.batch_log import SRUN, due_to, last_line, of_this_attempt
from prl_submit.backends.slurm.evidence import SlurmEvidence, first_to_fail, is_before
from prl_submit.backends.slurm.job_listing import ListedJob, is_live
from prl_submit.backends.slurm.reasons import ENDED, why_never
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    SUCCEEDED,
    TIMEOUT,
    State,
    state_of_exit,
)

#: Slurm's states of ended jobs and ours. All others are FAILED.
_STATES = {"COMPLETED": SUCCEEDED, "CANCELLED": CANCELLED, "TIMEOUT": TIMEOUT, "DEADLINE": TIMEOUT}
#: The causes that slurmstepd writes behind `DUE TO`.
_DUE_TO = {
    "TIME LIMIT": (TIMEOUT, "the time limit was reached"),
    "PREEMPTION": (FAILED, ENDED["PREEMPTED"]),
    "NODE FAILURE": (FAILED, ENDED["NODE_FAIL"]),
    "JOB REQUEUE": (FAILED, "put back into the queue"),
}
#: Slurm lists a batch script that slurmd could not start as killed by signal 53 (seen with 22.05.8).
_LAUNCH_SIGNAL = 53
_MEMORY_WORDS = ENDED["OUT_OF_MEMORY"]


def own_end(ended: ExitRecord, seen: SlurmEvidence) -> State:
    """The state of a job that launch.sh ended itself, by its exit.json.

    Slurm's state is added to the reason only if it contradicts exit.json.
    """
    state = state_of_exit(first_to_fail(ended, seen.others) or ended)
    job = seen.job
    if job is None or is_live(job):
        return state
    # "Before" is strict, because Slurm's times are whole seconds: a job may begin and end in one.
    if job.ended_at and ended.started_at and is_before(job.ended_at, ended.started_at):
        by_hand = f"started by hand when job {job.job_id} had ended"
        return _with_reason(state, state.reason, by_hand)
    if seen.ran_out_of_memory and state.state != SUCCEEDED:
        return _with_reason(state, _MEMORY_WORDS, state.reason)
    code = job.exit_code if job.signal is None else 128 + job.signal
    is_same_code = code in (None, ended.exit_code, state.exit_code)
    is_same_state = _STATES.get(job.state, FAILED) == state.state or state.state == TIMEOUT
    if is_same_code and is_same_state:
        return state
    return _with_reason(state, state.reason, f"Slurm says {_slurm_words(job)}")


def ended_by_slurm(job: ListedJob, ended: ExitRecord | None, seen: SlurmEvidence) -> State:
    """The state of an ended job whose exit.json is missing, or says that a signal stopped launch.sh."""
    if ended is not None and ended.state == TIMEOUT:
        return state_of_exit(ended)
    state = _failed_node(job, seen) or _failed_task(job, seen) or _by_slurms_state(job, ended, seen)
    never_ran = job.started_at == job.ended_at and seen.exit is None and not job.nodes
    has_begun = seen.exit is not None or job.nodes or job.started_at not in (None, job.ended_at)
    if not has_begun and state.state == CANCELLED and seen.waits_for and not seen.cancelled:
        state = _with_reason(state, f"{why_never(seen.waits_for)}, so it never started")
    return msgspec.structs.replace(
        state,
        started_at=None if never_ran else job.started_at,
        ended_at=job.ended_at,
        restarts=max(state.restarts, seen.restarts),
    )


def _failed_node(job: ListedJob, seen: SlurmEvidence) -> State | None:
    """The state by the exit.json of a node other than node 0 that failed by itself."""
    failed = first_to_fail(None, seen.others)
    if failed is None or job.state not in ("FAILED", "COMPLETED"):
        return None
    state = state_of_exit(failed)
    return _with_reason(state, _MEMORY_WORDS, state.reason) if seen.ran_out_of_memory else state


def _failed_task(job: ListedJob, seen: SlurmEvidence) -> State | None:
    """The state by what srun wrote about the task that failed first, if no node has an exit.json of it."""
    if job.state != "FAILED" or first_to_fail(None, seen.others) is not None:
        return None
    for host, task, words in SRUN.findall(of_this_attempt(seen.log)):
        exited = re.fullmatch(r"Exited with exit code (\d+)", words)
        code = int(exited[1]) if exited else None
        if code in INTERRUPTED:
            continue  # srun stopped this task because another one had failed
        where = f"node {task} ({host})"
        if words == "Killed":
            reason = f"{where}: killed (SIGKILL); out of memory is the usual cause"
            return State(state=FAILED, reason=reason, exit_code=137)
        return State(state=FAILED, reason=f"{where}: {words}", exit_code=code)
    return None


def _by_slurms_state(job: ListedJob, ended: ExitRecord | None, seen: SlurmEvidence) -> State:
    state = _STATES.get(job.state, FAILED)
    code: int | None
    if ended is not None:
        code = ended.exit_code
        if job.state in ("FAILED", "COMPLETED"):
            state = state_of_exit(ended).state
    else:
        code = 128 + job.signal if job.signal else job.exit_code
    if code == 0 and job.state != "COMPLETED":
        code = None  # Slurm lists exit code 0 for a job that it stopped before its end
    return State(state=state, reason=_why_ended(job, ended, seen), exit_code=code)


def _why_ended(job: ListedJob, ended: ExitRecord | None, seen: SlurmEvidence) -> str:
    if job.state == "CANCELLED":
        return seen.cancelled or f"cancelled by {job.cancelled_by or 'scancel'}"
    if job.state == "COMPLETED" and ended is None:
        return "it left no exit.json; Slurm says COMPLETED"
    if job.state == "NODE_FAIL":
        is_one_node = job.nodes and not set(job.nodes) & set("[,")
        return f"node {job.nodes} failed" if is_one_node else f"a node failed ({job.nodes})"
    if job.state in ENDED:
        return ENDED[job.state]
    if seen.ran_out_of_memory:
        return _MEMORY_WORDS
    if job.signal == _LAUNCH_SIGNAL:
        return (
            f"Slurm could not start it on {job.nodes} ({job.reason}): is the run directory on a "
            "file system that the nodes share?"
        )
    own = ended.reason if ended else last_line(of_this_attempt(seen.log))
    return own or f"it left no exit.json; Slurm says {_slurm_words(job)}"


def interrupted(ended: ExitRecord, seen: SlurmEvidence) -> State:
    """The state of a job that a signal stopped and that Slurm no longer lists.

    logs/slurm.log may name the cause of the signal.
    """
    state = state_of_exit(ended)
    found = by_log(seen)
    if found is None or state.state in (TIMEOUT, CANCELLED):
        return state
    code = ended.exit_code if found.exit_code is None else found.exit_code
    return msgspec.structs.replace(state, state=found.state, reason=found.reason, exit_code=code)


def by_log(seen: SlurmEvidence) -> State | None:
    """The state by the run directory alone, without node 0's exit.json; None if it does not tell."""
    failed = first_to_fail(None, seen.others)
    if failed is not None:
        return state_of_exit(failed)
    if seen.cancelled:
        return State(state=CANCELLED, reason=seen.cancelled)
    job_id = seen.job_id or ""
    is_task = array_of(job_id) != job_id  # slurmstepd does not print a task's id
    cause = due_to(of_this_attempt(seen.log), None if is_task else seen.job_id)
    if cause is None:
        return None
    if cause == "":
        return State(state=CANCELLED, reason="cancelled by scancel")
    state, reason = _DUE_TO.get(cause, (FAILED, f"ended by Slurm: {cause.lower()}"))
    return State(state=state, reason=reason)


def _slurm_words(job: ListedJob) -> str:
    signal = f", signal {job.signal}" if job.signal else ""
    return f"{job.state}, exit code {job.exit_code}{signal}"


def _with_reason(state: State, *reasons: str | None) -> State:
    words = "; ".join(reason for reason in reasons if reason)
    return msgspec.structs.replace(state, reason=words)
