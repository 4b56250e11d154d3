"""Decide a run's state from exit.json, the PyTorchJob's conditions, its pods and the events.

exit.json is there if the output volume is mounted on this machine too. Otherwise launch.sh's copy of it
in the container's termination message is used.
"""

from __future__ import annotations

import msgspec

from prl_submit.backends.kubernetes import remaining_pods
from prl_submit.backends.kubernetes.ended_job import deleted_job, ended_job
from prl_submit.backends.kubernetes.evidence import (
    KubernetesEvidence,
    of_newest_attempt,
    started_at,
)
from prl_submit.backends.kubernetes.node_ends import end_of_pod
from prl_submit.backends.kubernetes.objects import PyTorchJob
from prl_submit.backends.kubernetes.reasons import is_suspended, why_waiting
from prl_submit.backends.kubernetes.remaining_pods import SOMEBODY
from prl_submit.runs.states import QUEUED, RUNNING, State


def judge(seen: KubernetesEvidence) -> State | None:
    """The run's state; None if there is no such job and nothing tells how the run ended."""
    seen = of_newest_attempt(seen)
    if seen.job is None:
        state = deleted_job(seen)
    else:
        state = ended_job(seen.job, seen) or _live_job(seen.job, seen)
    return state and msgspec.structs.replace(state, restarts=seen.restarts)


def needs_pods(job: PyTorchJob, nodes: int, *, has_word: bool) -> bool:
    """True if the job's conditions do not suffice for its state, so its pods must be listed.

    `has_word`: exit.json of every node is here.
    """
    if job.condition("Succeeded"):
        return not has_word
    counts = job.status.replica_statuses or {}
    running = sum(count.active for count in counts.values())
    all_run = job.condition("Running") is not None and running == nodes
    return not (all_run and not job.metadata.deletion_timestamp)


def _live_job(job: PyTorchJob, seen: KubernetesEvidence) -> State:
    """The state of a job that has not ended."""
    if job.metadata.deletion_timestamp is not None:
        return _being_deleted(job, seen)
    removed = remaining_pods.being_removed(seen.pods, seen.now)
    if removed:
        otherwise = _why_operator_removes(job, seen)
        words = remaining_pods.in_words(removed, seen.events, seen.nodes, otherwise)
        return State(state=RUNNING, reason=words, started_at=started_at(seen, job))
    if _all_nodes_have_begun(job, seen):
        reason = "node 0 has ended" if seen.exit is not None else None
        return State(state=RUNNING, reason=reason, started_at=started_at(seen, job))
    why = why_waiting(job, seen.pods, seen.events, seen.nodes, seen.queue, seen.age)
    if job.condition("Restarting") or _counted_restarts(seen):
        why = f"{_restart_words(seen)}; {why}"
    if seen.untold:
        why = f"{why} ({seen.untold})"
    return State(state=QUEUED, reason=why)


def _being_deleted(job: PyTorchJob, seen: KubernetesEvidence) -> State:
    reason = "being deleted" + (f": {seen.cancelled}" if seen.cancelled else "")
    has_begun = job.condition("Running") or any(pod.is_up or pod.terminated for pod in seen.pods)
    if not has_begun:
        return State(state=QUEUED, reason=reason)
    return State(state=RUNNING, reason=reason, started_at=started_at(seen, job))


def _all_nodes_have_begun(job: PyTorchJob, seen: KubernetesEvidence) -> bool:
    """True if each node's container runs or has ended. The operator's count is used without pods."""
    if job.condition("Running") is None:
        return False
    if seen.pods:
        begun = sum(pod.is_up for pod in seen.pods)
        begun += sum(pod.terminated is not None for pod in seen.pods)
    else:
        begun = sum(count.active for count in (job.status.replica_statuses or {}).values())
    return begun >= seen.nodes


def _why_operator_removes(job: PyTorchJob, seen: KubernetesEvidence) -> str:
    """Why the operator removes pods of a job that has not ended."""
    if not is_suspended(job):
        return SOMEBODY
    if seen.queue:
        return f"Kueue has suspended the job (queue {seen.queue})"
    return "the job is suspended"


def _counted_restarts(seen: KubernetesEvidence) -> int:
    """The restarts that restarts.max limits: not those that followed a suspension by Kueue."""
    return max(seen.restarts_of_this_job - seen.readmitted, 0)


def _restart_words(seen: KubernetesEvidence) -> str:
    """`worker-0: out of memory …, restart 1 of 3`."""
    ends = [end_of_pod(pod) for pod in seen.pods]
    failed = [end for end in ends if end is not None and end.code]
    cause = f"{failed[0].name}: {failed[0].reason}, " if failed else ""
    number = max(_counted_restarts(seen), 1)
    most = f" of {seen.max_restarts}" if seen.max_restarts >= number else ""
    return f"{cause}restart {number}{most}"
