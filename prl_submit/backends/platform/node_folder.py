"""The folder in the output root in which the nodes of a job find each other: `.nodes/PLACE/`.

    node0.SPEC.json             node 0's hello, for nodes that have the spec with this digest
    ask.RANK.NONCE.json         what another node asks
    answer.NONCE.SENDER.json    what node 0 with the nonce SENDER answers to it

Every file is replaced atomically. A living process writes its own file again at each beat, so a file that
somebody removes by mistake comes back.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from prl_submit.backends.platform.handshake import NodeAnswer, NodeAsk, NodeHello, Said
from prl_submit.runs.directory import names_in
from prl_submit.runs.layout import NODES, nodes_folder
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import decode_json, read_record
from prl_submit.system.untrusted_text import excerpt

Kind = TypeVar("Kind", NodeHello, NodeAsk, NodeAnswer)

#: A write is tried so often: a node that ends may just have removed the empty folder, and a network file
#: system may know an old state of the folder for a moment.
_TRIES = 5
_PASSING = (errno.ENOENT, errno.ESTALE, errno.EEXIST)
#: The longest words of an answer, and the longest host name, that are shown.
_WORDS, _HOST = 2000, 120


class NodeFolder:
    """The folder of the jobs that have one set of variables. `root`: the output root."""

    def __init__(self, root: Path, place: str) -> None:
        self._root = root
        self._inside = f"{NODES}/{place}"
        self.path = nodes_folder(root, place)

    def hellos(self) -> list[NodeHello]:
        """What each node 0 says."""
        return self._read("node0.", NodeHello)

    def asks(self) -> list[NodeAsk]:
        """What the other nodes ask."""
        return self._read("ask.", NodeAsk)

    def answers(self, nonce: str) -> list[NodeAnswer]:
        """What was answered to the process with this nonce."""
        return self._read(f"answer.{nonce}.", NodeAnswer)

    def write(self, said: Said) -> None:
        """Say something: write its file. Raises OSError."""
        data = msgspec.json.encode(said) + b"\n"
        for left in reversed(range(_TRIES)):
            try:
                _make_folder(self._root, self.path)
                write_inside(self._root, f"{self._inside}/{_name(said)}", data, durable=False)
                return
            except OSError as error:
                if not left or error.errno not in _PASSING:
                    raise

    def remove(self, said: Said) -> None:
        """Remove the file of what was said, unless another process has said something else there since."""
        path = self.path / _name(said)
        if isinstance(said, NodeHello):
            now = _decode(path, NodeHello)
            if now is not None and now.nonce != said.nonce:
                return
        with contextlib.suppress(OSError):
            remove_inside(self._root, f"{self._inside}/{path.name}")

    def forget(self, nonce: str) -> None:
        """Remove all answers to the process with this nonce."""
        for answer in self.answers(nonce):
            self.remove(answer)

    def leave(self) -> None:
        """Remove the folder if it is empty."""
        with contextlib.suppress(OSError):
            self.path.rmdir()
            self.path.parent.rmdir()

    def has(self, said: NodeAnswer) -> bool:
        """True if the file of this answer is there."""
        return os.path.lexists(self.path / _name(said))

    def _read(self, beginning: str, kind: type[Kind]) -> list[Kind]:
        """The content of all files whose names begin so. Files that are damaged or no regular files are left out."""
        names = [name for name in names_in(self.path) if name.startswith(beginning)]
        found = [_decode(self.path / name, kind) for name in sorted(names) if ".part" not in name]
        return [said for said in found if said is not None]


def _name(said: Said) -> str:
    if isinstance(said, NodeHello):
        return f"node0.{said.spec}.json"
    if isinstance(said, NodeAsk):
        return f"ask.{said.rank}.{said.nonce}.json"
    return f"answer.{said.to}.{said.sender}.json"


def _decode(path: Path, kind: type[Kind]) -> Kind | None:
    """What a file says, with texts that are harmless on a terminal; None if the file is damaged."""
    try:
        said: Kind = decode_json(read_record(path), kind)
    except (OSError, ValueError):
        return None
    if isinstance(said, NodeAnswer):
        return msgspec.structs.replace(said, words=excerpt(said.words, _WORDS))
    return msgspec.structs.replace(said, host=excerpt(said.host, _HOST))


def _make_folder(root: Path, path: Path) -> None:
    """Make the folder of a place. Raises OSError, also if `.nodes` is a symbolic link.

    All who may make runs in the output root may have jobs of several nodes there. So `.nodes` gets the
    permissions of the output root, but nobody may remove the folders of others in it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir()
        with contextlib.suppress(OSError):
            path.parent.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_ISVTX)
    if path.parent.is_symlink():
        raise OSError(
            None, "is a symbolic link, through which nothing is written", str(path.parent)
        )
    path.mkdir(exist_ok=True)


class _Seen(Struct):
    """What a file held, and since when this process has seen it hold that."""

    content: bytes
    since: float


class OldFiles:
    """Finds the files that no living process writes any more: those that do not change while we look on.

    A living process writes its file every few seconds. So a file that has not changed for `unchanged_s`
    seconds, while this process looked at it every `look_s` seconds, belongs to a process that has ended.
    """

    unchanged_s = 900.0
    look_s = 30.0

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._looked: float | None = None

    def is_due(self, now: float) -> bool:
        """True if it is time for the next look."""
        return self._looked is None or now - self._looked >= self.look_s

    def look(self, files: Mapping[Path, bytes], now: float) -> list[Path]:
        """The files that may be removed. `files`: all that are there; `now`: this process's monotonic clock."""
        if self._looked is None or now - self._looked > 3 * self.look_s:
            self._seen = {}  # this process did not look on: it was stopped, or the disk did not answer
        self._looked = now
        before = self._seen
        self._seen = {}
        for path, content in files.items():
            last = before.get(path)
            same = last is not None and last.content == content
            self._seen[path] = last if same and last is not None else _Seen(content, now)
        return [p for p, seen in self._seen.items() if now - seen.since >= self.unchanged_s]


def remove_old_files(root: Path, old: OldFiles, now: float) -> None:
    """Remove the files in `.nodes/` that no living process writes any more, and the folders that are then empty."""
    if not old.is_due(now) or (root / NODES).is_symlink():
        return
    everything = {}
    for place in names_in(root / NODES):
        for name in names_in(root / NODES / place):
            with contextlib.suppress(OSError):
                path = root / NODES / place / name
                everything[path] = _mark(path)
    for path in old.look(everything, now):
        with contextlib.suppress(OSError):
            if _mark(path) == everything[path]:
                remove_inside(root, str(path.relative_to(root)))
    for place in names_in(root / NODES):
        with contextlib.suppress(OSError):
            (root / NODES / place).rmdir()


def _mark(path: Path) -> bytes:
    """A digest of a file's content. Raises OSError."""
    return hashlib.sha256(read_record(path)).digest()
