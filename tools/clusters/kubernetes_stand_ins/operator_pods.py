"""The pods and services of a PyTorchJob, as objects to be created."""

from __future__ import annotations

import copy

from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.operator_events import API_VERSION, CONTROLLER, KIND

PREFIX = "training.kubeflow.org/"
CONTAINER = "pytorch"
PORT_NAME = "pytorchjob-port"
PORT = 23456
#: The training operator's own command asks a name server, which a test cluster has not.
WAIT = "until getent hosts {master}; do echo waiting for master; sleep 0.2; done"


class SpecError(Exception):
    """No pods can be made from this job."""


def replicas_of(job: Object) -> dict[str, Object]:
    """The job's replica specs with the operator's defaults, the master's first."""
    given = job["spec"]["pytorchReplicaSpecs"]
    # The training operator takes them in random order.
    return {kind.capitalize(): _with_defaults(given[kind]) for kind in sorted(given, key=str.lower)}


def _with_defaults(given: Object) -> Object:
    """A replica spec with the operator's defaults."""
    spec: Object = {"replicas": 1, "restartPolicy": "OnFailure"} | copy.deepcopy(given)
    containers: list[Object] = spec["template"]["spec"]["containers"]
    named = [one for one in containers if one["name"] == CONTAINER]
    ports: list[Object] = (named or containers)[0].setdefault("ports", [])
    if all(port.get("name") != PORT_NAME for port in ports):
        ports.append({"name": PORT_NAME, "containerPort": PORT})
    return spec


def replica_name(job: Object, kind: str, index: int) -> str:
    """The name of a replica's pod and of its service."""
    return f"{job['metadata']['name']}-{kind.lower()}-{index}"


def job_labels(job: Object) -> dict[str, str]:
    """The labels of all pods and services of a job."""
    return {PREFIX + "job-name": job["metadata"]["name"], PREFIX + "operator-name": CONTROLLER}


def selector(labels: dict[str, str]) -> str:
    """The labels as a label selector."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def new_pod(
    job: Object, replicas: dict[str, Object], kind: str, index: int, *, old: bool
) -> Object:
    """The pod of a replica."""
    spec = replicas[kind]
    template = copy.deepcopy(spec["template"])
    meta: Object = template.get("metadata", {})
    body: Object = template["spec"]
    environment = _environment(job, replicas, kind, index, old=old)
    for container in body["containers"]:
        container["env"] = [*container.get("env", []), *environment]
    if kind == "Worker" and "Master" in replicas:
        waiter = _wait_for(replica_name(job, "Master", 0))
        body["initContainers"] = [*body.get("initContainers", []), waiter]
    policy = spec["restartPolicy"]
    body["restartPolicy"] = "Never" if policy == "ExitCode" else policy
    labels = meta.get("labels", {}) | _replica_labels(job, kind, index)
    if _is_master(replicas, kind, index, old=old):
        labels[PREFIX + "job-role"] = "master"
    kept = {key: meta[key] for key in ("annotations", "finalizers") if key in meta}
    return {"metadata": kept | _metadata(job, kind, index, labels), "spec": body}


def new_service(job: Object, replicas: dict[str, Object], kind: str, index: int) -> Object:
    """The headless service of a replica."""
    labels = _replica_labels(job, kind, index)
    ports = [
        {"name": port.get("name", ""), "port": port["containerPort"]}
        for port in _main_container(replicas[kind])["ports"]
    ]
    return {
        "metadata": _metadata(job, kind, index, labels),
        "spec": {"clusterIP": "None", "selector": labels, "ports": ports},
    }


def _is_master(replicas: dict[str, Object], kind: str, index: int, *, old: bool) -> bool:
    """True if the pod has the role of the master."""
    if "Master" in replicas or old:
        return kind == "Master"
    return index == 0


def _metadata(job: Object, kind: str, index: int, labels: dict[str, str]) -> Object:
    """Name, labels and owner of a pod or service."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    name = replica_name(job, kind, index)
    return {"name": name, "labels": labels, "ownerReferences": [owner]}


def _replica_labels(job: Object, kind: str, index: int) -> dict[str, str]:
    """The labels of a replica's pod and service."""
    own = {PREFIX + "replica-type": kind.lower(), PREFIX + "replica-index": str(index)}
    return job_labels(job) | own


def _main_container(spec: Object) -> Object:
    """The container that trains, by its name. Raises SpecError if there is none."""
    for container in spec["template"]["spec"]["containers"]:
        if container["name"] == CONTAINER:
            found: Object = container
            return found
    raise SpecError("port not found")


def _environment(
    job: Object, replicas: dict[str, Object], kind: str, index: int, *, old: bool
) -> list[Object]:
    """The variables that all containers of a pod get, after those of the template."""
    total = sum(spec["replicas"] for spec in replicas.values())
    values = {"PYTHONUNBUFFERED": "0" if old else "1"}
    # Elastic jobs are not supported.
    per_node = str(job["spec"].get("nprocPerNode", "auto"))
    if "Master" in replicas:
        port = _master_port(replicas)
        master = replica_name(job, "Master", 0)
        rank = str(index + 1 if kind == "Worker" else index)
        world = total * (int(per_node) if per_node.isdecimal() and not old else 1)
        values["MASTER_PORT"] = port
        values |= {} if old else {"PET_MASTER_PORT": port}
        values["MASTER_ADDR"] = master
        values |= {} if old else {"PET_MASTER_ADDR": master}
        values |= {"WORLD_SIZE": str(world), "RANK": rank}
        values |= {} if old else {"PET_NODE_RANK": rank}
    if not old:
        values |= {"PET_NPROC_PER_NODE": per_node, "PET_NNODES": str(total)}
    return [{"name": name, "value": value} for name, value in values.items()]


def _master_port(replicas: dict[str, Object]) -> str:
    """The port on which the master listens."""
    ports = _main_container(replicas["Master"]).get("ports", [])
    return next(str(port["containerPort"]) for port in ports if port.get("name") == PORT_NAME)


def _wait_for(master: str) -> Object:
    """The init container of workers, which waits for the master's name."""
    return {
        "name": "init-pytorch",
        "image": "alpine:3.10",
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "limits": {"cpu": "100m", "memory": "20Mi"},
            "requests": {"cpu": "50m", "memory": "10Mi"},
        },
        "command": ["sh", "-c", WAIT.format(master=master)],
    }
