"""What a training does before its first step, and between its steps, as its log tells."""

from __future__ import annotations

import re

#: launch.sh's first line of each attempt.
_BEGIN = re.compile(rb"^prl-submit: .* on .*, node \d+ of ", re.MULTILINE)
#: The phases in their order, each with what the log has when it has begun; ms-swift's own words since 3.1.
_PHASES = (
    ("starting the processes", re.compile(rb"^prl-submit: \S+ torchrun, ", re.MULTILINE)),
    ("loading the model and the data", re.compile(rb"\[INFO:swift\]")),
    ("preparing the first step", re.compile(rb"The logging file will be saved in:")),
    ("first generation", re.compile(rb"(?:^|[\r\n])Train: ")),
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
