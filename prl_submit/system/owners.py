"""Whose files and folders are: a run directory is data that anybody may have written."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator


def user_name(uid: int | None = None) -> str:
    """The login name of a user, by default our own; `uid N` where it has none."""
    import pwd

    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's bare uid
        return f"uid {number}"


def owner_of(path: str | os.PathLike[str]) -> int | None:
    """The uid that has a file or folder; None where that cannot be seen."""
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def whose(path: str | os.PathLike[str]) -> str:
    """`; it is bob's` where a file or folder is another user's, else nothing."""
    try:
        uid = os.stat(path, follow_symlinks=False).st_uid
    except OSError:
        return ""
    return "" if uid == os.geteuid() else f"; it is {user_name(uid)}'s"


#: Of a mode: to read a file, to pass through a folder.
_READ, _PASS = 4, 1


def could_read(uid: int, path: str) -> bool:
    """Whether a user may read a file, as far as the modes of it and of the folders above it tell."""
    place, groups, bit = os.path.realpath(path), _groups(uid), _READ
    try:
        while _allows(os.stat(place), uid, groups, bit):
            above = os.path.dirname(place)
            if above == place:
                return True
            place, bit = above, _PASS
    except OSError:
        pass
    return False


def _allows(found: os.stat_result, uid: int, groups: Collection[int], bit: int) -> bool:
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return bool(found.st_mode >> shift & bit)


def _groups(uid: int) -> Collection[int]:
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return os.getgrouplist(user.pw_name, user.pw_gid)


#: The records by which we know a run for ours: they stay ours where its folder is given away.
_KEPT = frozenset({"run.json", "plan.json", "cancel.json", "verdict.json"})


def give_run(run: str | os.PathLike[str], uid: int, gid: int) -> None:
    """Give a run directory, its logs, and what a job writes beside them, to a user. Raises OSError.

    Whoever had the directory before may have put links there: nothing is given away through one,
    nor a file that has a second name.
    """
    with _opened(run) as folder:
        for name in os.listdir(folder):
            if ".json" in name and not name.startswith(".") and name not in _KEPT:
                _give(name, folder, uid, gid)
        with contextlib.suppress(FileNotFoundError), _opened("logs", folder) as logs:
            for name in os.listdir(logs):
                _give(name, logs, uid, gid)
            os.fchown(logs, uid, gid)
        os.fchown(folder, uid, gid)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], folder: int | None = None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    flags |= 0 if folder is None else os.O_NOFOLLOW
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _give(name: str, folder: int, uid: int, gid: int) -> None:
    """Give one file away by its descriptor: nobody can replace it in between."""
    kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if not stat.S_ISREG(kind):
        return
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)
