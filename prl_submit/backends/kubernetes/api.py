"""The API server: requests that come back with an answer, or say why there is none.

lightkube has the credentials and TLS; what it does not have (`previous` and `sinceTime` of logs,
one list of 500 jobs read in milliseconds, an exec that does no harm) goes over its own HTTP client.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from prl_submit.backends.kubernetes.api_status import RefusedStatusError, is_about_rights, refusal
from prl_submit.backends.kubernetes.kubeconfig import Access, find_access
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.system.shell import Shell

if TYPE_CHECKING:
    import httpx2

#: A record may hold anything, and the namespace becomes a part of URLs (RFC 1123).
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
#: Seconds for a connection, and for the answer to a question.
CONNECT_S = 5.0
ANSWER_S = 30.0
#: Seconds of silence after which a followed log is asked for anew: a dead connection says nothing.
SILENCE_S = 60.0
#: Seconds for which a server that has just started is waited for, and between two looks.
STARTING_S = 5.0
_READY_AGAIN_S = 0.2
#: Seconds up to which two clocks are taken for equal: the server tells whole seconds.
_EXACT_S = 2.0
INSTALL = "pip install 'lightkube>=1.0.1,<2'"


class NotSentError(BackendUnreachableError):
    """There was no connection, so the server has heard nothing."""


class Api:
    """One namespace of one cluster, as one account sees it."""

    def __init__(self, access: Access, renew: Callable[[], Access]) -> None:
        self.access = access
        self._renew = renew
        self._renewing = threading.Lock()
        self._clock_ahead = 0.0
        self._has_waited = False
        self._client = _client(access)

    @property
    def namespace(self) -> str:
        """Where all requests go that name none."""
        return self.access.namespace

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self.access.config.cluster.server)

    def jobs(self, name: str = "") -> str:
        """The path of PyTorchJobs, or of one."""
        path = f"/apis/kubeflow.org/v1/namespaces/{self.namespace}/pytorchjobs"
        return f"{path}/{name}" if name else path

    def core(self, kind: str, name: str = "") -> str:
        """The path of a kind of the core API: `pods`, `events`, …."""
        path = f"/api/v1/namespaces/{self.namespace}/{kind}"
        return f"{path}/{name}" if name else path

    def get(self, path: str, **params: str) -> bytes:
        """An object or a list, as JSON. Raises RefusedStatusError, BackendUnreachableError."""
        return self._request("GET", path, params=params)

    def create(self, path: str, body: Any, *, dry_run: bool = False) -> bytes:
        """The object as it was created; `body`: data, or YAML's bytes, which are sent as they are.

        `dry_run`: all checks, and nothing is made. Raises as `get`; NotSentError where it is certain
        that the server heard nothing.
        """
        params = {"fieldManager": "prl-submit", "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        return self._request("POST", path, params=params, body=body)

    def delete(self, path: str, *, foreground: bool = False, uid: str | None = None) -> None:
        """Delete an object. `foreground`: it goes when all that it owns has gone."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if foreground:
            body["propagationPolicy"] = "Foreground"
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        self._request("DELETE", path, body=body)

    def now(self) -> float:
        """Seconds since the epoch by the server's clock, as its last answer told it."""
        return time.time() + self._clock_ahead

    def _request(
        self, method: str, path: str, *, params: Mapping[str, str] = {}, body: Any = None
    ) -> bytes:
        try:
            return self._request_once(method, path, params=params, body=body)
        except RefusedStatusError as error:
            # The authorizer refuses before anything is done, so the same request may be sent again.
            if not (is_about_rights(error.status) and self._was_starting()):
                raise
        return self._request_once(method, path, params=params, body=body)

    def _was_starting(self) -> bool:
        """Whether a refusal may be due to the server's start, which is waited for (once, STARTING_S).

        Until a server has read its roles it refuses everybody everything, /readyz included. Once /readyz
        answers, the roles have been read, and a request that is refused then is refused for good.
        """
        if self._has_waited:
            return False
        deadline = time.monotonic() + STARTING_S
        while not self._is_ready():
            if time.monotonic() > deadline:
                break  # a cluster that lets nobody ask
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
        content, kind = _encoded(body)
        headers = {} if body is None else {"Content-Type": kind}
        for attempt in (1, 2, 3):
            client = self._client
            with self._speaking():
                answer = client.request(
                    method, path, params=dict(params), content=content, headers=headers
                )
            self._clock_ahead = _ahead(answer, self._clock_ahead)
            if answer.status_code == 401 and attempt == 1 and self._can_renew(client):
                continue
            if answer.status_code == 429 and attempt < 3:
                time.sleep(_asked_to_wait(answer))
                continue
            if answer.status_code >= 400:
                raise refusal(answer.status_code, answer.content)
            return bytes(answer.content)
        raise AssertionError

    def _can_renew(self, client: httpx2.Client) -> bool:
        """New credentials, where a plugin made the old ones: they run out while one follows.

        `client`: with which the old ones were refused. It is left open, for other threads read
        through it.
        """
        if self.access.plugin is None:
            return False
        with self._renewing:
            if self._client is client:
                self.access = self._renew()
                self._client = _client(self.access)
        return True

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            raise unreachable(self.server, error) from None

    @contextlib.contextmanager
    def log_batches(self, pod: str, **params: str) -> Iterator[Iterator[list[bytes]]]:
        """A pod's log as it comes: several whole lines at a time, each with its line end.

        A last line without one is the last batch. Raises as `get` does.
        """
        import httpx2

        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S, read=SILENCE_S)
        path = f"{self.core('pods', pod)}/log"
        while True:
            client = self._client
            stream = client.stream("GET", path, params=params, timeout=timeout)
            with self._speaking(), stream as answer:
                if answer.status_code < 400:
                    yield _batches(answer.iter_bytes())
                    return
                error = refusal(answer.status_code, answer.read())
            if error.status.code == 401:
                self._can_renew(client)
            if not (is_about_rights(error.status) and self._was_starting()):
                raise error

    def execute(self, pod: str, container: str, argv: list[str], stdout: BinaryIO) -> None:
        """Run a program in a container, its output to `stdout`.

        Raises PrlSubmitError with its last words where it fails; RefusedStatusError;
        BackendUnreachableError where the connection breaks.
        """
        from prl_submit.backends.kubernetes.pod_exec import execute

        path = self.core("pods", pod)
        for attempt in (1, 2):
            client = self._client
            try:
                with self._speaking():
                    status, errors = execute(client, path, container, argv, stdout)
                break
            except RefusedStatusError as error:
                if not (error.status.code == 401 and attempt == 1 and self._can_renew(client)):
                    raise
        code = status.exit_code
        if code is None:
            raise RefusedStatusError(status)
        if code:
            said = errors.decode("utf-8", "replace").strip()
            raise PrlSubmitError(f"{argv[0]} in pod {pod}: exit code {code}: {said}")


class Connect(Protocol):
    """Makes an Api."""

    def __call__(self, context: str | None, namespace: str | None) -> Api:
        """Raises BackendUnreachableError where nothing says which cluster."""


def connect(
    context: str | None, namespace: str | None, environ: Mapping[str, str], shell: Shell
) -> Api:
    """The API that a spec or a record names. Raises BackendUnreachableError, PrlSubmitError."""
    require_lightkube()
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        raise PrlSubmitError(f"{namespace!r} is no namespace of Kubernetes")

    def find() -> Access:
        return find_access(context, namespace, environ, shell)

    return Api(find(), find)


def require_lightkube() -> None:
    """Raises PrlSubmitError where the extra is not installed."""
    try:
        import lightkube  # noqa: F401  # the rest of this package imports its parts
    except ImportError:
        raise PrlSubmitError(
            "lightkube is not installed, and Kubernetes needs it", INSTALL
        ) from None


def _client(access: Access) -> httpx2.Client:
    import ssl

    import httpx2
    from lightkube.config import client_adapter
    from lightkube.core.exceptions import ConfigError

    parameters = client_adapter.ConnectionParams(
        timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
    )
    try:
        return client_adapter.Client(access.config, parameters)
    except (ConfigError, OSError, ssl.SSLError, ValueError) as error:
        raise BackendUnreachableError(f"kubeconfig: context {access.context!r}: {error}") from None


def _ahead(answer: httpx2.Response, before: float) -> float:
    """Seconds by which the server's clock is ahead of ours; `before` where the answer has no time."""
    from email.utils import parsedate_to_datetime

    try:
        ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
    except (KeyError, ValueError, TypeError, OverflowError):
        return before
    return ahead if abs(ahead) > _EXACT_S else 0.0


def _asked_to_wait(answer: httpx2.Response) -> float:
    """Seconds until a server that has too much to do wants to be asked again; 5 at most."""
    try:
        return min(float(answer.headers.get("Retry-After", "1")), 5.0)
    except ValueError:
        return 1.0


def _encoded(body: Any) -> tuple[bytes | None, str]:
    """What is sent, and its media type."""
    if isinstance(body, bytes):
        return body, "application/yaml"
    return None if body is None else msgspec.json.encode(body), "application/json"


def unreachable(server: str, error: Exception) -> BackendUnreachableError:
    """What a failed connection means."""
    import httpx2

    what = str(error) or type(error).__name__
    hint = "is the cluster up, and the VPN? `kubectl cluster-info` asks it too"
    if "CERTIFICATE_VERIFY_FAILED" in what:
        hint = "the kubeconfig has another cluster's certificate, or a proxy stands between"
    never_sent = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
    kind = NotSentError if never_sent else BackendUnreachableError
    return kind(f"Kubernetes at {server} does not answer: {what}", hint)


def _batches(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [line + b"\n" for line in lines]
    if rest:
        yield [rest]
