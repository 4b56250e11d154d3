"""How the trainings of runs go, in lines below the table of `status`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prl_submit.runs.layout import LOGS, node_log
from prl_submit.runs.states import RUNNING, Status
from prl_submit.system.files import tail_bytes

if TYPE_CHECKING:
    from prl_submit.results.overview import Overview

#: The lines of so many runs at most are shown.
MOST = 10
#: The phase of a training is told by the last part of its log.
_TAIL = 1 << 18


def course_lines(statuses: Sequence[Status], *, named: bool) -> list[str]:
    """For each run that trains now its step, speed, end, reward and memory; before the first step its phase.

    `named`: the user named the runs, so runs that have ended are told of too.
    """
    chosen = [status for status in statuses if status.state == RUNNING or named]
    lines: list[str] = []
    for status in chosen if len(chosen) <= MOST else []:
        told = _lines(status)
        if told:
            lines += [f"{status.run}:", *(f"  {line}" for line in told)]
    return lines


def _lines(status: Status) -> list[str]:
    from prl_submit.results.overview_text import overview_lines

    now = time.time()
    is_running = status.state == RUNNING
    view = _overview(status, now)
    lines = overview_lines(view, now, ascii_only=_is_plain())
    if lines or not is_running:
        return lines
    from prl_submit.results.phase import phase

    return [phase(tail_bytes(node_log(Path(status.path) / LOGS, 0), _TAIL), has_step=False)]


def _overview(status: Status, now: float) -> Overview:
    from prl_submit.results.metrics_reader import read_recent_metrics
    from prl_submit.results.overview import overview
    from prl_submit.results.run_settings import read_run_settings

    run, last = Path(status.path), status.last_step_at
    return overview(
        read_recent_metrics(run),
        read_run_settings(run),
        None if last is None else datetime.fromisoformat(last).timestamp(),
        now,
        is_running=status.state == RUNNING,
    )


def _is_plain() -> bool:
    """True if the locale has no characters but those of ASCII. For LANG=C Python itself sets LC_CTYPE to C.UTF-8."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return not locale.upper().replace("-", "").endswith("UTF8")
