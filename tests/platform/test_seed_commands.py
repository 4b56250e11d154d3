"""The first users' own commands, PRL_* variables before prl-submit, on one node: prepared, and pasted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.platform.conftest import PlatformWorld, steps, verdict

#: Processes, the GPUs that the user names, and the batch of each process.
COMMANDS = [(1, "0", 2), (2, "0,1", 1), (4, "2,3,4,5", 1)]
#: What the GPUs of a node would say.
NVIDIA_SMI = (
    '#!/bin/bash\nfor i in 0 1 2 3 4 5 6 7; do echo "GPU $i: NVIDIA H100 (UUID: GPU-$i)"; done\n'
)
SHOW = 'echo "GPUs $CUDA_VISIBLE_DEVICES" >$run/gpus; step 1 1; ended'


def typed(processes: int, gpus: str, batch: int) -> dict[str, Any]:
    """The variables that the user types before the command."""
    return {
        "PRL_CUDA_VISIBLE_DEVICES": gpus,
        "PRL_NPROC_PER_NODE": str(processes),
        "PRL_PER_DEVICE_TRAIN_BATCH_SIZE": str(batch),
        "PRL_NUM_GENERATIONS": "2",
        "PRL_NUM_INFER_WORKERS": str(processes),
    }


@pytest.fixture
def one_node(tmp_path: Path, new_platform: Callable[..., PlatformWorld]) -> PlatformWorld:
    """One node with the variables of PAI-DLC and 8 GPUs."""
    return new_platform(tmp_path, names=["job-master-0"], gpus=8)


@pytest.mark.parametrize("way", ["prepared", "pasted"])
@pytest.mark.parametrize(("processes", "gpus", "batch"), COMMANDS)
def test_on_gpus(one_node: PlatformWorld, way: str, processes: int, gpus: str, batch: int) -> None:
    world = one_node
    (world.venv / "bin" / "nvidia-smi").write_text(NVIDIA_SMI)
    (world.venv / "bin" / "nvidia-smi").chmod(0o755)
    (*_, packages) = (world.venv / "lib").glob("*/site-packages")
    (packages / "vllm").mkdir()
    (packages / "vllm" / "__init__.py").touch()
    gpu = {"accelerator": "gpu", "nproc_per_node": 8}
    spec = world.spec(resources=gpu, swift__use_vllm=True, swift__vllm_mode="colocate")
    environ = typed(processes, gpus, batch)
    if way == "prepared":
        node = world.paste(0, world.prepare(spec, **environ)[1], FAKE=SHOW)
    else:
        node = world.paste(0, world.pasted(spec), FAKE=SHOW, **environ)
    assert node.wait(60) == 0, node.text
    run = world.the_run()
    assert verdict(run)["state"] == "SUCCEEDED"
    assert (run / "gpus").read_text() == f"GPUs {gpus}\n"
    argv = (run / "argv").read_text().split("\0")
    assert f"--nproc_per_node={processes}" in argv
    assert argv[argv.index("--per_device_train_batch_size") + 1] == str(batch)
    assert argv[argv.index("--num_generations") + 1] == "2"


@pytest.mark.training
def test_real_training(one_node: PlatformWorld, checkout: Path) -> None:
    """The command for two GPUs, pasted on a machine without GPUs: `accelerator: cpu`."""
    world = one_node
    shutil.copytree(checkout, world.root, dirs_exist_ok=True)
    settings = [f"environment.venv={sys.prefix}", "environment.setup=[]", "swift.max_steps=1"]
    words = [word for setting in settings for word in ("--set", setting)]
    command = world.pasted("jobs/mr_cpu.yaml", "--backend", "platform", *words)
    node = world.paste(0, command, **typed(*COMMANDS[1]))
    assert node.wait(200) == 0, node.text[-3000:]
    run = world.the_run()
    assert (verdict(run)["state"], steps(run)) == ("SUCCEEDED", [1])
    assert "rank: 0, local_rank: 0, world_size: 2" in (run / "logs" / "node0.log").read_text()
    states = {path.name for path in (run / "checkpoint-1").glob("rng_state*")}
    assert states == {"rng_state_0.pth", "rng_state_1.pth"}
