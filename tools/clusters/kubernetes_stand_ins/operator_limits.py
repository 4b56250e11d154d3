"""When a PyTorchJob has run or failed too long, counted as the training operator counts."""

from __future__ import annotations

import calendar
import time

from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.operator_pods import PREFIX


def pods_of(pods: list[Object], kind: str) -> list[Object]:
    """The pods of a replica type that have an index."""
    index, label = PREFIX + "replica-index", PREFIX + "replica-type"
    return [
        pod
        for pod in pods
        if index in (labels := pod["metadata"]["labels"]) and labels.get(label) == kind.lower()
    ]


def phase_of(pod: Object) -> str:
    """The pod's phase: Pending, Running, Succeeded or Failed."""
    return str(pod["status"].get("phase", "Pending"))


def is_active(pod: Object) -> bool:
    """True if the pod has not ended and is not being deleted."""
    ended = phase_of(pod) in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def seconds_since(moment: str) -> float:
    """Seconds since a time as the API writes it."""
    return time.time() - calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))


def limit_reached(
    name: str, policy: Object, replicas: dict[str, Object], status: Object, pods: list[Object]
) -> str | None:
    """Why the job must fail now; None if it need not."""
    limit = policy.get("backoffLimit")
    if limit is not None and (
        (limit < 1 and _failed_anew(replicas, status, pods))
        or _restarts(replicas, pods) >= max(limit, 1)
    ):
        return f"Job {name} has failed because it has reached the specified backoff limit"
    deadline, start = policy.get("activeDeadlineSeconds"), status.get("startTime")
    if deadline is not None and start and seconds_since(start) >= deadline:
        return f"Job {name} has failed because it was active longer than specified deadline"
    return None


def _failed_anew(replicas: dict[str, Object], status: Object, pods: list[Object]) -> bool:
    """True if more pods have failed than the status says, and not all pods are active."""
    before = sum(one.get("failed", 0) for one in status.get("replicaStatuses", {}).values())
    failed = sum(phase_of(pod) == "Failed" for pod in pods)
    active = sum(map(is_active, pods))
    wanted = sum(int(spec["replicas"]) for spec in replicas.values())
    return failed > int(before) and active != wanted


def _restarts(replicas: dict[str, Object], pods: list[Object]) -> int:
    """How often the containers of running pods were started again inside their pods."""
    return sum(
        container["restartCount"]
        for kind, spec in replicas.items()
        if spec["restartPolicy"] != "Never"
        for pod in pods_of(pods, kind)
        if phase_of(pod) == "Running"
        for group in ("initContainerStatuses", "containerStatuses")
        for container in pod["status"].get(group, [])
    )
