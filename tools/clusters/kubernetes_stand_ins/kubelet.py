"""A stand-in for the kubelets of all nodes: it runs their pods as processes of this machine.

usage: python -m tools.clusters.kubernetes_stand_ins.kubelet ROOT API_PORT KUBELET_PORT GPUS NODE...
A container gets its own mounts, process ids and user, but no image: it sees this machine's files. A
container goes on when the kubelet ends, and the next kubelet finds it again.
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

from tools.clusters.kubernetes_stand_ins import cluster_paths, nodes, system_calls, whole_files
from tools.clusters.kubernetes_stand_ins.api import (
    Api,
    ApiError,
    Mirror,
    Object,
    UnreachableError,
    key_of,
)
from tools.clusters.kubernetes_stand_ins.api_writes import Outbox
from tools.clusters.kubernetes_stand_ins.kubelet_server import KubeletServer
from tools.clusters.kubernetes_stand_ins.pod_worker import Node, PodWorker


class Kubelet:
    """The pods of all nodes."""

    def __init__(self, root: Path, api: Api, names: list[str]) -> None:
        self._root = root
        self._names = set(names)
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        cluster_paths.pods(root).mkdir(parents=True, exist_ok=True)
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
        """The worker of a pod; None if the API knows no such pod."""
        pod = self._pods.get((namespace, name))
        with self._lock:
            return self._workers.get(pod["metadata"]["uid"]) if pod else None

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod is new, was changed, or was removed."""
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
        """A service is new or was removed: write its name for the pods of its namespace."""
        thing = new or old
        assert thing is not None
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            if worker.pod["metadata"]["namespace"] == thing["metadata"]["namespace"]:
                worker.write_hosts()

    def _services_in(self, namespace: str) -> list[str]:
        """The names of a namespace's services."""
        return [key_of(one)[1] for one in self._services.all(namespace)]

    def _peers(self, network: str) -> Iterable[PodWorker]:
        """The pods that share a network."""
        with self._lock:
            return [one for one in self._workers.values() if one.network == network]

    def _remove_orphans(self) -> None:
        """End pods that were removed from the API while no kubelet ran."""
        known = {pod["metadata"]["uid"] for pod in self._pods.all()}
        for folder in cluster_paths.pods(self._root).iterdir():
            if folder.name not in known:
                _remove(folder)


def _remove(folder: Path) -> None:
    """End the processes of a pod and remove its folder."""
    for file in [folder / "sandbox", *folder.glob("containers/*/*/started")]:
        words = (whole_files.read(file) or "").split()
        system_calls.send(" ".join(words[:2]), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run until killed."""
    root, port, own_port, gpus, *names = sys.argv[1:]
    certificates = cluster_paths.certificates(Path(root))
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
