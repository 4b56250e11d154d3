"""Find the cluster, the namespace and the credentials that kubectl would use here.

lightkube alone reads only one kubeconfig. Like kubectl, this module merges all files that KUBECONFIG
lists, uses a pod's own account only if there is no kubeconfig, and runs exec plugins of every version.
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
#: Keys that kubectl obeys and lightkube ignores, with a hint for each. prl-submit refuses them, because
#: otherwise it would ask another server than kubectl, or act as another account.
_UNSUPPORTED = {
    "proxy-url": "set HTTPS_PROXY instead",
    "tls-server-name": "give the server's real name in `server`",
    "as": "use a context whose user is that account",
    "as-uid": "use a context whose user is that account",
    "as-groups": "use a context whose user is that account",
}
#: Keys whose values are paths, relative to the kubeconfig's folder.
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_HINT = "set KUBECONFIG, or kubernetes.context; `kubectl config get-contexts` lists what there is"
#: Seconds that an exec plugin may take; it may have to ask a cloud provider.
_PLUGIN_S = 60.0

Section = dict[str, Any]


class Access(Struct, frozen=True):
    """A cluster, a namespace and credentials.

    `context`: the kubeconfig's context; None for the account of the pod in which prl-submit runs.
    `config`: lightkube's SingleConfig. `plugin`: the exec plugin that made the credentials, which therefore
    expire; None without one.
    """

    context: str | None
    namespace: str
    config: Any  # SingleConfig; not imported here, because `check` and `--help` must start fast
    plugin: Section | None = None


def find_access(
    context: str | None, namespace: str | None, environ: Mapping[str, str], shell: Shell
) -> Access:
    """The access by a kubeconfig's context; None: its current one. `namespace` None: the context's.

    Raises BackendUnreachableError if no cluster is configured or the plugin gives no credentials,
    PrlSubmitError if a kubeconfig cannot be read.
    """
    merged = _merged(environ)
    if not merged["contexts"] and context is None:
        return _in_cluster(namespace)
    name, chosen = _chosen_context(merged, context)
    cluster, user = _cluster_and_user(merged, name, chosen)
    plugin = user.get("exec")
    if plugin is not None:
        user = {**user, **_ask_plugin(plugin, cluster, environ, shell)}
    where = namespace or chosen.get("namespace") or "default"
    return Access(name, where, _config(name, where, cluster, user), plugin)


def _chosen_context(merged: Section, context: str | None) -> tuple[str, Section]:
    """The name and the content of a context."""
    name = context or merged.get("current-context")
    chosen = merged["contexts"].get(name or "")
    if chosen is None:
        known = ", ".join(merged["contexts"]) or "none"
        what = f"kubeconfig has no context {name!r}" if name else "kubeconfig names no context"
        raise BackendUnreachableError(f"{what}; it has: {known}", _HINT)
    return name or "", chosen


def _cluster_and_user(merged: Section, name: str, context: Section) -> tuple[Section, Section]:
    """The cluster and the user that a context names. A context without user has no credentials."""
    cluster = merged["clusters"].get(context.get("cluster", ""))
    user = merged["users"].get(context.get("user", ""), None if context.get("user") else {})
    for kind, found in (("cluster", cluster), ("user", user)):
        if found is None:
            what = f"kubeconfig: context {name!r} names no known {kind}"
            raise BackendUnreachableError(what, _HINT)
    return cluster, user


def _in_cluster(namespace: str | None) -> Access:
    """The access by the account of the pod in which prl-submit runs."""
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

    """lightkube's configuration for one context. Raises BackendUnreachableError."""
    user = {key: value for key, value in user.items() if key != "exec"}
    for key in (*cluster, *user):
        if key in _UNSUPPORTED:
            message = f"kubeconfig: context {name!r}: prl-submit cannot do `{key}`"
            raise BackendUnreachableError(message, _UNSUPPORTED[key])
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
    assert config is not None  # noqa: S101  # `get` raises for a context that is not there
    return config


def _merged(environ: Mapping[str, str]) -> Section:
    """All files that KUBECONFIG lists, merged: the first file that has a name or a value counts."""
    merged: Section = {"clusters": {}, "users": {}, "contexts": {}}
    for path in _paths(environ):
        content = _read(path)
        merged["current-context"] = merged.get("current-context") or content.get("current-context")
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
    # Path.expanduser raises for a uid without a home; os.path.expanduser does not.
    parts = [os.path.expanduser(part) for part in listed.split(os.pathsep) if part]
    paths = [Path(part).absolute() for part in parts]
    return [path for path in paths if path.is_file()]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise PrlSubmitError(f"{path}: cannot be read: {error}", _HINT) from None
    if content is None:  # an empty file, which kubectl accepts too
        return {}
    if not isinstance(content, dict):
        raise PrlSubmitError(f"{path}: is no kubeconfig", _HINT)
    return content


def _absolute(section: Section, folder: Path) -> Section:
    """The section with absolute paths. A plugin's command without `/` is searched for in PATH."""
    found = {
        key: str(folder / value) if key in _FILES and isinstance(value, str) else value
        for key, value in section.items()
    }
    plugin = found.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):
        found["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return found


def _ask_plugin(
    plugin: Section, cluster: Section, environ: Mapping[str, str], shell: Shell
) -> Section:
    """The credentials that an exec plugin prints (client.authentication.k8s.io, all versions)."""
    command = str(plugin.get("command"))
    answer = shell(
        [command, *map(str, plugin.get("args") or [])],
        timeout=_PLUGIN_S,
        environ=_plugin_environ(plugin, cluster, environ),
    )
    if answer.code != 0:
        lines = (answer.err.strip() or answer.out.strip()).splitlines()
        last_line = lines[-1] if lines else "it said nothing"
        hint = str(plugin.get("installHint") or "").strip() or "log in with it, then try again"
        raise BackendUnreachableError(
            f"kubeconfig's plugin {command} gave no credentials (exit code {answer.code}): {last_line}",
            hint.splitlines()[0],
        )
    try:
        status = msgspec.json.decode(answer.out)["status"]
        return _credentials(status)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise BackendUnreachableError(
            f"kubeconfig's plugin {command}: its answer is no ExecCredential"
        ) from None


def _plugin_environ(
    plugin: Section, cluster: Section, environ: Mapping[str, str]
) -> dict[str, str]:
    info: Section = {
        "apiVersion": str(plugin.get("apiVersion", "")),
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    if plugin.get("provideClusterInfo"):
        info["spec"]["cluster"] = cluster
    entries = plugin.get("env") or []
    variables = {str(entry.get("name")): str(entry.get("value", "")) for entry in entries}
    encoded = msgspec.json.encode(info).decode()
    return {**environ, **variables, "KUBERNETES_EXEC_INFO": encoded}


def _credentials(status: Section) -> Section:
    """The keys of a kubeconfig's user for a plugin's answer. Raises KeyError if it has no credentials."""
    found: Section = {}
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
