"""Run one command on every node, as a platform runs the command that was pasted into its form."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from tools.clusters.platform_nodes import Node, PlatformNodes
from tools.clusters.platform_variables import PLATFORMS, variables

GRACE_S = 60


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m tools.clusters platform`."""
    parser.add_argument("--nodes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that each node is said to have")
    parser.add_argument("--like", choices=PLATFORMS, default="pai-dlc", help="whose variables")
    parser.add_argument("--apart", type=float, default=0, help="seconds between nodes' starts")
    parser.add_argument("command", help="the command, in one word, as it is pasted into the form")


def run(options: argparse.Namespace) -> int:
    """Run the command on all nodes and print what they print. Ctrl-C sends SIGTERM to all nodes, a second one kills.

    The exit code is that of node 0.
    """
    here = Path.cwd()
    with (
        tempfile.TemporaryDirectory(prefix="prl-") as root,
        PlatformNodes.open(Path(root), count=options.nodes, shared=_below_tmp(here)) as nodes,
    ):
        started: list[Node] = []
        try:
            for rank in range(options.nodes):
                time.sleep(options.apart if rank else 0)
                started.append(_start(nodes, rank, options, here))
            codes = [node.wait(float("inf")) for node in started]
        except KeyboardInterrupt:
            print("SIGTERM to all nodes; Ctrl-C again kills them", file=sys.stderr, flush=True)
            for node in started:
                if not node.ended:
                    node.terminate()
            codes = [node.wait(GRACE_S) for node in started]
    for node, code in zip(started, codes, strict=True):
        print(f"{node.name} ended with exit code {code}", file=sys.stderr)
    return codes[0] if codes else 130


def _below_tmp(here: Path) -> list[Path]:
    return [here] if here.is_relative_to("/tmp") else []


def _start(nodes: PlatformNodes, rank: int, options: argparse.Namespace, here: Path) -> Node:
    """Start a node, and a thread that prints its output."""
    environ = variables(options.like, rank, nodes.names, gpus=options.gpus)
    node = nodes.start(rank, options.command, environ, folder=here, pipe=True)
    assert node.stdout
    threading.Thread(target=_print, args=(node.name, node.stdout), daemon=True).start()
    return node


def _print(name: str, stream: IO[bytes]) -> None:
    for line in stream:
        text = line.decode(errors="replace").rstrip("\n")
        print(f"[{name}] {text}", flush=True)
