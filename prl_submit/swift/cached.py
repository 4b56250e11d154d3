"""An installed ms-swift's arguments, read from its source once and remembered.

Kept in `$XDG_CACHE_HOME/prl-submit/swift`, by default below ~/.cache, one file per place. A file that was
changed, as in a checkout somebody works in, is seen by its size and time, and all is read anew.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from prl_submit.swift.argument import Argument
from prl_submit.swift.installed import Installed
from prl_submit.swift.registries import Registries
from prl_submit.swift.table import Table
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_regular
from prl_submit.system.xdg import xdg_folder

#: Raised whenever the reader learns something: what an older one remembered is read anew.
FORMAT = 5
#: Every release has these; a table without them is none.
ESSENTIAL = ("model", "dataset", "rlhf_type", "per_device_train_batch_size")
MAX_CHARACTERS = 5_000_000

Stamp = tuple[str, int, int]


class RememberedArguments(Struct, frozen=True):
    """What was read. `stamps`: path, size in bytes and time in ns of each file it was read from."""

    format: int
    version: str
    folders: list[str]
    stamps: list[Stamp]
    arguments: dict[str, Argument]


def read_installed(installed: Installed, environ: Mapping[str, str]) -> Table | str:
    """The table of an installed ms-swift; or why its source cannot be read."""
    path = _file(installed, environ)
    remembered = _remembered(path)
    if remembered is None or not _is_true(remembered, installed):
        read = _read(installed)
        if isinstance(read, str):
            return read
        _remember(path, read)
        remembered = read
    place = os.path.join(installed.folders[0], "swift")
    table = Table(remembered.arguments, installed.version, f"read from {place}")
    table.folders = tuple(installed.folders)
    table.source = installed.folders[0]
    table.names = lambda: read_names(installed, environ)
    return table


class RememberedNames(Struct, frozen=True):
    """The registries that were read, with the stamps of their files."""

    format: int
    folders: list[str]
    stamps: list[Stamp]
    registries: Registries


def read_names(installed: Installed, environ: Mapping[str, str]) -> Registries | None:
    """What an installed ms-swift registers; None where its source cannot be read."""
    path = _file(installed, environ, "-names")
    try:
        found: RememberedNames = decode_json(read_regular(path, PLAN_BYTES), RememberedNames)
        if (found.format, found.folders) == (FORMAT, installed.folders) and all(
            _stamp(path) == (path, size, time) for path, size, time in found.stamps
        ):
            return found.registries
    except (OSError, ValueError):
        pass  # damaged, or never written
    from prl_submit.swift.registry_source import read_registries  # not where it is remembered

    stamps: list[Stamp] = []
    try:
        registries = read_registries(_finder(installed, stamps))
    except Exception:
        return None  # somebody else's source, in any state
    if not registries.models or not registries.others.get("template"):
        return None
    _remember(path, RememberedNames(FORMAT, installed.folders, stamps, registries))
    return registries


def _file(installed: Installed, environ: Mapping[str, str], what: str = "") -> str:
    folder = xdg_folder(environ, "XDG_CACHE_HOME", ".cache")
    place = zlib.crc32(os.fsencode("\0".join(installed.folders)))
    return os.path.join(folder, "swift", f"{installed.version}-{place:08x}{what}.json")


def _remembered(path: str) -> RememberedArguments | None:
    try:
        found: RememberedArguments = decode_json(
            read_regular(path, PLAN_BYTES), RememberedArguments
        )
    except (OSError, ValueError):  # ValueError: damaged, or of another format
        return None
    return found


def _is_true(remembered: RememberedArguments, installed: Installed) -> bool:
    if (remembered.format, remembered.folders) != (FORMAT, installed.folders):
        return False
    return all(_stamp(path) == (path, size, time) for path, size, time in remembered.stamps)


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_size, found.st_mtime_ns


def _read(installed: Installed) -> RememberedArguments | str:
    from prl_submit.swift.argument_source import read_arguments  # not where it is remembered

    stamps: list[Stamp] = []
    try:
        arguments = read_arguments(_finder(installed, stamps))
    except Exception as error:
        # Somebody else's source, in any state: whatever it does to the reader is its answer.
        return " ".join(str(error).split())[:100] or type(error).__name__
    missing = [name for name in ESSENTIAL if name not in arguments]
    if missing:
        return f"no {missing[0]} among {len(arguments)} arguments"
    return RememberedArguments(FORMAT, installed.version, installed.folders, stamps, arguments)


def _finder(installed: Installed, stamps: list[Stamp]) -> Callable[[str], tuple[str, bool] | None]:
    """What finds the source of a module, and notes in `stamps` which files it read."""

    def find(module: str) -> tuple[str, bool] | None:
        for folder in installed.folders:
            path = os.path.join(folder, *module.split("."))
            for file, is_package in ((f"{path}.py", False), (f"{path}/__init__.py", True)):
                if os.path.isfile(file) and (stamp := _stamp(file)):
                    stamps.append(stamp)
                    with open(file, encoding="utf-8") as source:
                        return source.read(MAX_CHARACTERS), is_package
        return None

    return find


def _remember(path: str, remembered: RememberedArguments | RememberedNames) -> None:
    from pathlib import Path  # for the first time alone

    from prl_submit.system.files import write_atomic

    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Not flushed to disk: what a power cut damages is read anew.
        write_atomic(Path(path), msgspec.json.encode(remembered), durable=False)
    except (OSError, TypeError, ValueError):
        pass  # a read-only home, or a default that is no JSON: it is read anew each time
