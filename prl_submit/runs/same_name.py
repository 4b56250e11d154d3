"""The runs of one name in an output root, the newest first. Quick to import, because `check` uses it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from prl_submit.runs.layout import RECORD, RUN_NAME
from prl_submit.system.reading import read_record

#: So many of the newest runs are looked at.
_LOOKED_AT = 200


class _Named(Struct):
    """What is read of run.json."""

    name: str


def newest_of_name(root: str, name: str) -> Iterator[str]:
    """The directories of the runs whose run.json has that name, the newest first."""
    try:
        found = [match for match in map(re.compile(RUN_NAME).fullmatch, os.listdir(root)) if match]
    except OSError:
        return
    found.sort(key=lambda match: (int(match[1]), match[0]), reverse=True)
    for match in found[:_LOOKED_AT]:
        path = os.path.join(root, match[0])
        if _name_of(path) == name:
            yield path


def _name_of(run: str) -> str | None:
    """The name of a run's job; None if there is no run.json that can be read."""
    try:
        return msgspec.json.decode(read_record(os.path.join(run, RECORD)), type=_Named).name
    except (OSError, ValueError, RecursionError):
        return None
