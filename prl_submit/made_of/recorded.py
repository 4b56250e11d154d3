"""Reads what a run was made of. The run directory may be somebody else's: no link in it is followed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from prl_submit.made_of.contents import CodeRecord, DataRecord
from prl_submit.runs.directory import names_in
from prl_submit.runs.layout import CODE_RECORD, DATA_RECORD, MADE_OF
from prl_submit.system.reading import decode_json, read_record

_LARGEST = 16 << 20
#: More nodes than this are not read.
_MOST_NODES = 256
_Record = TypeVar("_Record", bound=Struct)


class Versions(Struct, frozen=True, kw_only=True):
    """versions.json of a node: see runs/node_versions.py. A value is None if the node could not tell it."""

    host: str | None = None
    python: str | None = None
    packages: dict[str, str] = {}
    cuda: str | None = None
    driver: str | None = None
    gpus: list[str] = []
    swift_path: str | None = None
    swift_commit: str | None = None


class MadeOf(Struct, frozen=True):
    """What a run was made of. A part is None if it was not recorded, or is damaged.

    `folder`: that of the newest record; a resumed run may have several. `versions`: by the number of the node.
    """

    folder: Path | None
    code: CodeRecord | None
    data: DataRecord | None
    versions: dict[int, Versions]


def newest_record(run: Path) -> Path | None:
    """The folder of the newest record of a run: `made_of`, or `made_of/restart-N`."""
    folder = run / MADE_OF
    if folder.is_symlink() or not folder.is_dir():
        return None
    numbers = [int(match[1]) for name in names_in(folder) if (match := _RESTART.fullmatch(name))]
    for number in sorted(numbers, reverse=True):
        place = folder / f"restart-{number}"
        if place.is_dir() and not place.is_symlink():
            return place
    return folder


_RESTART = re.compile(r"restart-([1-9][0-9]{0,8})", re.ASCII)
_NODE = re.compile(r"versions(?:\.node([1-9][0-9]{0,5}))?\.json", re.ASCII)


def read_made_of(run: Path) -> MadeOf:
    """What a run was made of, as far as it is recorded."""
    folder = newest_record(run)
    if folder is None:
        return MadeOf(None, None, None, {})
    return MadeOf(
        folder=folder,
        code=_read(folder / CODE_RECORD, CodeRecord),
        data=_read(folder / DATA_RECORD, DataRecord),
        versions=_versions(run / MADE_OF),
    )


def read_kept(folder: Path, name: str) -> str | None:
    """The text of a file in a record; None if it is missing, a link, or not in the folder itself."""
    if "/" in name or name in ("", ".", ".."):
        return None
    try:
        return read_record(folder / name, _LARGEST).decode("utf-8", "replace")
    except OSError:
        return None


def _versions(folder: Path) -> dict[int, Versions]:
    found: dict[int, Versions] = {}
    for name in names_in(folder):
        match = _NODE.fullmatch(name)
        versions = _read(folder / name, Versions) if match else None
        if match and versions is not None and len(found) < _MOST_NODES:
            found[int(match[1] or 0)] = versions
    return dict(sorted(found.items()))


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        found: _Record = decode_json(read_record(path, _LARGEST), kind)
    except (OSError, ValueError):
        return None
    return found
