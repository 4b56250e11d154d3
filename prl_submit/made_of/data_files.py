"""Size, rows and checksum of the data of a job, within a limit of time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from prl_submit.inputs.rows import count_rows
from prl_submit.made_of.contents import DataItem
from prl_submit.made_of.new_files import size_in_words
from prl_submit.planning.node_paths import local_path
from prl_submit.planning.plan import Plan
from prl_submit.runs.times import iso_time
from prl_submit.system.credentials import masked
from prl_submit.system.reading import open_regular

#: All files together are read for so many seconds. A larger file is not begun, because it would use them up.
SECONDS = 2.0
MAX_BYTES = 2 << 30
#: So many files of a folder are looked at.
MAX_FILES = 2000
#: Rows that are not lines are counted in files up to this size.
_MAX_PARSED = 8 << 20
_KEYS = ("dataset", "val_dataset", "chord_sft_dataset", "cached_dataset", "cached_val_dataset")
_BLOCK = 1 << 20
_TIME_IS_UP = f"the data took more than {SECONDS:g} s"


def is_data(argument: str) -> bool:
    """True if the values of an argument (`--dataset`) are data sets."""
    return argument.removeprefix("--") in _KEYS


class _Summed(Struct, frozen=True):
    """What reading a file tells: its checksum and its lines that are not blank; or why it was not read."""

    sha256: str | None = None
    lines: int | None = None
    why: str | None = None


class DataReader:
    """Reads the data of plans. Each file is read once, and all files together for SECONDS."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._ends = time.monotonic() + seconds
        self._known: dict[str, _Summed] = {}

    def items(self, plan: Plan) -> list[DataItem]:
        """The data sets that the plan's arguments name."""
        found = []
        for name, *values in plan.arguments:
            if is_data(name):
                key = f"swift.{name.lstrip('-')}"
                items = (self._item(key, entry, plan.workdir) for entry in values)
                found += [replace(item, entry=masked(item.entry)[0]) for item in items]
        return found

    def _item(self, key: str, entry: str, workdir: str) -> DataItem:
        whole = os.path.join(workdir, os.path.expanduser(entry))
        named = entry if os.path.exists(whole) else local_path("dataset", entry)
        if named is None:
            return DataItem(key=key, entry=entry, why="a name on a hub")
        path = os.path.normpath(os.path.join(workdir, os.path.expanduser(named)))
        try:
            if os.path.isdir(path):
                return self._folder(key, entry, path)
            return self._file(key, entry, path)
        except OSError as error:
            return DataItem(key=key, entry=entry, path=path, why=error.strerror or str(error))

    def _file(self, key: str, entry: str, path: str) -> DataItem:
        state = os.stat(path)
        summed = self._sum(path, state.st_size)
        return DataItem(
            key=key,
            entry=entry,
            path=path,
            size=state.st_size,
            rows=None if summed.why else _rows(path, state.st_size, summed.lines),
            changed_at=iso_time(state.st_mtime),
            sha256=summed.sha256,
            why=summed.why,
        )

    def _folder(self, key: str, entry: str, path: str) -> DataItem:
        names = list(_files(path))
        digest = hashlib.sha256()
        size, why = 0, None
        if len(names) > MAX_FILES:
            why = f"only {MAX_FILES} of its files were looked at"
        for name in names[:MAX_FILES]:
            place = os.path.join(path, name)
            bytes_ = os.stat(place).st_size
            size += bytes_
            summed = self._sum(place, bytes_)
            why = why or summed.why
            digest.update(os.fsencode(f"{name}\0{summed.sha256}\n"))
        return DataItem(
            key=key,
            entry=entry,
            path=path,
            size=size,
            files=len(names),
            sha256=None if why else digest.hexdigest(),
            why=why,
        )

    def _sum(self, path: str, size: int) -> _Summed:
        """The checksum of a file, known from before or read now."""
        if path not in self._known:
            try:
                self._known[path] = self._read(path, size)
            except OSError as error:
                return _Summed(why=error.strerror or str(error))
        return self._known[path]

    def _read(self, path: str, size: int) -> _Summed:
        if size > MAX_BYTES:
            return _Summed(why=f"not hashed: {size_in_words(size)}")
        digest, lines, blank = hashlib.sha256(), 0, True
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                if time.monotonic() > self._ends:
                    return _Summed(why=f"not hashed: {size_in_words(size)}; {_TIME_IS_UP}")
                digest.update(block)
                parts = block.split(b"\n")
                for part in parts[:-1]:
                    lines += bool(part.strip()) or not blank
                    blank = True
                blank = blank and not parts[-1].strip()
        return _Summed(sha256=digest.hexdigest(), lines=lines + (not blank))


def _rows(path: str, size: int, lines: int | None) -> int | None:
    """The rows of a file that was read; None if they are not known."""
    ending = os.path.splitext(path)[1]
    if ending == ".jsonl":
        return lines
    if ending not in (".json", ".csv") or size > _MAX_PARSED:
        return None
    counted = count_rows(path, _MAX_PARSED)
    return None if counted is None else counted.rows


def _files(folder: str) -> Iterator[str]:
    """The names of the files below a folder, without hidden ones, in order; at most one more than MAX_FILES."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            if name[0] != "." and count <= MAX_FILES:
                count += 1
                yield os.path.relpath(os.path.join(place, name), folder)
        if count > MAX_FILES:
            return
