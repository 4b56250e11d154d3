"""The same command on several nodes of a platform: refused where each node would train alone."""

from __future__ import annotations

import pytest

from tests.conftest import World
from tests.support.platform_variables import ROWS


@pytest.mark.parametrize("words", [[], ["--follow"], ["--wait", "--json"]])
def test_a_local_job_is_refused_and_nothing_is_made(world: World, words: list[str]) -> None:
    spec = world.spec()
    done = world.prl(spec, *words, **ROWS["PAI-DLC"])
    assert done.code == 2
    assert "2 nodes (WORLD_SIZE=2, RANK=1)" in done.err
    assert "--backend platform" in done.err
    assert not world.output.exists()


def test_slurm_without_its_client_is_refused_too(world: World) -> None:
    alone = world.environ["PATH"].partition(":")[0]  # Slurm's programs are in /usr/bin
    done = world.prl(world.spec(), "--backend", "slurm", PATH=alone, **ROWS["NNODES"])
    assert done.code == 2
    assert "sbatch is not on this node" in done.err
    assert not world.output.exists()


def test_a_local_run_is_not_resumed_on_several_nodes(world: World) -> None:
    run, _ = world.run_to_end("step 1 3; save 1 3; exit 7")
    before = sorted(path.name for path in run.rglob("*"))
    done = world.prl("resume", run.name, **ROWS["Volcengine"])
    assert done.code == 2
    assert "MLP_WORKER_NUM=2" in done.err
    assert sorted(path.name for path in run.rglob("*")) == before


def test_one_node_of_a_platform_is_a_machine_like_any_other(world: World) -> None:
    one = {**ROWS["PAI-DLC"], "WORLD_SIZE": "1", "RANK": "0"}
    assert world.prl(world.spec(), "--wait", FAKE="step 1 1", **one).code == 0


def test_doctor_says_which_platform_it_sees(world: World) -> None:
    done = world.prl("doctor", **ROWS["PAI-DLC"])
    assert "this node RANK=1" in done.out
    assert "platform      none" in world.prl("doctor").out


def test_check_warns_where_this_node_would_be_refused(world: World) -> None:
    spec = world.spec(resources__nodes=3)
    done = world.prl("check", spec, "--backend", "platform", **ROWS["NNODES"])
    assert done.code == 0
    assert "warning: variables of this machine: " in done.err
    assert "resources.nodes in the spec is 3, but the platform has started 2 (NNODES=2)" in done.err
    wrong = {**ROWS["NNODES"], "NODE_RANK": ""}
    done = world.prl("check", spec, "--backend", "platform", **wrong)
    assert "the variables of the platform are wrong: there are 2 nodes (NNODES=2)" in done.err


def test_a_platforms_command_is_refused_for_other_nodes_than_the_specs(world: World) -> None:
    spec = world.spec(resources__nodes=3)
    done = world.prl(spec, "--backend", "platform", **ROWS["NNODES"])
    assert done.code == 2
    assert "resources.nodes in the spec is 3, but the platform has started 2 (NNODES=2)" in done.err
    assert not world.output.exists()
