"""How each node of a job ended: which one failed by itself, and which was stopped from outside."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.evidence import KubernetesEvidence, termination_record
from prl_submit.backends.kubernetes.labels import replica
from prl_submit.backends.kubernetes.objects import Pod, Terminated, local_time
from prl_submit.backends.kubernetes.reasons import clean, name_of
from prl_submit.backends.kubernetes.remaining_pods import (
    SOMEBODY,
    disruption,
    removal_told,
    why_removed,
)
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import CANCELLED, INTERRUPTED, TIMEOUT

#: launch.sh's exit code on a node that it stopped because another node had failed.
_PEER_FAILED = 200
_SIGKILL = 137
_SIGTERM = 143


class NodeEnd(Struct, frozen=True, kw_only=True):
    """How one node ended, by its exit.json, by its pod, or by both.

    `name`: `master-0`, `worker-0`, …. `code`: its exit code. `state`: the state in its exit.json.
    `at`, `started_at`: local times, ISO 8601 with zone.
    `is_cause`: False if the node only stopped because another one had failed.
    `removed_by`: who made the kubelet stop the pod, in words; empty if nobody did.
    """

    node: int
    name: str
    code: int | None = None
    reason: str = ""
    state: str | None = None
    at: str = ""
    started_at: str | None = None
    is_cause: bool = True
    removed_by: str = ""


def node_ends(seen: KubernetesEvidence) -> list[NodeEnd]:
    """The end of each node that is known to have ended, by node rank."""
    by_node = {node: _by_record(node, record) for node, record in seen.records_here}
    for pod in [*seen.gone, *seen.pods]:
        end = end_of_pod(pod)
        if end is None:
            continue
        # If both have the same exit code, exit.json has the better reason. But only the pod knows
        # that the kernel or the kubelet killed its container.
        known = by_node.get(end.node)
        if known is None or known.code != end.code or _killed(pod):
            by_node[end.node] = end
    return [_with_remover(by_node[node], seen) for node in sorted(by_node)]


def end_of_pod(pod: Pod) -> NodeEnd | None:
    """How the node of a pod ended, by the pod alone; None while its container runs."""
    node = pod.node
    # A kubelet sets the phase Failed when the deadline passes, while the container still has its grace.
    if node is None or pod.is_running:
        return None
    ended = pod.terminated
    if ended is None and pod.status.phase != "Failed":
        return None
    record = termination_record(ended)
    killed, disrupted = _killed(pod), disruption(pod)
    if record is not None and not killed:
        return msgspec.structs.replace(_by_record(node, record), name=name_of(pod))
    has_own_code = ended is None or not _only_followed(ended.exit_code)
    return NodeEnd(
        node=node,
        name=name_of(pod),
        code=ended.exit_code if ended is not None else _SIGKILL,
        reason=killed or disrupted or _by_exit_code(ended),
        at=local_time(ended.finished_at if ended else None) or "",
        started_at=local_time(ended.started_at if ended else pod.status.start_time),
        is_cause=bool(killed or disrupted) or has_own_code,
        removed_by=disrupted,
    )


def _by_record(node: int, record: ExitRecord) -> NodeEnd:
    return NodeEnd(
        node=node,
        name=replica(node),
        code=record.exit_code,
        reason=record.reason or f"exit code {record.exit_code}",
        state=record.state,
        at=local_time(record.ended_at) or "",  # the pod's time zone may differ from ours
        started_at=local_time(record.started_at),
        is_cause=not _only_followed(record.exit_code) or record.state == TIMEOUT,
    )


def _only_followed(code: int) -> bool:
    """True for the exit codes of a node that a signal or another node's failure stopped."""
    return code in (*INTERRUPTED, _PEER_FAILED)


def _with_remover(end: NodeEnd, seen: KubernetesEvidence) -> NodeEnd:
    """Add who removed the pod, if the removal is why the node ended.

    There are two ways to exit code 143 (SIGTERM). The kubelet sends SIGTERM to a pod that is deleted,
    and launch.sh reports that signal. Or another node has failed, and launch.sh stops torchrun itself.
    """
    may_be_removed = end.code == _SIGTERM or end.reason.startswith(f"exit code {_SIGKILL}")
    if end.removed_by or end.state in (TIMEOUT, CANCELLED) or not may_be_removed:
        return end
    pods = [pod for pod in seen.pods if pod.node == end.node]
    is_listed = seen.job is not None and not seen.untold
    is_removed = is_listed and all(pod.metadata.deletion_timestamp for pod in pods)
    who = who_removed(seen, end.node)
    if not (is_removed or who or "stopped by signal 15" in end.reason):
        return end
    is_cause = end.is_cause or is_removed or bool(who)
    return msgspec.structs.replace(end, removed_by=who or SOMEBODY, is_cause=is_cause)


def who_removed(seen: KubernetesEvidence, node: int) -> str:
    """Who removed, or is removing, the pod of a node, in words; empty if no pod or event says it."""
    for pod in seen.all_pods:
        if pod.node == node and (words := why_removed(pod, seen.events)):
            return words
    name = f"{seen.job.metadata.name}-{replica(node)}" if seen.job is not None else ""
    return removal_told(name, "", seen.events)


def why_pod_ended(pod: Pod) -> str:
    """Why a pod ended, in words."""
    return _killed(pod) or disruption(pod) or _by_exit_code(pod.terminated)


def _killed(pod: Pod) -> str:
    """Why the kernel or the kubelet killed the pod, in words; empty if neither did."""
    ended = pod.terminated
    if ended is not None and ended.reason == "OOMKilled":
        return "out of memory (OOMKilled); resources.memory is the limit of the whole pod"
    reason, message = pod.status.reason, clean(pod.status.message)
    if not reason or reason == "DeadlineExceeded":
        return ""
    words = "evicted" if reason == "Evicted" else reason
    return f"{words}: {message}" if message else words


def _by_exit_code(ended: Terminated | None) -> str:
    if ended is None:
        return "the pod failed before its container started"
    message = clean(ended.message)
    if ended.reason not in (None, "Error", "Completed"):  # ContainerCannotRun, StartError
        words = f"{ended.reason}"
    elif ended.exit_code == _SIGKILL:
        words = f"exit code {_SIGKILL}: killed (SIGKILL)"
    else:
        words = f"exit code {ended.exit_code}"
    return f"{words}: {message}" if message else words
