"""Real ms-swift on a real Slurm: one training over two nodes, restarted and warned."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prl_submit.runs.checkpoints import last_complete
from tests.slurm.conftest import SlurmWorld

pytestmark = pytest.mark.training
PROJECT = Path(__file__).resolve().parents[2]
Eventually = Callable[..., None]
#: A rank of node 1 may crash on its way out; node 0's torchrun then waits 300 s for that of node 1.
PATIENCE_S = 500


@pytest.fixture
def clone(slurm: SlurmWorld) -> SlurmWorld:
    """A world with the repository's job files and the tiny model."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "jobs", slurm.root / "jobs", ignore=ignored)
    make = [sys.executable, "jobs/make_tiny_model.py", "models/tiny-qwen2"]
    subprocess.run(make, cwd=slurm.root, check=True, capture_output=True)
    return slurm


def command(*settings: str) -> list[str]:
    """Two nodes with one rank each."""
    own = [
        f"environment.venv={sys.prefix}",
        "environment.setup=[]",
        "resources.nodes=2",
        "resources.nproc_per_node=1",
        "resources.memory=4000M",
        *settings,
    ]
    return ["jobs/mr_cpu.yaml", "--backend", "slurm", *(w for s in own for w in ("--set", s))]


def exit_of(run: Path) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads((run / "exit.json").read_text())
    return verdict


def test_one_training_over_two_nodes(clone: SlurmWorld) -> None:
    done = clone.finish(clone.start(*command(), "--follow"), timeout=PATIENCE_S)
    assert done.code == 0, done.out[-3000:] + done.err
    (run,) = clone.output.glob("v*")
    assert exit_of(run)["state"] == "SUCCEEDED"
    assert {f"rng_state_{rank}.pth" for rank in (0, 1)} <= {
        path.name for path in (run / "checkpoint-4").iterdir()
    }
    for rank in (0, 1):
        log = (run / "logs" / f"node{rank}.log").read_text()
        assert f"rank: {rank}, local_rank: 0, world_size: 2, local_world_size: 1" in log
        assert f"[node{rank}] [INFO:swift] rank: {rank}, local_rank: 0, world_size: 2" in done.out
    (status,) = clone.prl("status", "latest", "--json").json["runs"]
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 4, 4)
    one = clone.prl("logs", "latest", "--node", "1")
    assert "rank: 1," in one.out
    assert "[INFO:swift] rank: 0," not in one.out


def test_requeued_during_the_training(clone: SlurmWorld, eventually: Eventually) -> None:
    """Requeued after step 3, the job continues from checkpoint-2 and succeeds."""
    steps = ["swift.max_steps=40", "swift.save_steps=2", "swift.eval_strategy=no", "restarts.max=1"]
    clone.finish(clone.start(*command(*steps)), timeout=60)
    (run,) = clone.output.glob("v*")
    eventually(lambda: (last := last_complete(run, 2)) is not None and last.step >= 2, timeout=90)
    clone.cluster.run("scontrol", "requeue", json.loads((run / "run.json").read_text())["job_id"])
    done = clone.finish(clone.start("wait", "latest"), timeout=PATIENCE_S)
    assert done.code == 0, done.err
    ended = exit_of(run)
    assert (ended["state"], ended["restarts"]) == ("SUCCEEDED", 1)
    log = (run / "logs" / "node0.log").read_text()
    (line,) = [line for line in log.splitlines() if "continues from checkpoint-" in line]
    assert 2 <= int(line.rpartition("-")[2]) < 40
    checkpoint = last_complete(run, 2)
    assert checkpoint is not None
    assert checkpoint.step == 40


def test_out_of_time_saves_a_checkpoint(clone: SlurmWorld, eventually: Eventually) -> None:
    """The warning comes as one SIGTERM to each rank; both save before they end.

    The limit is set once it trains: how long torch takes to start is the machine's affair. Long
    steps, since each rank looks for itself, at the ends of a step, whether it is to save: a signal
    that comes between the looks of two ranks leaves them waiting for each other until the kill.
    """
    settings = [
        *("swift.max_steps=100000", "swift.save_steps=100000", "swift.eval_strategy=no"),
        *("swift.gradient_accumulation_steps=192", "swift.steps_per_generation=16"),
        *("swift.enable_jit_checkpoint=true", "resources.time_limit=30m", "restarts.grace=110s"),
    ]
    clone.finish(clone.start(*command(*settings)), timeout=60)
    (run,) = clone.output.glob("v*")
    began = time.monotonic()
    eventually(lambda: clone.prl("status", "latest", "--json").json["runs"][0]["step"], timeout=200)
    minutes = int(time.monotonic() - began) // 60 + 2  # a minute or two are left
    job_id = json.loads((run / "run.json").read_text())["job_id"]
    clone.cluster.run("scontrol", "update", f"JobId={job_id}", f"TimeLimit={minutes}")
    done = clone.finish(clone.start("wait", "latest"), timeout=PATIENCE_S)
    assert done.code == 1
    assert exit_of(run)["state"] == "TIMEOUT", exit_of(run)
    checkpoint = last_complete(run, 2)
    assert checkpoint is not None
    assert 0 < checkpoint.step < 100000
