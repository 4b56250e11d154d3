"""The server's side of websockets (RFC 6455), as far as `kubectl exec` needs it."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import NamedTuple

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame from the client. A fragment of a message is treated as a message of its own."""

    kind: int
    data: bytes
    is_last: bool


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()


def frame(kind: int, *pieces: bytes) -> bytes:
    """A whole message as one frame."""
    size = sum(map(len, pieces))
    if size < 126:
        head = struct.pack("!BB", 0x80 | kind, size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | kind, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 127, size)
    return b"".join([head, *pieces])


class Parser:
    """Finds the frames in what a client sends."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with this data."""
        self._data += data
        frames = []
        while (found := self._next()) is not None:
            frames.append(found)
        return frames

    def _next(self) -> Frame | None:
        """The first frame, taken out of the data; None if it is not complete."""
        data = self._data
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            kind = "!H" if size == 126 else "!Q"
            at += struct.calcsize(kind)
            if len(data) < at:
                return None
            (size,) = struct.unpack(kind, data[2:at])
        mask = b""
        if data[1] & 0x80:
            mask, at = bytes(data[at : at + 4]), at + 4
        if len(data) < at + size:
            return None
        text = _unmasked(bytes(data[at : at + size]), mask)
        found = Frame(data[0] & 0x0F, text, bool(data[0] & 0x80))
        del data[: at + size]
        return found


def _unmasked(data: bytes, mask: bytes) -> bytes:
    """The data without the client's mask."""
    if not mask:
        return data
    key = int.from_bytes((mask * (len(data) // 4 + 1))[: len(data)], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(len(data), "big")
