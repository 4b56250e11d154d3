"""What the benchmarks of Slurm and Kubernetes share: a table with budgets, and `logs -f` on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.base import ROOT, Command


class Row(NamedTuple):
    """A line of the table. `limit`: the most that `value` may be; None: there is no budget."""

    what: str
    value: float
    limit: float | None = None
    unit: str = "ms"


def follow(command: Command, environ: Mapping[str, str]) -> Iterator[float]:
    """Run a command that prints `at TIME` lines, on a terminal: how many ms after its time each line comes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=theirs, stderr=-3):
        os.close(theirs)
        rest = b""
        with (
            contextlib.suppress(OSError),
            os.fdopen(ours, "rb", 0) as terminal,
        ):  # EIO: the terminal's other side was closed
            while data := terminal.read(65536):
                now = time.time()
                *lines, rest = (rest + data).split(b"\n")
                stamps = [re.match(rb"at ([0-9.]+)", line) for line in lines]
                yield from ((now - float(stamp[1])) * 1e3 for stamp in stamps if stamp)


def report(rows: list[Row]) -> int:
    """Print the table; the exit code is 1 if a budget is exceeded."""
    print("| what | measured | budget |\n| --- | --- | --- |")
    for row in rows:
        limit = "-" if row.limit is None else f"{row.limit:.0f} {row.unit}".strip()
        print(f"| {row.what} | {row.value:.0f} {row.unit} | {limit} |".replace("  ", " "))
    failed = [row.what for row in rows if row.limit is not None and row.value > row.limit]
    for name in failed:
        print(f"OVER BUDGET: {name}")
    return 1 if failed else 0
