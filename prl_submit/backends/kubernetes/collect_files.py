"""Copy a run's files from a volume that only pods can mount (`prl-submit collect`).

prl-submit runs `find`, `tail` and `sha256sum` in a pod that mounts the volume: the training's pod while it
runs, else a helper pod of the same image. Each file is copied under a temporary name and renamed when its
checksum is right. A file with the right size and time is not copied again, and an interrupted copy goes
on where it stopped.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.labels import CONTAINER
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.runs.layout import (
    CANCEL,
    LAUNCH,
    LIBRARY,
    LOGS,
    MADE_OF,
    MANIFEST,
    PLAN,
    RECORD,
    SPEC,
)
from prl_submit.system.files import open_inside, remove_inside

#: Files of the run directory that prl-submit writes on this machine; they are never copied.
OURS = (SPEC, PLAN, LAUNCH, LIBRARY, MANIFEST, RECORD, CANCEL)
#: Ends the name of a file while it is copied.
_PART = ".part"
#: A copy is given up after this many tries in a row that brought nothing, _AGAIN_S seconds apart.
_TRIES = 5
_AGAIN_S = 2.0
_CHUNK = 1 << 20
#: Prints the bytes of file $3 from offset $1 to $2, the size that was listed, since the file may grow.
_COPY = 'tail -c "+$(($1 + 1))" -- "$3" | head -c "$(($2 - $1))"'
#: Prints the checksum of the first $1 bytes of file $2.
_SUM = 'head -c "$1" -- "$2" | sha256sum'


class RemoteFile(Struct, frozen=True):
    """A file on the volume: its path in the run directory, its bytes, its mtime (seconds since 1970)."""

    path: str
    size: int
    changed: float


class PodReader(Struct, frozen=True):
    """A pod that mounts the volume, and the container in which to run programs."""

    api: Api
    name: str
    container: str = CONTAINER

    def run(self, *argv: str) -> bytes:
        """Run a program and return its stdout. Raises as Api.execute."""
        out = io.BytesIO()
        self.api.execute(self.name, self.container, list(argv), out)
        return out.getvalue()


def listing(pod: PodReader, folder: str) -> list[RemoteFile]:
    """All files in a folder of the pod, by path. Raises as PodReader.run."""
    out = pod.run("find", folder, "-type", "f", "-printf", r"%s %T@ %P\0")
    return parse_listing(out)


def parse_listing(out: bytes) -> list[RemoteFile]:
    """The files that `find` printed, by path.

    Raises PrlSubmitError for a path that leaves the folder: a program in the container has forged it.
    """
    found = []
    for entry in out.split(b"\0")[:-1]:
        size, changed, path = entry.decode("utf-8", "surrogateescape").split(" ", 2)
        if path.startswith("/") or ".." in path.split("/"):
            raise PrlSubmitError(f"the pod lists {path!r}, which is outside of the run directory")
        found.append(RemoteFile(path, int(size), float(changed)))
    return sorted(found, key=lambda file: file.path)


def chosen(
    files: Iterable[RemoteFile], only: Sequence[str], *, with_logs: bool
) -> list[RemoteFile]:
    """The files to copy.

    `only`: patterns (as in a shell) of paths or of folders above them; empty: all files. `with_logs`: the
    nodes' logs too. Leave them out while the job runs, because `prl-submit logs` copies them.
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
    if folder.split("/")[0] == MADE_OF:  # the nodes write nothing there but their versions
        return re.fullmatch(rf"{MADE_OF}/versions(\.node[0-9]+)?\.json", path) is None
    if folder != LOGS:
        return False
    return name.startswith(".") or (not with_logs and name.endswith(".log"))


def is_here(file: RemoteFile, folder: Path) -> bool:
    """True if the file was copied before and has not changed since."""
    try:
        found = (folder / file.path).stat()
    except OSError:
        return False
    return found.st_size == file.size and abs(found.st_mtime - file.changed) < 0.001


def fetch(
    pod: PodReader, source: str, file: RemoteFile, folder: Path, tell: Callable[[str], None]
) -> None:
    """Copy one file from the pod's folder `source` to `folder`; continue a copy that was interrupted.

    `tell` gets each interruption. Raises BackendUnreachableError if the connection breaks again and again,
    PrlSubmitError if the checksum is wrong twice, OSError.
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
        # The interrupted copy may have been of an older file of that name, so start from the beginning.
        remove_inside(folder, part)
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
    except UnicodeEncodeError:  # `surrogateescape` has kept a byte that is not UTF-8
        return False
    return True


def _copy(
    pod: PodReader, remote: str, size: int, folder: Path, part: str, tell: Callable[[str], None]
) -> None:
    """Append to the file `part` what it lacks of the pod's file `remote`, up to `size` bytes."""
    failures = 0
    # Unbuffered, so that Ctrl-C during a write leaves no gap.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(open_inside(folder, part, flags), "ab", buffering=0) as out:
        if out.tell() > size:
            out.truncate(size)
            out.seek(size)
        while (start := out.tell()) < size:
            try:
                argv = ["sh", "-c", _COPY, "sh", str(start), str(size), remote]
                pod.api.execute(pod.name, pod.container, argv, cast(BinaryIO, _WriteAll(out)))
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


class _WriteAll(io.RawIOBase):
    """Writes all the data that it is given. An unbuffered file may write only a part of it."""

    def __init__(self, file: io.RawIOBase | io.FileIO) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write until all of `data` is written."""
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
