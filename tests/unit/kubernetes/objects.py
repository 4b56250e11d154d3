"""Kubernetes objects as an API server sends them; a test gives only the fields that matter to it."""

from __future__ import annotations

from typing import Any

import msgspec

from prl_submit.backends.kubernetes.objects import Event, Pod, PyTorchJob
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import FAILED, SUCCEEDED

TOKEN = "0123456789abcdef"
NAME = "mr-01234567"

Data = dict[str, Any]


def utc(minute: int, second: int = 0) -> str:
    """A time as Kubernetes writes it."""
    return f"2026-11-22T20:{minute:02d}:{second:02d}Z"


def condition(kind: str, status: str = "True", **more: object) -> Data:
    """A condition of a job or a pod."""
    return {"type": kind, "status": status, "lastTransitionTime": utc(2), **more}


def job(*conditions: Data | str, active: int = 0, **more: object) -> PyTorchJob:
    """A PyTorchJob that its operator has seen; `active`: how many of its pods run."""
    metadata: Data = {
        "name": NAME,
        "uid": "job-uid",
        "creationTimestamp": utc(0),
        "labels": {"prl-submit/token": TOKEN},
    }
    if more.pop("deleted", False):
        metadata["deletionTimestamp"] = utc(5)
    status: Data = {
        "conditions": [c if isinstance(c, dict) else condition(c) for c in conditions] or None,
        "replicaStatuses": {"Master": {"active": min(active, 1)}, "Worker": {"active": active - 1}}
        if active
        else None,
        "startTime": utc(1) if conditions else None,
    }
    spec = {"runPolicy": {"suspend": True}} if more.pop("suspend", False) else {}
    return msgspec.convert(
        {"metadata": metadata, "spec": spec, "status": {**status, **more}}, type=PyTorchJob
    )


def failed_job(message: str = "", reason: str = "PyTorchJobFailed") -> PyTorchJob:
    """A job that the operator calls failed."""
    return job(
        condition("Failed", reason=reason, message=message, lastTransitionTime=utc(30)),
        condition("Running", "False"),
    )


def pod(node: int = 0, phase: str = "Running", **status: object) -> Pod:
    """The pod of a node rank. `state`: of its container (default: none). More fields by name."""
    state = status.pop(
        "state", {"running": {"startedAt": utc(2, node)}} if phase == "Running" else None
    )
    kind, index = ("Master", 0) if node == 0 else ("Worker", node - 1)
    name = f"{NAME}-{kind.lower()}-{index}"
    image = "registry.example/img:1"
    containers = [
        {"name": "sidecar", "image": "other", "state": {"running": {}}},
        {"name": "pytorch", "image": image, "restartCount": 0, "state": state},
    ]
    host = status.pop("host", f"n{node}")
    raw = {
        "metadata": {
            "name": name,
            "uid": f"uid-{node}",
            "labels": {
                "prl-submit/token": TOKEN,
                "training.kubeflow.org/replica-type": kind.lower(),
                "training.kubeflow.org/replica-index": str(index),
            },
        },
        "spec": {"nodeName": host} if host else {},
        "status": {
            "phase": phase,
            "startTime": utc(1),
            "containerStatuses": containers if state is not None else None,
            **status,
        },
    }  # fmt: skip
    return msgspec.convert(raw, type=Pod)


def ended(code: int, *, minute: int = 20, said: str = "", reason: str | None = None) -> Data:
    """The state of a container that ended."""
    word = reason or ("Completed" if code == 0 else "Error")
    terminated = {"exitCode": code, "reason": word, "message": said or None}
    return {"terminated": terminated | {"startedAt": utc(2), "finishedAt": utc(minute)}}


def dead_pod(node: int = 0, code: int = 1, **more: Any) -> Pod:
    """A pod whose container ended with `code`."""
    state = ended(code, **{k: more.pop(k) for k in ("minute", "said", "reason") if k in more})
    if "why" in more:
        more["reason"] = more.pop("why")
    return pod(node, "Succeeded" if code == 0 else "Failed", state=state, **more)


def removed(of: Pod, *, minute: int = 32, grace: int = 45) -> Pod:
    """The pod while it is being deleted. `minute`: when the kubelet kills it. `grace`: its grace period in seconds."""
    metadata = msgspec.structs.replace(
        of.metadata, deletion_timestamp=utc(minute), deletion_grace_period_seconds=grace
    )
    return msgspec.structs.replace(of, metadata=metadata)


def pending(node: int = 0, waiting: str = "", message: str = "", **more: Any) -> Pod:
    """A pod on a node whose container waits for a reason."""
    state = {"waiting": {"reason": waiting, "message": message}} if waiting else None
    conditions = [condition("PodScheduled")]
    return pod(node, "Pending", state=state, conditions=conditions, **more)


def unschedulable(node: int = 0, message: str = "") -> Pod:
    """A pod that the scheduler cannot place on any node."""
    scheduled = condition("PodScheduled", "False", reason="Unschedulable", message=message)
    return pod(node, "Pending", conditions=[scheduled], host=None)


def event(about: str, reason: str, message: str, **more: Any) -> Event:
    """A warning event; `uid`, `type` and `at` can be changed."""
    raw = {
        "metadata": {"name": f"{about}.17"},
        "involvedObject": {"kind": "Pod", "name": about, "uid": more.pop("uid", "")},
        "type": more.pop("type", "Warning"),
        "reason": reason,
        "message": message,
        "lastTimestamp": more.pop("at", utc(3)),
    }
    assert not more
    return msgspec.convert(raw, type=Event)


def word(code: int, state: str | None = None, **more: Any) -> ExitRecord:
    """exit.json as launch.sh writes it, with times in its node's zone."""
    says = state or (SUCCEEDED if code == 0 else FAILED)
    fields: Data = {
        "started_at": "2026-11-22T20:03:00+00:00",
        "ended_at": "2026-11-22T20:19:00+00:00",
        "node": "n0",
        "reason": None if says == SUCCEEDED else f"words for {code}",
    }
    return ExitRecord(exit_code=code, state=says, **(fields | more))


def message(record: ExitRecord) -> str:
    """The same as a container's termination message."""
    return msgspec.json.encode(record).decode()
