"""A small pod with the job's image and volumes, for reading what the job left on them."""

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

#: Seconds after which the cluster ends it, should nobody else be there to do so.
LIFE_S = 3600
#: Seconds until a helper that does not start is given up.
START_S = 300.0
#: Seconds that it may be stuck for a reason that somebody has to mend.
STUCK_S = 30.0
_POLL_S = 0.5
_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}
#: Of the job's pods, what a helper must not have: GPUs' nodes, priorities and queues are for training.
#: The node selector stays: elsewhere the image may not run.
_NOT_NEEDED = ("initContainers", "priorityClassName", "affinity", "schedulerName")


def helper_pod(
    job: dict[str, Any], node: str | None, owner: ObjectMeta | None = None
) -> dict[str, Any]:
    """The pod's manifest, made of the job's.

    `node`: where a hostPath volume is; `owner`: the job, with which the pod goes at the latest.
    """
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    spec = {key: value for key, value in template["spec"].items() if key not in _NOT_NEEDED}
    original = spec["containers"][0]
    volumes = [volume for volume in spec.get("volumes", []) if not _is_the_jobs_own(volume)]
    names = [volume["name"] for volume in volumes]
    container = {
        "name": CONTAINER,
        "image": original["image"],
        "command": ["sleep", str(LIFE_S)],
        "resources": _RESOURCES,
        "volumeMounts": [m for m in original.get("volumeMounts", []) if m["name"] in names],
    }
    if "securityContext" in original:
        container["securityContext"] = original["securityContext"]
    spec |= {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIFE_S,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": volumes,
    }
    if node is not None and any("hostPath" in volume for volume in volumes):
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    metadata: dict[str, Any] = {
        "name": f"{job['metadata']['name']}-collect-{os.urandom(3).hex()}",
        "labels": {
            "app.kubernetes.io/name": job["metadata"]["labels"]["app.kubernetes.io/name"],
            "app.kubernetes.io/component": "collect",
            MANAGED_BY: OURS,
        },
        "annotations": {"sidecar.istio.io/inject": "false"},
    }
    if owner is not None:
        reference = {"apiVersion": job["apiVersion"], "kind": job["kind"]}
        metadata["ownerReferences"] = [{**reference, "name": owner.name, "uid": owner.uid}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _is_the_jobs_own(volume: dict[str, Any]) -> bool:
    return "downwardAPI" in volume or "emptyDir" in volume


@contextlib.contextmanager
def running(api: Api, pod: dict[str, Any], tell: Callable[[str], None]) -> Iterator[str]:
    """The name of the pod while it runs; it is removed at the end, whatever that is.

    Raises BackendRefusedError where it may not be made, PrlSubmitError where it does not start.
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
    deadline, told = time.monotonic() + START_S, ""
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
        if time.monotonic() > deadline - (START_S - STUCK_S if is_stuck else 0):
            raise PrlSubmitError(f"the helper pod does not start: {why}")
        if why != told:
            told = why
            tell(f"waits for the helper pod: {why}")
        time.sleep(_POLL_S)
