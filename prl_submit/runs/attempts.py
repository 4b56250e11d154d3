"""logs/attempts.jsonl: when each attempt of a run began, and how it ended.

launch.sh of node 0 appends a line when an attempt starts, and a line when it ends (the content of exit.json).
exit.json itself is only about the last attempt. An attempt that was killed (SIGKILL, a lost node) has no line
about its end. Then the next attempt's first line has the last sign of it: when its log or logging.jsonl was
written last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.layout import ATTEMPTS, LOGS, STEPS, node_log
from prl_submit.runs.record import Record
from prl_submit.runs.times import iso_time, seconds_of
from prl_submit.system.files import tail_bytes

#: So many bytes are read from the end of the file. They hold some thousand attempts.
_LIMIT = 1 << 20


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt. A field is None if it is not known, such as the end of an attempt that was killed.

    `submitted_at`: when `submit` or `resume` submitted the attempt. If the scheduler restarted the job by
    itself, the attempts before and after that have the same time. `last_sign_at`: only for an attempt without
    `ended_at`: when it wrote its log or a step last. `nodes`, `gpus`: of all nodes together.
    """

    restarts: int = 0
    submitted_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    state: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    node: str | None = None
    last_sign_at: str | None = None
    nodes: int | None = None
    gpus: int | None = None


class _Line(Attempt, frozen=True, kw_only=True):
    """A line of the file. `earlier_until`: the last sign of the attempt before this one."""

    earlier_until: str | None = None


def read_attempts(run: Path, record: Record) -> list[Attempt]:
    """All attempts of a run, oldest first. Empty if launch.sh has not started, or its disk is not mounted here."""
    lines = [_decode(line) for line in tail_bytes(run / ATTEMPTS, _LIMIT).splitlines()]
    found = attempts_of([line for line in lines if line is not None])
    if found and found[-1].ended_at is None:
        found[-1] = msgspec.structs.replace(found[-1], last_sign_at=_last_sign(run, found[-1]))
    orders = [record.submitted_at, *record.resumed_at]
    return [_with_order(attempt, orders) for attempt in found]


def attempts_of(lines: Sequence[_Line]) -> list[Attempt]:
    """The attempts that the lines of the file tell of."""
    found: list[Attempt] = []
    for line in lines:
        if found and found[-1].ended_at is None:
            if line.ended_at is not None:  # the end of the attempt that the line before began
                found[-1] = _ended(found[-1], line)
                continue
            until = _within(found[-1].started_at, line.earlier_until, line.started_at)
            found[-1] = msgspec.structs.replace(found[-1], last_sign_at=until)
        found.append(_attempt(line))
    return found


def _attempt(line: _Line) -> Attempt:
    return Attempt(**{name: getattr(line, name) for name in Attempt.__struct_fields__})


def _ended(began: Attempt, line: _Line) -> Attempt:
    """The attempt with its end. Only the line of its beginning has the number of nodes and GPUs."""
    return msgspec.structs.replace(_attempt(line), nodes=began.nodes, gpus=began.gpus)


def _within(began: str | None, time: str | None, ended: str | None) -> str | None:
    """A time between two others, since the file server's clock may differ from the node's."""
    low, middle, high = seconds_of(began), seconds_of(time), seconds_of(ended)
    if middle is None or low is None:
        return None
    if middle < low:
        return began
    return ended if high is not None and middle > high else time


def _last_sign(run: Path, attempt: Attempt) -> str | None:
    """When the attempt that goes on now, or was killed, wrote a step or its log last."""
    began = seconds_of(attempt.started_at)
    times = [_changed(file) for file in (run / STEPS, node_log(run / LOGS, 0))]
    late = [time for time in times if time is not None and began is not None and time > began]
    return iso_time(max(late, default=None))


def _changed(path: Path) -> float | None:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        return None


def gpu_hours(attempts: Sequence[Attempt], gpus: int | None = None) -> float | None:
    """The hours of all GPUs in all attempts together.

    An attempt without an end counts until its last sign. `gpus`: of an attempt that does not say how many it
    had, as those of older versions. None if no time is known, or if no attempt had a GPU.
    """
    hours = []
    for attempt in attempts:
        seconds = attempt_seconds(attempt)
        count = gpus if attempt.gpus is None else attempt.gpus
        if seconds is not None and count:
            hours.append(seconds * count / 3600)
    return sum(hours) if hours else None


def attempt_seconds(attempt: Attempt) -> float | None:
    """How long an attempt took, until its end or its last sign; None if that is not known."""
    began, ended = (
        seconds_of(attempt.started_at),
        seconds_of(attempt.ended_at or attempt.last_sign_at),
    )
    return None if began is None or ended is None else max(0.0, ended - began)


def _decode(line: bytes) -> _Line | None:
    """The attempt in a line; None if the line is damaged (by a full disk or a power cut)."""
    try:
        return msgspec.json.decode(line, type=_Line)
    except (ValueError, RecursionError):
        return None


def _with_order(attempt: Attempt, orders: list[str]) -> Attempt:
    """The attempt with its `submitted_at`. `orders`: the times of `submit` and each `resume`."""
    began = seconds_of(attempt.started_at)
    given = [order for order in orders if began is None or (seconds_of(order) or 0) <= began]
    return msgspec.structs.replace(attempt, submitted_at=(given or orders)[-1 if given else 0])
