"""logs/attempts.jsonl: when each attempt of a run began, and how it ended.

launch.sh of node 0 appends a line when an attempt starts (`started_at`, `restarts`, `node`) and a line when
it ends (the content of exit.json). exit.json itself is only about the last attempt.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.layout import ATTEMPTS
from prl_submit.runs.record import Record
from prl_submit.system.files import tail_bytes

#: So many bytes are read from the end of the file. They hold some thousand attempts.
_LIMIT = 1 << 20


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt. A field is None if it is not known, such as the end of an attempt that was killed.

    `submitted_at`: when `submit` or `resume` submitted the attempt. If the scheduler restarted the job by
    itself, the attempts before and after that have the same time.
    """

    restarts: int = 0
    submitted_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    state: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    node: str | None = None


def read_attempts(run: Path, record: Record) -> list[Attempt]:
    """All attempts of a run, oldest first. Empty if launch.sh has not started, or its disk is not mounted here."""
    found: list[Attempt] = []
    for line in tail_bytes(run / ATTEMPTS, _LIMIT).splitlines():
        attempt = _decode(line)
        if attempt is None:
            continue
        began_before = found and found[-1].ended_at is None
        if attempt.ended_at is not None and began_before:
            found[-1] = attempt  # this line is the end of the attempt that the line before began
        else:
            found.append(attempt)
    orders = [record.submitted_at, *record.resumed_at]
    return [_with_order(attempt, orders) for attempt in found]


def _decode(line: bytes) -> Attempt | None:
    """The attempt in a line; None if the line is damaged (by a full disk or a power cut)."""
    try:
        return msgspec.json.decode(line, type=Attempt)
    except (ValueError, RecursionError):
        return None


def _with_order(attempt: Attempt, orders: list[str]) -> Attempt:
    """The attempt with its `submitted_at`. `orders`: the times of `submit` and each `resume`."""
    began = _seconds(attempt.started_at)
    given = [order for order in orders if began is None or (_seconds(order) or 0) <= began]
    return msgspec.structs.replace(attempt, submitted_at=(given or orders)[-1 if given else 0])


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
