"""Reading what others wrote: files that may be no files, JSON that may be nested without end."""

from __future__ import annotations

import os
import stat
from typing import Any

import msgspec


def read_regular(path: str, limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError, also for a pipe or a device.

    Opened without waiting: a pipe that nobody writes to would hold everything up.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "is no regular file", path)
        return file.read(limit)


def decode_json(text: bytes | str, kind: Any = Any) -> Any:
    """JSON as data. Raises ValueError, also where it is nested too deeply to be read."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
