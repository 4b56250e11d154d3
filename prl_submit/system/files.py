"""Writing files atomically: a reader sees the old file or the new file, and never half of one.

Other users may have written into a run directory. So prl-submit never writes through a symbolic link
there, and the name of a temporary file holds 8 random bytes that nobody can guess.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath

from prl_submit.system.reading import open_regular

#: How a folder is opened before files in it are opened. O_PATH (Linux) works without the right to
#: list the folder.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def write_atomic(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Write `data` to a temporary file in the same folder, then rename it to `path`. Raises OSError.

    `durable`: flush the file to disk before the rename, so that after a power cut the old file or the
    new file is there.
    """
    folder = os.open(path.parent, _FOLDER)
    try:
        _replace(folder, path.name, data, mode, durable)
    finally:
        os.close(folder)


def write_inside(
    run: Path, name: str, data: bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Write a file of a run directory as `write_atomic` does. `name` may be `logs/NAME`.

    Raises OSError, also if a folder between the run directory and the file is a symbolic link.
    """
    with _folder_inside(run, name) as folder:
        _replace(folder, PurePath(name).name, data, mode, durable)


def open_inside(run: Path, name: str, flags: int, mode: int = 0o644) -> int:
    """Open a regular file in a run directory for writing; the caller closes the descriptor.

    `flags` as for os.open. Raises OSError, also if the file is not a regular file, or if the file or a
    folder between the run directory and the file is a symbolic link.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _folder_inside(run, name) as folder:
        try:
            descriptor = os.open(PurePath(name).name, flags, mode, dir_fd=folder)
        except OSError as error:
            raise _explained(error, run / name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is not a regular file", str(run / name))
    return descriptor


def is_locked(file: Path) -> bool:
    """True if a process has locked the file. False also where the file system has no locks.

    This takes the lock for a moment, and whoever wants the lock at that moment finds it taken.
    """
    try:
        lock = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(lock)
    return False


def remove_inside(run: Path, name: str) -> None:
    """Remove a file of a run directory if the file exists. Raises OSError as `open_inside` does."""
    with contextlib.suppress(FileNotFoundError), _folder_inside(run, name) as folder:
        os.unlink(PurePath(name).name, dir_fd=folder)


def _replace(folder: int, name: str, data: bytes, mode: int, durable: bool) -> None:
    """Write `data` to a temporary file in an open folder and rename the temporary file to `name`."""
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
    """A descriptor of the folder that holds a file of a run directory.

    Each folder is opened relative to its parent's descriptor, so nobody can put a symbolic link into
    the path in between.
    """
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
    """The same error with the whole path; its text says so if a symbolic link is the cause."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR) and path.is_symlink():
        return OSError(None, "is a symbolic link, through which nothing is written", str(path))
    return type(error)(error.errno, error.strerror, str(path))


def tail_bytes(path: Path, size: int) -> bytes:
    """The last `size` bytes of a regular file, or all bytes of a shorter file.

    Empty if the file is missing, cannot be read, or is a symbolic link.
    """
    try:
        with open_regular(path, follow=False) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            return file.read(size)
    except OSError:
        return b""
