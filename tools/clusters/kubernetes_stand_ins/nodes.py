"""The Node objects, without which the scheduler gives no pod to the kubelet."""

from __future__ import annotations

from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object
from tools.clusters.kubernetes_stand_ins.field_refs import ADDRESS
from tools.clusters.kubernetes_stand_ins.times import stamp

NODES = "/api/v1/nodes"
CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "1Ti"}
#: The taint of every new node. A controller that we do not run would take it away.
NOT_READY = "node.kubernetes.io/not-ready"


def register(api: Api, name: str, *, port: int, gpus: int) -> None:
    """Register a node as ready. If it exists, what tests have changed of it stays."""
    meta = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}
    try:
        node = api.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": meta})
    except ApiError as error:
        if error.code != 409:
            raise
        node = api.get(f"{NODES}/{name}")
    api.merge(f"{NODES}/{name}/status", {"status": _status(name, port, gpus)})
    taints = [one for one in node["spec"].get("taints", []) if one["key"] != NOT_READY]
    api.merge(f"{NODES}/{name}", {"spec": {"taints": taints or None}})


def _status(name: str, port: int, gpus: int) -> Object:
    """The node's status: its resources, and where its kubelet listens."""
    resources = CAPACITY | {"nvidia.com/gpu": str(gpus)}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": stamp(),
        "lastTransitionTime": stamp(),
    }
    return {
        "addresses": [{"type": "InternalIP", "address": ADDRESS}],
        "capacity": resources,
        "allocatable": resources,
        "conditions": [ready],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "containerd://1.4.3",
            "kernelVersion": "",
            "kubeProxyVersion": "v1.20.2",
            "kubeletVersion": "v1.20.2",
            "machineID": name,
            "operatingSystem": "linux",
            "osImage": "",
            "systemUUID": name,
        },
    }
