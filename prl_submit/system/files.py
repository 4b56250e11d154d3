"""Writing files so that a reader, or a crash, never meets half of one.

A run directory is data that others may have written, so nothing in it is written through a symbolic
link, and no name of a temporary file can be guessed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath

from prl_submit.system.reading import open_regular

#: A folder that files are opened in; O_PATH, where there is one, needs no right to list it.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def write_atomic(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Write `path` by a rename from the same folder. Raises OSError.

    `durable`: flushed to disk first, so that a power cut leaves the old file or the new one.
    """
    folder = os.open(path.parent, _FOLDER)
    try:
        _replace(folder, path.name, data, mode, durable)
    finally:
        os.close(folder)


def write_inside(
    run: Path, name: str, data: bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Write a file of a run directory as `write_atomic` does; `name` may be `logs/NAME`.

    Raises OSError, also where a folder on the way is a symbolic link.
    """
    with _folder_inside(run, name) as folder:
        _replace(folder, PurePath(name).name, data, mode, durable)


def open_inside(run: Path, name: str, flags: int, mode: int = 0o644) -> int:
    """A descriptor of a regular file in a run directory, for writing.

    Raises OSError, also where the file or a folder on the way is a symbolic link.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _folder_inside(run, name) as folder:
        try:
            descriptor = os.open(PurePath(name).name, flags, mode, dir_fd=folder)
        except OSError as error:
            raise _explained(error, run / name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is no regular file", str(run / name))
    return descriptor


def remove_inside(run: Path, name: str) -> None:
    """Remove a file of a run directory, if it is there. Raises OSError as `open_inside`."""
    with contextlib.suppress(FileNotFoundError), _folder_inside(run, name) as folder:
        os.unlink(PurePath(name).name, dir_fd=folder)


def _replace(folder: int, name: str, data: bytes, mode: int, durable: bool) -> None:
    part = f".{name}.{os.urandom(8).hex()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(part, flags, mode, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


@contextlib.contextmanager
def _folder_inside(run: Path, name: str) -> Iterator[int]:
    """The folder of a file in a run directory, each one on the way opened from the one above."""
    folder = os.open(run, _FOLDER)
    try:
        for part in PurePath(name).parts[:-1]:
            above = folder
            try:
                folder = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            except OSError as error:
                raise _explained(error, run / part) from None
            finally:
                if folder != above:
                    os.close(above)
        yield folder
    finally:
        os.close(folder)


def _explained(error: OSError, path: Path) -> OSError:
    """The error with its whole path, and with words where a link is what is wrong."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR) and path.is_symlink():
        return OSError(None, "is a symbolic link, through which nothing is written", str(path))
    return type(error)(error.errno, error.strerror, str(path))


def tail_bytes(path: Path, size: int) -> bytes:
    """The last `size` bytes of a regular file, or all of it; empty where there is none."""
    try:
        with open_regular(path, follow=False) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            return file.read(size)
    except OSError:
        return b""
