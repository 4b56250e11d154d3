"""The values that a pod's `fieldRef` names, for variables and for files."""

from __future__ import annotations

import re

from tools.clusters.kubernetes_stand_ins.api import Object

ADDRESS = "127.0.0.1"
_ENTRY = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]", re.DOTALL)


class FieldError(Exception):
    """There is no such field."""


def field_of(pod: Object, path: str) -> str:
    """The value of a field of the pod."""
    meta, spec = pod["metadata"], pod["spec"]
    if entry := _ENTRY.fullmatch(path):
        return str(meta.get(entry[1], {}).get(entry[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(meta.get(path.split(".")[1], {}))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec["nodeName"],
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": ADDRESS,
        "status.podIPs": ADDRESS,
        "status.hostIP": ADDRESS,
    }
    if path not in values:
        raise FieldError(f"unsupported fieldPath: {path}")
    return str(values[path])


def _lines(entries: dict[str, str]) -> str:
    """A map as lines NAME="value"."""
    return "\n".join(f"{key}={_quoted(entries[key])}" for key in sorted(entries))


def _quoted(text: str) -> str:
    """The text in quotes, as Go's %q writes what labels and annotations may hold."""
    special = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(special.get(one, one) for one in text) + '"'
