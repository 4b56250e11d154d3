"""The kubelet of all nodes of a test cluster: runs their pods as processes of this host.

usage: python -m tools.clusters.kubernetes_stand_ins.kubelet ROOT API_PORT KUBELET_PORT GPUS NODE...
A container gets its own mounts, processes and user, and no image: it sees this host's files. One
that runs outlives us, and we find it again when we come back.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import disk, layout, linux, nodes
from tools.clusters.kubernetes_stand_ins.api import (
    Api,
    ApiError,
    Mirror,
    Object,
    UnreachableError,
    key_of,
)
from tools.clusters.kubernetes_stand_ins.kubelet_server import KubeletServer
from tools.clusters.kubernetes_stand_ins.outbox import Outbox
from tools.clusters.kubernetes_stand_ins.pod_worker import Node, PodWorker


class Kubelet:
    """All nodes' pods."""

    def __init__(self, root: Path, api: Api, names: list[str]) -> None:
        self._root = root
        self._names = set(names)
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        layout.pods(root).mkdir(parents=True, exist_ok=True)
        self._services = Mirror(api, "/api/v1/services", self._service_changed)
        self._services.is_filled.wait()
        self._node = Node(
            root,
            api,
            Outbox(api, "statuses"),
            Outbox(api, "events"),
            self._services_in,
            self._peers,
        )
        self._pods = Mirror(api, "/api/v1/pods", self._pod_changed)
        self._pods.is_filled.wait()
        self._remove_orphans()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod that the API knows."""
        pod = self._pods.get((namespace, name))
        with self._lock:
            return self._workers.get(pod["metadata"]["uid"]) if pod else None

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod came, is another now, or went."""
        thing = new or old
        assert thing is not None
        if thing["spec"].get("nodeName") not in self._names:
            return
        uid = thing["metadata"]["uid"]
        with self._lock:
            worker = self._workers.get(uid)
            if new is None:
                self._workers.pop(uid, None)
            elif worker is None:
                self._workers[uid] = PodWorker(self._node, new)
        if worker is not None and new is None:
            worker.forget()
        elif worker is not None and new is not None:
            worker.update(new)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        """Names that pods of its namespace know."""
        thing = new or old
        assert thing is not None
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            if worker.pod["metadata"]["namespace"] == thing["metadata"]["namespace"]:
                worker.write_hosts()

    def _services_in(self, namespace: str) -> list[str]:
        """The services' names."""
        return [key_of(one)[1] for one in self._services.all(namespace)]

    def _peers(self, network: str) -> Iterable[PodWorker]:
        """All pods that share a network."""
        with self._lock:
            return [one for one in self._workers.values() if one.network == network]

    def _remove_orphans(self) -> None:
        """End pods that went from the API while no kubelet was there."""
        known = {pod["metadata"]["uid"] for pod in self._pods.all()}
        for folder in layout.pods(self._root).iterdir():
            if folder.name not in known:
                _remove(folder)


def _remove(folder: Path) -> None:
    """What is left of a pod."""
    for file in [folder / "sandbox", *folder.glob("containers/*/*/started")]:
        words = (disk.read(file) or "").split()
        linux.send(" ".join(words[:2]), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run until killed."""
    root, port, own_port, gpus, *names = sys.argv[1:]
    certificates = layout.certificates(Path(root))
    api = Api(int(port), certificates)
    found: dict[str, Any] = {}
    server = KubeletServer(
        int(own_port),
        certificates,
        lambda namespace, name: found["kubelet"].find(namespace, name) if found else None,
        lambda: bool(found),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in names:
        while True:
            try:
                nodes.register(api, name, port=int(own_port), gpus=int(gpus))
                break
            except (UnreachableError, ApiError) as error:
                sys.stderr.write(f"{name}: {error}\n")
                time.sleep(0.2)
    found["kubelet"] = Kubelet(Path(root), api, names)
    threading.Event().wait()


if __name__ == "__main__":
    main()
