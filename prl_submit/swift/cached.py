"""The arguments and registered names of an installed ms-swift, read from its source and cached.

The cache is `$XDG_CACHE_HOME/prl-submit/swift` (by default below ~/.cache), with one file for each
installation. If the size or time of a source file has changed, as in a checkout that somebody edits, the
source is read again.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from prl_submit.swift.argument import Argument
from prl_submit.swift.installed import Installed
from prl_submit.swift.registries import Registries
from prl_submit.swift.table import Table
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_regular
from prl_submit.system.xdg import xdg_folder

#: The version of the cache files. Increase it when the code that reads the source changes.
FORMAT = 5
#: Every release has these arguments. If one is missing, the source was not understood.
ESSENTIAL = ("model", "dataset", "rlhf_type", "per_device_train_batch_size")
MAX_CHARACTERS = 5_000_000

#: A file's path, size in bytes, and modification time in ns.
Stamp = tuple[str, int, int]


class RememberedArguments(Struct, frozen=True):
    """A cache file with arguments. `stamps`: the state of each source file when it was read."""

    format: int
    version: str
    folders: list[str]
    stamps: list[Stamp]
    arguments: dict[str, Argument]


class RememberedNames(Struct, frozen=True):
    """A cache file with registered names. `stamps`: the state of each source file when it was read."""

    format: int
    folders: list[str]
    stamps: list[Stamp]
    registries: Registries


Cached = TypeVar("Cached", RememberedArguments, RememberedNames)


def read_installed(installed: Installed, environ: Mapping[str, str]) -> Table | str:
    """The arguments of an installed ms-swift, or a text that says why its source cannot be read."""
    path = _file(installed, environ)
    remembered = _cached(path, RememberedArguments)
    if remembered is None or not _is_current(remembered, installed):
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


def read_names(installed: Installed, environ: Mapping[str, str]) -> Registries | None:
    """The names that an installed ms-swift registers. None if its source cannot be read."""
    path = _file(installed, environ, "-names")
    found = _cached(path, RememberedNames)
    if found is not None and _is_current(found, installed):
        return found.registries
    from prl_submit.swift.registry_source import read_registries

    stamps: list[Stamp] = []
    try:
        registries = read_registries(_finder(installed, stamps))
    except Exception:
        return None  # users edit their checkout, so its source may raise anything in our reader
    if not registries.models or not registries.others.get("template"):
        return None
    _remember(path, RememberedNames(FORMAT, installed.folders, stamps, registries))
    return registries


def _file(installed: Installed, environ: Mapping[str, str], what: str = "") -> str:
    """The path of an installation's cache file."""
    folder = xdg_folder(environ, "XDG_CACHE_HOME", ".cache")
    place = zlib.crc32(os.fsencode("\0".join(installed.folders)))
    return os.path.join(folder, "swift", f"{installed.version}-{place:08x}{what}.json")


def _cached(path: str, kind: type[Cached]) -> Cached | None:
    """The content of a cache file. None if it is missing, damaged, or of another format."""
    try:
        found: Cached = decode_json(read_regular(path, PLAN_BYTES), kind)
    except (OSError, ValueError):
        return None
    return found


def _is_current(found: RememberedArguments | RememberedNames, installed: Installed) -> bool:
    """True if no source file has changed since the cache file was written."""
    if (found.format, found.folders) != (FORMAT, installed.folders):
        return False
    return all(_stamp(path) == (path, size, time) for path, size, time in found.stamps)


def _stamp(path: str) -> Stamp | None:
    """The present state of a file; None if it cannot be examined."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_size, found.st_mtime_ns


def _read(installed: Installed) -> RememberedArguments | str:
    """The arguments read from the source, or a text that says why it cannot be read."""
    from prl_submit.swift.argument_source import read_arguments

    stamps: list[Stamp] = []
    try:
        arguments = read_arguments(_finder(installed, stamps))
    except Exception as error:
        # Users edit their checkout, so its source may raise anything in our reader.
        return " ".join(str(error).split())[:100] or type(error).__name__
    missing = [name for name in ESSENTIAL if name not in arguments]
    if missing:
        return f"no {missing[0]} among {len(arguments)} arguments"
    return RememberedArguments(FORMAT, installed.version, installed.folders, stamps, arguments)


def _finder(installed: Installed, stamps: list[Stamp]) -> Callable[[str], tuple[str, bool] | None]:
    """A function that returns the source of a module, and adds each file that it read to `stamps`.

    The function returns the text and whether the module is a package, or None if there is no such module.
    """

    def find(module: str) -> tuple[str, bool] | None:
        for folder in installed.folders:
            path = os.path.join(folder, *module.split("."))
            for file, is_package in ((f"{path}.py", False), (f"{path}/__init__.py", True)):
                stamp = _stamp(file) if os.path.isfile(file) else None
                if stamp:
                    stamps.append(stamp)
                    with open(file, encoding="utf-8") as source:
                        return source.read(MAX_CHARACTERS), is_package
        return None

    return find


def _remember(path: str, remembered: RememberedArguments | RememberedNames) -> None:
    """Write a cache file. If that fails, the source is read again next time."""
    from pathlib import Path

    from prl_submit.system.files import write_atomic

    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Not flushed to disk: if a power cut damages the file, the source is read again.
        write_atomic(Path(path), msgspec.json.encode(remembered), durable=False)
    except (OSError, TypeError, ValueError):
        pass  # the home directory is read-only, or a default value cannot be written as JSON
