"""The facts about the job's Python files, cached between commands.

The cache exists because making a syntax tree takes milliseconds. It is the folder
`$XDG_CACHE_HOME/prl-submit/plugins`, with one small file for each Python file. If the size or time of a
Python file has changed, the file is read again.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from prl_submit.inputs.plugin_facts import PluginFacts
from prl_submit.system.reading import decode_json, read_regular
from prl_submit.system.shared_results import shared
from prl_submit.system.xdg import xdg_folder

#: The version of the cache files. Increase it when the code that reads Python files changes.
FORMAT = 3
MAX_BYTES = 4_000_000


class RememberedPlugin(Struct, frozen=True):
    """A cache file: the facts, with the Python file's path, size and time, and the version of Python."""

    format: int
    python: str
    path: str
    size: int
    time: int
    facts: PluginFacts


@shared
def facts_of(path: str, environ: Mapping[str, str] = os.environ) -> PluginFacts | None:
    """The facts about a Python file. None if it cannot be read; `local_files` reports that."""
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
    from prl_submit.inputs.plugin_syntax import read_source

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
    """Write a cache file. If that fails, the Python file is read again next time."""
    from pathlib import Path

    from prl_submit.system.files import write_atomic

    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        write_atomic(Path(place), msgspec.json.encode(known), durable=False)
    except (OSError, ValueError):
        pass  # the home directory is read-only
