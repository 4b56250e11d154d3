"""`check` counts the steps of a training as the GRPO trainer of the real ms-swift counts them: 4.6.0 and 3.3.0."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.rules.number_of_steps import StepCount, steps_on
from tests.support.plans import planned

pytestmark = pytest.mark.training
SCRIPT = Path(__file__).parent / "count_steps.py"
#: The argument of ms-swift for each factor.
ARGUMENTS = {
    "device": "per_device_train_batch_size",
    "group": "num_generations",
    "parts": "steps_per_generation",
    "generation": "generation_batch_size",
    "accumulated": "gradient_accumulation_steps",
    "iterations": "num_iterations",
    "epochs": "num_train_epochs",
    "drop_last": "dataloader_drop_last",
}
EPOCHS = (1, 3, 10, 0.5, 1.5, 2.0, 0.1, 3.3)


def jobs(seed: int, count: int, *, is_old: bool) -> list[dict[str, Any]]:
    """Random jobs whose sizes fit together. Before 3.4 there is no steps_per_generation."""
    dice = random.Random(seed)
    made: list[dict[str, Any]] = []
    while len(made) < count:
        job: dict[str, Any] = {
            "device": dice.choice((1, 2, 3, 4, 8, 16)),
            "world": dice.choice((1, 2, 3, 4, 8, 16)),
            "group": dice.choice((2, 3, 4, 8, 16)),
            "accumulated": dice.choice((1, 2, 3, 4, 8)),
            "parts": None if is_old else dice.choice((None, None, 1, 2, 4, 6)),
            "iterations": dice.choice((1, 1, 2, 3)),
            "epochs": dice.choice(EPOCHS),
            "drop_last": dice.choice((False, True)),
            "generation": None,
            "rows": dice.choice((dice.randint(1, 40), dice.randint(40, 3000), 8462)),
        }
        batch = job["device"] * job["world"]
        whole = batch * (job["parts"] or job["accumulated"])
        if not is_old and job["parts"] and dice.random() < 0.3:
            job["generation"], job["parts"] = whole, None
        fits = whole % job["group"] == 0 and (batch % job["group"] == 0 or not is_old)
        if fits and job["rows"] >= whole // job["group"]:
            made.append(job)
    return made


def ours(job: dict[str, Any], version: str) -> StepCount | None:
    """What prl-submit says of the job."""
    values = {ARGUMENTS[name]: value for name, value in job.items() if name in ARGUMENTS}
    swift = {name: value for name, value in values.items() if value is not None}
    spec = {
        "name": "x",
        "resources": {"nproc_per_node": job["world"]},
        "swift": {"rlhf_type": "grpo", "model": "m", "reward_funcs": ["format"], **swift},
    }
    made = msgspec.structs.replace(planned(json.dumps(spec)).job, swift_version=version)
    return steps_on(made, job["rows"])


def test_as_ms_swift_4_counts() -> None:
    """150 random jobs of 4.6.0: the number is exact."""
    compare(Path(sys.executable), "4.6.0", jobs(1, 150, is_old=False))


def test_as_ms_swift_3_counts(old_swift_venv: Path) -> None:
    """150 random jobs of 3.3.0, whose sampler and trainer count the incomplete batches otherwise."""
    compare(old_swift_venv / "bin/python", "3.3.0", jobs(2, 150, is_old=True))


def compare(python: Path, version: str, all_jobs: list[dict[str, Any]]) -> None:
    """Ask the trainer and prl-submit of all jobs."""
    done = subprocess.run(
        [python, SCRIPT], input=json.dumps(all_jobs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert len(set(theirs)) > 40
    differ = [
        (job, steps, said)
        for job, steps in zip(all_jobs, theirs, strict=True)
        if (said := ours(job, version)) != StepCount(steps)
    ]
    assert differ == []
