"""What Python files of the job's say, read once and remembered: a syntax tree costs milliseconds.

Kept in `$XDG_CACHE_HOME/prl-submit/plugins`, one small file for each; a changed file is seen by its size
and time, and read anew.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Mapping
from typing import Union

import msgspec
from msgspec import Struct

from prl_submit.system.reading import decode_json, read_regular
from prl_submit.system.xdg import xdg_folder

#: Raised whenever the reader learns something.
FORMAT = 3
MAX_BYTES = 4_000_000


class Fault(Struct, frozen=True):
    """A syntax error: what Python says, its 1-based line, and the text of that line."""

    message: str
    line: Union[int, None]
    text: str


class Reward(Struct, frozen=True):
    """A reward class: the line of its `__call__`, the columns it needs, whether it takes all others.

    `init_line`: of an `__init__` that does not take `args`.
    """

    line: int
    needs: list[str]
    takes_all: bool
    init_line: Union[int, None]


class PluginFacts(Struct, frozen=True):
    """What one file says."""

    fault: Union[Fault, None] = None
    #: The line of the first `from . import x`, which only a package can do.
    relative: Union[int, None] = None
    imports: list[str] = []
    #: All names given to the registry of rewards, also those of no plain class.
    registered: list[str] = []
    rewards: dict[str, Reward] = {}


class RememberedPlugin(Struct, frozen=True):
    """Facts, and of which state of which file, for which Python."""

    format: int
    python: str
    path: str
    size: int
    time: int
    facts: PluginFacts


def facts_of(path: str, environ: Mapping[str, str] = os.environ) -> PluginFacts | None:
    """What the file says; None where it cannot be read, which others tell."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    python = sys.version.partition(" ")[0]
    place = os.path.join(
        xdg_folder(environ, "XDG_CACHE_HOME", ".cache"),
        "plugins",
        f"{zlib.crc32(os.fsencode(path)):08x}.json",
    )
    known = _remembered(place)
    now = (FORMAT, python, path, state.st_size, state.st_mtime_ns)
    if known and (known.format, known.python, known.path, known.size, known.time) == now:
        return known.facts
    try:
        text = read_regular(path, MAX_BYTES)
    except OSError:
        return None
    if len(text) == MAX_BYTES:
        return None
    from prl_submit.inputs.source import read_source  # not where it is remembered

    facts = read_source(text)
    _remember(place, RememberedPlugin(*now, facts))
    return facts


def _remembered(place: str) -> RememberedPlugin | None:
    try:
        known: RememberedPlugin = decode_json(read_regular(place, MAX_BYTES), RememberedPlugin)
    except (OSError, ValueError):  # ValueError: damaged, or of another format
        return None
    return known


def _remember(place: str, known: RememberedPlugin) -> None:
    from pathlib import Path  # for the first time alone

    from prl_submit.system.files import write_atomic

    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        write_atomic(Path(place), msgspec.json.encode(known), durable=False)
    except (OSError, ValueError):
        pass  # a read-only home: it is read anew each time
