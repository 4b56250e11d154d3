"""The spec.json of a shim: all that it must know to run a container."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Api, Object
from tools.clusters.kubernetes_stand_ins.container_command import command_of, user_of
from tools.clusters.kubernetes_stand_ins.quantities import in_bytes
from tools.clusters.kubernetes_stand_ins.rootfs import LIVE
from tools.clusters.kubernetes_stand_ins.variable_expansion import expand

TERMINATION_LOG = "/dev/termination-log"


class CreateError(Exception):
    """No container can be made of this. A kubelet calls it CreateContainerError."""


def shim_spec(
    root: Path,
    api: Api,
    pod: Object,
    container: Object,
    places: dict[str, Path],
    *,
    sandbox: int,
    number: int,
) -> Object:
    """The spec for one attempt. Raises ConfigError and ApiError for what is missing."""
    user = user_of(pod, container)
    command = command_of(api, pod, container)
    if not command.argv:
        raise CreateError("failed to generate spec: no command specified")
    uid = pod["metadata"]["uid"]
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    group = cluster_paths.memory_group(root) / uid / f"{container['name']}-{number}"
    is_limited = limit is not None and limits_memory()
    return {
        "id": f"containerd://{secrets.token_hex(32)}",
        "sandbox": sandbox,
        "argv": command.argv,
        "env": command.environment,
        "user": user,
        "workingDir": container.get("workingDir", ""),
        "mounts": _mounts(container, places, command.environment),
        "live": live_places(root),
        "memory": {"group": str(group), "limit": in_bytes(limit)} if is_limited else None,
        "messagePath": container.get("terminationMessagePath", TERMINATION_LOG),
        "messagePolicy": container.get("terminationMessagePolicy", "File"),
    }


def with_own_files(spec: Object, folder: Path, hosts: Path) -> Object:
    """The spec with the mounts of the files that each container has for itself."""
    message = folder / "termination-log"
    message.touch()
    message.chmod(0o666)
    own = [_mount(hosts, "/etc/hosts"), _mount(message, spec["messagePath"])]
    mounts = sorted([*spec["mounts"], *own], key=lambda one: len(one["target"].split("/")))
    return spec | {"mounts": mounts}


def limits_memory() -> bool:
    """True if this machine lets us limit memory: if it has control groups of version 1."""
    return os.access(cluster_paths.MEMORY_GROUPS / "memory.limit_in_bytes", os.W_OK)


def live_places(root: Path) -> list[str]:
    """The folders of this machine that no layer covers in a container."""
    around = str(root.parent)
    inside = any(around == one or around.startswith(f"{one}/") for one in LIVE)
    return [*LIVE] if inside else [*LIVE, around]


def _mounts(container: Object, places: dict[str, Path], values: dict[str, str]) -> list[Object]:
    """The mounts of the container's volumes."""
    mounts = []
    for one in container.get("volumeMounts", []):
        source = places[one["name"]]
        inner = one.get("subPath") or expand(one.get("subPathExpr", ""), values)
        if inner:
            source = source / inner
            if not source.exists():
                source.mkdir(parents=True)
        mounts.append(_mount(source, one["mountPath"], read_only=one.get("readOnly", False)))
    return mounts


def _mount(source: Path, target: str, *, read_only: bool = False) -> Object:
    """A mount."""
    return {"source": str(source), "target": os.path.normpath(target), "readOnly": read_only}
