"""The state of a run if the scheduler does not answer, or says that it does not know the job.

One such answer does not prove that the job is lost. So the run directory notes when the first one came.
"""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path

from prl_submit.runs.belonging import stranger
from prl_submit.runs.layout import LOGS, MISSING, node_log
from prl_submit.runs.record import Record
from prl_submit.runs.states import AS_LAST_KNOWN, QUEUED, RUNNING, State
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import read_record


def last_known(run: Path) -> str:
    """RUNNING if the log of node 0 exists, else QUEUED."""
    return RUNNING if os.path.exists(node_log(run / LOGS, 0)) else QUEUED


def as_last_known(run: Path, silence: str) -> State:
    """The state if the scheduler gives no answer. `silence`: why it gives none."""
    return State(state=last_known(run), reason=f"{AS_LAST_KNOWN}: {silence}", unreachable=silence)


def missing_since(run: Path, record: Record) -> float | None:
    """When the backend first said that it has no such job, in seconds since 1970; None if it never did."""
    submitted = datetime.fromisoformat(record.ordered_at).timestamp()
    with contextlib.suppress(OSError, ValueError):
        # The file holds the time of this machine's clock. Its mtime would be that of the file server's clock.
        first = float(read_record(run / MISSING).decode("ascii"))
        if first >= submitted:
            return first
    return None


def note_missing(run: Path, record: Record) -> None:
    """Note that the backend has no such job since now. A time that was noted before stays."""
    if missing_since(run, record) is not None:
        return
    # If the disk is full or the folder is gone, the state stays the last known one.
    with contextlib.suppress(OSError):
        if stranger(run) is None:
            write_inside(run, MISSING, str(time.time()).encode("ascii"), durable=False)


def forget_missing(run: Path) -> None:
    """Remove the note, because the backend knows the job."""
    with contextlib.suppress(OSError):
        if os.path.exists(run / MISSING) and stranger(run) is None:
            remove_inside(run, MISSING)
