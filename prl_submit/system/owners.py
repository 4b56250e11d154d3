"""Who owns files and folders, what a user may read, and how a run directory is given to a user."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def user_name(uid: int | None = None) -> str:
    """The login name of a user, by default our own. `uid N` if the uid has no name."""
    import pwd

    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's bare uid
        return f"uid {number}"


def owner_of(path: str | os.PathLike[str]) -> int | None:
    """The uid that owns a file or folder. None if the file cannot be examined."""
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def owner_of_new_files(folder: Path) -> int:
    """The uid that owns what we write into a folder: a file server may make `nobody` the owner of root's files."""
    name = folder / f".owner.{os.urandom(8).hex()}"
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            return os.lstat(name).st_uid
        finally:
            os.unlink(name)
    except OSError:
        return os.geteuid()


def whose(path: str | os.PathLike[str]) -> str:
    """`; it is bob's` if another user owns a file or folder, else an empty text."""
    try:
        uid = os.stat(path, follow_symlinks=False).st_uid
    except OSError:
        return ""
    return "" if uid == os.geteuid() else f"; it is {user_name(uid)}'s"


#: Permission bits: reading a file, and passing through a folder.
_READ, _PASS = 4, 1


def could_read(uid: int, path: str) -> bool:
    """True if the permissions of a file and of all folders above it let a user read the file.

    Access control lists are not examined.
    """
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
    """True if the permission `bit` is set for the user: as the owner, as a group member, or as other."""
    if found.st_uid == uid:
        shift = 6
    elif found.st_gid in groups:
        shift = 3
    else:
        shift = 0
    return bool(found.st_mode >> shift & bit)


def _groups(uid: int) -> Collection[int]:
    """The ids of all groups of a user; none if the uid is unknown on this machine."""
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return os.getgrouplist(user.pw_name, user.pw_gid)


def give_run(
    run: str | os.PathLike[str],
    uid: int,
    gid: int,
    *,
    kept: Collection[str],
    folders: Collection[str],
) -> None:
    """Make a user the owner of a run directory, of some of its folders, and of the JSON files that the job writes.

    `kept`: names of files that keep their owner, because prl-submit recognises its own runs by it.
    Somebody else may have put links into the directory. So a symbolic link is never followed, and a
    file with more than one hard link is not given away. Raises OSError.
    """
    with _opened(run) as folder:
        for name in os.listdir(folder):
            if ".json" in name and not name.startswith(".") and name not in kept:
                _give(name, folder, uid, gid)
        for place in folders:
            with contextlib.suppress(FileNotFoundError), _opened(place, folder) as inner:
                for name in os.listdir(inner):
                    _give(name, inner, uid, gid)
                os.fchown(inner, uid, gid)
        os.fchown(folder, uid, gid)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], folder: int | None = None) -> Iterator[int]:
    """A folder's descriptor. If `folder` is given, the path is inside it and must not be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    flags |= 0 if folder is None else os.O_NOFOLLOW
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _give(name: str, folder: int, uid: int, gid: int) -> None:
    """Change the owner of one file through its descriptor, so that nobody can replace it meanwhile."""
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
