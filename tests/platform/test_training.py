"""Real ms-swift over two nodes, by both ways and with the variables of two platforms; the nodes start 10 s apart.

Each way trains. The other pairs of platforms and ways start a torchrun that pretends to train, and its words
must be those of the pairs that train.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.platform.conftest import NAMES, TRAIN, PlatformWorld, real, steps, verdict
from tools.clusters.platform_nodes import Node, PlatformNodes

pytestmark = pytest.mark.training
LIKE = ("pai-dlc", "volcengine", "modelarts", "nnodes")
WAYS = ("prepared", "pasted")
#: PAI-DLC's are torchrun's own variables; ModelArts has lists of hosts, from which a node finds its rank.
REAL = (("pai-dlc", "prepared"), ("modelarts", "pasted"))
PRETENDED = tuple((like, way) for like in LIKE for way in WAYS if (like, way) not in REAL)
#: The words of torchrun on each node.
KEEP = (
    'for word; do [[ $word != --node_rank=* ]] || printf "%s\\n" "$@" >"$run/words${word#*=}"; done'
)
APART_S = 10


class Trained(NamedTuple):
    """A training that has ended."""

    world: PlatformWorld
    run: Path | None  # as it was prepared
    nodes: list[Node]
    codes: list[int]


def train(world: PlatformWorld, way: str, first: int) -> Trained:
    """Train on two nodes, of which node `first` starts before the other one."""
    if way == "prepared":
        run, command = world.prepare(*real("swift.max_steps=2"), "--backend", "platform")
        environ: dict[str, Any] = {}
    else:
        run, command = None, world.pasted(*real(), "--backend", "platform")
        environ = {"PRL_MAX_STEPS": "2"}
    early = world.paste(first, command, **environ)
    time.sleep(APART_S)
    late = world.paste(1 - first, command, **environ)
    nodes = sorted((early, late), key=lambda node: node.rank)
    return Trained(world, run, nodes, [node.wait(300) for node in nodes])


@pytest.fixture(scope="module")
def trained(
    request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Trained]]:
    """`trained(LIKE, WAY)`: two trainings run at once, because each waits for its second node."""
    worlds: dict[tuple[str, str], PlatformWorld] = {}
    wanted = {item.name for item in request.session.items if item.path == request.path}
    for like, way in REAL:
        if any(f"[{like}-{way}]" in name for name in wanted):
            root = tmp_path_factory.mktemp("world")
            shutil.copytree(checkout, root, dirs_exist_ok=True)
            folder = tmp_path_factory.mktemp("nodes")
            nodes = PlatformNodes.open(folder, names=NAMES, shared=[root])
            worlds[like, way] = PlatformWorld(root, nodes, like=like)
    pool = ThreadPoolExecutor(2)
    futures = {
        (like, way): pool.submit(train, world, way, WAYS.index(way))
        for (like, way), world in worlds.items()
    }
    try:
        yield lambda like, way: futures[like, way].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for world in worlds.values():
            world.nodes.close()
        pool.shutdown()
        for world in worlds.values():
            world.close()


@pytest.mark.parametrize(("like", "way"), REAL)
def test_one_training_over_two_nodes(
    trained: Callable[[str, str], Trained], like: str, way: str
) -> None:
    world, run, nodes, codes = trained(like, way)
    assert codes == [0, 0], "\n".join(node.text[-3000:] for node in nodes)
    assert world.the_run() == (run or world.the_run())
    run = world.the_run()
    assert (verdict(run)["state"], verdict(run)["restarts"]) == ("SUCCEEDED", 0)
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {
        path.name for path in (run / "checkpoint-2").iterdir()
    }
    for rank in (0, 1):
        log = (run / "logs" / f"node{rank}.log").read_text()
        assert f"rank: {rank}, local_rank: 0, world_size: 2, local_world_size: 1" in log
    assert steps(run) == [1, 2]
    # Two completions on each rank in each step: the world's batch.
    assert len((run / "completions.jsonl").read_text().splitlines()) in (2, 4, 8)
    status = world.status()
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 2, 2)
    assert "End time of running main" in nodes[0].text  # the platform's page shows node 0's output


@pytest.mark.parametrize(("like", "way"), PRETENDED)
def test_the_other_way_starts_the_same_torchrun(
    platform: PlatformWorld, like: str, way: str
) -> None:
    world, first = platform, (LIKE.index(like) + WAYS.index(way)) % 2
    world.like = like
    if way == "prepared":
        _, command = world.prepare(world.spec())
    else:
        command = world.pasted(world.spec())
    early = world.paste(first, command, FAKE=f"{KEEP}; {TRAIN}")
    time.sleep(2)
    late = world.paste(1 - first, command, FAKE=f"{KEEP}; {TRAIN}")
    assert [early.wait(100), late.wait(100)] == [0, 0], early.text + late.text
    run = world.the_run()
    assert (verdict(run)["state"], verdict(run)["restarts"]) == ("SUCCEEDED", 0)
    words = [(run / f"words{rank}").read_text().splitlines() for rank in (0, 1)]
    assert words[0][:3] == ["--nnodes=2", "--nproc_per_node=1", "--node_rank=0"]
    assert words[1] == ["--node_rank=1" if word == "--node_rank=0" else word for word in words[0]]
    meeting = [word for word in words[0] if word.startswith("--master_")]
    assert meeting[0] == f"--master_addr={NAMES[0]}"
    assert len(meeting) == 2
    assert words[0][words[0].index("-m") + 1] == "swift.cli.rlhf"
