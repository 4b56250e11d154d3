"""Which cluster, which namespace, and as whom: what kubectl would use here.

lightkube reads one file. kubectl merges the files that KUBECONFIG lists, takes a pod's own account
only where there is no file, and asks exec plugins of every version; so do we.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.yaml_text import load
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.system.shell import Shell

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

_DEFAULT = "~/.kube/config"
#: What kubectl heeds and lightkube passes over: better no answer than one from elsewhere, or as another.
_UNHEEDED = {
    "proxy-url": "set HTTPS_PROXY instead",
    "tls-server-name": "give the server's real name in `server`",
    "as": "use a context whose user is that account",
    "as-uid": "use a context whose user is that account",
    "as-groups": "use a context whose user is that account",
}
#: Keys that name files beside the kubeconfig.
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_HINT = "set KUBECONFIG, or kubernetes.context; `kubectl config get-contexts` lists what there is"
#: Seconds; a plugin may have to ask its cloud.
_PLUGIN_S = 60.0


class Access(Struct, frozen=True):
    """A cluster as one account sees it. `context` None: the account of the pod that one types in."""

    context: str | None
    namespace: str
    config: Any  # lightkube's SingleConfig, which is only imported where it is used
    #: The exec plugin that made the credentials, which then run out.
    plugin: dict[str, Any] | None = None


def find_access(
    context: str | None, namespace: str | None, environ: Mapping[str, str], shell: Shell
) -> Access:
    """Access to a cluster. Raises BackendUnreachableError where nothing says which."""
    merged = _merged(environ)
    name = context or merged.get("current-context")
    if not merged["contexts"] and context is None:
        return _in_cluster(namespace)
    chosen = merged["contexts"].get(name or "")
    if chosen is None:
        known = ", ".join(merged["contexts"]) or "none"
        what = f"kubeconfig has no context {name!r}" if name else "kubeconfig names no context"
        raise BackendUnreachableError(f"{what}; it has: {known}", _HINT)
    cluster = merged["clusters"].get(chosen.get("cluster", ""))
    user = merged["users"].get(chosen.get("user", ""), None if chosen.get("user") else {})
    for kind, found in (("cluster", cluster), ("user", user)):
        if found is None:
            what = f"kubeconfig: context {name!r} names no known {kind}"
            raise BackendUnreachableError(what, _HINT)
    plugin = user.get("exec")
    if plugin is not None:
        user = {**user, **_ask_plugin(plugin, cluster, environ, shell)}
    where = namespace or chosen.get("namespace") or "default"
    return Access(name, where, _config(name or "", where, cluster, user), plugin)


def _in_cluster(namespace: str | None) -> Access:
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    try:
        config = KubeConfig.from_service_account().get()
    except (ConfigError, KeyError):
        raise BackendUnreachableError(
            "no Kubernetes cluster is configured here: no kubeconfig, and this is no pod", _HINT
        ) from None
    assert config is not None  # noqa: S101  # from_service_account names its context itself
    return Access(None, namespace or config.namespace, config)


def _config(name: str, namespace: str, cluster: Any, user: Any) -> SingleConfig:
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    user = {key: value for key, value in user.items() if key != "exec"}
    for key in (*cluster, *user):
        if key in _UNHEEDED:
            message = f"kubeconfig: context {name!r}: prl-submit cannot do `{key}`"
            raise BackendUnreachableError(message, _UNHEEDED[key])
    whole = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u", "namespace": namespace}}
        ],
    }
    try:
        config = KubeConfig.from_dict(whole).get(name)
    except (ConfigError, msgspec.ValidationError) as error:
        raise BackendUnreachableError(f"kubeconfig: context {name!r}: {error}", _HINT) from None
    assert config is not None  # noqa: S101  # a context that is given is there, or raises
    return config


def _merged(environ: Mapping[str, str]) -> dict[str, Any]:
    """All files that KUBECONFIG lists as one, by name; the first to say a thing has it."""
    merged: dict[str, Any] = {"clusters": {}, "users": {}, "contexts": {}}
    for path in _paths(environ):
        content = _read(path)
        merged.setdefault("current-context", content.get("current-context") or None)
        merged["current-context"] = merged["current-context"] or content.get("current-context")
        for key, inner in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            try:
                for item in content.get(key) or []:
                    value = _absolute(item.get(inner) or {}, path.parent)
                    merged[key].setdefault(str(item.get("name")), value)
            except (AttributeError, TypeError):
                raise PrlSubmitError(f"{path}: is no kubeconfig: {key}", _HINT) from None
    return merged


def _paths(environ: Mapping[str, str]) -> list[Path]:
    listed = environ.get("KUBECONFIG") or _DEFAULT
    # Not Path.expanduser, which raises for a uid without a home.
    parts = [os.path.expanduser(part) for part in listed.split(os.pathsep) if part]
    paths = [Path(part).absolute() for part in parts]
    return [path for path in paths if path.is_file()]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise PrlSubmitError(f"{path}: cannot be read: {error}", _HINT) from None
    if content is None:  # empty, which kubectl takes too
        return {}
    if not isinstance(content, dict):
        raise PrlSubmitError(f"{path}: is no kubeconfig", _HINT)
    return content


def _absolute(section: dict[str, Any], folder: Path) -> dict[str, Any]:
    found = {
        key: str(folder / value) if key in _FILES and isinstance(value, str) else value
        for key, value in section.items()
    }
    plugin = found.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):
        found["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return found


def _ask_plugin(
    plugin: dict[str, Any], cluster: dict[str, Any], environ: Mapping[str, str], shell: Shell
) -> dict[str, Any]:
    """The credentials that an exec plugin gives (client.authentication.k8s.io, all versions)."""
    version = str(plugin.get("apiVersion", ""))
    info: dict[str, Any] = {
        "apiVersion": version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    if plugin.get("provideClusterInfo"):
        info["spec"]["cluster"] = cluster
    variables = {
        str(each.get("name")): str(each.get("value", "")) for each in plugin.get("env") or []
    }
    argv = [str(plugin.get("command")), *map(str, plugin.get("args") or [])]
    answer = shell(
        argv,
        timeout=_PLUGIN_S,
        environ={
            **environ,
            **variables,
            "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode(),
        },
    )
    if answer.code != 0:
        said = (answer.err.strip() or answer.out.strip()).splitlines()[-1:] or ["it said nothing"]
        hint = str(plugin.get("installHint") or "").strip() or "log in with it, then try again"
        raise BackendUnreachableError(
            f"kubeconfig's plugin {argv[0]} gave no credentials (exit code {answer.code}): {said[0]}",
            hint.splitlines()[0],
        )
    try:
        status = msgspec.json.decode(answer.out)["status"]
        return _credentials(status)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise BackendUnreachableError(
            f"kubeconfig's plugin {argv[0]}: its answer is no ExecCredential"
        ) from None


def _credentials(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if status.get("token"):
        found["token"] = status["token"]
    if status.get("clientCertificateData"):
        for key, name in (
            ("clientCertificateData", "client-certificate-data"),
            ("clientKeyData", "client-key-data"),
        ):
            found[name] = base64.b64encode(status[key].encode()).decode()
    if not found:
        raise KeyError("token")
    return found
