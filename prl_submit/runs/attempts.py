"""logs/attempts.jsonl: when each attempt of a run began, and how it ended.

launch.sh of node 0 writes a line at each start (`started_at`, `restarts`, `node`) and a line at each
end (what it writes into exit.json). exit.json itself is the last attempt's alone.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.layout import ATTEMPTS
from prl_submit.runs.record import Record
from prl_submit.system.files import tail_bytes

#: Bytes that are read, from the end: some thousand attempts.
_LIMIT = 1 << 20


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt. A field is None where it is not known, such as the end of an attempt that was killed.

    `submitted_at`: when `submit` or `resume` ordered it; an attempt that a scheduler started again
    has the time of the first.
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
    """All attempts of a run, the first one first. None are known until launch.sh writes on a disk that we see."""
    found: list[Attempt] = []
    for line in tail_bytes(run / ATTEMPTS, _LIMIT).splitlines():
        attempt = _decode(line)
        if attempt is None:
            continue
        began_before = found and found[-1].ended_at is None
        if attempt.ended_at is not None and began_before:
            found[-1] = attempt  # the end of the one that began last
        else:
            found.append(attempt)
    orders = [record.submitted_at, *record.resumed_at]
    return [_with_order(attempt, orders) for attempt in found]


def _decode(line: bytes) -> Attempt | None:
    """The attempt of a line; None where a full disk or a power cut damaged the line."""
    try:
        return msgspec.json.decode(line, type=Attempt)
    except (ValueError, RecursionError):
        return None


def _with_order(attempt: Attempt, orders: list[str]) -> Attempt:
    """The attempt with `submitted_at`: the last `submit` or `resume` before it began."""
    began = _seconds(attempt.started_at)
    given = [order for order in orders if began is None or (_seconds(order) or 0) <= began]
    return msgspec.structs.replace(attempt, submitted_at=(given or orders)[-1 if given else 0])


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
