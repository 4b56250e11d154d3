"""Reading what a running program prints, until it has printed what a test waits for."""

from __future__ import annotations

import os
import select
import time
from typing import IO


def read_until(stream: IO[bytes] | None, words: str, timeout: float = 60) -> str:
    """What the stream gives until it has the words. Fails if it ends before, or after `timeout` seconds."""
    assert stream is not None
    seen, end = b"", time.monotonic() + timeout
    while words.encode() not in seen:
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        assert ready, f"{words!r} never came: {seen!r}"
        piece = os.read(stream.fileno(), 65536)
        assert piece, f"it ended without {words!r}: {seen!r}"
        seen += piece
    return seen.decode("utf-8", "replace")
