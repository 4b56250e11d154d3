"""Why a job or a pod does not run yet, by the pods' conditions, container states and events."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prl_submit.backends.kubernetes.labels import replica
from prl_submit.backends.kubernetes.objects import ContainerStatus, Event, Pod, PyTorchJob, Waiting
from prl_submit.system.untrusted_text import excerpt

#: The kubelet's reasons for a container that will not start until somebody corrects something (kubelet
#: 1.20 to 1.33), in words.
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
#: Reasons of events that say why a pod was not created or does not start.
_WARNINGS = (
    "FailedCreatePod",
    "FailedCreate",
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "Failed",
    "Unschedulable",
)
#: The init container that the operator adds to workers. It waits until the master's name resolves.
_INIT = "init-pytorch"
_OF_THE_OPERATOR = " (that is the operator's own container: docs/kubernetes.md)"
#: If the operator has set no condition after this many seconds, prl-submit asks whether it runs.
OPERATOR_S = 5.0
#: The API server begins an event with this if it stands for several similar ones.
_COMBINED = "(combined from similar events): "


def clean(text: str | None) -> str:
    """A message of another program on one line, shortened.

    It is shortened in the middle, because runc and DNS resolvers name the cause at the end.
    """
    return excerpt((text or "").removeprefix(_COMBINED)).rstrip(". ")


def name_of(pod: Pod) -> str:
    """The pod's short name: `worker-0`."""
    return replica(pod.node) if pod.node is not None else pod.metadata.name


def why_waiting(
    job: PyTorchJob,
    pods: Sequence[Pod],
    events: Sequence[Event],
    nodes: int,
    queue: str | None = None,
    age: float = 0.0,
) -> str:
    """Why the job does not run yet: the first pod that is stuck, else how many pods run.

    `nodes`: resources.nodes. `queue`: kubernetes.queue. `age`: seconds since the job was submitted.
    """
    if is_suspended(job):
        return f"waits in Kueue's queue {queue}" if queue else "suspended"
    reasons = [why_pod_waits(pod, events) for pod in pods if not (_runs(pod) or _is_over(pod))]
    for words, is_stuck in reasons:
        if is_stuck:
            return words
    if len(pods) < nodes and (words := _why_pods_are_missing(job, events, age)):
        return words
    parts = []
    if nodes > 1:
        statuses = (job.status.replica_statuses or {}).values()
        running = sum(map(_runs, pods)) if pods else sum(status.active for status in statuses)
        parts.append(f"{running} of {nodes} pods run")
    if reasons:
        parts.append(reasons[0][0])
    return "; ".join(parts) or "its pods are being made"


def _why_pods_are_missing(job: PyTorchJob, events: Sequence[Event], age: float) -> str:
    """Why the operator has not created all pods; empty if no warning says it and the job is new."""
    warning = _newest_warning(events, job.metadata.name, job.metadata.uid)
    if warning:
        return f"its pods cannot be made: {warning}{_OF_THE_OPERATOR if _INIT in warning else ''}"
    if not job.status.conditions and age > OPERATOR_S:
        return "no operator has taken it yet; is the training-operator running?"
    return ""


def is_suspended(job: PyTorchJob) -> bool:
    """True if the operator creates no pods, because Kueue or a user has suspended the job."""
    policy = job.spec.run_policy
    if policy is not None and policy.suspend:
        return True
    return job.condition("Suspended") is not None


def why_pod_waits(pod: Pod, events: Sequence[Event]) -> tuple[str, bool]:
    """Why a pod does not run, and True if it will not start by itself."""
    words = _why_pod_is_stuck(pod, events)
    is_stuck = words != ""
    if not is_stuck:
        if pod.condition("PodScheduled") is None and not pod.spec.node_name:
            words = "waits for the scheduler"
        elif waits_for_master(pod):
            words = "waits for master-0"
        else:
            words = f"starts on {pod.spec.node_name}"
    return f"{name_of(pod)}: {words}", is_stuck


def _why_pod_is_stuck(pod: Pod, events: Sequence[Event]) -> str:
    """Why a pod will not start by itself; empty if nothing says so."""
    if pod.metadata.deletion_timestamp:
        node = pod.spec.node_name
        return f"is being removed from {node}; if it stays so, {node} is lost"
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        words = clean(scheduled.message) or "it is not on a node yet"
        return _without_preemption(words)
    containers = list(pod.status.init_container_statuses or ())
    containers += pod.status.container_statuses or ()
    for container in containers:
        waiting = container.state.waiting
        if waiting is not None and waiting.reason in STUCK:
            return _why_container_is_stuck(container, waiting, pod, events)
    return _newest_warning(events, pod.metadata.name, pod.metadata.uid)


def _why_container_is_stuck(
    container: ContainerStatus, waiting: Waiting, pod: Pod, events: Sequence[Event]
) -> str:
    reason, message = waiting.reason or "", clean(waiting.message)
    words = STUCK[reason]
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        # The kubelet alternates between ErrImagePull and ImagePullBackOff. Only the pull event has
        # the cause.
        reason = "ErrImagePull"
        own = [event for event in events if event.involved_object.name == pod.metadata.name]
        pulls = [event.message for event in own if "ailed to pull image" in event.message]
        message = clean(pulls[-1]) if pulls else message
    if "image" in words and container.image not in message:
        words += f" {container.image}"
    return f"{words} ({reason}: {message})" if message else f"{words} ({reason})"


def waits_for_master(pod: Pod) -> bool:
    """True if the operator's init container still waits for the master's name to resolve.

    Other init containers do not count: since Kubernetes 1.28 a sidecar is an init container that runs as
    long as the pod does.
    """
    return any(
        status.state.running is not None and status.name == _INIT
        for status in pod.status.init_container_statuses or ()
    )


def _without_preemption(words: str) -> str:
    """The scheduler's `0/4 nodes are available: 4 Insufficient nvidia.com/gpu.`, shortened.

    Its sentence about preemption is removed, because it only repeats the reason.
    """
    preemption = r"[.,]?( no new claims to deallocate,)? preemption:.*"
    return re.sub(preemption, "", words).replace(" are available", "")


def _newest_warning(events: Sequence[Event], name: str, uid: str) -> str:
    """The newest warning about an object; empty if there is none.

    The uid excludes warnings about an earlier object of the same name.
    """
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
    """True if the training's container has ended.

    The pod's phase changes a moment later, or never while a sidecar runs on.
    """
    return pod.status.phase in ("Succeeded", "Failed") or pod.terminated is not None


def _runs(pod: Pod) -> bool:
    return pod.is_up and pod.status.phase == "Running"
