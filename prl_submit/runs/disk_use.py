"""How much disk a run directory takes, by what it is used for."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from prl_submit.runs.layout import COMPLETIONS, LOGS, MADE_OF, STEPS

#: A checkpoint of ms-swift.
CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,18})", re.ASCII)
#: st_blocks counts these, whatever the file system's own block is.
_BLOCK = 512
#: TensorBoard's folder, which ms-swift fills.
_RUNS = "runs"


class DiskUse(Struct, frozen=True):
    """The bytes on the disk of one run. A file with several names (hard links) counts once.

    `count`: how many checkpoints there are.
    """

    checkpoints: int = 0
    completions: int = 0
    logs: int = 0
    made_of: int = 0
    rest: int = 0
    count: int = 0

    @property
    def total(self) -> int:
        """All bytes of the run."""
        return self.checkpoints + self.completions + self.logs + self.made_of + self.rest


#: The files that were counted already: device and inode.
Seen = set[tuple[int, int]]
#: How many names of a file would be deleted: by device and inode.
Gone = dict[tuple[int, int], int]


def disk_use(run: Path, seen: Seen) -> DiskUse:
    """What a run directory takes. Files in `seen` are not counted again; those counted here are added to it."""
    found = dict.fromkeys(("checkpoints", "completions", "logs", "made_of", "rest"), 0)
    count = 0
    for entry in _entries(run):
        if CHECKPOINT.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            count += 1
        found[_kind(entry.name)] += _size(entry, seen)
    return DiskUse(**found, count=count)


def size_of(path: Path, seen: Seen) -> int:
    """The bytes of a file, or of a folder with all that is in it. Symbolic links are not followed."""
    try:
        total = _own(os.lstat(path), seen)
    except OSError:
        return 0
    if path.is_dir() and not path.is_symlink():
        total += sum(_size(entry, seen) for entry in _entries(path))
    return total


def freed_by(path: Path, gone: Gone | None = None) -> int:
    """The bytes that deleting a folder frees: a file that has another name outside it stays on the disk.

    `gone`: how often a file's names would be deleted before, where nothing is deleted; those of this folder
    are added.
    """
    gone = {} if gone is None else gone
    staying: dict[tuple[int, int], int] = {}
    total = size_of(path, set())
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if status.st_nlink > 1:
                    key = (status.st_dev, status.st_ino)
                    gone[key] = gone.get(key, 0) + 1
                    staying[key] = status.st_blocks * _BLOCK if gone[key] < status.st_nlink else 0
    return total - sum(staying.values())


def _kind(name: str) -> str:
    """What a file or folder at the top of a run directory is used for."""
    if CHECKPOINT.fullmatch(name):
        return "checkpoints"
    if name == COMPLETIONS:
        return "completions"
    if name in (LOGS, STEPS, _RUNS):
        return "logs"
    return "made_of" if name == MADE_OF else "rest"


def _size(entry: os.DirEntry[str], seen: Seen) -> int:
    """The bytes of an entry, and of all in it."""
    try:
        total = _own(entry.stat(follow_symlinks=False), seen)
    except OSError:  # removed meanwhile
        return 0
    if entry.is_dir(follow_symlinks=False):
        total += sum(_size(inner, seen) for inner in _entries(Path(entry.path)))
    return total


def _own(status: os.stat_result, seen: Seen) -> int:
    """The bytes of one file or folder itself; 0 if it was counted already."""
    if status.st_nlink > 1:
        key = (status.st_dev, status.st_ino)
        if key in seen:
            return 0
        seen.add(key)
    return status.st_blocks * _BLOCK


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing if we may not look."""
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return


def in_words(size: int) -> str:
    """`12.3 GiB`; `-` for nothing."""
    if size < 1:
        return "-"
    number, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return (
        f"{number:.0f} {units[0]}"
        if number >= 100 or units[0] == "B"
        else f"{number:.1f} {units[0]}"
    )
