"""Bringing a run's directory from a volume that only pods have: listed, copied, checked, resumable.

Everything goes through `exec` in a pod that mounts the volume: the training's own while it runs, a
small helper of the same image when it has ended. A file is copied under another name and gets its
own when its checksum is right; its size and time then say that it need not be copied again.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.labels import CONTAINER
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.system.files import open_inside, remove_inside

#: What submission wrote here, and what we note beside the logs: never fetched.
OURS = ("spec.yaml", "plan.json", "launch.sh", "pytorchjob.yaml", "run.json", "cancel.json")
_PART = ".part"
_TRIES = 5
_AGAIN_S = 2.0
_CHUNK = 1 << 20
#: Bytes from an offset up to the size that was listed: the file may grow meanwhile.
_COPY = 'tail -c "+$(($1 + 1))" -- "$3" | head -c "$(($2 - $1))"'
_SUM = 'head -c "$1" -- "$2" | sha256sum'


class Remote(Struct, frozen=True):
    """A file on the volume: its path in the run directory, bytes, and time of change (seconds)."""

    path: str
    size: int
    changed: float


class Reader(Struct, frozen=True):
    """Where to look: a pod and one of its containers."""

    api: Api
    name: str
    container: str = CONTAINER

    def run(self, *argv: str) -> bytes:
        """What a program prints. Raises PrlSubmitError where it fails, and as Api.execute."""
        out = io.BytesIO()
        self.api.execute(self.name, self.container, list(argv), out)
        return out.getvalue()


def listing(pod: Reader, folder: str) -> list[Remote]:
    """The files of the run directory as the pod has it. Raises as Reader.run."""
    out = pod.run("find", folder, "-type", "f", "-printf", r"%s %T@ %P\0")
    return parse_listing(out)


def parse_listing(out: bytes) -> list[Remote]:
    """From `find`'s words. A path that would leave the folder is not one of `find`'s."""
    found = []
    for entry in out.split(b"\0")[:-1]:
        size, changed, path = entry.decode("utf-8", "surrogateescape").split(" ", 2)
        if path.startswith("/") or ".." in path.split("/"):
            raise PrlSubmitError(f"the pod lists {path!r}, which is outside of the run directory")
        found.append(Remote(path, int(size), float(changed)))
    return sorted(found, key=lambda remote: remote.path)


def chosen(files: Iterable[Remote], only: Sequence[str], *, with_logs: bool) -> list[Remote]:
    """The files that match one of the patterns, or lie in a folder that does; without any, all.

    `with_logs`: the nodes' logs too; while the job runs, its followers write them here.
    """
    return [
        file
        for file in files
        if _is_wanted(file.path, only) and not _is_ours(file.path, with_logs=with_logs)
    ]


def _is_wanted(path: str, only: Sequence[str]) -> bool:
    if not only:
        return True
    parts = path.split("/")
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    patterns = [pattern.rstrip("/") for pattern in only]
    return any(fnmatch.fnmatchcase(name, pattern) for name in above for pattern in patterns)


def _is_ours(path: str, *, with_logs: bool) -> bool:
    folder, name = posixpath.split(path)
    if folder == "":
        return path in OURS or (name.startswith(".") and name.endswith(".lock"))
    if folder != "logs":
        return False
    return name.startswith(".") or (not with_logs and name.endswith(".log"))


def is_here(file: Remote, folder: Path) -> bool:
    """Whether it was copied before and has not changed since."""
    try:
        found = (folder / file.path).stat()
    except OSError:
        return False
    return found.st_size == file.size and abs(found.st_mtime - file.changed) < 0.001


def fetch(
    pod: Reader, source: str, file: Remote, folder: Path, tell: Callable[[str], None]
) -> None:
    """Copy one file; what an earlier try left is gone on with.

    Raises BackendUnreachableError where the connection breaks again and again; PrlSubmitError where
    the copy is not the original; OSError.
    """
    path = folder / file.path
    part = posixpath.join(posixpath.dirname(file.path), f".{path.name}{_PART}")
    path.parent.mkdir(parents=True, exist_ok=True)
    remote = posixpath.join(source, file.path)
    if not _is_utf8(remote):
        raise PrlSubmitError(
            f"{file.path!r}: its name is not UTF-8, and exec takes no other",
            "rename it there, or name the others with --only",
        )
    for attempt in (1, 2):
        _copy(pod, remote, file.size, folder, part, tell)
        wanted = pod.run("sh", "-c", _SUM, "sh", str(file.size), remote).split()[:1]
        if wanted == [_checksum(folder / part).encode("ascii")]:
            break
        remove_inside(folder, part)  # of an older file of that name, perhaps: from the beginning
        if attempt == 2:
            raise PrlSubmitError(
                f"{file.path}: the copy is not the original: the file changes while it is copied",
                "collect again when the job has written it",
            )
    os.utime(folder / part, (time.time(), file.changed), follow_symlinks=False)
    os.replace(folder / part, path)


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:  # what `surrogateescape` kept
        return False
    return True


def _copy(
    pod: Reader, remote: str, size: int, folder: Path, part: str, tell: Callable[[str], None]
) -> None:
    failures = 0
    # Unbuffered: Ctrl-C in the middle of a write must not leave a hole.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(open_inside(folder, part, flags), "ab", buffering=0) as out:
        if out.tell() > size:
            out.truncate(size)
            out.seek(size)
        while (start := out.tell()) < size:
            try:
                argv = ["sh", "-c", _COPY, "sh", str(start), str(size), remote]
                pod.api.execute(pod.name, pod.container, argv, cast(BinaryIO, _Whole(out)))
            except BackendUnreachableError as error:
                fault: PrlSubmitError = error
            else:
                fault = PrlSubmitError(f"{remote}: it is shorter than it was")
            if out.tell() >= size:
                break
            failures = 0 if out.tell() > start else failures + 1
            if failures == _TRIES:
                raise fault
            tell(f"{fault.message}; goes on from byte {out.tell()}")
            time.sleep(_AGAIN_S)


class _Whole(io.RawIOBase):
    """Writes all of what it is given, as an unbuffered file alone need not."""

    def __init__(self, file: io.RawIOBase | io.FileIO) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """As often as it takes."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        return len(data)


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
