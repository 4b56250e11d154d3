"""The kubelet's writes to the API server, sent in order. If the server is away, they wait for it."""

from __future__ import annotations

import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable

from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object
from tools.clusters.kubernetes_stand_ins.times import stamp

STRATEGIC_MERGE = "application/strategic-merge-patch+json"


def path_of(pod: Object) -> str:
    """The pod's path in the API."""
    meta = pod["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


class Outbox:
    """A queue of writes, and a thread that sends them."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._queue: queue.Queue[Callable[[], object]] = queue.Queue()
        threading.Thread(target=self._send, daemon=True, name=name).start()

    def status(self, pod: Object, status: Object) -> None:
        """Write a pod's status. It is merged, so that conditions which others wrote stay."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        path = path_of(pod) + "/status"
        self._queue.put(lambda: self._insist("PATCH", path, body, kind=STRATEGIC_MERGE))

    def remove(self, pod: Object) -> None:
        """Remove the pod from the API, because its containers have ended."""
        options = {
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod["metadata"]["uid"]},
        }
        self._queue.put(lambda: self._insist("DELETE", path_of(pod), options))

    def event(self, pod: Object, node: str, kind: str, reason: str, message: str) -> None:
        """Write an event about a pod."""
        meta = pod["metadata"]
        body = {
            "metadata": {
                "name": f"{meta['name']}.{secrets.token_hex(8)}",
                "namespace": meta["namespace"],
            },
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": node},
            "firstTimestamp": stamp(),
            "lastTimestamp": stamp(),
            "count": 1,
        }
        path = f"/api/v1/namespaces/{meta['namespace']}/events"
        self._queue.put(lambda: self._insist("POST", path, body))

    def _insist(
        self, method: str, path: str, body: Object, *, kind: str = "application/json"
    ) -> None:
        """Send the write until the server has answered it."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._api.insist(method, path, body, kind=kind, timeout=5)
            except ApiError as error:
                # A server that is still starting refuses requests too; these are sent again.
                is_for_good = error.code in (404, 409, 410, 422) or time.monotonic() > deadline
                if is_for_good:
                    if error.code not in (404, 409):
                        sys.stderr.write(f"{method} {path}: {error.code} {error}\n")
                    return
                time.sleep(0.1)
            else:
                return

    def _send(self) -> None:
        """Send one write after the other, for ever."""
        while True:
            self._queue.get()()
