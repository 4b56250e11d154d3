"""What `check` and `render` need of Kubernetes: the rules for the section `kubernetes:`, and pytorchjob.yaml."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from prl_submit.backends.kubernetes.volumes import holds, read_volumes
from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job
from prl_submit.spec.first_spec import PLACEHOLDER_IMAGE
from prl_submit.spec.scalars import ALL_MEMORY


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """What a PyTorchJob needs, and keys of the spec that contradict each other or have no effect."""
    yield from _image(job)
    yield from _secrets(job)
    yield from _volumes(job, plan.output_mount or plan.output_root, plan.workdir)
    if job.spec.resources.memory == ALL_MEMORY:
        message = "0 means all the memory of a node, which only Slurm can give"
        yield job.problem("resources.memory", message, "say how much a pod needs: 256G")
    section = job.spec.kubernetes
    if section.scheduler and not section.queue and section.scheduler == "kueue":
        yield job.problem("kubernetes.scheduler", "kueue needs kubernetes.queue", "name the queue")
    for key in section.extra:
        if key in ("apiVersion", "kind", "status"):
            hint = "`pod:` and `container:` change each replica, other keys the PyTorchJob"
            yield job.problem(f"kubernetes.extra.{key}", "is not yours to change", hint)
    for key in ("pod", "container"):
        if not isinstance(section.extra.get(key, {}), dict):
            message = "is merged into the manifest, so it must be a map"
            yield job.problem(f"kubernetes.extra.{key}", message, None)


def _image(job: Job) -> Iterator[Problem]:
    container = job.spec.environment.container
    if job.spec.kubernetes.image is None and container is None:
        yield job.problem(
            "kubernetes",
            "image is not set: the pods need one with torch and ms-swift",
            f"kubernetes: {{image: {PLACEHOLDER_IMAGE}}}",
        )
    if job.spec.kubernetes.image == PLACEHOLDER_IMAGE:
        message = "is a placeholder, which no registry has"
        hint = "name an image of yours that has torch and ms-swift"
        yield job.problem("kubernetes.image", message, hint, "warning")
    if container is not None and container.mounts:
        yield job.problem(
            "environment.container.mounts",
            "means nothing on Kubernetes",
            "kubernetes.volumes mounts volumes into the pods",
            "warning",
        )


def _secrets(job: Job) -> Iterator[Problem]:
    if job.spec.environment.secrets and not job.spec.kubernetes.secret:
        names = job.spec.environment.secrets
        literals = " ".join(f"--from-literal={name}=…" for name in names)
        yield job.problem(
            "environment.secrets",
            "needs kubernetes.secret: the name of the Secret that holds "
            + ("it" if len(names) == 1 else "them"),
            f"kubectl create secret generic NAME {literals}",
        )


def _volumes(job: Job, output_root: str, workdir: str) -> Iterator[Problem]:
    """`output_root`, `workdir`: absolute paths as the pods have them."""
    entries = job.spec.kubernetes.volumes
    volumes, faults = read_volumes(entries)
    for index, message in faults:
        yield job.problem(f"kubernetes.volumes.{index}", message, None)
    mount = job.spec.kubernetes.output_mount
    if mount is not None and not mount.startswith("/"):
        yield job.problem("kubernetes.output_mount", f"must be absolute, found {mount}", None)
    if faults:
        return
    root = posixpath.normpath(output_root)
    innermost = max(
        (volume for volume in volumes if holds(volume, root)),
        key=lambda v: len(v.path),
        default=None,
    )
    if innermost is None or not innermost.lasts:
        key = "kubernetes.output_mount" if mount else "kubernetes"
        yield job.problem(
            key,
            f"no volume keeps the outputs: {root} in the pods is lost with them",
            f"kubernetes.volumes: [{{pvc: NAME, mountPath: {root}}}], or output_mount: where your volume is",
        )
    if workdir != "/" and not any(holds(volume, workdir) for volume in volumes):
        yield job.problem(
            "workdir",
            f"{workdir} is on none of kubernetes.volumes, so the image must have it",
            None,
            "warning",
        )


def artefact(plan: Plan, scripts: Mapping[str, str], token: str, site: Path | None) -> str:
    """pytorchjob.yaml, which holds launch.sh and launch.lib.sh."""
    from prl_submit.backends.kubernetes.manifest import render_manifest

    return render_manifest(plan, scripts, token, site)
