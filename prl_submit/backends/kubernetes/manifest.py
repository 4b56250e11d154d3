"""Build the PyTorchJob (kubeflow.org/v1) of a plan, as data.

It has three layers. `templates/pytorchjob.yaml` has what is the same for every job. This module adds the
plan's values. Then `kubernetes.extra` is merged over them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prl_submit.backends.kubernetes.gpu_types import affinity
from prl_submit.backends.kubernetes.labels import (
    CONTAINER,
    DIRECTORY_ANNOTATION,
    LAST_WORDS_S,
    QUEUE_LABEL,
    job_name,
    kueue_queue,
    labels,
    script_annotation,
)
from prl_submit.backends.kubernetes.merge_patch import merge_lists, merge_patch
from prl_submit.backends.kubernetes.volumes import read_volumes
from prl_submit.backends.kubernetes.yaml_text import dump, load
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import read_template, template_path
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import MANIFEST
from prl_submit.spec.scalars import to_quantity

GPU = "nvidia.com/gpu"

#: Lists to which kubernetes.extra adds items, and the key by which an item replaces another.
_POD_LISTS = {"volumes": "name", "containers": "name"}
_CONTAINER_LISTS = {"env": "name", "volumeMounts": "mountPath"}

#: Bytes that all annotations of an object may have together. A job with more is accepted, and the
#: operator then fails to create its pods.
_MAX_ANNOTATIONS = 256 * 1024

Data = dict[str, Any]


def manifest(plan: Plan, scripts: Mapping[str, str], token: str, site: Path | None) -> Data:
    """The PyTorchJob of a plan.

    `scripts`: the texts that a pod needs as files, by name. `site`: the folder of --templates, whose pytorchjob.yaml replaces ours.
    Raises PrlSubmitError if that file is no PyTorchJob.
    """
    job = _template(site)
    master = _master(job)
    own = {
        "restartPolicy": "ExitCode" if plan.restarts.max else "Never",
        "template": _pod_template(plan, scripts, token, master["template"]),
    }
    # The template is long, so it comes last.
    replica = {**{key: value for key, value in master.items() if key not in own}, **own}
    replicas = {"Master": {"replicas": 1, **replica}}
    if plan.resources.nodes > 1:
        replicas["Worker"] = {"replicas": plan.resources.nodes - 1, **replica}
    values = {
        "metadata": _metadata(plan, token),
        "spec": {"runPolicy": _run_policy(plan), "pytorchReplicaSpecs": None},
    }
    job = merge_patch(job, values)
    job["spec"]["pytorchReplicaSpecs"] = replicas
    extra = plan.kubernetes.extra
    of_job = {key: value for key, value in extra.items() if key not in ("pod", "container")}
    return dict(merge_patch(job, of_job))


def render_manifest(plan: Plan, scripts: Mapping[str, str], token: str, site: Path | None) -> str:
    """The text of pytorchjob.yaml. Arguments and errors as `manifest`."""
    return _head(plan) + dump(manifest(plan, scripts, token, site))


def _template(site: Path | None) -> Data:
    import yaml

    path = template_path(MANIFEST, site)
    try:
        job = load(read_template(path))
        # `manifest` reads or replaces each of these, so the template must have them.
        job["spec"]["runPolicy"], _master(job)["template"]["spec"]["containers"][0]["command"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise PrlSubmitError(f"{path}: is no PyTorchJob with a Master: {error}") from None
    return dict(job)


def _master(job: Data) -> Data:
    return dict(job["spec"]["pytorchReplicaSpecs"]["Master"])


def _pod_template(plan: Plan, scripts: Mapping[str, str], token: str, base: Data) -> Data:
    """The pods of all replicas: the template's, the plan's values, then `kubernetes.extra.pod`.

    `spec` comes first, because `metadata` has the scripts as annotations, which are more than a thousand lines.
    """
    pod = merge_patch(base, _pod(plan, scripts, token))
    pod["spec"]["containers"] = [_container(plan, pod["spec"]["containers"])]
    patch = plan.kubernetes.extra.get("pod", {})
    spec = merge_lists(pod["spec"], patch.get("spec", {}), _POD_LISTS)
    others = {key: value for key, value in merge_patch(pod, patch).items() if key != "spec"}
    return {"spec": spec, **others}


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
    if queue := kueue_queue(section):
        found["labels"][QUEUE_LABEL] = queue
    return found


def _run_policy(plan: Plan) -> Data:
    # activeDeadlineSeconds is set for each pod, not here: the operator would count it from the moment
    # when it first saw the job, including the hours in a queue, and would check it only when something
    # else happens to the job.
    #
    # launch.sh counts the restarts of the job, and ends the job when they are used up. The operator counts
    # the restarts of containers instead, so its limit must be higher. With backoffLimit 0 the operator
    # would fail the job at its first failed pod, and operators before 1.9.4 then delete all pods with their
    # logs (kubeflow/trainer#3419).
    policy: Data = {"backoffLimit": plan.restarts.max * plan.resources.nodes + 1}
    if plan.kubernetes.scheduler == "volcano":
        scheduling: Data = {"minAvailable": plan.resources.nodes}
        if plan.kubernetes.queue:
            scheduling["queue"] = plan.kubernetes.queue
        if plan.kubernetes.priority_class:
            scheduling["priorityClass"] = plan.kubernetes.priority_class
        policy["schedulingPolicy"] = scheduling
    return policy


def _pod(plan: Plan, scripts: Mapping[str, str], token: str) -> Data:
    section, resources = plan.kubernetes, plan.resources
    spec: Data = {
        "terminationGracePeriodSeconds": plan.restarts.grace + LAST_WORDS_S,
        "securityContext": {
            "runAsUser": plan.uid,
            "runAsGroup": plan.gid,
            "fsGroup": plan.gid,
        },
        "volumes": _volumes(plan, scripts),
    }
    is_typed = resources.gpu_type is not None and resources.accelerator == "gpu"
    optional: Data = {
        "activeDeadlineSeconds": resources.time_limit,
        "imagePullSecrets": [{"name": name} for name in section.image_pull_secrets],
        "serviceAccountName": section.service_account,
        "automountServiceAccountToken": bool(section.service_account),
        "nodeSelector": dict(section.node_selector),
        "tolerations": section.tolerations,
        "priorityClassName": section.priority_class,
        "schedulerName": "volcano" if section.scheduler == "volcano" else None,
        "affinity": affinity(resources.gpu_type or "") if is_typed else None,
    }
    spec |= {key: value for key, value in optional.items() if value}
    metadata = {
        "labels": labels(plan.name, token),
        "annotations": _annotations(scripts),
    }
    return {"metadata": metadata, "spec": spec}


def _annotations(scripts: Mapping[str, str]) -> dict[str, str]:
    """The scripts of a pod. Raises PrlSubmitError if they are too long for annotations."""
    found = {script_annotation(name): text for name, text in scripts.items()}
    size = sum(len(name) + len(text.encode("utf-8")) for name, text in found.items())
    if size > _MAX_ANNOTATIONS:
        raise PrlSubmitError(
            f"{' and '.join(scripts)} have {size} bytes; the annotations of a pod may hold {_MAX_ANNOTATIONS}",
            "put long parts of environment.setup into a file on one of the volumes, and `source` that",
        )
    return found


def _volumes(plan: Plan, scripts: Iterable[str]) -> list[Data]:
    shm: Data = {"medium": "Memory"}
    if plan.resources.shm:
        shm["sizeLimit"] = to_quantity(plan.resources.shm)
    own = [
        {"name": "shm", "emptyDir": shm},
        {
            "name": "prl-submit",
            "downwardAPI": {"items": [_file(name) for name in scripts], "defaultMode": 0o555},
        },
    ]
    return [*own, *(volume.volume for volume in read_volumes(plan.kubernetes.volumes)[0])]


def _file(name: str) -> Data:
    """A file of the volume. Its text is an annotation of the pod."""
    field = {"fieldPath": f"metadata.annotations['{script_annotation(name)}']"}
    return {"path": name, "mode": 0o555, "fieldRef": field}


def _container(plan: Plan, containers: list[Data]) -> Data:
    """The template's container with the plan's values, then `kubernetes.extra.container`."""
    from_environment = plan.environment.container
    image = plan.kubernetes.image or (from_environment.image if from_environment else "")
    values = {"name": CONTAINER, "image": image, "resources": _resources(plan)}
    container = dict(merge_patch(containers[0], values))
    mounts = [volume.mount for volume in read_volumes(plan.kubernetes.volumes)[0]]
    container["env"] = [*container.get("env", []), *_secrets(plan)]
    container["volumeMounts"] = [*container.get("volumeMounts", []), *mounts]
    patch = plan.kubernetes.extra.get("container", {})
    return dict(merge_lists(container, patch, _CONTAINER_LISTS))


def _resources(plan: Plan) -> Data:
    """CPUs, memory and GPUs of a pod.

    Requests equal limits, because the kubelet evicts pods of this class (Guaranteed) last.
    """
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
