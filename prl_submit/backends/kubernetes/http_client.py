"""The HTTP client below `Api`: making one, and what its errors and answers mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from prl_submit.backends.kubernetes.kubeconfig import Access
from prl_submit.errors import BackendUnreachableError

if TYPE_CHECKING:
    import httpx2

#: Seconds to connect, and seconds to wait for the answer to a request.
CONNECT_S = 5.0
ANSWER_S = 30.0
#: Differences between two clocks up to this many seconds are ignored: the `Date` header has whole seconds.
_EXACT_S = 2.0


class NotSentError(BackendUnreachableError):
    """There was no connection, so the API server has not received the request."""


def make_client(access: Access) -> httpx2.Client:
    """A client with the kubeconfig's credentials. Raises BackendUnreachableError if they are not valid."""
    import ssl

    import httpx2
    from lightkube.config import client_adapter
    from lightkube.core.exceptions import ConfigError

    timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
    parameters = client_adapter.ConnectionParams(timeout=timeout)
    try:
        return client_adapter.Client(access.config, parameters)
    except (ConfigError, OSError, ssl.SSLError, ValueError) as error:
        raise BackendUnreachableError(f"kubeconfig: context {access.context!r}: {error}") from None


def unreachable(server: str, error: Exception) -> BackendUnreachableError:
    """The error for a connection that failed. NotSentError if it failed before anything was sent."""
    import httpx2

    what = str(error) or type(error).__name__
    hint = "is the cluster up, and the VPN? `kubectl cluster-info` asks it too"
    if "CERTIFICATE_VERIFY_FAILED" in what:
        hint = "the kubeconfig has another cluster's certificate, or a proxy stands between"
    never_sent = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
    kind = NotSentError if never_sent else BackendUnreachableError
    return kind(f"Kubernetes at {server} does not answer: {what}", hint)


def clock_ahead(answer: httpx2.Response, before: float) -> float:
    """Seconds by which the server's clock is ahead of ours; `before` if the answer has no `Date`."""
    from email.utils import parsedate_to_datetime

    try:
        ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
    except (KeyError, ValueError, TypeError, OverflowError):
        return before
    return ahead if abs(ahead) > _EXACT_S else 0.0


def seconds_to_wait(answer: httpx2.Response) -> float:
    """Seconds after which an overloaded server wants to be asked again (`Retry-After`); at most 5."""
    try:
        return min(float(answer.headers.get("Retry-After", "1")), 5.0)
    except ValueError:
        return 1.0


def encoded(body: Any) -> tuple[bytes | None, str]:
    """A request's body as bytes, and its media type. Bytes are taken for YAML, other data become JSON."""
    if isinstance(body, bytes):
        return body, "application/yaml"
    return None if body is None else msgspec.json.encode(body), "application/json"


def line_batches(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The lines that a stream brings, each with its line end, as many at a time as have come.

    A last line without line end is the last batch.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [line + b"\n" for line in lines]
    if rest:
        yield [rest]
