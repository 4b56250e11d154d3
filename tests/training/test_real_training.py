"""Real trainings with ms-swift on the CPU, with two ranks, started by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import World

pytestmark = pytest.mark.training
PROJECT = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)
SPEC = "jobs/mr_cpu.yaml"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that a job needs, with the tiny model."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(PROJECT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "jobs/make_tiny_model.py", "models/tiny-qwen2"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def clone(checkout: Path, tmp_path: Path, new_world: Callable[[Path], World]) -> World:
    """A world in a copy of the checkout."""
    shutil.copytree(checkout, tmp_path / "clone")
    return new_world(tmp_path / "clone")


def command(*words: object) -> list[object]:
    return [SPEC, "--set", f"environment.venv={VENV}", "--set", "environment.setup=[]", *words]


def swift(*values: str) -> list[object]:
    return [word for value in values for word in ("--set", f"swift.{value}")]


def only_run(world: World) -> Path:
    (run,) = world.output.glob("v*")
    return run


def verdict(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "exit.json").read_text()))


def logged_steps(run: Path) -> list[str]:
    """`1/4` and so on, for each training step in the log."""
    lines = map(json.loads, (run / "logging.jsonl").read_text().splitlines())
    return [line["global_step/max_steps"] for line in lines if "loss" in line]


def wait_for_step(world: World, step: int) -> Path:
    """Wait until the log has the words; return the run directory."""
    deadline = time.monotonic() + 90
    while True:
        for path in world.output.glob("v*/logging.jsonl"):
            if f'"{step}/' in path.read_text():
                return path.parent
        assert time.monotonic() < deadline, "no training step came"
        time.sleep(0.05)


def test_example_job(clone: World) -> None:
    """A training of two ranks leaves every file that the README promises, and no process."""
    setup = "environment.setup=[python jobs/make_tiny_model.py models/tiny-qwen2]"
    done = clone.finish(
        clone.start(SPEC, "--follow", "--set", f"environment.venv={VENV}", "--set", setup), 200
    )
    assert done.code == 0, done.out[-3000:] + done.err
    run = only_run(clone)
    names = set(os.listdir(run))
    assert {"args.json", "completions.jsonl", "logging.jsonl", "exit.json"} <= names
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(os.listdir(run / "checkpoint-4"))
    assert logged_steps(run)[-1] == "4/4"
    assert (verdict(run)["state"], verdict(run)["exit_code"]) == ("SUCCEEDED", 0)
    (status,) = clone.prl("status", "latest", "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 4, 4)
    assert "4/4" in clone.prl("status", "latest").out
    assert clone.alive() == []
    again = clone.prl("resume", "latest")
    assert again.code == 2
    assert "at its last step already" in again.err


def variables_of_a_pod(world: World) -> dict[str, str]:
    """PET_* variables of one node, a rank in another training, a TMPDIR too long for a socket, and no HOME."""
    long = world.root / ("x" * 120)
    long.mkdir()
    return {
        "PET_NNODES": "1",
        "PET_RDZV_ENDPOINT": "nowhere.example:1",
        "LOCAL_RANK": "3",
        "RANK": "3",
        "WORLD_SIZE": "9",
        "MASTER_ADDR": "nowhere.example",
        "MASTER_PORT": "1",
        "TMPDIR": str(long),
        "HOME": "",
    }


def test_a_rank_that_crashes_after_the_training(clone: World) -> None:
    """torch sometimes crashes so (pytorch#190489). torchrun exits with 1, but the training is complete.

    It trains in spite of the variables that a platform's pod sets.
    """
    (clone.root / "crash.py").write_text(
        "import atexit, os\nif os.environ['RANK'] == '0': atexit.register(os.abort)\n"
    )
    plugins = "external_plugins=[jobs/plugins/prl_rewards.py, crash.py]"
    started = clone.start(*command("--wait", *swift(plugins)), **variables_of_a_pod(clone))
    done = clone.finish(started, 200)
    run = only_run(clone)
    assert done.code == 0, done.err + (run / "logs/node0.log").read_text()[-3000:]
    assert (verdict(run)["state"], verdict(run)["exit_code"]) == ("SUCCEEDED", 0)
    words = "the training came to its end; a process crashed on its way out: Signal 6 (SIGABRT)"
    assert verdict(run)["reason"].startswith(words)
    assert words in done.err
    assert words in clone.prl("status", "latest", COLUMNS="300").out


def test_data_smaller_than_one_generation_batch(clone: World) -> None:
    """ms-swift exits with 0 and without a checkpoint, and prl-submit reports a failure.

    The file is made by the job: of one that is there at submission `check` counts the rows.
    """
    few = swift("dataset=[few.jsonl]", "val_dataset=null", "eval_strategy=no")
    made = ("--set", 'environment.setup=["head -1 jobs/data/mr_train.jsonl > few.jsonl"]')
    done = clone.finish(clone.start(*command("--wait", *few, *made)), 200)
    ended = verdict(only_run(clone))
    assert (done.code, ended["state"]) == (1, "FAILED"), done
    assert "is the data set smaller than one generation batch?" in ended["reason"]
    assert ended["reason"] in done.err


def test_ranks_that_do_not_find_each_other(clone: World) -> None:
    """Without use_cpu each rank trains alone, and ms-swift exits with 0."""
    alone = ["--set", "resources.accelerator=gpu", *swift("use_cpu=null", "ddp_backend=null")]
    hidden = {"PRL_PREFLIGHT": "off", "CUDA_VISIBLE_DEVICES": ""}
    short = swift("eval_strategy=no", "val_dataset=null", "max_steps=2", "save_steps=1")
    done = clone.finish(clone.start(*command("--wait", *alone, *short), **hidden), 200)
    ended = verdict(only_run(clone))
    assert (done.code, ended["state"]) == (1, "FAILED"), done
    assert "2 trainings of world size 1 instead of one of 2" in ended["reason"]


def test_wrong_model_is_explained(clone: World) -> None:
    """The user sees the last line of Python's error at the end."""
    (clone.root / "models/tiny-qwen2/config.json").write_text('{"model_type": "nonsense"}')
    done = clone.finish(clone.start(*command("--wait")), 200)
    assert done.code == 1
    reason = verdict(only_run(clone))["reason"]
    assert reason.startswith("torchrun exited with 1: ")
    assert "Error" in reason


def test_cancel_in_the_middle_and_resume(clone: World) -> None:
    """cancel leaves no process. resume goes on from the last complete checkpoint to the end."""
    slow = swift("max_steps=60", "save_steps=2", "eval_strategy=no", "val_dataset=null")
    assert clone.prl(*command(*slow)).code == 0
    run = wait_for_step(clone, 3)
    began = time.monotonic()
    assert clone.prl("cancel", run.name).code == 0
    assert time.monotonic() - began < 40
    assert clone.alive() == []
    assert verdict(run)["state"] == "CANCELLED"
    before = len(logged_steps(run))
    assert 3 <= before < 60
    steps = sorted(int(path.name.partition("-")[2]) for path in run.glob("checkpoint-*"))
    partial = (
        run / f"checkpoint-{steps[-1] + 2}"
    )  # a folder like one that a kill during a save leaves
    shutil.copytree(run / f"checkpoint-{steps[-1]}", partial)
    (partial / "rng_state_1.pth").unlink()
    done = clone.finish(clone.start("resume", run.name, "--wait"), 200)
    assert done.code == 0, done.err + (run / "logs/node0.log").read_text()[-3000:]
    chosen = int(done.err.partition("continues from checkpoint-")[2].split()[0])
    assert chosen in steps
    (status,) = clone.prl("status", run.name, "--json").json["runs"]
    assert (status["state"], status["restarts"]) == ("SUCCEEDED", 1)
    assert (status["step"], status["max_steps"]) == (60, 60)
    assert logged_steps(run) == [f"{step}/60" for step in range(1, 61)]


ABORTS = """\
import atexit, os, time
from swift.rewards import ORM, orms
class Short(ORM):
    def __call__(self, completions, **kwargs):
        return [1.0 / (1 + len(text)) for text in completions]
orms['short'] = Short
if os.environ.get('RANK') == '1':
    atexit.register(os.abort)
else:
    import swift.pipelines.train.sft as sft
    old = sft.plot_images
    def slow(*args, **kwargs):
        open('plotting', 'w').close()
        time.sleep(SECONDS)
        return old(*args, **kwargs)
    sft.plot_images = slow
"""


def plugin(world: World, seconds: int) -> list[object]:
    """Rank 1 crashes at its exit while rank 0 draws its plots, so torchrun ends rank 0 before its last line."""
    (world.root / "aborts.py").write_text(ABORTS.replace("SECONDS", str(seconds)))
    return [
        *("--set", "swift.external_plugins=[aborts.py]", "--set", "swift.reward_funcs=[short]"),
        *("--set", "swift.reward_weights=null", "--set", "swift.report_to=[tensorboard]"),
        *swift("max_steps=2", "save_steps=2", "eval_strategy=no", "val_dataset=null"),
    ]


def test_rank_1_aborts_before_rank_0_has_written_its_last_line(clone: World) -> None:
    """Everything is trained and saved, and only the checkpoint shows it."""
    done = clone.finish(clone.start(*command("--wait", *plugin(clone, 15))), 200)
    run = only_run(clone)
    log = (run / "logs/node0.log").read_text()
    assert verdict(run)["state"] == "SUCCEEDED", verdict(run)
    assert "a process crashed on its way out: Signal 6 (SIGABRT)" in verdict(run)["reason"]
    assert "End time of running main" not in log
    assert done.code == 0


def test_cancelled_while_it_draws_its_plots(clone: World) -> None:
    assert clone.prl(*command(*plugin(clone, 60))).code == 0
    deadline = time.monotonic() + 120
    while not (clone.root / "plotting").exists():
        assert time.monotonic() < deadline, "it never came to its plots"
        time.sleep(0.1)
    run = only_run(clone)
    assert clone.prl("cancel", run.name).code == 0
    assert verdict(run)["state"] == "SUCCEEDED", verdict(run)
    assert verdict(run)["reason"].startswith("all 2 steps are trained and saved")
    assert clone.alive() == []


def test_more_steps_than_first_asked_for(clone: World) -> None:
    """`resume --set swift.max_steps` trains a finished run on: each step once, with the new length of the schedule."""
    short = swift("max_steps=2", "save_steps=1", "eval_strategy=no", "val_dataset=null")
    first = clone.finish(clone.start(*command(*short, "--wait")), 200)
    assert first.code == 0, first.err
    run = only_run(clone)
    done = clone.finish(
        clone.start("resume", run.name, "--set", "swift.max_steps=4", "--wait"), 200
    )
    assert done.code == 0, done.err + (run / "logs/node0.log").read_text()[-3000:]
    assert "continues from checkpoint-2" in done.err
    assert logged_steps(run) == ["1/2", "2/2", "3/4", "4/4"]
    saved = sorted(path.name for path in run.glob("checkpoint-*"))
    assert saved == [f"checkpoint-{step}" for step in range(1, 5)]
    state = json.loads((run / "checkpoint-4" / "trainer_state.json").read_text())
    assert (state["global_step"], state["max_steps"]) == (4, 4)
    assert json.loads((run / "args.json").read_text())["max_steps"] == 4
    (status,) = clone.prl("status", run.name, "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 4, 4)
    for file in ("adapter_model.safetensors", "optimizer.pt"):
        goes_on_before_a_damaged_checkpoint(clone, run, file)


def goes_on_before_a_damaged_checkpoint(world: World, run: Path, file: str) -> None:
    """One file of a real checkpoint is cut off, so ms-swift could not load it: the one before is taken."""
    shutil.rmtree(run / "checkpoint-4")
    data = (run / "checkpoint-3" / file).read_bytes()
    (run / "checkpoint-3" / file).write_bytes(data[: len(data) * 2 // 3])
    done = world.finish(world.start("resume", run.name, "--wait"), 200)
    assert "continues from checkpoint-2" in done.err
    assert done.code == 0, done.err
    assert (run / "checkpoint-4").is_dir()
    assert (run / "checkpoint-3" / file).read_bytes() != data[: len(data) * 2 // 3]
