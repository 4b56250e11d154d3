"""The end of the log of a run that has failed: of the node and the rank that failed first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from prl_submit.results.phase import last_attempt
from prl_submit.results.step_words import ShortSteps
from prl_submit.runs.logs import node_logs
from prl_submit.system.files import tail_bytes
from prl_submit.system.untrusted_text import words

#: So many bytes at the end of each node's log are looked at.
_TAIL = 1 << 18
#: torchrun's report on the rank that failed first on its node.
_FIRST = re.compile(
    rb"Root Cause \(first observed failure\):\s*\n.*?\n?"
    rb"\s*time\s*: (?P<time>\S+)\s*\n(?:.*\n)?\s*rank\s*: (?P<rank>\d+) "
)
#: The first line that torchrun itself prints when a rank has failed.
_REPORT = re.compile(rb"^[EW]\d{4} \S+ +\d+ torch/distributed/elastic/", re.MULTILINE)
#: Lines of launch.sh, which the reason of the run repeats.
_OURS = b"prl-submit: "


class FailureLog(Struct, frozen=True):
    """The last lines of a node's log, before torchrun's own report. `rank`: None if torchrun names none.

    `is_first`: torchrun tells that this rank failed first; else it is the log of the first node.
    """

    node: int
    rank: int | None
    path: Path
    lines: list[str]
    is_first: bool
    has_several_nodes: bool


def failure_log(run: Path, count: int) -> FailureLog | None:
    """The last `count` lines of the log that tells why a run failed; None if there is no log."""
    logs = node_logs(run)
    if not logs:
        return None
    found = []
    for node, path in logs:
        attempt = last_attempt(tail_bytes(path, _TAIL))
        report = _FIRST.search(attempt)
        # A node whose torchrun names no rank comes behind the others.
        time = report["time"].decode("ascii", "replace") if report else "~"
        found.append((time, node, path, attempt, report))
    _, node, path, attempt, report = min(found, key=lambda item: item[:2])
    rank = int(report["rank"]) if report else None
    lines = _last_lines(attempt, rank, count)
    return FailureLog(node, rank, path, lines, report is not None, len(logs) > 1)


def _last_lines(attempt: bytes, rank: int | None, count: int) -> list[str]:
    """The last lines of an attempt: those of the rank if it marks its lines, else those before torchrun's report."""
    own = _texts(
        line for line in attempt.split(b"\n") if line.startswith(f"[rank{rank}]:".encode())
    )
    if own:
        return own[-count:]
    report = _REPORT.search(attempt)
    before = _texts(attempt[: report.start()].split(b"\n")) if report else []
    return (before or _texts(attempt.split(b"\n")))[-count:]


def _texts(lines: Iterable[bytes]) -> list[str]:
    """The lines as text, without empty ones and launch.sh's. Steps are short; of a progress bar there is its last state."""
    shown = []
    for line in ShortSteps()(b"\n".join(lines) + b"\n").split(b"\n"):
        last = line.rstrip(b"\r").rpartition(b"\r")[2]
        text = words(last.decode("utf-8", "replace")).rstrip()
        if text and not last.startswith(_OURS):
            shown.append(text)
    return shown
