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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from prl_submit.system.reading import read_end

#: How a folder is opened before files in it are opened. O_PATH (Linux) works without the right to
#: list the folder.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
#: So many files are open at a time, while they are flushed to disk together.
_FLUSHED_TOGETHER = 64
#: How a file is opened that must not be there yet.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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


def write_in_each(name: str, contents: Sequence[tuple[Path, bytes]]) -> None:
    """Write a file of that name into each of these folders, as durably as `write_atomic` does. Raises OSError.

    Each folder has the old file or the new one, whatever happens. After an error some may have the new one.
    """
    for first in range(0, len(contents), _FLUSHED_TOGETHER):
        _write_some(name, contents[first : first + _FLUSHED_TOGETHER])


def _write_some(name: str, contents: Sequence[tuple[Path, bytes]]) -> None:
    """`write_in_each` for so few folders that all can be open at a time."""
    from prl_submit.system.side_by_side import side_by_side

    begun: list[_Begun] = []
    try:
        for run, data in contents:
            begun.append(_begin(run, name))
            _write_all(begun[-1].file, data)
        side_by_side(os.fsync, [each.file for each in begun])
        for each in begun:
            os.replace(each.part, name, src_dir_fd=each.folder, dst_dir_fd=each.folder)
    except BaseException:
        for each in begun:
            with contextlib.suppress(OSError):
                os.unlink(each.part, dir_fd=each.folder)
        raise
    finally:
        for each in begun:
            os.close(each.file)
            os.close(each.folder)


class _Begun(NamedTuple):
    """A file that is being written: the descriptors of its folder and of its temporary file, whose name is `part`."""

    folder: int
    file: int
    part: str


def _begin(run: Path, name: str) -> _Begun:
    """Open a temporary file in a folder. Raises OSError."""
    folder, part = os.open(run, _FOLDER), _part(name)
    try:
        return _Begun(folder, os.open(part, _NEW, 0o644, dir_fd=folder), part)
    except BaseException:
        os.close(folder)
        raise


def write_new_files(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Write files, each with its content and its mode, into a folder that was just made. Raises OSError.

    They are written in place and not flushed to disk, so a crash may leave half a file. That does no harm as
    long as nothing refers to the folder yet, as nothing does to a run directory without run.json.
    """
    descriptor = os.open(folder, _FOLDER)
    try:
        for name, (data, mode) in files.items():
            _write_new(descriptor, name, data, mode, durable=False)
    finally:
        os.close(descriptor)


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
    part = _part(name)
    try:
        _write_new(folder, part, data, mode, durable)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


def _part(name: str) -> str:
    """The name of a temporary file."""
    return f".{name}.{os.urandom(8).hex()}.part"


def _write_new(folder: int, name: str, data: bytes, mode: int, durable: bool) -> None:
    """Write a file that does not exist yet into an open folder. Raises OSError."""
    file = os.open(name, _NEW, mode, dir_fd=folder)
    try:
        _write_all(file, data)
        if durable:
            os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    """Write all of `data` to a descriptor; one call of os.write may write a part of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


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
        return read_end(path, size)
    except OSError:
        return b""
