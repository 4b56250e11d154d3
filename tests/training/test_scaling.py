"""Trainings of one and of two ranks as one sweep, compared: real GRPO on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.training.test_real_training import VENV, checkout, clone

if TYPE_CHECKING:
    from tests.conftest import World

pytestmark = pytest.mark.training
__all__ = ["checkout", "clone"]  # fixtures
SPEC = "jobs/scaling_cpu.yaml"
ROWS, BATCH, GROUP = 20, 2, 2
#: One epoch of ROWS in place of max_steps, so that `check` counts the steps from the data.
EPOCH = (
    f"swift.dataset=['jobs/data/mr_train.jsonl#{ROWS}']", "swift.max_steps=null",
    "swift.num_train_epochs=1", f"environment.venv={VENV}", "environment.setup=[]",
    "environment.env.PET_TEE='3'",
)  # fmt: skip
SETS = [word for value in EPOCH for word in ("--set", value)]


def steps_of(run: Path) -> list[dict[str, Any]]:
    """The lines of training steps in logging.jsonl."""
    lines = map(json.loads, (run / "logging.jsonl").read_text("utf-8").splitlines())
    return [line for line in lines if "loss" in line]


def seconds_at(line: dict[str, Any]) -> float:
    """Seconds from the training's begin to this step, by the definition of `train_speed(s/it)`."""
    step = int(line["global_step/max_steps"].split("/")[0])
    return float(line["train_speed(s/it)"]) * step


def test_one_and_two_ranks(clone: World) -> None:
    """Speed-up and efficiency are those that logging.jsonl gives, and the steps those that `check` counted."""
    done = clone.finish(clone.start(SPEC, "--wait", *SETS), 400)
    assert done.code == 0, done.out[-3000:] + done.err
    runs = sorted(clone.output.glob("v*-*"))
    one, two = map(steps_of, runs)
    for ranks, lines in ((1, one), (2, two)):
        steps = ROWS * GROUP // (BATCH * ranks)
        assert [line["global_step/max_steps"] for line in lines][-1] == f"{steps}/{steps}"
        alone = ["--set", f"resources.nproc_per_node={ranks}", *SETS]
        checked = clone.prl("check", "jobs/mr_cpu.yaml", *alone, "--json").json
        assert checked["estimate"]["steps"] == steps
    found = clone.prl("compare", "scaling-cpu", "--json").json
    speeds = []
    for ranks, lines in ((1, one), (2, two)):
        took = seconds_at(lines[-1]) - seconds_at(lines[0])  # without the warm-up of the first step
        speeds.append(BATCH * ranks * (len(lines) - 1) / took)
    assert [run["processes"] for run in found["runs"]] == [1, 2]
    assert [run["samples_per_second"] for run in found["runs"]] == pytest.approx(speeds, rel=0.01)
    assert [run["speed_up"] for run in found["runs"]] == pytest.approx(
        [1, speeds[1] / speeds[0]], rel=0.02
    )
    assert [run["efficiency"] for run in found["runs"]] == pytest.approx(
        [1, speeds[1] / speeds[0] / 2], rel=0.02
    )
    assert found["equal_samples"] == ROWS * GROUP
    assert list(found["settings"]) == ["resources.nproc_per_node"]
    ranks_are_logged_apart(clone, runs[1])


def ranks_are_logged_apart(clone: World, run: Path) -> None:
    """With PET_TEE torchrun writes a log file for each rank, with the lines of that rank only."""
    first, second = (clone.prl("logs", run, "--rank", str(rank)).out for rank in (0, 1))
    of_rank_0 = "[INFO:swift] rank: 0, local_rank: 0, world_size: 2"  # other ranks log less
    assert of_rank_0 in first
    assert second
    assert of_rank_0 not in second
