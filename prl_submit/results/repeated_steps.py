"""logs/repeated_steps.jsonl: the lines of logging.jsonl about steps that a later attempt trained again.

launch.sh moves them there before it starts an attempt from a checkpoint. So logging.jsonl has each step once,
and the first of the moved steps is the one with which that attempt began.
"""

from __future__ import annotations

from pathlib import Path

from prl_submit.results.step_lines import LineParser
from prl_submit.runs.layout import REPEATED_STEPS
from prl_submit.system.files import tail_bytes

#: So many bytes are read from the end of the file: some thousand steps.
_LIMIT = 4 << 20


def read_restarts(run: Path) -> frozenset[int]:
    """The steps with which attempts began; empty if no line was moved."""
    text = tail_bytes(run / REPEATED_STEPS, _LIMIT)
    return frozenset(_first_steps(text)) if text else frozenset()


def _first_steps(text: bytes) -> list[int]:
    """The first step of each group of moved lines. A group ends where the steps or the time begin anew."""
    parser, found = LineParser(), []
    before, elapsed = None, 0.0
    for raw in text.splitlines():
        try:
            line = parser.parse(raw)
        except ValueError:  # the cut line of an attempt that was killed
            continue
        if line is None:
            continue
        now = line.elapsed if line.elapsed is not None else elapsed
        if before is None or line.step < before or now < elapsed:
            found.append(line.step)
        before, elapsed = line.step, now
    return found
