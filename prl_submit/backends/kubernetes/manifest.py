"""Plan -> PyTorchJob (kubeflow.org/v1), built as data and never by pasting text.

`templates/pytorchjob.yaml` holds what is the same for every job; a job's own values are put into
it, then `kubernetes.extra` is merged.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prl_submit.backends.kubernetes.gpu_types import affinity
from prl_submit.backends.kubernetes.labels import (
    CONTAINER,
    DIRECTORY_ANNOTATION,
    LAST_WORDS_S,
    LAUNCH_ANNOTATION,
    MANIFEST,
    QUEUE_LABEL,
    job_name,
    labels,
)
from prl_submit.backends.kubernetes.merge_patch import merge_lists, merge_patch
from prl_submit.backends.kubernetes.volumes import read_volumes
from prl_submit.backends.kubernetes.yaml_text import dump, load
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import template_path
from prl_submit.planning.plan import Plan
from prl_submit.spec.scalars import to_quantity

GPU = "nvidia.com/gpu"

#: Lists that `extra` adds to, and by which key.
_POD_LISTS = {"volumes": "name", "containers": "name"}
_CONTAINER_LISTS = {"env": "name", "volumeMounts": "mountPath"}

Data = dict[str, Any]


def manifest(plan: Plan, launch: str, token: str, site: Path | None) -> Data:
    """The PyTorchJob of a plan. Raises PrlSubmitError where a site's template is no PyTorchJob."""
    section = plan.kubernetes
    job = _template(site)
    extra = {key: value for key, value in section.extra.items() if key not in ("pod", "container")}
    base = _replica(job)
    pod = merge_patch(base["template"], _pod(plan, launch, token))
    pod["spec"]["containers"] = [_container(plan, pod["spec"]["containers"])]
    patch = section.extra.get("pod", {})
    pod = {
        **merge_patch(pod, patch),
        "spec": merge_lists(pod["spec"], patch.get("spec", {}), _POD_LISTS),
    }
    replica = {**base, "restartPolicy": "ExitCode" if plan.restarts.max else "Never"}
    replicas = {"Master": {"replicas": 1, **replica, "template": pod}}
    if plan.resources.nodes > 1:
        replicas["Worker"] = {"replicas": plan.resources.nodes - 1, **replica, "template": pod}
    own = {
        "metadata": _metadata(plan, token),
        "spec": {
            "runPolicy": _run_policy(plan),
            "pytorchReplicaSpecs": None,
        },
    }
    job = merge_patch(job, own)
    job["spec"]["pytorchReplicaSpecs"] = replicas
    return dict(merge_patch(job, extra))


def render_manifest(plan: Plan, launch: str, token: str, site: Path | None) -> str:
    """pytorchjob.yaml."""
    return _head(plan) + dump(manifest(plan, launch, token, site))


def _template(site: Path | None) -> Data:
    import yaml

    path = template_path(MANIFEST, site)
    try:
        job = load(path.read_text("utf-8"))
        # Each of these is filled in below.
        job["spec"]["runPolicy"], _replica(job)["template"]["spec"]["containers"][0]["command"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise PrlSubmitError(f"{path}: is no PyTorchJob with a Master: {error}") from None
    return dict(job)


def _replica(job: Data) -> Data:
    return dict(job["spec"]["pytorchReplicaSpecs"]["Master"])


def _metadata(plan: Plan, token: str) -> Data:
    section = plan.kubernetes
    directory = os.path.join(plan.output_root, os.path.basename(plan.run_dir))
    found: Data = {
        "name": job_name(plan.name, token),
        "labels": labels(plan.name, token),
        "annotations": {DIRECTORY_ANNOTATION: directory},
    }
    if section.namespace:
        found["namespace"] = section.namespace
    if section.queue and section.scheduler != "volcano":
        found["labels"][QUEUE_LABEL] = section.queue
    return found


def _run_policy(plan: Plan) -> Data:
    # No activeDeadlineSeconds here: the operator counts it from the day it took the job, a queue's
    # hours included, and looks only when something happens. Each pod has its own.
    policy: Data = {}
    # launch.sh counts the restarts and ends the job. The operator counts containers' restarts; with 0
    # it would end a job at its first failed pod by that limit, and before 1.9.4 then removed all pods and
    # what they have to say (kubeflow/trainer#3419).
    policy["backoffLimit"] = plan.restarts.max * plan.resources.nodes + 1
    if plan.kubernetes.scheduler == "volcano":
        scheduling: Data = {"minAvailable": plan.resources.nodes}
        if plan.kubernetes.queue:
            scheduling["queue"] = plan.kubernetes.queue
        if plan.kubernetes.priority_class:
            scheduling["priorityClass"] = plan.kubernetes.priority_class
        policy["schedulingPolicy"] = scheduling
    return policy


def _pod(plan: Plan, launch: str, token: str) -> Data:
    section, resources = plan.kubernetes, plan.resources
    spec: Data = {
        "terminationGracePeriodSeconds": plan.restarts.grace + LAST_WORDS_S,
        "securityContext": {
            "runAsUser": plan.uid,
            "runAsGroup": plan.gid,
            "fsGroup": plan.gid,
        },
        "volumes": _volumes(plan),
    }
    if resources.time_limit:
        spec["activeDeadlineSeconds"] = resources.time_limit
    if section.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in section.image_pull_secrets]
    if section.service_account:
        spec["serviceAccountName"] = section.service_account
        spec["automountServiceAccountToken"] = True
    if section.node_selector:
        spec["nodeSelector"] = dict(section.node_selector)
    if section.tolerations:
        spec["tolerations"] = section.tolerations
    if section.priority_class:
        spec["priorityClassName"] = section.priority_class
    if section.scheduler == "volcano":
        spec["schedulerName"] = "volcano"
    if resources.gpu_type and resources.accelerator == "gpu":
        spec["affinity"] = affinity(resources.gpu_type)
    metadata = {
        "labels": labels(plan.name, token),
        "annotations": {LAUNCH_ANNOTATION: launch},
    }
    return {"metadata": metadata, "spec": spec}


def _volumes(plan: Plan) -> list[Data]:
    shm: Data = {"medium": "Memory"}
    if plan.resources.shm:
        shm["sizeLimit"] = to_quantity(plan.resources.shm)
    field = {"fieldPath": f"metadata.annotations['{LAUNCH_ANNOTATION}']"}
    own = [
        {"name": "shm", "emptyDir": shm},
        {
            "name": "prl-submit",
            "downwardAPI": {
                "items": [{"path": "launch.sh", "mode": 0o555, "fieldRef": field}],
                "defaultMode": 0o555,
            },
        },
    ]
    return [*own, *(volume.volume for volume in read_volumes(plan.kubernetes.volumes)[0])]


def _container(plan: Plan, containers: list[Data]) -> Data:
    """The site's container with the job's image, resources, secrets and mounts."""
    container = plan.environment.container
    image = plan.kubernetes.image or (container.image if container else "")
    own = {
        "name": CONTAINER,
        "image": image,
        "resources": _resources(plan),
    }
    made = dict(merge_patch(containers[0], own))
    mounts = [volume.mount for volume in read_volumes(plan.kubernetes.volumes)[0]]
    made["env"] = [*made.get("env", []), *_secrets(plan)]
    made["volumeMounts"] = [*made.get("volumeMounts", []), *mounts]
    return dict(merge_lists(made, plan.kubernetes.extra.get("container", {}), _CONTAINER_LISTS))


def _resources(plan: Plan) -> Data:
    """Requests equal to limits: a pod of the class Guaranteed, which is evicted last."""
    resources = plan.resources
    wanted: Data = {}
    if resources.cpus_per_proc:
        wanted["cpu"] = str(resources.cpus_per_proc * resources.nproc_per_node)
    if resources.memory:
        wanted["memory"] = to_quantity(resources.memory)
    if resources.accelerator == "gpu":
        wanted[GPU] = str(resources.nproc_per_node)
    return {"requests": dict(wanted), "limits": wanted} if wanted else {}


def _secrets(plan: Plan) -> list[Data]:
    name = plan.kubernetes.secret
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
        for key in plan.environment.secrets
    ]


def _head(plan: Plan) -> str:
    from prl_submit import __version__
    from prl_submit.launch import quote

    return (
        f"# Made by prl-submit {__version__} from {quote.comment(plan.spec_file)};"
        f" `kubectl create -f {MANIFEST}` runs it by hand.\n"
    )
