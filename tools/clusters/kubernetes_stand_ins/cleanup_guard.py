"""The guard of a cluster: it lives longer than pytest and kills what a killed pytest left running.

usage: python -m tools.clusters.kubernetes_stand_ins.cleanup_guard ROOT
It waits for the end of its stdin. pytest holds that open, so stdin ends when pytest does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.processes import kill_all, with_environ

#: Seconds that the kernel gets to free the control groups of killed processes.
TIMEOUT = 5.0


def remove_groups(root: Path) -> None:
    """Remove the containers' control groups. The kernel frees one a moment after its last process ended."""
    top, deadline = cluster_paths.memory_group(root), time.monotonic() + TIMEOUT
    while top.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if top.exists():
            time.sleep(0.02)


def main() -> None:
    """Wait for the end of stdin, then kill the cluster's processes."""
    root = Path(sys.argv[1])
    sys.stdin.buffer.read()
    kill_all(lambda: with_environ(cluster_paths.mark_of(root)))
    remove_groups(root)


if __name__ == "__main__":
    main()
