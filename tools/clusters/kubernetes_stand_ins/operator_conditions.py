"""The conditions in a PyTorchJob's status, with the training operator's rules for replacing them."""

from __future__ import annotations

from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.operator_events import now

#: A condition removes its rival from the list.
RIVALS = {"Running": "Restarting", "Restarting": "Running"}
FINAL = ("Succeeded", "Failed")


def is_true(status: Object, kind: str) -> bool:
    """True if the status has the condition, and it is true."""
    found = _find(status, kind)
    return found is not None and found["status"] == "True"


def is_finished(status: Object) -> bool:
    """True if the job has ended."""
    return any(is_true(status, kind) for kind in FINAL)


def set_condition(
    status: Object, kind: str, reason: str, message: str, *, value: str = "True"
) -> None:
    """Set a condition. A failed job, and one with the same status and reason already, stays as it is."""
    old = _find(status, kind)
    if is_true(status, "Failed") or (old and (old["status"], old["reason"]) == (value, reason)):
        return
    changed = old["lastTransitionTime"] if old and old["status"] == value else now()
    condition = {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now(),
        "lastTransitionTime": changed,
    }
    gone = {kind, RIVALS.get(kind)}
    others = [one for one in status.get("conditions", []) if one["type"] not in gone]
    if kind in FINAL:
        # The training operator changes only the value, and leaves that of Restarting alone; so do we.
        others = [one | {"status": "False"} if one["type"] == "Running" else one for one in others]
    status["conditions"] = [*others, condition]


def _find(status: Object, kind: str) -> Object | None:
    """The condition of that type; None if the status has none."""
    found: list[Object] = [one for one in status.get("conditions", []) if one["type"] == kind]
    return found[0] if found else None
