"""A real training of two ranks on two nodes of a platform, which are two processes of launch.sh here."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.training.test_real_training import (
    checkout,
    clone,
    command,
    logged_steps,
    swift,
    verdict,
    wait_for_step,
)

if TYPE_CHECKING:
    from tests.conftest import World

__all__ = ["checkout", "clone"]  # fixtures
pytestmark = pytest.mark.training
TWO = ["--set", "resources.nodes=2", "--set", "resources.nproc_per_node=1"]


def prepare(world: World, *words: object) -> Path:
    """A run that is prepared for a platform."""
    options = ["--backend", "platform", "--prepare", *TWO, *words]
    done = world.prl(*command(*options))
    assert done.code == 0, done.err
    return Path(done.out.strip())


def start(world: World, run: Path, rank: int) -> subprocess.Popen[bytes]:
    """launch.sh of a node, with the variables of PAI-DLC."""
    told = {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": socket.gethostname()}
    return world.popen(["bash", run / "launch.sh"], **told)


def continued_from(run: Path) -> int:
    """The step of the checkpoint from which the last attempt of node 0 went on."""
    log = (run / "logs" / "node0.log").read_text()
    return int(log.rpartition("continues from checkpoint-")[2].split()[0])


def checkpoint_written(run: Path, step: int) -> None:
    """Wait for a checkpoint of both ranks."""
    deadline = time.monotonic() + 120
    while not all(
        (run / f"checkpoint-{step}" / name).exists()
        for name in ("rng_state_0.pth", "rng_state_1.pth", "trainer_state.json")
    ):
        assert time.monotonic() < deadline, (run / "logs" / "node0.log").read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_node_is_killed_and_started_again(clone: World, killed: int) -> None:
    """The other node goes on with it, from the last checkpoint; nobody trains a third time."""
    longer = swift("max_steps=14", "save_steps=4", "eval_strategy=no", "val_dataset=null")
    run = prepare(clone, "--set", "restarts.max=1", *longer)
    processes = [start(clone, run, rank) for rank in (0, 1)]
    wait_for_step(clone, 6)
    checkpoint_written(run, 4)
    processes[killed].kill()
    clone.finish(processes[killed])
    processes[killed] = start(clone, run, killed)
    ended = [clone.finish(process, 200) for process in processes]
    assert [done.code for done in ended] == [0, 0], ended[0].out[-3000:]
    assert (verdict(run)["state"], verdict(run)["restarts"]) == ("SUCCEEDED", 1)
    assert continued_from(run) >= 4
    steps = logged_steps(run)
    assert steps == [f"{step}/14" for step in range(1, 15)]
    assert "world_size: 2" in (run / "logs" / "node0.log").read_text()
    assert clone.alive() == []
    again = [clone.finish(start(clone, run, rank)) for rank in (0, 1)]
    assert [done.code for done in again] == [0, 0]
    assert logged_steps(run) == steps


def test_sigterm_to_one_node_ends_both(clone: World) -> None:
    """The same command again goes on from the last checkpoint, each step once."""
    longer = swift("max_steps=12", "save_steps=2", "eval_strategy=no", "val_dataset=null")
    run = prepare(clone, "--set", "restarts.max=1", *longer)
    processes = [start(clone, run, rank) for rank in (0, 1)]
    wait_for_step(clone, 5)
    checkpoint_written(run, 4)
    processes[1].terminate()
    ended = [clone.finish(process, 60) for process in processes]
    assert [done.code for done in ended] == [143, 143], ended
    assert clone.alive() == []
    processes = [start(clone, run, rank) for rank in (0, 1)]
    ended = [clone.finish(process, 200) for process in processes]
    assert [done.code for done in ended] == [0, 0], ended[0].out[-3000:]
    assert verdict(run)["state"] == "SUCCEEDED"
    assert continued_from(run) >= 4
    assert logged_steps(run) == [f"{step}/12" for step in range(1, 13)]
