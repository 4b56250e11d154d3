"""The command of a container: its words, its variables, its user."""

from __future__ import annotations

import base64
import os
from typing import NamedTuple

from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Api, Object
from tools.clusters.kubernetes_stand_ins.field_refs import field_of
from tools.clusters.kubernetes_stand_ins.variable_expansion import expand

#: The capabilities that container runtimes leave to root in a container.
DEFAULT_CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
OTHER_CAPABILITIES = {"NET_ADMIN": 12, "IPC_LOCK": 14, "SYS_PTRACE": 19, "SYS_ADMIN": 21}
CAPABILITIES = DEFAULT_CAPABILITIES | OTHER_CAPABILITIES
ALL = range(64)


class ConfigError(Exception):
    """The pod's spec cannot be fulfilled now. A kubelet calls this CreateContainerConfigError."""


class Command(NamedTuple):
    """A command and its variables."""

    argv: list[str]
    environment: dict[str, str]


def command_of(api: Api, pod: Object, container: Object) -> Command:
    """The words and variables of a container, with `$(NAME)` replaced."""
    values = _values(api, pod, container)
    words = [*container.get("command", []), *container.get("args", [])]
    base = {
        "PATH": os.environ["PATH"],
        "HOSTNAME": pod["metadata"]["name"],
        "HOME": "/root" if user_of(pod, container)["uid"] == 0 else "/",
        cluster_paths.MARK: os.environ[cluster_paths.MARK],
    }
    return Command([expand(word, values) for word in words], base | values)


def user_of(pod: Object, container: Object) -> Object:
    """The user of a container: ids, groups and capabilities."""
    shared, own = pod["spec"].get("securityContext", {}), container.get("securityContext", {})
    both = shared | own
    uid = both.get("runAsUser", 0)
    if both.get("runAsNonRoot") and uid == 0:
        if "runAsUser" in both:
            raise ConfigError("container's runAsUser breaks non-root policy")
        raise ConfigError("container has runAsNonRoot and image will run as root")
    groups = [*shared.get("supplementalGroups", [])]
    groups += [shared["fsGroup"]] if "fsGroup" in shared else []
    return {
        "uid": uid,
        "gid": both.get("runAsGroup", 0),
        "groups": groups,
        "capabilities": sorted(_capabilities(own)),
        "noNewPrivileges": own.get("allowPrivilegeEscalation") is False,
    }


def _capabilities(context: Object) -> set[int]:
    """The capabilities that root has in the container."""
    if context.get("privileged"):
        return set(ALL)
    wish = context.get("capabilities", {})
    dropped, added = wish.get("drop", []), wish.get("add", [])
    kept = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES.values())
    kept -= {CAPABILITIES[name] for name in dropped if name in CAPABILITIES}
    kept |= {CAPABILITIES[name] for name in added if name in CAPABILITIES}
    return kept


def _values(api: Api, pod: Object, container: Object) -> dict[str, str]:
    """The container's own variables, in their order, since each may use those before it."""
    values: dict[str, str] = {}
    for one in container.get("env", []):
        if "valueFrom" not in one:
            values[one["name"]] = expand(one.get("value", ""), values)
            continue
        value = _referred(api, pod, one["valueFrom"])
        if value is not None:
            values[one["name"]] = value
    return values


def _referred(api: Api, pod: Object, source: Object) -> str | None:
    """A value from a field, a secret or a config map; None if it is optional and missing."""
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "secretKeyRef" in source:
        text = _looked_up(api, pod, source["secretKeyRef"], "secret")
        return None if text is None else base64.b64decode(text).decode(errors="surrogateescape")
    if "configMapKeyRef" in source:
        return _looked_up(api, pod, source["configMapKeyRef"], "configmap")
    raise ConfigError(f"not supported here: {', '.join(source)}")


def _looked_up(api: Api, pod: Object, reference: Object, kind: str) -> str | None:
    """The value of a key in a secret or config map."""
    namespace, name, key = pod["metadata"]["namespace"], reference["name"], reference["key"]
    found = api.find(f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
    value: str | None = ((found or {}).get("data") or {}).get(key)
    if value is not None or reference.get("optional"):
        return value
    if found is None:
        raise ConfigError(f'{kind} "{name}" not found')
    shown = "Secret" if kind == "secret" else "ConfigMap"
    raise ConfigError(f"couldn't find key {key} in {shown} {namespace}/{name}")
