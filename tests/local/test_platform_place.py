"""launch.sh of a platform's job on a node: which variables it takes, and what it refuses before the training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.launching import launch
from tests.support.platform_variables import ROWS

if TYPE_CHECKING:
    from tests.conftest import Done, World

#: What torchrun was told on its command line, and what it sees of the platform's variables.
SHOWS = """
printf '%s\\n' "$@" >"$run/argv"
env | grep -E '^(NNODES|NODE_RANK|NPROC_PER_NODE|WORLD_SIZE|RANK|PET_[A-Z_]*)=' >"$run/seen" || true
step 1 1
ended
"""


def start(
    world: World, environ: Mapping[str, str], fake: str = SHOWS, **over: Any
) -> tuple[Path, Done]:
    """The run directory and the end of launch.sh on a node with these variables."""
    run = launch(world, backend="platform", **over)
    return run, world.finish(world.popen(["bash", run / "launch.sh"], FAKE=fake, **environ))


def end_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "exit.json").read_text())
    return found


def one(row: str, **values: str) -> dict[str, str]:
    """One node of a platform."""
    return {**ROWS[row], "WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "localhost", **values}


def test_the_platform_tells_the_size_that_the_spec_leaves_open(world: World) -> None:
    run, done = start(world, one("PAI-DLC", NPROC_PER_NODE="2"))
    assert done.code == 0, done.err
    assert "--nproc_per_node=2" in (run / "argv").read_text().split()
    assert (run / "seen").read_text() == ""
    assert end_of(run)["state"] == "SUCCEEDED"


def test_without_variables_it_is_one_node(world: World) -> None:
    run, done = start(world, {})
    assert done.code == 0, done.err
    assert "--nproc_per_node=1" in (run / "argv").read_text().split()


def refused(world: World, environ: Mapping[str, str], **over: Any) -> str:
    """The reason of a refusal, which exit.json has too. torchrun is not started."""
    run, done = start(world, environ, **over)
    assert done.code == 78, done
    end = end_of(run)
    assert (end["exit_code"], end["state"]) == (78, "FAILED")
    assert end["reason"] in done.err + done.out
    assert not (run / "argv").exists()
    return str(end["reason"])


def test_other_numbers_than_the_specs_are_refused(world: World) -> None:
    two = {**ROWS["PAI-DLC"], "RANK": "0"}
    reason = refused(world, two, resources__nodes=3, resources__nproc_per_node=8)
    assert (
        "resources.nodes in the spec is 3, but the platform has started 2 (WORLD_SIZE=2)" in reason
    )
    reason = refused(world, one("PAI-DLC"), resources__nproc_per_node=4)
    assert "is 4, but the platform gives this node 8 (NPROC_PER_NODE=8)" in reason


def test_wrong_variables_are_refused(world: World) -> None:
    assert "NNODES=abc is not a number of nodes" in refused(world, {"NNODES": "abc"})
    reason = refused(world, {**ROWS["NNODES"], "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"})
    assert "MASTER_ADDR=127.0.0.1 is each node itself" in reason


def test_batches_are_checked_when_the_node_knows_the_number_of_processes(world: World) -> None:
    reason = refused(world, one("PAI-DLC", NPROC_PER_NODE="3"), swift__num_generations=4)
    assert reason.startswith("swift.num_generations: 4 does not divide the generation batch 6 = ")
    assert "nproc_per_node 3 x nodes 1" in reason
