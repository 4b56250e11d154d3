"""Events about PyTorchJobs. A repeated event is counted; one that cannot be written is lost."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import NamedTuple

from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object, UnreachableError

CONTROLLER = "pytorchjob-controller"
API_VERSION = "kubeflow.org/v1"
KIND = "PyTorchJob"
TIMEOUT = 2.0


def now() -> str:
    """The time now, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class _Same(NamedTuple):
    """What two events have in common that count as one event."""

    uid: str
    kind: str
    reason: str
    message: str


class Events:
    """Writes events. Only one thread may use it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._written: dict[_Same, tuple[str, int]] = {}

    def normal(self, job: Object, reason: str, message: str) -> None:
        """Write an event of type Normal."""
        self._record(job, "Normal", reason, message)

    def warning(self, job: Object, reason: str, message: str) -> None:
        """Write an event of type Warning."""
        self._record(job, "Warning", reason, message)

    def _record(self, job: Object, kind: str, reason: str, message: str) -> None:
        """Count the event if it was written before, else write it."""
        meta = job["metadata"]
        same = _Same(meta["uid"], kind, reason, message)
        path = f"/api/v1/namespaces/{meta['namespace']}/events"
        with contextlib.suppress(ApiError, UnreachableError):
            name, count = self._written.get(same, ("", 0))
            if not (count and self._count(f"{path}/{name}", count + 1)):
                name, count = f"{meta['name']}.{secrets.token_hex(8)}", 0
                self._api.request("POST", path, _event(meta, name, same), timeout=TIMEOUT)
            self._written[same] = name, count + 1

    def _count(self, path: str, count: int) -> bool:
        """Set the event's count; False if the API has removed the event."""
        try:
            body = {"count": count, "lastTimestamp": now()}
            self._api.merge(path, body)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True


def _event(meta: Object, name: str, same: _Same) -> Object:
    """A new event about the job with this metadata."""
    about = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }
    return {
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": about,
        "type": same.kind,
        "reason": same.reason,
        "message": same.message,
        "source": {"component": CONTROLLER},
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "count": 1,
    }
