"""Run a program in a pod's container (`exec`), over a websocket (protocol v4.channel.k8s.io).

lightkube has this too, over httpx2's websockets, but not safely (seen with lightkube 1.0.1): httpx2
closes the socket while its own thread still reads from it. The operating system then gives the socket's
number to the next file that is opened, and the thread reads from that file. So checksums of copied files
were wrong whenever the server's last message came some milliseconds late. Here no thread but the
caller's reads.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from prl_submit.backends.kubernetes.api_status import ApiStatus, refusal

if TYPE_CHECKING:
    import httpx2

PROTOCOL = "v4.channel.k8s.io"
_STDOUT, _STDERR, _STATUS = 1, 2, 3
#: Seconds without data after which the server is sent a ping, and seconds to wait for its answer.
SILENCE_S = 20.0
_CHUNK = 1 << 20


def execute(
    client: httpx2.Client, path: str, container: str, argv: Sequence[str], stdout: BinaryIO
) -> tuple[ApiStatus, bytes]:
    """Run a program to its end. Returns how it ended, and its stderr; its stdout goes to `stdout`.

    `path`: the URL path of the pod. Raises RefusedStatusError if the server refuses, httpx2.HTTPError if
    there is no connection or if it breaks.
    """
    params = {"container": container, "stdout": "true", "stderr": "true", "command": [*argv]}
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode("ascii"),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    errors, status = bytearray(), bytearray()
    with client.stream("GET", f"{path}/exec", params=params, headers=headers) as answer:
        if answer.status_code != 101:
            raise refusal(answer.status_code, answer.read())
        with _as_httpx_errors():
            for channel, data, is_whole in pieces(answer.extensions["network_stream"]):
                if channel == _STDOUT:
                    stdout.write(data)
                elif channel == _STDERR:
                    errors += data
                elif channel == _STATUS:
                    status += data
                    if is_whole:
                        return _status(status), bytes(errors)
    raise AssertionError


def _status(data: bytearray) -> ApiStatus:
    """Raises httpcore2.ReadError if it is not a Status object."""
    import httpcore2

    try:
        return msgspec.json.decode(data, type=ApiStatus)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise httpcore2.ReadError(f"its last message is not a Status: {error}") from None


def pieces(stream: Any) -> Iterator[tuple[int, bytes, bool]]:
    """What the server sends: a channel, bytes, and True if they end a message of that channel.

    `stream`: httpcore2's NetworkStream. Raises httpcore2's errors, also if the connection ends before the
    server has closed the websocket, or if the server does not answer a ping.
    """
    from wsproto.connection import Connection, ConnectionType

    connection = Connection(ConnectionType.CLIENT)
    channel: int | None = None
    while True:
        connection.receive_data(_read(stream, connection))
        for data, is_whole in _messages(stream, connection):
            content = data
            if channel is None and data:
                # The first byte of a message is the channel; it may come alone.
                channel, content = data[0], data[1:]
            if channel is not None:
                yield channel, content, is_whole
            if is_whole:
                channel = None


def _read(stream: Any, connection: Any) -> bytes:
    """The next bytes. After SILENCE_S without any, send a ping and wait as long again."""
    import httpcore2
    from wsproto.events import Ping

    try:
        data = stream.read(_CHUNK, timeout=SILENCE_S)
    except httpcore2.ReadTimeout:
        stream.write(connection.send(Ping()), timeout=SILENCE_S)
        data = stream.read(_CHUNK, timeout=SILENCE_S)
    if not data:
        raise httpcore2.ReadError("the connection ended before the program did")
    return bytes(data)


def _messages(stream: Any, connection: Any) -> Iterator[tuple[bytes, bool]]:
    """The data that has been received, and whether it ends a message. Pings are answered."""
    import httpcore2
    from wsproto.events import BytesMessage, CloseConnection, Ping

    for event in connection.events():
        if isinstance(event, Ping):
            stream.write(connection.send(event.response()), timeout=SILENCE_S)
        elif isinstance(event, CloseConnection):
            raise httpcore2.ReadError(f"the server ended it: {event.reason or event.code}")
        elif isinstance(event, BytesMessage):
            yield bytes(event.data), event.message_finished


@contextlib.contextmanager
def _as_httpx_errors() -> Iterator[None]:
    """Raise errors of httpcore2 and wsproto, on which httpx2 is built, as httpx2's."""
    import httpcore2
    import httpx2
    from wsproto.utilities import ProtocolError

    try:
        yield
    except (httpcore2.NetworkError, httpcore2.TimeoutException, ProtocolError) as error:
        raise httpx2.ReadError(str(error) or "it is silent") from None
