"""Read `kubernetes.volumes`: a pod's volumes and where they are mounted.

An entry is a volume as Kubernetes writes it, with the keys of its mount added: `mountPath`, and if wanted
`subPath` and `readOnly`. Short forms:

    - {name: data, persistentVolumeClaim: {claimName: data}, mountPath: /data}
    - {pvc: data, mountPath: /data}             the same
    - {nfs: "server:/export", mountPath: /data}
    - {hostPath: /data, mountPath: /data}
    - {emptyDir: 50G, mountPath: /scratch}
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from prl_submit.spec.scalars import parse_memory, to_quantity
from prl_submit.spec.suggest import closest

#: The keys of a mount, in both spellings.
_MOUNT_KEYS = {
    "mountPath": "mountPath",
    "mount_path": "mountPath",
    "mount": "mountPath",
    "subPath": "subPath",
    "sub_path": "subPath",
    "readOnly": "readOnly",
    "read_only": "readOnly",
}
#: Short and snake_case names of Kubernetes' kinds of volumes.
_ALIASES = {
    "pvc": "persistentVolumeClaim",
    "persistent_volume_claim": "persistentVolumeClaim",
    "host_path": "hostPath",
    "empty_dir": "emptyDir",
    "config_map": "configMap",
}
_SOURCES = "persistentVolumeClaim (or pvc), hostPath, nfs, emptyDir, or another of Kubernetes'"
#: A valid name of a volume (RFC 1123 label).
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: Names of volumes and paths that prl-submit uses itself.
RESERVED = ("prl-submit", "shm")
RESERVED_PATHS = ("/dev/shm", "/etc/prl-submit")  # noqa: S108  # in the pod


class Volume(Struct, frozen=True):
    """One entry, as Kubernetes wants it: `volume` of the pod, `mount` of the container."""

    volume: dict[str, Any]
    mount: dict[str, Any]

    @property
    def path(self) -> str:
        """The absolute path in the pod where the volume is mounted."""
        return str(self.mount["mountPath"])

    @property
    def lasts(self) -> bool:
        """True if files that a pod writes there still exist when the pod is gone."""
        kinds = {"emptyDir", "ephemeral", "configMap", "secret", "downwardAPI", "projected"}
        return not kinds & self.volume.keys() and not self.mount.get("readOnly")


def read_volumes(entries: list[dict[str, Any]]) -> tuple[list[Volume], list[tuple[int, str]]]:
    """The valid entries, and for each other its index and what is wrong with it."""
    found: list[Volume] = []
    faults: list[tuple[int, str]] = []
    for index, entry in enumerate(entries):
        try:
            volume = _read(index, entry)
        except ValueError as error:
            faults.append((index, str(error)))
            continue
        names, paths = [v.volume["name"] for v in found], [v.path for v in found]
        if volume.path in RESERVED_PATHS:
            faults.append((index, f"{volume.path} is mounted by prl-submit itself; take another"))
        elif volume.volume["name"] in names:
            faults.append((index, f"the name {volume.volume['name']!r} is given twice"))
        elif volume.path in paths:
            faults.append((index, f"{volume.path} is mounted twice"))
        else:
            found.append(volume)
    return found, faults


def _read(index: int, entry: dict[str, Any]) -> Volume:
    """Raises ValueError with what is wrong."""
    rest = dict(entry)
    mount = {_MOUNT_KEYS[key]: rest.pop(key) for key in list(rest) if key in _MOUNT_KEYS}
    name = rest.pop("name", f"volume-{index}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} is not lower-case letters, digits and '-'")
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is prl-submit's own; take another")
    path = mount.get("mountPath")
    if not isinstance(path, str) or not path.startswith("/") or ":" in path:
        raise ValueError(f"needs mountPath: an absolute path in the pod; found {path!r}")
    mount["mountPath"] = posixpath.normpath(f"/{path.lstrip('/')}")
    if len(rest) != 1:
        found = ", ".join(rest) or "none"
        raise ValueError(f"needs exactly one source: {_SOURCES}; found {found}")
    [(kind, source)] = rest.items()
    kind = _ALIASES.get(kind, kind)
    return Volume({"name": name, kind: _source(kind, source)}, {"name": name, **mount})


def _source(kind: str, source: Any) -> Any:  # a table: one short form for each kind
    """The source of a volume in Kubernetes' long form. Raises ValueError for an unknown short form."""
    if isinstance(source, dict):
        return source
    if kind == "emptyDir" and source is None:
        return {}
    if not isinstance(source, str):
        raise ValueError(f"{kind}: {source!r} is neither text nor a map")
    if kind not in _SHORT_FORMS:
        near = closest(kind, [*_ALIASES, *_ALIASES.values(), "nfs"], 0.6)
        meant = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"{kind}: needs a map of Kubernetes' own fields, found {source!r}{meant}")
    return _SHORT_FORMS[kind](source)


def _nfs(source: str) -> dict[str, str]:
    server, colon, path = source.partition(":")
    if not colon or not path.startswith("/"):
        raise ValueError(f"nfs: {source!r} is not SERVER:/PATH")
    return {"server": server, "path": path}


#: For each kind that can be written as one text: the long form of that text.
_SHORT_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "persistentVolumeClaim": lambda name: {"claimName": name},
    "hostPath": lambda path: {"path": path},
    "emptyDir": lambda size: {"sizeLimit": to_quantity(parse_memory(size))},
    "nfs": _nfs,
}


def holds(volume: Volume, path: str) -> bool:
    """True if an absolute path in the pod is on the volume."""
    return f"{path}/".startswith(f"{volume.path.rstrip('/')}/")
