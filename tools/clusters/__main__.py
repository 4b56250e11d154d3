"""Start a test cluster by hand and keep it until Ctrl-C, or run a command on a platform's nodes.

usage: python -m tools.clusters slurm|kubernetes [FOLDER]
       python -m tools.clusters platform [--nodes N] [--like PLATFORM] COMMAND
FOLDER, by default a temporary one, holds all files of the cluster: configuration, logs, state.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tools.clusters import platform_by_hand
from tools.clusters.kubernetes import KubernetesCluster
from tools.clusters.slurm import SlurmCluster


def start(kind: str, folder: Path) -> SlurmCluster | KubernetesCluster:
    """Start a cluster of this kind in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return SlurmCluster.start(folder) if kind == "slurm" else KubernetesCluster.start(folder)


def keep(kind: str, folder: Path | None) -> None:
    """Start the cluster, print how to use it, wait for Ctrl-C, stop it."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prl-")))
        cluster = start(kind, folder)
        stack.callback(cluster.stop)
        print(f"the cluster runs in {cluster.root}; in another shell:")
        for name, value in cluster.environ.items():
            print(f"  export {name}={shlex.quote(value)}")
        print("Ctrl-C stops it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("slurm", "kubernetes"):
        kinds.add_parser(kind).add_argument("folder", nargs="?", type=Path)
    platform_by_hand.add_options(kinds.add_parser("platform"))
    words = parser.parse_args()
    if words.kind == "platform":
        return platform_by_hand.run(words)
    keep(words.kind, words.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
