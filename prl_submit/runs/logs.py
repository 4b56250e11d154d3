"""Read a run's logs and follow them. The files are polled, because shared file systems report no changes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prl_submit.runs.layout import LOGS, pod_file, ranks_folder
from prl_submit.system.reading import open_regular, read_record

_NODE_LOG = re.compile(r"node([0-9]+)\.log", re.ASCII)
_CHUNK = 1 << 20
#: A line with more bytes than this is printed in parts.
_LONGEST = 4 << 20
POLL_S = 0.2


def node_logs(run_dir: Path, node: int | None = None) -> list[tuple[int, Path]]:
    """The node numbers and logs of a run; with `node` only that node's."""
    try:
        names = [
            (match, path)
            for path in (run_dir / LOGS).iterdir()
            if (match := _NODE_LOG.fullmatch(path.name))
        ]
    except OSError:
        return []
    found = sorted((int(match[1]), path) for match, path in names)
    return [item for item in found if node is None or item[0] == node]


def writes_here(logs: Path, node: int, pod: str) -> bool:
    """True if a pod of that name has noted in this folder that it writes the node's log here itself."""
    try:
        return read_record(pod_file(logs, node)).decode("utf-8").strip() == pod
    except (OSError, ValueError):
        return False


def rank_logs(run_dir: Path, node: int, local_rank: int) -> list[tuple[int, Path]]:
    """The logs of one rank, oldest first. torchrun writes them if the job's environment has PET_TEE.

    `logs/ranks/nodeN/<rendezvous id>/attempt_A/<local rank>/stdout.log` (torch 2.13).
    """
    folder = ranks_folder(run_dir, node)
    found = folder.glob(f"*/attempt_*/{local_rank}/std*.log")
    return [(node, path) for path in sorted(found, key=lambda path: (_changed(path), path))]


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def log_sizes(run_dir: Path) -> dict[Path, int]:
    """The present size of each node's log, in bytes."""
    return {path: _size(path) for _, path in node_logs(run_dir)}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def last_lines(path: Path, count: int) -> int:
    """The offset in bytes at which the last `count` lines of a file begin."""
    try:
        with open_regular(path, follow=False) as file:
            end = position = file.seek(0, 2)
            wanted = count + 1 if _ends_in_newline(file, end) else count
            while position > 0:
                size = min(_CHUNK, position)
                position -= size
                file.seek(position)
                block = file.read(size)
                for _ in range(block.count(b"\n")):
                    wanted -= 1
                    cut = block.rindex(b"\n")
                    if wanted == 0:
                        return position + cut + 1
                    block = block[:cut]
    except OSError:
        pass
    return 0


def _ends_in_newline(file: object, end: int) -> bool:
    if end == 0:
        return False
    file.seek(end - 1)  # type: ignore[attr-defined]  # an open binary file
    return bool(file.read(1) == b"\n")  # type: ignore[attr-defined]


class LogReader:
    """Reads what was added to each node's log since the last read."""

    def __init__(
        self,
        find: Callable[[], list[tuple[int, Path]]],
        tail: int | None = None,
        seen: dict[Path, int] | None = None,
        name: Callable[[int], str] | None = None,
    ) -> None:
        """`find`: lists the logs by node. It is called for each read, because nodes may start later.

        `tail`: begin with so many last lines; None: with the first line. `seen`: how many bytes of each log
        to skip. `name`: the mark before each line of a node; then only whole lines are returned, because
        lines of several nodes are mixed. None: there is only one node's log.
        """
        self._name = name
        self._find = find
        self._tail = tail
        self._offsets: dict[Path, int] = dict(seen or {})
        self._rests: dict[Path, bytes] = {}

    def read(self, *, last: bool = False) -> Iterator[bytes]:
        """The new output of all nodes. `last`: nothing more will come, so an unfinished line is returned too."""
        for number, path in self._find():
            for data in self._new(path):
                yield self._prefixed(number, path, data) if self._name else data
            if last and self._rests.get(path):
                yield self._prefix(number) + self._rests.pop(path) + b"\n"

    def _new(self, path: Path) -> Iterator[bytes]:
        if path not in self._offsets:
            self._offsets[path] = 0 if self._tail is None else last_lines(path, self._tail)
        try:
            with open_regular(path, follow=False) as file:
                file.seek(self._offsets[path])
                while data := file.read(_CHUNK):
                    self._offsets[path] += len(data)
                    yield data
        except OSError:
            return

    def _prefixed(self, number: int, path: Path, data: bytes) -> bytes:
        *lines, rest = (self._rests.get(path, b"") + data).split(b"\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], b""
        self._rests[path] = rest
        prefix = self._prefix(number)
        return b"".join(prefix + line + b"\n" for line in lines)

    def _prefix(self, number: int) -> bytes:
        return f"[{self._name(number)}] ".encode() if self._name else b""


def follow(
    reader: LogReader, write: Callable[[bytes], None], is_finished: Callable[[], bool]
) -> None:
    """Pass the job's output to `write` until the job has ended and all of it was passed on."""
    while True:
        finished = is_finished()  # asked before reading, so that the last output is read too
        for data in reader.read(last=finished):
            write(data)
        if finished:
            return
        time.sleep(POLL_S)
