"""Reading files that other users may have written: only regular files, and bounded JSON."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, BinaryIO

import msgspec

#: The largest size in bytes of run.json, exit.json and the other small records.
RECORD_BYTES = 1 << 20
#: The largest size in bytes of plan.json, which holds the whole job.
PLAN_BYTES = 16 << 20
_BLOCK = 64 << 10


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """A regular file, opened for reading. Raises OSError for anything else.

    A device is not opened at all, because opening a device can have an effect. If somebody replaces the
    file by a pipe meanwhile, opening does not wait for the pipe's writer. If `follow` is false, a
    symbolic link is refused too.
    """
    return open(_open_regular(path, follow), "rb")  # the caller closes it


def _open_regular(path: str | os.PathLike[str], follow: bool) -> int:
    """A descriptor of a regular file. Raises OSError as `open_regular` does."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow).st_mode):
        raise _no_file(path)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # replaced since we looked
        os.close(descriptor)
        raise _no_file(path)
    return descriptor


def _no_file(path: str | os.PathLike[str]) -> OSError:
    """The error for a path that is not a regular file."""
    if os.path.islink(path):
        return OSError(None, "is a symbolic link", os.fspath(path))
    if os.path.isdir(path):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    return OSError(None, "is not a regular file", os.fspath(path))


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError, also for a pipe or a device."""
    return _read(path, limit, follow=True)


def read_record(path: str | os.PathLike[str], limit: int = RECORD_BYTES) -> bytes:
    """The whole content of a file in a run directory.

    Raises OSError if the file is a symbolic link, is not a regular file, or has more than `limit` bytes.
    """
    content = _read(path, limit + 1, follow=False)
    if len(content) > limit:
        raise OSError(None, f"has more than {limit >> 20} MiB", os.fspath(path))
    return content


def read_end(path: str | os.PathLike[str], size: int) -> bytes:
    """The last `size` bytes of a regular file, or all bytes of a shorter file. Raises OSError, also for a link."""
    descriptor = _open_regular(path, follow=False)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, max(0, end - size), os.SEEK_SET)
        return _read_open(descriptor, size)
    finally:
        os.close(descriptor)


def _read(path: str | os.PathLike[str], limit: int, *, follow: bool) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError."""
    descriptor = _open_regular(path, follow)
    try:
        return _read_open(descriptor, limit)
    finally:
        os.close(descriptor)


def _read_open(descriptor: int, limit: int) -> bytes:
    """The next `limit` bytes.

    Python's file objects would ask the system four more things about each file, and `status` reads ten files of
    each run.
    """
    parts, left = [], limit
    while left and (part := os.read(descriptor, min(left, _BLOCK))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def decode_json(text: bytes | str, kind: Any = Any) -> Any:
    """JSON as data of the type `kind`. Raises ValueError, also for JSON that is nested too deeply."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
