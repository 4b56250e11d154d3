"""The state of a PyTorchJob that its operator calls ended, or that no longer exists."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prl_submit.backends.kubernetes import remaining_pods
from prl_submit.backends.kubernetes.evidence import (
    KubernetesEvidence,
    started_at,
    termination_records,
)
from prl_submit.backends.kubernetes.labels import replica
from prl_submit.backends.kubernetes.node_ends import NodeEnd, node_ends, who_removed
from prl_submit.backends.kubernetes.objects import (
    Condition,
    Pod,
    PyTorchJob,
    local_time,
    seconds_of,
)
from prl_submit.backends.kubernetes.reasons import clean, name_of
from prl_submit.backends.kubernetes.remaining_pods import SOMEBODY, Remaining
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
    state_of_exit,
)


def ended_job(job: PyTorchJob, seen: KubernetesEvidence) -> State | None:
    """The state of a job that its operator calls ended.

    RUNNING while containers of it are about to end. None for a job that has not ended, or that somebody
    is deleting.
    """
    if job.condition("Succeeded"):
        return _succeeded(job, seen)
    if job.metadata.deletion_timestamp is not None:
        return None
    failed = _failed(job, seen.pods)
    if failed is None:
        return None
    remaining = remaining_of(seen)
    if remaining.is_about_to_end:
        return _about_to_end(job, seen, remaining)
    return _with_job_times(_final_state(failed, seen), job, seen)


def _succeeded(job: PyTorchJob, seen: KubernetesEvidence) -> State:
    """The state of a job whose master has ended with exit code 0."""
    running = [pod for pod in seen.pods if pod.is_running]
    if any(not remaining_pods.is_overdue(pod, seen.now) for pod in running):
        # Workers still run; how they end may matter.
        return State(state=RUNNING, reason="node 0 has ended", started_at=started_at(seen, job))
    record = seen.record_of_node_0
    if record is not None and record.exit_code == 0:
        return state_of_exit(record)
    return _with_job_times(State(state=SUCCEEDED, exit_code=0), job, seen)


def _failed(job: PyTorchJob, pods: Sequence[Pod]) -> Condition | None:
    """The job's Failed condition, or one made from a pod that failed for good.

    Training-operators before 1.8 never set the condition for such a job; they leave it Restarting
    (kubeflow/training-operator#2044).
    """
    if failed := job.condition("Failed"):
        return failed
    for pod in pods:
        ended = pod.terminated
        if pod.status.phase == "Failed" and ended is not None and 0 < ended.exit_code < 128:
            message = f"{name_of(pod)} failed"
            return Condition(
                "Failed", "True", message=message, last_transition_time=ended.finished_at
            )
    return None


def _about_to_end(job: PyTorchJob, seen: KubernetesEvidence, remaining: Remaining) -> State:
    """The state of a failed job while containers of it still run and will end by themselves."""
    words = []
    cause = _by_node_ends(seen, node_ends(seen))
    if cause is not None and cause.reason:
        words.append(cause.reason)
    if seen.cancelled:
        words.append(seen.cancelled)
    if remaining.removed:
        words.append(remaining_pods.in_words(remaining.removed, seen.events, seen.nodes))
    if remaining.ending:
        words.append(f"{names(remaining.ending)} about to end")
    return State(
        state=RUNNING, reason="; ".join(words), started_at=started_at(seen, job), is_ending=True
    )


def _final_state(failed: Condition, seen: KubernetesEvidence) -> State:
    """The state of a failed job of which nothing will end any more."""
    ends = node_ends(seen)
    record = seen.record_of_node_0
    is_any_cause = any(end.code and end.is_cause for end in ends)
    if record is not None and record.exit_code == 0 and not is_any_cause:
        # launch.sh on node 0 found every step trained and saved. Whatever ended the pods after that
        # does not matter.
        return state_of_exit(record)
    if seen.cancelled:
        return State(state=CANCELLED, reason=seen.cancelled)
    if _is_deadline(failed, seen.all_pods):
        return _timeout(seen)
    state = _by_node_ends(seen, ends)
    if state is None:
        state = State(state=FAILED, reason=_unexplained(failed, seen))
    return _with_restarts(state, seen)


def _by_node_ends(seen: KubernetesEvidence, ends: Sequence[NodeEnd]) -> State | None:
    """The state by the node that failed first and by itself; None if no node is known to have failed."""
    causes = [end for end in ends if end.code != 0 and end.is_cause]
    record = seen.record_of_node_0
    if record is not None and record.exit_code == 0 and all(end.removed_by for end in causes):
        # Node 0 has found all steps trained and saved. A pod that the cluster removed in the last
        # seconds changes nothing of that, although the operator counts it as a failure.
        return state_of_exit(record)
    failed = causes or [end for end in ends if end.code != 0]
    if not failed:
        return None
    first = min(failed, key=lambda end: (end.at or "9", end.node))  # "9": after all known times
    where = f"{first.name}: " if seen.nodes > 1 else ""
    state = State(
        state=first.state if first.state in (TIMEOUT, CANCELLED) else FAILED,
        reason=f"{where}{first.reason}{_removal_words(first, seen)}",
        exit_code=first.code,
    )
    return _with_node_times(state, ends)


def _removal_words(end: NodeEnd, seen: KubernetesEvidence) -> str:
    """Who stopped the node from outside, unless that was a cancellation or the time limit."""
    if not end.removed_by or end.state in (TIMEOUT, CANCELLED):
        return ""
    if end.removed_by == end.reason:
        return _hint(seen)
    return f" (its pod was told to end: {end.removed_by}{_hint(seen)})"


def _hint(seen: KubernetesEvidence) -> str:
    return "" if seen.max_restarts else "; restarts.max: 1 would start it again"


def _with_restarts(state: State, seen: KubernetesEvidence) -> State:
    """Add `after 2 restarts` to a failure's reason, unless the reason names restarts.max already."""
    restarts = seen.restarts_of_this_job
    if not restarts or state.state != FAILED or "restarts.max is" in (state.reason or ""):
        return state
    words = f"after {restarts} restart{'s' if restarts > 1 else ''}"
    return msgspec.structs.replace(state, reason=f"{state.reason}; {words}")


def _unexplained(failed: Condition, seen: KubernetesEvidence) -> str:
    """Why a job failed, if no pod or exit.json tells it."""
    existing = {pod.node for pod in seen.pods}
    gone = [node for node in range(seen.nodes) if node not in existing]
    words = clean(failed.message) or "the PyTorchJob failed"
    if not gone or seen.untold or seen.job is None:
        return words
    removers = {who_removed(seen, node) for node in gone}
    why = " or ".join(sorted(removers)) if removers != {""} else SOMEBODY
    return f"{words}; {', '.join(map(replica, gone))} gone: {why}{_hint(seen)}"


def _is_deadline(failed: Condition, pods: Sequence[Pod]) -> bool:
    words = f"{failed.reason} {failed.message}"
    if "DeadlineExceeded" in words or "longer than specified deadline" in words:
        return True
    return any(pod.status.reason == "DeadlineExceeded" for pod in pods)


def _timeout(seen: KubernetesEvidence) -> State:
    records = [seen.exit, *termination_records(seen.all_pods)]
    for record in records:
        if record is not None and record.state == TIMEOUT and record.reason:
            return State(state=TIMEOUT, reason=record.reason, exit_code=124)
    return State(state=TIMEOUT, reason="the time limit was reached (activeDeadlineSeconds)")


def deleted_job(seen: KubernetesEvidence) -> State | None:
    """The state of a job that no longer exists, by what the run directory and its pods say.

    None if they say nothing of its end.
    """
    return _pods_without_job(seen) or _after_deletion(seen)


def _pods_without_job(seen: KubernetesEvidence) -> State | None:
    """The state while pods of a deleted job still run: `kubectl delete` does not wait for them."""
    running = [pod for pod in seen.pods if pod.is_running]
    if not running:
        return None
    who = seen.cancelled or "somebody deleted it"
    removed = remaining_pods.being_removed(running, seen.now)
    words = f"{names(running)} runs on"
    if removed:
        words = remaining_pods.in_words(removed, (), seen.nodes)
    reason = f"the PyTorchJob is gone: {who}; {words}"
    return State(state=RUNNING, reason=reason, started_at=started_at(seen), is_ending=bool(removed))


def _after_deletion(seen: KubernetesEvidence) -> State | None:
    record = seen.record_of_node_0
    seen = msgspec.structs.replace(seen, exit=record)
    ends = node_ends(seen)
    code = record.exit_code if record is not None else None
    if seen.cancelled and code != 0:
        return _with_node_times(State(state=CANCELLED, reason=seen.cancelled), ends)
    if record is None:
        return None
    is_any_cause = any(end.code and end.is_cause for end in ends)
    if code != 0 and not is_any_cause and record.state != CANCELLED:
        # No node failed by itself, so the kubelet stopped them when somebody deleted the job.
        reason = f"somebody deleted the PyTorchJob ({record.reason})"
        return _with_node_times(State(state=LOST, reason=reason, exit_code=code), ends)
    return _by_node_ends(seen, ends)


def remaining_of(seen: KubernetesEvidence) -> Remaining:
    """The pods that may still run although the operator calls the job ended."""
    if seen.job is None:
        return Remaining()
    times = [seconds_of(end.at) for end in node_ends(seen)]
    # A node's clock may be ahead; such a time says nothing.
    known = [time for time in times if time is not None and time <= seen.now]
    failed = _failed(seen.job, seen.pods)
    failed_at = seconds_of(failed.last_transition_time) if failed is not None else None
    if failed_at is not None:
        known.append(failed_at)
    records = termination_records(seen.all_pods)
    records += [record for _, record in seen.records_here]
    return remaining_pods.remaining(
        seen.pods,
        max(known, default=None),
        seen.now,
        seen.grace,
        peers_know=any(record.exit_code for record in records),
    )


def still_running(seen: KubernetesEvidence) -> str:
    """Which pods of an ended job may still run, in words. Empty if none; only then its end is final."""
    left = remaining_of(seen).left
    lost = [pod for pod in left if remaining_pods.is_overdue(pod, seen.now)]
    waiting = [pod for pod in left if pod.may_start]
    running = [pod for pod in left if pod not in lost and pod not in waiting]
    words = []
    if lost:
        where = ", ".join(f"{name_of(pod)} on {pod.spec.node_name}" for pod in lost)
        words.append(
            f"{where} should have ended long ago; its node may be lost, and it may still run"
        )
    if running:
        words.append(f"{names(running)} still running; `prl-submit cancel` ends that too")
    if waiting:
        words.append(f"{names(waiting)} yet to start; `prl-submit cancel` prevents that")
    return "; ".join(words)


def names(pods: Sequence[Pod]) -> str:
    """`master-0, worker-1`."""
    return ", ".join(name_of(pod) for pod in pods)


def _with_node_times(state: State, ends: Sequence[NodeEnd]) -> State:
    """The state from the first node's start to the last node's end."""
    started = [end.started_at for end in ends if end.started_at]
    ended = [end.at for end in ends if end.at]
    return msgspec.structs.replace(
        state, started_at=min(started, default=None), ended_at=max(ended, default=None)
    )


def _with_job_times(state: State, job: PyTorchJob, seen: KubernetesEvidence) -> State:
    """The state with the operator's times where it has none."""
    failed = job.condition("Failed")
    end = job.status.completion_time or (failed.last_transition_time if failed else None)
    return msgspec.structs.replace(
        state,
        started_at=state.started_at or started_at(seen, job),
        ended_at=state.ended_at or local_time(end),
    )
