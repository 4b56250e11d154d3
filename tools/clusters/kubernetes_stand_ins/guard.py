"""The guard: outlives the tests, and ends what a killed pytest left of a cluster.

usage: python -m tools.clusters.kubernetes_stand_ins.guard ROOT
It waits for the end of its standard input, which its starter holds open.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import layout
from tools.clusters.processes import kill_all, with_environ

#: Seconds in which the kernel lets go of the groups of killed processes.
TIMEOUT = 5.0


def remove_groups(root: Path) -> None:
    """The control groups of containers; those whose processes were just killed may still be busy."""
    top, deadline = layout.memory_group(root), time.monotonic() + TIMEOUT
    while top.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if top.exists():
            time.sleep(0.02)


def main() -> None:
    """Wait, then end it."""
    root = Path(sys.argv[1])
    sys.stdin.buffer.read()
    kill_all(lambda: with_environ(layout.mark_of(root)))
    remove_groups(root)


if __name__ == "__main__":
    main()
