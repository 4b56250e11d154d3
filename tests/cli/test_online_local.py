"""`check --online` with the local backend asks this machine itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import World


def smi(world: World, count: int) -> str:
    """A PATH whose nvidia-smi lists so many GPUs."""
    folder = world.root / "smi"
    folder.mkdir()
    lines = "".join(
        f"echo 'GPU {number}: NVIDIA H100 (UUID: GPU-{number})'\n" for number in range(count)
    )
    (folder / "nvidia-smi").write_text(f"#!/bin/bash\n{lines}")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_too_few_gpus_are_refused(world: World) -> None:
    spec = world.spec(resources={"nproc_per_node": 4, "accelerator": "gpu"})
    path = smi(world, 2)
    done = world.prl("check", spec, "--online", "--json", PATH=path)
    document = json.loads(done.out)
    said = [(p["key"], p["severity"]) for p in document["problems"]]
    assert (done.code, document["ok"], document["online"]) == (1, False, None)
    assert said == [("resources.nproc_per_node", "error")]
    assert "this machine has 2 GPUs" in document["problems"][0]["message"]
    fewer = ("--set", "resources.nproc_per_node=2")
    done = world.prl("check", spec, "--online", *fewer, PATH=path)
    assert done.code == 0
    assert "this machine starts it at once" in done.out


def test_an_environment_that_is_not_here(world: World) -> None:
    spec = world.spec(environment={"venv": "gone"})
    assert world.prl("check", spec).code == 0
    done = world.prl("check", spec, "--online")
    assert done.code == 1
    assert "environment.venv: virtual environment gone is not here" in done.err
