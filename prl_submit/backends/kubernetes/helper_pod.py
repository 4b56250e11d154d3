"""A small pod with the job's image and volumes, through which `collect` reads the volume after the job."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.labels import CONTAINER, MANAGED_BY, OURS
from prl_submit.backends.kubernetes.node_ends import why_pod_ended
from prl_submit.backends.kubernetes.objects import ObjectMeta, Pod
from prl_submit.backends.kubernetes.reasons import why_pod_waits
from prl_submit.backends.kubernetes.refusals import as_error, explain
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError

#: Seconds after which the kubelet ends the helper pod, if prl-submit was killed and did not delete it.
LIFE_S = 3600
#: Seconds that the helper pod may take to start.
START_S = 300.0
#: The same while it is stuck for a reason that somebody has to correct, such as a missing image.
STUCK_S = 30.0
_POLL_S = 0.5
_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}
#: Parts of the job's pods that the helper pod leaves out, because GPU nodes, priorities and queues are for
#: trainings. The node selector stays, because the image may not run on other nodes.
_NOT_NEEDED = ("initContainers", "priorityClassName", "affinity", "schedulerName")


def helper_pod(
    job: dict[str, Any], node: str | None, owner: ObjectMeta | None = None
) -> dict[str, Any]:
    """The manifest of the helper pod, made from the job's manifest.

    `node`: the Kubernetes node that the job ran on; the helper pod goes there if a volume is a hostPath.
    `owner`: the PyTorchJob, if it exists. Kubernetes deletes the helper pod with it.
    """
    metadata = _metadata(job)
    if owner is not None:
        reference = {"apiVersion": job["apiVersion"], "kind": job["kind"]}
        metadata["ownerReferences"] = [{**reference, "name": owner.name, "uid": owner.uid}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _spec(job, node)}


def _spec(job: dict[str, Any], node: str | None) -> dict[str, Any]:
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    spec = {key: value for key, value in template["spec"].items() if key not in _NOT_NEEDED}
    volumes = [volume for volume in spec.get("volumes", []) if not _is_the_jobs_own(volume)]
    spec |= {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIFE_S,
        "terminationGracePeriodSeconds": 0,
        "containers": [_container(spec["containers"][0], volumes)],
        "volumes": volumes,
    }
    if node is not None and any("hostPath" in volume for volume in volumes):
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return spec


def _container(original: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    names = [volume["name"] for volume in volumes]
    mounts = [mount for mount in original.get("volumeMounts", []) if mount["name"] in names]
    container = {
        "name": CONTAINER,
        "image": original["image"],
        "command": ["sleep", str(LIFE_S)],
        "resources": _RESOURCES,
        "volumeMounts": mounts,
    }
    if "securityContext" in original:
        container["securityContext"] = original["securityContext"]
    return container


def _metadata(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{job['metadata']['name']}-collect-{os.urandom(3).hex()}",
        "labels": {
            "app.kubernetes.io/name": job["metadata"]["labels"]["app.kubernetes.io/name"],
            "app.kubernetes.io/component": "collect",
            MANAGED_BY: OURS,
        },
        "annotations": {"sidecar.istio.io/inject": "false"},
    }


def _is_the_jobs_own(volume: dict[str, Any]) -> bool:
    """True for launch.sh's volume and scratch space, which exist only for each pod of the job."""
    return "downwardAPI" in volume or "emptyDir" in volume


@contextlib.contextmanager
def running(api: Api, pod: dict[str, Any], tell: Callable[[str], None]) -> Iterator[str]:
    """Create the pod, wait until it runs, give its name, and delete it at the end in any case.

    `tell` gets the reason while the pod waits. Raises BackendRefusedError if the API server does not create
    it, PrlSubmitError if it does not start.
    """
    name = pod["metadata"]["name"]
    try:
        try:
            api.create(api.core("pods"), pod)
        except RefusedStatusError as error:
            refusal = explain(error.status, api.namespace)
            raise BackendRefusedError(refusal.message, refusal.hint) from None
        _wait_until_running(api, name, tell)
        yield name
    finally:
        with contextlib.suppress(RefusedStatusError, BackendUnreachableError):
            api.delete(api.core("pods", name))


def _wait_until_running(api: Api, name: str, tell: Callable[[str], None]) -> None:
    began, told = time.monotonic(), ""
    while True:
        try:
            pod = msgspec.json.decode(api.get(api.core("pods", name)), type=Pod)
        except RefusedStatusError as error:
            raise as_error(error, api.namespace, "show the helper pod") from None
        if pod.status.phase == "Running":
            return
        if pod.status.phase in ("Failed", "Succeeded"):
            raise PrlSubmitError(f"the helper pod has ended: {why_pod_ended(pod)}")
        why, is_stuck = why_pod_waits(pod, [])
        if time.monotonic() - began > (STUCK_S if is_stuck else START_S):
            raise PrlSubmitError(f"the helper pod does not start: {why}")
        if why != told:
            told = why
            tell(f"waits for the helper pod: {why}")
        time.sleep(_POLL_S)
