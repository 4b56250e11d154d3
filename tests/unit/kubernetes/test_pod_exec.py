"""The channels of `exec`, however the connection splits their bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import httpcore2
import httpx2
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong

from prl_submit.backends.kubernetes.api_status import (
    ApiStatus,
    RefusedStatusError,
    StatusCause,
    StatusDetails,
)
from prl_submit.backends.kubernetes.pod_exec import execute, pieces


class Wire:
    """A connection that delivers these bytes; None is a read that times out."""

    def __init__(self, *reads: bytes | None) -> None:
        self.reads = list(reads)
        self.server = Connection(ConnectionType.SERVER)
        self.said: list[Event] = []

    def read(self, _max_bytes: int, timeout: float) -> bytes:
        """The next bytes, or a time-out."""
        assert timeout > 0
        data = self.reads.pop(0) if self.reads else b""
        if data is None:
            raise httpcore2.ReadTimeout
        return data

    def write(self, data: bytes, timeout: float) -> None:
        """Decode what the client sends, as a server does."""
        assert timeout > 0
        self.server.receive_data(data)
        self.said += self.server.events()


def frames(*events: Event) -> bytes:
    server = Connection(ConnectionType.SERVER)
    return b"".join(server.send(event) for event in events)


def heard(*reads: bytes | None) -> tuple[list[tuple[int, bytes]], Wire]:
    """Whole messages until the connection ends."""
    wire = Wire(*reads)
    messages: list[tuple[int, bytes]] = []
    data = b""
    with contextlib.suppress(httpcore2.ReadError):  # the end, as each of them has it
        for channel, piece, is_whole in pieces(wire):
            data += piece
            if is_whole:
                messages.append((channel, data))
                data = b""
    assert (data, wire.reads) == (b"", [])
    return messages, wire


MESSAGES = [(1, b""), (1, bytes(range(256)) * 3), (2, "出错\n".encode()), (3, b"{}")]
WHOLE = frames(*(BytesMessage(data=bytes([channel]) + data) for channel, data in MESSAGES))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 125, 1000])
def test_cut_anywhere(size: int) -> None:
    """Messages are read whole, wherever the connection cuts them."""
    assert heard(*(WHOLE[i : i + size] for i in range(0, len(WHOLE), size)))[0] == MESSAGES


def test_in_fragments() -> None:
    """The channel is the first byte of a message, not of each fragment."""
    parts = [(b"\x01", False), (b"\x02ab", False), (b"", False), (b"c", True)]
    events = [BytesMessage(data=data, message_finished=last) for data, last in parts]
    assert heard(frames(*events))[0] == [(1, b"\x02abc")]


def test_a_ping_is_answered() -> None:
    _, wire = heard(frames(Ping(b"here?")))
    assert wire.said == [Pong(b"here?")]


def test_silence_is_answered_by_one_ping() -> None:
    messages, wire = heard(None, frames(Pong()), None, WHOLE)
    assert messages == MESSAGES
    assert wire.said == [Ping(), Ping()]
    with pytest.raises(httpcore2.ReadTimeout):
        next(pieces(Wire(None, None)))


def test_the_connection_ends() -> None:
    with pytest.raises(httpcore2.ReadError, match="ended before the program did"):
        next(pieces(Wire()))


def test_the_server_closes() -> None:
    with pytest.raises(httpcore2.ReadError, match="ended it: no more"):
        next(pieces(Wire(frames(CloseConnection(1001, "no more")))))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ApiStatus(status="Success"), 0),
        (
            ApiStatus(
                0, "NonZeroExitCode", "", "Failure", StatusDetails((StatusCause("ExitCode", "3"),))
            ),
            3,
        ),
        (
            ApiStatus(
                500, "InternalError", "no such program", "Failure", StatusDetails((StatusCause(),))
            ),
            None,
        ),
        (ApiStatus(status="Failure"), None),
    ],
)
def test_exit_code(status: ApiStatus, code: int | None) -> None:
    """The exit code is read from the API's Status."""
    assert status.exit_code == code


class Client:
    """An HTTP client whose connection delivers this."""

    def __init__(self, *reads: bytes | None, code: int = 101) -> None:
        self.answer = httpx2.Response(
            code, extensions={"network_stream": Wire(*reads)}, content=b"no"
        )

    @contextlib.contextmanager
    def stream(self, *_: object, **__: object) -> Iterator[httpx2.Response]:
        """The answer."""
        yield self.answer


def ended(client: Any) -> tuple[ApiStatus, bytes, bytes]:
    out = io.BytesIO()
    status, errors = execute(client, "/pods/a", "main", ["x"], out)
    return status, out.getvalue(), errors


def test_both_outputs_and_the_end() -> None:
    messages = [b"\x01a", b"\x02b", b"\x01c", b'\x03{"status": "Success"}']
    client = Client(frames(*map(BytesMessage, messages)))
    assert ended(client) == (ApiStatus(status="Success"), b"ac", b"b")


@pytest.mark.parametrize(
    "word", [b"", b"no json", b'{"details": {"causes": null}}', b'{"status": "\xff"}']
)
def test_a_last_message_that_is_no_status(word: bytes) -> None:
    with pytest.raises(httpx2.ReadError, match="its last message is not a Status"):
        ended(Client(frames(BytesMessage(b"\x03" + word))))


def test_refused() -> None:
    """A refused exec raises the server's words."""
    with pytest.raises(RefusedStatusError) as refused:
        ended(Client(code=403))
    assert (refused.value.status.code, refused.value.status.message) == (403, "no")


def test_silent() -> None:
    """A connection that says nothing raises an error."""
    with pytest.raises(httpx2.ReadError, match="it is silent"):
        ended(Client(None, None))
