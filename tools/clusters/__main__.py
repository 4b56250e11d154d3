"""Start a test cluster by hand and keep it until Ctrl-C.

usage: python -m tools.clusters slurm|kubernetes [FOLDER]
FOLDER, by default a temporary one, holds all files of the cluster: configuration, logs, state.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import tempfile
from pathlib import Path

from tools.clusters.kubernetes import KubernetesCluster
from tools.clusters.slurm import SlurmCluster


def start(kind: str, folder: Path) -> SlurmCluster | KubernetesCluster:
    """Start a cluster of this kind in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return SlurmCluster.start(folder) if kind == "slurm" else KubernetesCluster.start(folder)


def main() -> None:
    """Start the cluster, print how to use it, wait for Ctrl-C, stop it."""
    parser = argparse.ArgumentParser(description="Start a test cluster and keep it until Ctrl-C.")
    parser.add_argument("kind", choices=["slurm", "kubernetes"])
    parser.add_argument("folder", nargs="?", type=Path)
    words = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = words.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prl-")))
        cluster = start(words.kind, folder)
        stack.callback(cluster.stop)
        print(f"the cluster runs in {cluster.root}; in another shell:")
        for name, value in cluster.environ.items():
            print(f"  export {name}={shlex.quote(value)}")
        print("Ctrl-C stops it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
