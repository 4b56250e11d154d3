"""The state of a run whose scheduler does not answer or does not know the job: one empty answer proves nothing."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path

from prl_submit.runs.belonging import stranger
from prl_submit.runs.layout import LOGS, MISSING, node_log
from prl_submit.runs.record import Record
from prl_submit.runs.states import QUEUED, RUNNING, State
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import read_record


def last_known(run: Path) -> str:
    """RUNNING where its log has begun, else QUEUED."""
    return RUNNING if os.path.exists(node_log(run / LOGS, 0)) else QUEUED


def as_last_known(run: Path, silence: str) -> State:
    """The state where the scheduler gives no answer. `silence`: why."""
    return State(state=last_known(run), reason=f"as last known: {silence}", unreachable=silence)


def missing_since(run: Path, record: Record) -> float | None:
    """When the backend first said that it has no such job (seconds since the epoch); None: it has not yet."""
    submitted = datetime.fromisoformat(record.ordered_at).timestamp()
    with contextlib.suppress(OSError, ValueError):
        # By our clock; a file server has its own.
        first = float(read_record(run / MISSING).decode("ascii"))
        if first >= submitted:
            return first
    return None


def note_missing(run: Path, record: Record) -> None:
    """Write down that the backend has no such job, and since when; an earlier such time stays."""
    if missing_since(run, record) is not None:
        return
    with contextlib.suppress(OSError):  # a full disk, or no folder any more: it stays as last known
        if stranger(run) is None:
            write_inside(run, MISSING, str(time.time()).encode("ascii"), durable=False)


def forget_missing(run: Path) -> None:
    """The job is known again."""
    with contextlib.suppress(OSError):
        if os.path.exists(run / MISSING) and stranger(run) is None:
            remove_inside(run, MISSING)
