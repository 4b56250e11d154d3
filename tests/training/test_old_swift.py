"""Real training with ms-swift 3.3.0, installed and as a checkout in the working directory.

Its environment is made by tools/make-old-swift-venv.sh, which `make test` runs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Done, World

pytestmark = pytest.mark.training
PROJECT = Path(__file__).resolve().parents[2]
#: Two steps of two ranks, a checkpoint after each.
SHORT = ("max_steps=2", "save_steps=1", "eval_strategy=no", "val_dataset=null")
#: Ends the training in its second step, once. On several CPU processes transformers 4 has the optimizer
#: loaded to "cpu:0", a place that torch does not know; the plugin tells torch of it.
FALTERS = """
import os
import torch
from swift.plugin import ORM, orms

torch.serialization.register_package(
    9, lambda object: None, lambda object, place: object if place == "cpu:0" else None
)


class Falters(ORM):
    calls = 0

    def __call__(self, completions, **kwargs):
        Falters.calls += 1
        if Falters.calls > 4 and not os.path.exists("faltered"):
            open("faltered", "w").close()
            raise RuntimeError("it falters")
        return [float(len(text)) for text in completions]


orms["falters"] = Falters
"""


#: Written by users into swift/plugin/orm.py of their checkout.
OWN_REWARD = """

class MyReward(ORM):

    def __call__(self, completions, **kwargs) -> List[float]:
        return [float(len(text) % 7) for text in completions]


orms['my_reward'] = MyReward
"""


@pytest.fixture
def venv(old_swift_venv: Path) -> Path:
    """The environment with ms-swift 3.3.0."""
    return old_swift_venv


@pytest.fixture
def old(tmp_path: Path, new_world: Callable[[Path], World]) -> World:
    """A world with the example jobs; the CPU job makes its model by itself, with transformers 4.51."""
    shutil.copytree(
        PROJECT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    return new_world(tmp_path)


def command(venv: Path, *values: str) -> list[object]:
    """The CPU job in that environment, short and changed."""
    sets = [f"environment.venv={venv}", *(f"swift.{value}" for value in (*SHORT, *values))]
    return ["jobs/mr_cpu.yaml", *(word for text in sets for word in ("--set", text))]


def explained(done: Done) -> dict[str, Any]:
    return {item["key"]: item for item in done.json["values"]}


def logged_steps(run: Path) -> list[str]:
    lines = map(json.loads, (run / "logging.jsonl").read_text().splitlines())
    return [line["global_step/max_steps"] for line in lines if "loss" in line]


def ended_well(world: World) -> dict[str, Any]:
    """The only run, as `status` tells it; it must have trained both steps and left nothing running."""
    (status,) = world.prl("status", "latest", "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 2, 2), status
    assert world.alive() == []
    return dict(status)


def test_fails_in_the_middle_and_resumes(old: World, venv: Path) -> None:
    """check, explain, a failure in its own words, logs, and resume from the checkpoint before it."""
    (old.root / "falters.py").write_text(FALTERS)
    job = command(
        venv, "external_plugins=[falters.py]", "reward_funcs=[falters]", "reward_weights=null"
    )
    assert old.prl("check", *job).err == "note: 2 steps\n"
    values = explained(old.prl("explain", *job, "--json"))
    assert values["environment.swift_version"]["value"] == "3.3.0"
    assert f"read from {venv}" in values["environment.swift_version"]["detail"]

    done = old.finish(old.start(*job, "--wait"), 300)
    assert done.code == 1
    (status,) = old.prl("status", "latest", "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("FAILED", 1, 2)
    assert "RuntimeError: it falters" in status["reason"]

    again = old.finish(old.start("resume", "latest", "--wait"), 300)
    assert again.code == 0, again.err + old.prl("logs", "latest", "--tail", "40").out
    assert "continues from checkpoint-1" in again.err
    assert ended_well(old)["restarts"] == 1
    (run,) = old.output.glob("v*")
    assert logged_steps(run) == ["1/2", "2/2"]
    assert "rng_state_1.pth" in os.listdir(run / "checkpoint-2")
    out = old.prl("logs", "latest").out
    assert "RuntimeError: it falters" in out
    assert "'global_step/max_steps': '2/2'" in out
    assert "at its last step already" in old.prl("resume", "latest").err


def test_a_checkout_in_the_working_directory(old: World, venv: Path) -> None:
    """It runs, and is checked, in place of the installed one; rewards of its own code are known.

    A scheduler's restart goes on from the checkpoint, as on Slurm and Kubernetes.
    """
    swift = make_checkout(old.root, venv)
    (old.root / "falters.py").write_text(FALTERS)
    rewards = "reward_funcs=[prl_format,prl_accuracy,my_reward,falters]"
    plugins = "external_plugins=[jobs/plugins/prl_rewards.py,falters.py]"
    job = [*command(venv, rewards, plugins, "reward_weights=null"), "--set", "restarts.max=1"]

    values = explained(old.prl("explain", *job, "--json"))
    assert values["environment.swift_version"]["value"] == "3.3.0.dev0"
    assert f"read from {swift}" in values["environment.swift_version"]["detail"]
    assert old.prl("check", *job).err == "note: 2 steps\n"
    misspelt = old.prl("check", *job, "--set", "swift.reward_funcs=[my_rewards]")
    assert "did you mean my_reward?" in misspelt.err

    assert old.finish(old.start(*job, "--wait"), 300).code == 1
    (run,) = old.output.glob("v*")
    again = old.popen(["bash", run / "launch.sh"], PRL_SUBMIT_RESTARTS="1")
    done = old.finish(again, 300)
    log = (run / "logs" / "node0.log").read_text()
    assert done.code == 0, log[-3000:]
    assert "restart 1: continues from checkpoint-1" in log
    assert ended_well(old)["restarts"] == 1
    assert logged_steps(run) == ["1/2", "2/2"]
    first = json.loads((run / "logging.jsonl").read_text().splitlines()[0])
    assert {"rewards/PrlAccuracy/mean", "rewards/MyReward/mean"} <= set(first)
    assert json.loads((run / "plan.json").read_text())["swift_version"] == "3.3.0.dev0"


def make_checkout(folder: Path, venv: Path) -> Path:
    """The sources of ms-swift as users have them, with a reward of their own."""
    (installed,) = venv.glob("lib/python3*/site-packages/swift")
    swift = folder / "swift"
    shutil.copytree(installed, swift, ignore=shutil.ignore_patterns("__pycache__"))
    version = (swift / "version.py").read_text()
    (swift / "version.py").write_text(version.replace("'3.3.0'", "'3.3.0.dev0'"))
    with (swift / "plugin" / "orm.py").open("a") as file:
        file.write(OWN_REWARD)
    return swift
