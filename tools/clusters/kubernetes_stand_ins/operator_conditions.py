"""The conditions in a PyTorchJob's status, with the original's rules of what replaces what."""

from __future__ import annotations

from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.operator_events import now

#: One of these takes the other one's place in the list.
RIVALS = {"Running": "Restarting", "Restarting": "Running"}
FINAL = ("Succeeded", "Failed")


def is_true(status: Object, kind: str) -> bool:
    """Whether a condition is there and true."""
    found = _find(status, kind)
    return found is not None and found["status"] == "True"


def is_finished(status: Object) -> bool:
    """Whether nothing more will come."""
    return any(is_true(status, kind) for kind in FINAL)


def set_condition(
    status: Object, kind: str, reason: str, message: str, *, value: str = "True"
) -> None:
    """Say it, unless the job failed before or the same was said before, whatever the message."""
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
        # The original changes the value alone, and that of Restarting not at all.
        others = [one | {"status": "False"} if one["type"] == "Running" else one for one in others]
    status["conditions"] = [*others, condition]


def _find(status: Object, kind: str) -> Object | None:
    """The condition of that type."""
    found: list[Object] = [one for one in status.get("conditions", []) if one["type"] == kind]
    return found[0] if found else None
