"""A pod's status, computed from the states of its containers. Pure."""

from __future__ import annotations

from typing import NamedTuple

from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.containers import Attempt, Container
from tools.clusters.kubernetes_stand_ins.field_refs import ADDRESS
from tools.clusters.kubernetes_stand_ins.times import stamp

INITIALIZING = "PodInitializing"
CREATING = "ContainerCreating"


class Verdict(NamedTuple):
    """Why a pod failed as a whole."""

    reason: str
    message: str


def phase_of(policy: str, initials: list[Container], containers: list[Container]) -> str:
    """A pod's phase by a kubelet's rules."""
    for one in initials:
        if not one.is_done:
            failed = one.ended is not None and policy == "Never"
            return "Failed" if failed else "Pending"
    if any(not one.attempts for one in containers):
        return "Pending"
    if any(one.is_running for one in containers) or policy == "Always":
        return "Running"
    if all(one.is_done for one in containers):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def status_of(
    pod: Object,
    initials: list[Container],
    containers: list[Container],
    *,
    since: float,
    verdict: Verdict | None,
    has_sandbox: bool,
) -> Object:
    """Everything that a kubelet writes into a pod's status."""
    policy = pod["spec"].get("restartPolicy", "Always")
    phase = "Failed" if verdict else phase_of(policy, initials, containers)
    is_final = phase in ("Succeeded", "Failed")
    wait = INITIALIZING if any(not one.is_done for one in initials) else CREATING
    status: Object = {
        "phase": phase,
        "hostIP": ADDRESS,
        "startTime": stamp(since),
        "containerStatuses": [_container(one, wait, is_final=is_final) for one in containers],
        "conditions": _conditions(phase, initials, containers),
        "reason": verdict.reason if verdict else None,
        "message": verdict.message if verdict else None,
    }
    if has_sandbox:
        status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    if initials:
        status["initContainerStatuses"] = [
            _container(one, INITIALIZING, is_final=is_final, is_initial=True) for one in initials
        ]
    return status


def _container(one: Container, wait: str, *, is_final: bool, is_initial: bool = False) -> Object:
    """A container's status."""
    state, last = _states(one, wait, is_final=is_final)
    is_running = "running" in state
    status = {
        "name": one.name,
        "image": one.spec["image"],
        "imageID": f"docker.io/{one.spec['image']}@sha256:{'0' * 64}" if one.attempts else "",
        "ready": one.is_done if is_initial else is_running,
        "restartCount": one.attempts[-1].number if one.attempts else 0,
        "state": state,
        "lastState": last,
    }
    if one.latest:
        status["containerID"] = one.latest.container_id
    if not is_initial:
        status["started"] = is_running
    return status


def _states(one: Container, wait: str, *, is_final: bool) -> tuple[Object, Object]:
    """The container's state and the state before it."""
    ended = [attempt for attempt in one.attempts if attempt.ended]
    if one.is_running and one.latest:
        since = one.latest.started()
        state: Object = {"running": {"startedAt": stamp(since)}}
        return state, _terminated(ended[-1]) if ended else {}
    if ended and (one.waiting[0] == CREATING or is_final):
        return _terminated(ended[-1]), _terminated(ended[-2]) if len(ended) > 1 else {}
    reason, message = one.waiting
    if reason == CREATING:
        reason = wait
    waiting = {"reason": reason} | ({"message": message} if message else {})
    return {"waiting": waiting}, _terminated(ended[-1]) if ended else {}


def _terminated(attempt: Attempt) -> Object:
    """The state of an attempt that has ended."""
    assert attempt.ended is not None
    return {"terminated": attempt.ended.state(attempt.container_id)}


def _conditions(phase: str, initials: list[Container], containers: list[Container]) -> list[Object]:
    """The conditions that a kubelet writes."""
    left = [one.name for one in initials if not one.is_done]
    unready = [one.name for one in containers if not one.is_running]
    initialized: Object = {"type": "Initialized", "status": "True", "reason": None, "message": None}
    if left and phase != "Succeeded":
        text = f"containers with incomplete status: [{' '.join(left)}]"
        initialized |= {"status": "False", "reason": "ContainersNotInitialized", "message": text}
    elif phase == "Succeeded":
        initialized["reason"] = "PodCompleted"
    ready: Object = {"status": "True", "reason": None, "message": None}
    if phase == "Succeeded":
        ready = {"status": "False", "reason": "PodCompleted", "message": None}
    elif unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": text}
    return [initialized, {"type": "Ready"} | ready, {"type": "ContainersReady"} | ready]
