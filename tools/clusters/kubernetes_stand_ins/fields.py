"""What pods say about themselves: fieldRef, for variables and for files."""

from __future__ import annotations

import re

from tools.clusters.kubernetes_stand_ins.api import Object

ADDRESS = "127.0.0.1"
_ENTRY = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]", re.DOTALL)


class FieldError(Exception):
    """No such field."""


def field_of(pod: Object, path: str) -> str:
    """The value of a field."""
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
    """All of a map, its values quoted."""
    return "\n".join(f"{key}={_quoted(entries[key])}" for key in sorted(entries))


def _quoted(text: str) -> str:
    """As Go's %q does it, of what may be in labels and annotations."""
    special = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(special.get(one, one) for one in text) + '"'
