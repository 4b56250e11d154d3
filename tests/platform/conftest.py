"""Tests on nodes as a platform's queue gives them, each with its own host name, network and process ids."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MARK, World
from tools.clusters.platform_nodes import PATH, Node, PlatformNodes
from tools.clusters.platform_variables import variables

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
#: The command as it is typed on a node whose environment is not active.
PRL_SUBMIT = f"{sys.prefix}/bin/prl-submit"
NAMES = ("job-master-0", "job-worker-0")
OpenNodes = Callable[..., PlatformNodes]
#: What the pretended torchrun does first: node 1 says hello to node 0 over the network, as ranks do.
MEET = """
node=0; [[ " $* " != *" --node_rank=1 "* ]] || node=1
port=" $* "; port=${port#* --master_port=}; port=${port%% *}
address=" $* "; address=${address#* --master_addr=}; address=${address%% *}
if ((node)); then
  until echo hello >"/dev/tcp/$address/$port"; do sleep 0.2; done 2>/dev/null
else
  "$VIRTUAL_ENV/bin/python" -c 'import socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
while listener.accept()[0].recv(5) != b"hello": pass' "$port"
fi
"""
#: A training of one step, and one that does not end by itself.
TRAIN = f"{MEET} ((node)) || step 1 1; ended"
LONG = f"{MEET} ((node)) || step 1 100; sleep 1000 & wait"
#: A training of one step that ends when the file `go` is in the run directory.
UNTIL_GO = f"{MEET} ((node)) || step 1 1; until [[ -e $run/go ]]; do sleep 0.1; done; ended"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one that needs namespaces."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.platform)


class PlatformWorld(World):
    """A world whose folder is the shared disk of some nodes. `prl` runs on none of them."""

    def __init__(
        self, root: Path, nodes: PlatformNodes, *, like: str = "pai-dlc", gpus: int = 1
    ) -> None:
        super().__init__(root)
        self.nodes = nodes
        self.like = like
        self.gpus = gpus

    def spec(self, file: str = "job.yaml", **over: Any) -> Path:
        """Write a job spec for two nodes with one process each, which are soon given up."""
        own = {"backend": "platform", "resources__nodes": 2, "resources__nproc_per_node": 1}
        soon = {"platform__wait": "30s", "platform__silence": "12s"}
        return super().spec(file, **own | soon | over)

    def prepare(self, *words: object, **environ: str) -> tuple[Path, str]:
        """Prepare a run here. Its directory, and the command that the user is told to paste."""
        done = self.prl(*words, **environ)
        assert done.code == 0, done.err
        lines = done.err.splitlines()
        told = lines.index("paste this as the command of every node:")
        return Path(done.out.strip()), lines[told + 1].strip()

    def paste(
        self, rank: int, command: str, *, private: Sequence[Path] = (), **environ: Any
    ) -> Node:
        """Start a node with the platform's variables, which runs the command."""
        own = {"LANG": "C.UTF-8", MARK: self.mark, "XDG_CACHE_HOME": self.environ["XDG_CACHE_HOME"]}
        platform = variables(self.like, rank, self.nodes.names, gpus=self.gpus)
        return self.nodes.start(
            rank, command, {"PATH": PATH, **own, **platform, **environ}, private=private
        )

    def paste_on_all(self, command: str, **environ: Any) -> list[Node]:
        """Start all nodes at once, which run the command."""
        return [self.paste(rank, command, **environ) for rank in range(len(self.nodes.names))]

    def pasted(self, *words: object) -> str:
        """The command that submits the job on each node."""
        typed = shlex.join([PRL_SUBMIT, *map(str, words)])
        return f"cd {shlex.quote(str(self.root))} && {typed}"

    def the_run(self) -> Path:
        """The only run directory."""
        (run,) = self.output.glob("v*")
        return run

    def status(self) -> dict[str, Any]:
        """What `status` says of the newest run, asked from no node. `reason` is '' where it says none."""
        done = self.prl("status", "latest", "--json")
        if done.code == 3:  # there is no run yet
            return {"state": None, "reason": "", "step": None}
        (status,) = done.json["runs"]
        return dict(status) | {"reason": status["reason"] or ""}


def words(nodes: list[Node]) -> str:
    """What the nodes have printed, for the message of an assertion."""
    return "\n".join(f"--- {node.name}\n{node.text[-3000:]}" for node in nodes)


def verdict(run: Path) -> dict[str, Any]:
    """The run's exit.json."""
    return dict(json.loads((run / "exit.json").read_text()))


def steps(run: Path) -> list[int]:
    """The training steps in logging.jsonl."""
    lines = map(json.loads, (run / "logging.jsonl").read_text().splitlines())
    return [
        int(line["global_step/max_steps"].partition("/")[0]) for line in lines if "loss" in line
    ]


@pytest.fixture
def open_nodes(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNodes]:
    """Nodes for one test, which share `tmp_path`. Options as of PlatformNodes.open."""
    cache = tmp_path.parent / "cache"  # a world's XDG_CACHE_HOME
    cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as opened:
        yield lambda **options: opened.enter_context(
            PlatformNodes.open(
                tmp_path_factory.mktemp("nodes"), **{"shared": [tmp_path, cache]} | options
            )
        )


@pytest.fixture
def new_platform(open_nodes: OpenNodes) -> Iterator[Callable[..., PlatformWorld]]:
    """A function that makes worlds in folders that the test chooses. Options as of PlatformNodes.open."""
    worlds: list[PlatformWorld] = []

    def make(root: Path, *, gpus: int = 1, **options: Any) -> PlatformWorld:
        nodes = open_nodes(**{"names": NAMES} | options)
        worlds.append(PlatformWorld(root, nodes, gpus=gpus))
        return worlds[-1]

    try:
        yield make
    finally:
        for world in worlds:
            world.close()


@pytest.fixture
def platform(tmp_path: Path, new_platform: Callable[..., PlatformWorld]) -> PlatformWorld:
    """Two nodes with the variables of PAI-DLC, and a torchrun that only pretends to train."""
    return new_platform(tmp_path)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's job files, with the tiny model."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(PROJECT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    make = [sys.executable, "jobs/make_tiny_model.py", "models/tiny-qwen2"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def clone(checkout: Path, platform: PlatformWorld) -> PlatformWorld:
    """The same world, with what a real training needs on its disk."""
    shutil.copytree(checkout, platform.root, dirs_exist_ok=True)
    return platform


def real(*settings: str) -> list[str]:
    """The words of a real training: two nodes with one rank each, on the CPU."""
    own = [f"environment.venv={sys.prefix}", "environment.setup=[]"]
    size = ["resources.nodes=2", "resources.nproc_per_node=1"]
    return ["jobs/mr_cpu.yaml", *(w for s in [*own, *size, *settings] for w in ("--set", s))]
