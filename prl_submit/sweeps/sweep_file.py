"""sweep.json: which runs a sweep has.

It is written when the directories of all runs are made and before the first of them has a run.json. So a
sweep that is killed half-way has a record of all its runs, and `resume` submits those that are left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.layout import SWEEP, SWEEP_LOCK, SWEEPS
from prl_submit.runs.record import SweptRun
from prl_submit.system.files import open_inside, write_atomic
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_record

#: Who has the lock for longer submits runs; who only looks at the lock has it for milliseconds.
_LOOK_S = 0.5


class SweptEntry(Struct, frozen=True, kw_only=True):
    """One run of a sweep. `run`: the name of its directory; `name`: its own; `values`: what varies."""

    index: int
    run: str
    name: str
    values: dict[str, Any]


class SweepFile(Struct, frozen=True, kw_only=True):
    """The content of sweep.json. `keys`: the keys that vary. `workdir`: where the jobs run."""

    name: str
    id: str
    backend: str
    submitted_at: str
    keys: list[str]
    max_parallel: int | None
    workdir: str
    runs: list[SweptEntry]

    def place_of(self, entry: SweptEntry, folder: Path) -> SweptRun:
        """What run.json says of the run's place in the sweep."""
        return SweptRun(
            name=self.name,
            id=self.id,
            folder=folder.name,
            index=entry.index,
            values=entry.values,
        )


def make_folder(root: Path, name: str) -> Path:
    """Make the folder of a new sweep: `NAME-YYYYMMDD-HHMMSS`. Raises OSError."""
    parent = root / SWEEPS
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            folder.mkdir()
        except FileExistsError:  # another sweep of that name began in this second
            time.sleep(0.1)
        else:
            return folder


def write_sweep(folder: Path, sweep: SweepFile) -> None:
    """Write sweep.json. Raises OSError."""
    data = msgspec.json.format(msgspec.json.encode(sweep), indent=2) + b"\n"
    write_atomic(folder / SWEEP, data)


def read_sweep(folder: Path) -> SweepFile | None:
    """sweep.json of a folder; None if it is missing or damaged: then the runs' own records tell the sweep."""
    try:
        found: SweepFile = decode_json(read_record(folder / SWEEP, PLAN_BYTES), SweepFile)
    except (OSError, ValueError):
        return None
    return found


@contextlib.contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Let nobody else submit runs of this sweep meanwhile. Raises PrlSubmitError if somebody does, and OSError."""
    with open(open_inside(folder, SWEEP_LOCK, os.O_WRONLY | os.O_CREAT), "wb") as lock:
        if not _is_taken(lock.fileno()):
            message = f"the sweep {folder.name} is being submitted by another process"
            raise PrlSubmitError(message, "wait until it has ended")
        yield


def _is_taken(lock: int) -> bool:
    """Take the lock; false if another process keeps it. `status` has it for a moment when it looks at it."""
    deadline = time.monotonic() + _LOOK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S / 20)
        except (
            OSError
        ):  # this file system has no locks: the user must see to it that nobody else submits it
            return True
        else:
            return True
