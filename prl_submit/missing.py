"""What is said of a run whose scheduler is silent, or does not know its job: one empty answer proves nothing."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from pathlib import Path

from prl_submit.runs import LOGS, Record
from prl_submit.states import QUEUED, RUNNING, State

_MARKER = ".missing"


def last_known(run: Path) -> str:
    """RUNNING where its log has begun, else QUEUED."""
    return RUNNING if (run / LOGS / "node0.log").exists() else QUEUED


def as_last_known(run: Path, silence: str) -> State:
    """The state where the scheduler gives no answer. `silence`: why."""
    return State(state=last_known(run), reason=f"as last known: {silence}", unreachable=silence)


def missing_since(run: Path, record: Record) -> float | None:
    """When the job was first not known (seconds since the epoch); None: just now."""
    marker = run / LOGS / _MARKER
    submitted = datetime.fromisoformat(record.ordered_at).timestamp()
    with contextlib.suppress(OSError, ValueError):
        first = float(marker.read_text("ascii"))  # by our clock; a file server has its own
        if first >= submitted:
            return first
    try:
        marker.write_text(str(time.time()), "ascii")
    except OSError:
        pass  # a full disk, or no folder any more: it stays as last known
    return None


def forget_missing(run: Path) -> None:
    """The job is known again."""
    with contextlib.suppress(OSError):
        (run / LOGS / _MARKER).unlink(missing_ok=True)
