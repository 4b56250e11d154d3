"""What a training does before its first step, and between its steps, as its log tells."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

#: launch.sh's first line of each attempt.
_BEGIN = re.compile(rb"^prl-submit: .* on .*, node \d+ of ", re.MULTILINE)
#: The phases in their order, each with what the log has when it has begun; ms-swift's own words since 3.1.
_PHASES = (
    ("starting the processes", re.compile(rb"^prl-submit: \S+ torchrun, ", re.MULTILINE)),
    ("loading the model and the data", re.compile(rb"\[INFO:swift\]")),
    ("preparing the first step", re.compile(rb"The logging file will be saved in:")),
    ("first generation", re.compile(rb"(?:^|[\r\n])Train: ")),
)
#: The times in the log before the first step: of launch.sh's first line and of its line at torchrun's start, in
#: the zone of the first one, and of ms-swift, in the zone of the node.
_TIMES = re.compile(
    rb"^prl-submit: (?P<begin>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d) on "
    rb"|^prl-submit: (?P<clock>\d\d:\d\d:\d\d) torchrun, "
    rb"|Start time of running main: (?P<main>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)",
    re.MULTILINE,
)
#: What is going on after the last of these marks.
_BETWEEN = re.compile(rb"(?:^|[\r\n])(Train|Val): |(Saving model checkpoint to) ")


def phase(log: bytes, *, has_step: bool) -> str:
    """The phase of a running training: `loading the model and the data`, `training`, `evaluating`.

    `log`: the log of node 0, or its last part. `has_step`: a step was logged.
    """
    begins = list(_BEGIN.finditer(log))
    attempt = log[begins[-1].end() :] if begins else log
    reached = "starting"
    for name, mark in _PHASES:
        if mark.search(attempt):
            reached = name
    if reached != _PHASES[-1][0]:
        return "training" if has_step and not begins else reached
    last = list(_BETWEEN.finditer(attempt))[-1]
    if last[2]:
        return "saving a checkpoint"
    if last[1] == b"Val":
        return "evaluating"
    bar = attempt[last.start() :].split(b"\n")[0]
    return "first generation" if re.search(rb"\| 0/\d+ \[", bar) else "training"


def phase_begin(log: bytes, name: str, changed_at: float | None) -> float | None:
    """When a phase before the first step began, in seconds since 1970; None if the log has no time.

    It is the last time in the log before the phase, so the phase may have begun a little later. In the first
    generation ms-swift prints nothing, so that phase began when the log was last changed, at `changed_at`.
    """
    if name == _PHASES[-1][0]:
        return changed_at
    attempt = last_attempt(log)
    mark = dict(_PHASES).get(name)
    found = mark.search(attempt) if mark is not None else None
    end = found.end() if found is not None else len(attempt)
    return _last_time(attempt[:end] if mark is not None else attempt)


def last_attempt(log: bytes) -> bytes:
    """The part of a log that the last attempt wrote."""
    begins = list(_BEGIN.finditer(log))
    return log[begins[-1].start() :] if begins else log


def _last_time(log: bytes) -> float | None:
    """The last time in a part of the log that begins with launch.sh's first line."""
    begin: datetime | None = None
    last: datetime | None = None
    for match in _TIMES.finditer(log):
        try:
            if match["begin"]:
                begin = last = datetime.fromisoformat(match["begin"].decode())
            elif begin is not None:
                last = _behind(begin, match)
        except (ValueError, OverflowError):
            continue
    return None if last is None else last.timestamp()


def _behind(begin: datetime, match: re.Match[bytes]) -> datetime:
    """A time without a zone, which is behind the begin of the attempt."""
    if match["main"]:
        return datetime.fromisoformat(match["main"].decode()).replace(tzinfo=begin.tzinfo)
    found = datetime.fromisoformat(f"{begin:%Y-%m-%d}T{match['clock'].decode()}")
    found = found.replace(tzinfo=begin.tzinfo)
    return found if found >= begin - timedelta(minutes=1) else found + timedelta(days=1)
