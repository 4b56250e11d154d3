"""Find the cluster, the namespace and the account that kubectl would use, from files and plugins."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from prl_submit.backends.kubernetes.kubeconfig import Access, find_access
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell

Data = dict[str, Any]


NO_PLUGIN = FakeShell(otherwise=Answer(127, "", "it must not be asked"))


def config(name: str = "a", *, user: Data | None = None, cluster: Data | None = None, **context: str) -> Data:  # fmt: skip
    """A kubeconfig with one cluster, user and context, all called NAME; the context is current."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": cluster or {"server": f"https://{name}.example:6443"}}
        ],
        "users": [{"name": name, "user": {"token": f"token of {name}"} if user is None else user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
    }


class Home:
    """Files, and what KUBECONFIG says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, file: str, content: Data | str) -> Path:
        """A file; its path."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def find(
        self,
        *files: Data | str,
        context: str | None = None,
        namespace: str | None = None,
        shell: FakeShell = NO_PLUGIN,
    ) -> Access:
        """Access by these files, in this order."""
        paths = [self.write(f"{i}/config", content) for i, content in enumerate(files)]
        environ = {"KUBECONFIG": ":".join(map(str, paths))} if paths else {}
        return find_access(context, namespace, environ, shell)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Home(tmp_path)


def server(access: Access) -> str:
    return str(access.config.cluster.server)


def test_the_file_in_the_home(home: Home) -> None:
    home.write(".kube/config", config())
    access = home.find()
    assert (access.context, access.namespace) == ("a", "default")
    assert server(access) == "https://a.example:6443"
    assert access.config.user.token == "token of a"
    assert access.plugin is None


def test_kubeconfig_instead_of_it(home: Home) -> None:
    home.write(".kube/config", config("home"))
    assert home.find(config()).context == "a"
    assert find_access(None, None, {"KUBECONFIG": ""}, NO_PLUGIN).context == "home"


@pytest.mark.parametrize(
    ("own", "said", "expected"),
    [
        ({}, None, "default"),
        ({"namespace": "ml"}, None, "ml"),
        ({"namespace": "ml"}, "mine", "mine"),
        ({}, "mine", "mine"),
    ],
)
def test_namespaces(home: Home, own: Any, said: str | None, expected: str) -> None:
    """The namespace is that of the option, else the context's, else default."""
    access = home.find(config(**own), namespace=said)
    assert access.namespace == access.config.namespace == expected


def test_another_context(home: Home) -> None:
    """The context that is asked for is taken, with its server and user."""
    access = home.find(config(), config("b", namespace="ml"), context="b")
    assert (access.context, access.namespace) == ("b", "ml")
    assert (server(access), access.config.user.token) == ("https://b.example:6443", "token of b")


def test_several_files_are_one(home: Home) -> None:
    """The first file that has a name counts; a context and its user may be in different files."""
    users = {"users": [{"name": "a", "user": {"token": "first"}}], "clusters": None}
    rest = config("b")
    rest["contexts"].append({"name": "a", "context": {"cluster": "b", "user": "b"}})
    access = home.find(users, config("a"), rest)
    assert access.context == "a"
    assert (server(access), access.config.user.token) == ("https://a.example:6443", "first")


def test_an_empty_current_context_leaves_the_choice_to_the_next_file(home: Home) -> None:
    assert home.find({**config("a"), "current-context": ""}, config("b")).context == "b"


@pytest.mark.parametrize("empty", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_is_accepted(home: Home, empty: str) -> None:
    assert home.find(empty, config()).context == "a"


def test_missing_files_are_skipped(home: Home) -> None:
    path = home.write("config", config())
    environ = {"KUBECONFIG": f"/nowhere/config::{path}"}
    assert find_access(None, None, environ, NO_PLUGIN).context == "a"


def test_a_context_without_user(home: Home) -> None:
    content = config()
    del content["contexts"][0]["context"]["user"]
    assert home.find(content).config.user.token is None


# ------------------------------------------------------------------ files beside it
def test_relative_files_are_beside_the_kubeconfig(home: Home) -> None:
    user = {"client-certificate": "me.crt", "client-key": "/abs/me.key", "tokenFile": "../token"}
    cluster = {"server": "https://a", "certificate-authority": "pki/ca.crt"}
    access = home.find(config(user=user, cluster=cluster))
    folder = home.folder / "0"
    assert access.config.cluster.certificate_auth == str(folder / "pki/ca.crt")
    assert access.config.user.client_cert == str(folder / "me.crt")
    assert access.config.user.client_key == "/abs/me.key"
    assert access.config.user.token_file == str(folder / "../token")


def test_a_relative_kubeconfig(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write("config", config(user={"client-certificate": "me.crt"}))
    monkeypatch.chdir(home.folder)
    access = find_access(None, None, {"KUBECONFIG": "config"}, NO_PLUGIN)
    assert access.config.user.client_cert == str(home.folder / "me.crt")


# ------------------------------------------------------------------ faults of an entry
@pytest.mark.parametrize(
    ("contents", "context", "message"),
    [
        ([config(), config("b")], "c", "kubeconfig has no context 'c'; it has: a, b"),
        ([config(), {"current-context": "x"}], "x", "kubeconfig has no context 'x'; it has: a"),
        ([{"clusters": []}], "c", "kubeconfig has no context 'c'; it has: none"),
        ([{**config(), "current-context": ""}], None, "kubeconfig names no context; it has: a"),
        ([{**config(), "clusters": []}], None, "kubeconfig: context 'a' names no known cluster"),
        ([{**config(), "users": []}], None, "kubeconfig: context 'a' names no known user"),
    ],
)
def test_messages_name_what_is_missing(
    home: Home, contents: list[Data], context: str | None, message: str
) -> None:
    with pytest.raises(BackendUnreachableError) as caught:
        home.find(*contents, context=context)
    assert caught.value.message == message
    assert "kubectl config get-contexts" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("proxy-url", "cluster"),
        ("tls-server-name", "cluster"),
        ("as", "user"),
        ("as-groups", "user"),
    ],
)
def test_unsupported_keys_are_errors(home: Home, key: str, where: str) -> None:
    """To ignore such a key would mean to ask another server, or as another account."""
    content = config()
    content[f"{where}s"][0][where][key] = "x"
    with pytest.raises(BackendUnreachableError, match=f"cannot do `{key}`"):
        home.find(content)


def test_a_value_of_the_wrong_type(home: Home) -> None:
    with pytest.raises(BackendUnreachableError, match=r"context 'a': Expected `str.*token"):
        home.find(config(user={"token": 7}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "is no kubeconfig"),
        ("text", "is no kubeconfig"),
        ("{", "cannot be read: "),
        ("\x01", "cannot be read: "),
        ("contexts: [a]", "is no kubeconfig: contexts"),
        ("clusters: 7", "is no kubeconfig: clusters"),
        ("users: [{name: a, user: text}]", "is no kubeconfig: users"),
    ],
)
def test_files_that_are_no_kubeconfig(home: Home, content: str, message: str) -> None:
    with pytest.raises(PrlSubmitError) as caught:
        home.find(content)
    assert f"{home.folder}/0/config: {message}" in caught.value.message


# ------------------------------------------------------------------ no job at all
def test_no_kubeconfig_and_no_pod(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BackendUnreachableError, match=r"no kubeconfig, and this is no pod"):
        home.find()


@pytest.mark.parametrize(("said", "expected"), [(None, "ml"), ("mine", "mine")])
def test_a_pods_own_account(
    home: Home, monkeypatch: pytest.MonkeyPatch, said: str | None, expected: str
) -> None:
    account = home.folder / "account"
    for name, text in (("token", "pods token"), ("namespace", "ml"), ("ca.crt", "x")):
        home.write(f"account/{name}", text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    from lightkube.config.kubeconfig import KubeConfig

    real = KubeConfig.from_service_account
    monkeypatch.setattr(KubeConfig, "from_service_account", lambda: real(str(account)))
    access = home.find(namespace=said)
    assert (access.context, access.namespace) == (None, expected)
    assert server(access) == "https://10.0.0.1:443"
    # A kubeconfig counts before the pod's own account.
    assert home.find(config()).context == "a"


# ------------------------------------------------------------------ exec plugins
CLOUD = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "cloud-login",
    "args": ["token", 7],
    "env": [{"name": "PROFILE", "value": "ml"}],
    "interactiveMode": "IfAvailable",
}


def credential(**status: str) -> Answer:
    """A plugin's answer."""
    return Answer(0, json.dumps({"kind": "ExecCredential", "status": status}), "")


def test_a_plugins_token(home: Home) -> None:
    plugin = FakeShell(
        otherwise=credential(token="short-lived", expirationTimestamp="2026-11-22T20:00:00Z")
    )
    home.write("0/config", "")
    path = home.write("config", config(user={"exec": CLOUD}))
    environ = {"KUBECONFIG": str(path), "PATH": "/bin"}
    access = find_access(None, None, environ, plugin)
    assert access.config.user.token == "short-lived"
    assert access.plugin == CLOUD
    assert plugin.argvs[-1] == ["cloud-login", "token", "7"]
    assert (
        plugin.environ_of("cloud-login")["PROFILE"],
        plugin.environ_of("cloud-login")["PATH"],
    ) == ("ml", "/bin")
    assert json.loads(plugin.environ_of("cloud-login")["KUBERNETES_EXEC_INFO"]) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }


def test_a_plugins_certificate(home: Home) -> None:
    plugin = FakeShell(otherwise=credential(clientCertificateData="CERT", clientKeyData="KEY"))
    user = home.find(config(user={"exec": {"command": "p"}}), shell=plugin).config.user
    assert base64.b64decode(user.client_cert_data) == b"CERT"
    assert base64.b64decode(user.client_key_data) == b"KEY"
    assert user.token is None


def test_a_plugin_that_wants_to_know_the_cluster(home: Home) -> None:
    plugin = FakeShell(otherwise=credential(token="t"))
    home.find(config(user={"exec": {**CLOUD, "provideClusterInfo": True}}), shell=plugin)
    info = json.loads(plugin.environ_of("cloud-login")["KUBERNETES_EXEC_INFO"])
    assert info["spec"]["cluster"] == {"server": "https://a.example:6443"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [("bin/login", "{0}/0/bin/login"), ("/opt/login", "/opt/login"), ("login", "login")],
)
def test_where_a_plugin_is(home: Home, command: str, expected: str) -> None:
    plugin = FakeShell(otherwise=credential(token="t"))
    home.find(config(user={"exec": {"command": command, "env": None}}), shell=plugin)
    assert plugin.argvs[-1] == [expected.format(home.folder)]


@pytest.mark.parametrize(
    ("answer", "more", "said", "hint"),
    [
        (Answer(1, "", "first\nyour session has expired\n"), {}, "(exit code 1): your session has expired", "log in with it, then try again"),
        (Answer(1, "on stdout", ""), {}, "(exit code 1): on stdout", "log in with it, then try again"),
        (Answer(3, "", ""), {}, "(exit code 3): it said nothing", "log in with it, then try again"),
        (Answer(127, "", "cloud-login: not installed"), {"installHint": "\n  get it from us\nmore\n"}, "(exit code 127): cloud-login: not installed", "get it from us"),
        (Answer(1, "", "x"), {"installHint": " \n"}, "(exit code 1): x", "log in with it, then try again"),
    ],
)  # fmt: skip
def test_a_plugin_that_fails(
    home: Home, answer: Answer, more: dict[str, str], said: str, hint: str
) -> None:
    with pytest.raises(BackendUnreachableError) as caught:
        home.find(config(user={"exec": {**CLOUD, **more}}), shell=FakeShell(otherwise=answer))
    assert caught.value.message == f"kubeconfig's plugin cloud-login gave no credentials {said}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "out",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"status": null}',
        '{"status": {}}',
        '{"status": {"token": ""}}',
        '{"status": {"clientCertificateData": "C"}}',
        '{"status": {"clientCertificateData": 7, "clientKeyData": 7}}',
    ],
)
def test_a_plugin_that_answers_something_else(home: Home, out: str) -> None:
    with pytest.raises(BackendUnreachableError) as caught:
        home.find(config(user={"exec": CLOUD}), shell=FakeShell(otherwise=Answer(0, out, "")))
    said = "kubeconfig's plugin cloud-login: its answer is no ExecCredential"
    assert caught.value.message == said
