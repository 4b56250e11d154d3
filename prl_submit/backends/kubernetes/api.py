"""Requests to the API server of one cluster, and the errors that they raise.

lightkube provides credentials and TLS. prl-submit sends its requests through lightkube's HTTP client
directly, because lightkube's own functions lack what is needed: the parameters `previous` and
`sinceTime` of a log, lists of 500 jobs decoded within milliseconds, and a safe exec (see pod_exec.py).
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from prl_submit.backends.kubernetes.api_status import RefusedStatusError, is_about_rights, refusal
from prl_submit.backends.kubernetes.http_client import (
    ANSWER_S,
    CONNECT_S,
    clock_ahead,
    encoded,
    line_batches,
    make_client,
    seconds_to_wait,
    unreachable,
)
from prl_submit.backends.kubernetes.kubeconfig import Access, find_access
from prl_submit.errors import PrlSubmitError
from prl_submit.system.shell import Shell

if TYPE_CHECKING:
    import httpx2

#: A valid namespace (RFC 1123). It is checked because it becomes part of URLs, and a run.json may have
#: been edited.
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
#: A followed log is requested again after this many seconds without a line, because a broken connection
#: and a silent training look the same.
SILENCE_S = 60.0
#: Seconds to wait for an API server that has just started, and seconds between two tries.
STARTING_S = 5.0
_READY_AGAIN_S = 0.2
INSTALL = "pip install 'lightkube>=1.0.1,<2'"


class Api:
    """One namespace of one cluster, seen by one account.

    `renew`: makes the access anew when the credentials of an exec plugin have expired.
    """

    def __init__(self, access: Access, renew: Callable[[], Access]) -> None:
        self.access = access
        self._renew = renew
        self._renewing = threading.Lock()
        self._clock_ahead = 0.0
        self._has_waited = False
        self._client = make_client(access)

    @property
    def namespace(self) -> str:
        """The namespace of all requests."""
        return self.access.namespace

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.access.config.cluster.server)

    def jobs(self, name: str = "") -> str:
        """The path of all PyTorchJobs, or of the one of that name."""
        path = f"/apis/kubeflow.org/v1/namespaces/{self.namespace}/pytorchjobs"
        return f"{path}/{name}" if name else path

    def core(self, kind: str, name: str = "") -> str:
        """The path of all objects of a kind of the core API (`pods`, `events`), or of one."""
        path = f"/api/v1/namespaces/{self.namespace}/{kind}"
        return f"{path}/{name}" if name else path

    def get(self, path: str, **params: str) -> bytes:
        """An object or a list, as JSON.

        Raises RefusedStatusError if the server answers with an error, BackendUnreachableError if it does
        not answer.
        """
        return self._request("GET", path, params=params)

    def create(self, path: str, body: Any, *, dry_run: bool = False) -> bytes:
        """Create an object and return it as JSON. `body`: data, or YAML as bytes.

        `dry_run`: the server makes all its checks and creates nothing. Raises as `get`; NotSentError if it
        is certain that the server has not received the request.
        """
        params = {"fieldManager": "prl-submit", "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        return self._request("POST", path, params=params, body=body)

    def delete(self, path: str, *, foreground: bool = False, uid: str | None = None) -> None:
        """Delete an object. Raises as `get`.

        `foreground`: the object stays until all objects that it owns are deleted. `uid`: delete only the
        object with that uid, not a newer one of the same name.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if foreground:
            body["propagationPolicy"] = "Foreground"
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        self._request("DELETE", path, body=body)

    def now(self) -> float:
        """Seconds since the epoch by the API server's clock, estimated from its last answer."""
        return time.time() + self._clock_ahead

    def _request(
        self, method: str, path: str, *, params: Mapping[str, str] = {}, body: Any = None
    ) -> bytes:
        try:
            return self._request_once(method, path, params=params, body=body)
        except RefusedStatusError as error:
            # The authorizer refuses before the server does anything, so the request can be repeated.
            if not (is_about_rights(error.status) and self._waited_for_start()):
                raise
        return self._request_once(method, path, params=params, body=body)

    def _waited_for_start(self) -> bool:
        """Wait up to STARTING_S for a server that has just started; True if the request can be repeated.

        Until an API server has read its roles, it refuses every request, also one for /readyz. Once
        /readyz answers, the roles have been read, and a further refusal is final. This waits only once.
        """
        if self._has_waited:
            return False
        deadline = time.monotonic() + STARTING_S
        while not self._is_ready():
            if time.monotonic() > deadline:
                break  # this cluster refuses /readyz to ordinary accounts
            time.sleep(_READY_AGAIN_S)
        self._has_waited = True
        return True

    def _is_ready(self) -> bool:
        try:
            self._request_once("GET", "/readyz", params={}, body=None)
        except RefusedStatusError:
            return False
        return True

    def _request_once(
        self, method: str, path: str, *, params: Mapping[str, str], body: Any
    ) -> bytes:
        content, kind = encoded(body)
        headers = {} if body is None else {"Content-Type": kind}
        for attempt in (1, 2, 3):
            client = self._client
            with self._connection_errors():
                answer = client.request(
                    method, path, params=dict(params), content=content, headers=headers
                )
            self._clock_ahead = clock_ahead(answer, self._clock_ahead)
            if answer.status_code == 401 and attempt == 1 and self._renew_credentials(client):
                continue
            if answer.status_code == 429 and attempt < 3:
                time.sleep(seconds_to_wait(answer))
                continue
            if answer.status_code >= 400:
                raise refusal(answer.status_code, answer.content)
            return bytes(answer.content)
        raise AssertionError

    def _renew_credentials(self, client: httpx2.Client) -> bool:
        """Ask the exec plugin for new credentials; False if no plugin made the old ones.

        A plugin's credentials expire, for example while a log is followed. `client`: the one whose
        credentials the server refused. It stays open, because other threads still read through it.
        """
        if self.access.plugin is None:
            return False
        with self._renewing:
            if self._client is client:
                self.access = self._renew()
                self._client = make_client(self.access)
        return True

    @contextlib.contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Turn the client's errors into BackendUnreachableError."""
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            raise unreachable(self.server, error) from None

    @contextlib.contextmanager
    def log_batches(self, pod: str, **params: str) -> Iterator[Iterator[list[bytes]]]:
        """A pod's log: batches of lines with their line ends, as they come.

        A last line without line end is the last batch. Raises as `get`, also while it is read.
        """
        import httpx2

        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S, read=SILENCE_S)
        path = f"{self.core('pods', pod)}/log"
        while True:
            client = self._client
            stream = client.stream("GET", path, params=params, timeout=timeout)
            with self._connection_errors(), stream as answer:
                if answer.status_code < 400:
                    yield line_batches(answer.iter_bytes())
                    return
                error = refusal(answer.status_code, answer.read())
            if error.status.code == 401:
                self._renew_credentials(client)  # so that the next try of the caller succeeds
            if not (is_about_rights(error.status) and self._waited_for_start()):
                raise error

    def execute(self, pod: str, container: str, argv: list[str], stdout: BinaryIO) -> None:
        """Run a program in a pod's container and write its output to `stdout`.

        Raises PrlSubmitError with the program's stderr if it fails, RefusedStatusError if the server or
        the kubelet does not start it, BackendUnreachableError if the connection breaks.
        """
        from prl_submit.backends.kubernetes.pod_exec import execute

        path = self.core("pods", pod)
        for attempt in (1, 2):
            client = self._client
            try:
                with self._connection_errors():
                    status, errors = execute(client, path, container, argv, stdout)
                break
            except RefusedStatusError as error:
                has_expired = error.status.code == 401 and attempt == 1
                if not (has_expired and self._renew_credentials(client)):
                    raise
        code = status.exit_code
        if code is None:
            raise RefusedStatusError(status)
        if code:
            message = errors.decode("utf-8", "replace").strip()
            raise PrlSubmitError(f"{argv[0]} in pod {pod}: exit code {code}: {message}")


class Connect(Protocol):
    """A function that makes an Api."""

    def __call__(self, context: str | None, namespace: str | None) -> Api:
        """Raises BackendUnreachableError if neither the arguments nor the kubeconfig name a cluster."""


def connect(
    context: str | None, namespace: str | None, environ: Mapping[str, str], shell: Shell
) -> Api:
    """The API of a kubeconfig's context and of a namespace; None: the kubeconfig's current ones.

    Raises BackendUnreachableError, PrlSubmitError.
    """
    require_lightkube()
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        raise PrlSubmitError(f"{namespace!r} is no namespace of Kubernetes")

    def find() -> Access:
        return find_access(context, namespace, environ, shell)

    return Api(find(), find)


def require_lightkube() -> None:
    """Raise PrlSubmitError if the extra `kubernetes` is not installed."""
    try:
        import lightkube  # noqa: F401  # only to see whether it is there
    except ImportError:
        raise PrlSubmitError(
            "lightkube is not installed, and Kubernetes needs it", INSTALL
        ) from None
