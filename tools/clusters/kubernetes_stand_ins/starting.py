"""All that a shim must know to run a container of a pod."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import layout
from tools.clusters.kubernetes_stand_ins.api import Api, Object
from tools.clusters.kubernetes_stand_ins.environment import command_of, user_of
from tools.clusters.kubernetes_stand_ins.expansion import expand
from tools.clusters.kubernetes_stand_ins.quantities import in_bytes
from tools.clusters.kubernetes_stand_ins.rootfs import LIVE

TERMINATION_LOG = "/dev/termination-log"


class CreateError(Exception):
    """No container can be made of this; what a kubelet calls CreateContainerError."""


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
    """For one attempt; ConfigError and ApiError say what is missing."""
    user = user_of(pod, container)
    command = command_of(api, pod, container)
    if not command.argv:
        raise CreateError("failed to generate spec: no command specified")
    uid = pod["metadata"]["uid"]
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    group = layout.memory_group(root) / uid / f"{container['name']}-{number}"
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
    """The same, with the files that each container has for itself."""
    message = folder / "termination-log"
    message.touch()
    message.chmod(0o666)
    own = [_mount(hosts, "/etc/hosts"), _mount(message, spec["messagePath"])]
    mounts = sorted([*spec["mounts"], *own], key=lambda one: len(one["target"].split("/")))
    return spec | {"mounts": mounts}


def limits_memory() -> bool:
    """Whether this host lets us limit memory: it has control groups of the first version."""
    return os.access(layout.MEMORY_GROUPS / "memory.limit_in_bytes", os.W_OK)


def live_places(root: Path) -> list[str]:
    """What of the host containers see as it is now."""
    around = str(root.parent)
    inside = any(around == one or around.startswith(f"{one}/") for one in LIVE)
    return [*LIVE] if inside else [*LIVE, around]


def _mounts(container: Object, places: dict[str, Path], values: dict[str, str]) -> list[Object]:
    """Volumes where the container wants them."""
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
    """One of them."""
    return {"source": str(source), "target": os.path.normpath(target), "readOnly": read_only}
