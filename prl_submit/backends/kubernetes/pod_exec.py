"""`exec`: one more program in a container, its output on the channels of a websocket (v4.channel.k8s.io).

lightkube has it too, over httpx2's websockets; these close a socket while a thread of theirs still
reads from it. The number is then that of the next file that is opened, and TLS reads from there: a
checksum was wrong whenever the server's last word came some milliseconds late. Here nothing reads
but the caller.
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
#: Seconds of silence before the server is asked whether it is there, and then for its answer.
SILENCE_S = 20.0
_CHUNK = 1 << 20


def execute(
    client: httpx2.Client, path: str, container: str, argv: Sequence[str], stdout: BinaryIO
) -> tuple[ApiStatus, bytes]:
    """Run a program of the pod at `path` to its end; how it ended and what it wrote to stderr.

    Raises RefusedStatusError; httpx2.HTTPError where there is no connection, or it breaks.
    """
    params = {"container": container, "stdout": "true", "stderr": "true", "command": [*argv]}
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode("ascii"),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    errors, said = bytearray(), bytearray()
    with client.stream("GET", f"{path}/exec", params=params, headers=headers) as answer:
        if answer.status_code != 101:
            raise refusal(answer.status_code, answer.read())
        with _as_httpx_says():
            for channel, data, is_whole in pieces(answer.extensions["network_stream"]):
                if channel == _STDOUT:
                    stdout.write(data)
                elif channel == _STDERR:
                    errors += data
                elif channel == _STATUS:
                    said += data
                    if is_whole:
                        return _status(said), bytes(errors)
    raise AssertionError


def _status(said: bytearray) -> ApiStatus:
    import httpcore2

    try:
        return msgspec.json.decode(said, type=ApiStatus)
    except ValueError as error:  # msgspec's errors are some
        raise httpcore2.ReadError(f"its last word cannot be read: {error}") from None


def pieces(stream: Any) -> Iterator[tuple[int, bytes, bool]]:
    """What comes: the channel, bytes, and whether the message ends with them.

    `stream`: httpcore2's NetworkStream. Raises httpcore2's errors, also where the connection ends
    before a message said so, or stays silent when asked.
    """
    import httpcore2
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Ping

    connection = Connection(ConnectionType.CLIENT)
    channel: int | None = None
    is_asked = False
    while True:
        try:
            data = stream.read(_CHUNK, timeout=SILENCE_S)
        except httpcore2.ReadTimeout:
            if is_asked:
                raise
            is_asked = True
            stream.write(connection.send(Ping()), timeout=SILENCE_S)
            continue
        if not data:
            raise httpcore2.ReadError("the connection ended before the program did")
        is_asked = False
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, Ping):
                stream.write(connection.send(event.response()), timeout=SILENCE_S)
            elif isinstance(event, CloseConnection):
                raise httpcore2.ReadError(f"the server ended it: {event.reason or event.code}")
            elif isinstance(event, BytesMessage):
                part = bytes(event.data)
                if channel is None and part:  # a message's first byte; it may come alone
                    channel, part = part[0], part[1:]
                if channel is not None:
                    yield channel, part, event.message_finished
                if event.message_finished:
                    channel = None


@contextlib.contextmanager
def _as_httpx_says() -> Iterator[None]:
    """Below its websockets httpx2's errors are httpcore2's and wsproto's."""
    import httpcore2
    import httpx2
    from wsproto.utilities import ProtocolError

    try:
        yield
    except (httpcore2.NetworkError, httpcore2.TimeoutException, ProtocolError) as error:
        raise httpx2.ReadError(str(error) or "it is silent") from None
