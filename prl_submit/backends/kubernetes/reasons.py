"""Why a job waits, in the scheduler's and the kubelet's own words, and why a pod ended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prl_submit.backends.kubernetes.labels import replica
from prl_submit.backends.kubernetes.objects import ContainerStatus, Event, Pod, PyTorchJob, Waiting
from prl_submit.system.excerpt import excerpt

#: Reasons for which a container does not start until somebody mends something (kubelet 1.20-1.33).
STUCK = {
    "ErrImagePull": "the image cannot be pulled",
    "ImagePullBackOff": "the image cannot be pulled",
    "ErrImageNeverPull": "the image is not on the node, and may not be pulled",
    "InvalidImageName": "the image's name is not valid",
    "ImageInspectError": "the image cannot be read",
    "RegistryUnavailable": "the registry does not answer",
    "CreateContainerConfigError": "the container cannot be made",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be started",
    "CrashLoopBackOff": "the container ends again and again",
}
#: Events that say why a pod is not there yet or does not start.
_WARNINGS = (
    "FailedCreatePod",
    "FailedCreate",
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "Failed",
    "Unschedulable",
)
#: The container of the operator that lets workers wait for the master.
_INIT = "init-pytorch"
_OF_THE_OPERATOR = " (that is the operator's own container: docs/kubernetes.md)"
#: Seconds after which an operator that has not said a word is doubted.
OPERATOR_S = 5.0
#: How the API server begins an event that stands for several similar ones.
_COMBINED = "(combined from similar events): "


def clean(text: str | None) -> str:
    """Somebody else's words on one line, shortened in the middle: runc and resolvers name the cause last."""
    return excerpt((text or "").removeprefix(_COMBINED)).rstrip(". ")


def name_of(pod: Pod) -> str:
    """What users call the pod: `worker-0`."""
    return replica(pod.node) if pod.node is not None else pod.metadata.name


def why_waiting(
    job: PyTorchJob,
    pods: Sequence[Pod],
    events: Sequence[Event],
    nodes: int,
    queue: str | None = None,
    age: float = 0.0,
) -> str:
    """Why the job does not run yet."""
    if is_suspended(job):
        return f"waits in Kueue's queue {queue}" if queue else "suspended"
    words = [why_pod_waits(pod, events) for pod in pods if not (_runs(pod) or _is_over(pod))]
    stuck = [text for text, is_stuck in words if is_stuck]
    if stuck:
        return stuck[0]
    if len(pods) < nodes:
        warned = _warning(events, job.metadata.name, job.metadata.uid)
        if warned:
            return f"its pods cannot be made: {warned}{_OF_THE_OPERATOR if _INIT in warned else ''}"
        if not job.status.conditions and age > OPERATOR_S:
            return "no operator has taken it yet; is the training-operator running?"
    statuses = (job.status.replica_statuses or {}).values()
    running = sum(map(_runs, pods)) if pods else sum(status.active for status in statuses)
    counted = f"{running} of {nodes} pods run" if nodes > 1 else ""
    first = words[0][0] if words else ""
    return "; ".join(part for part in (counted, first) if part) or "its pods are being made"


def is_suspended(job: PyTorchJob) -> bool:
    """Whether its pods are held back, by Kueue or by somebody's own hand."""
    wanted = job.spec.run_policy is not None and bool(job.spec.run_policy.suspend)
    return wanted or job.condition("Suspended") is not None


def why_pod_waits(pod: Pod, events: Sequence[Event]) -> tuple[str, bool]:
    """Why a pod does not run, and whether it will not without somebody's help or luck."""
    name = name_of(pod)
    if pod.metadata.deletion_timestamp:
        node = pod.spec.node_name
        return f"{name}: is being removed from {node}; if it stays so, {node} is lost", True
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        words = clean(scheduled.message) or "it is not on a node yet"
        return f"{name}: {_scheduler(words)}", True
    for status in [
        *(pod.status.init_container_statuses or ()),
        *(pod.status.container_statuses or ()),
    ]:
        waiting = status.state.waiting
        if waiting is not None and waiting.reason in STUCK:
            return f"{name}: {_stuck(status, waiting, pod, events)}", True
    warned = _warning(events, pod.metadata.name, pod.metadata.uid)
    if warned:
        return f"{name}: {warned}", True
    if scheduled is None and not pod.spec.node_name:
        return f"{name}: waits for the scheduler", False
    if waits_for_master(pod):
        return f"{name}: waits for master-0", False
    return f"{name}: starts on {pod.spec.node_name}", False


def _stuck(status: ContainerStatus, waiting: Waiting, pod: Pod, events: Sequence[Event]) -> str:
    said, reason = clean(waiting.message), waiting.reason
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        # The kubelet alternates between ErrImagePull and ImagePullBackOff. Only the pull event has the cause.
        reason = "ErrImagePull"
        failed = [event for event in events if event.involved_object.name == pod.metadata.name]
        pulls = [event.message for event in failed if "ailed to pull image" in event.message]
        said = clean(pulls[-1]) if pulls else said
    image = (
        f" {status.image}"
        if "image" in STUCK[waiting.reason or ""] and status.image not in said
        else ""
    )
    return f"{STUCK[waiting.reason or '']}{image} ({reason}{': ' + said if said else ''})"


def waits_for_master(pod: Pod) -> bool:
    """Whether the operator's init container still looks for the master.

    Sidecars are init containers too since Kubernetes 1.28, and run as long as the pod does.
    """
    return any(
        status.state.running is not None and status.name == _INIT
        for status in pod.status.init_container_statuses or ()
    )


def _scheduler(words: str) -> str:
    """`0/4 nodes are available: 4 Insufficient nvidia.com/gpu.`, without what preemption says."""
    more = r"[.,]?( no new claims to deallocate,)? preemption:.*"
    return re.sub(more, "", words).replace(" are available", "")


def _warning(events: Sequence[Event], name: str, uid: str) -> str:
    """The newest warning about an object, and not about an earlier one of its name."""
    about = [
        event
        for event in events
        if event.involved_object.name == name
        and event.involved_object.uid in ("", uid)
        and event.type == "Warning"
        and event.reason in _WARNINGS
    ]
    return clean(max(about, key=lambda event: event.at).message) if about else ""


def _is_over(pod: Pod) -> bool:
    """Whether the training's container has ended; the phase follows a moment later, or never beside a sidecar."""
    return pod.status.phase in ("Succeeded", "Failed") or pod.terminated is not None


def _runs(pod: Pod) -> bool:
    return pod.is_up and pod.status.phase == "Running"
