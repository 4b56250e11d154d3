"""Where a SPEC is expected a RUN does too, from any folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import World


def values(world: World, *words: object) -> dict[str, object]:
    """What `explain` resolves."""
    done = world.prl("explain", *words, "--json")
    assert done.code == 0, done.err
    return {value["key"]: value["value"] for value in done.json["values"]}


@pytest.mark.parametrize("how", ["v0", "0", "latest", "fake", "{run}", "{run}/spec.yaml"])
def test_a_run_is_checked_as_its_spec(world: World, how: str) -> None:
    run, _ = world.run_to_end(swift__beta=0.5)
    spec = how.format(run=run)
    for command in ("check", "render", "explain"):
        done = world.prl(command, spec)
        assert done.code == 0, done.err
    assert values(world, spec)["swift.beta"] == 0.5


def test_a_runs_own_folders_hold_wherever_one_stands(world: World) -> None:
    """Its workdir is the one it ran in; its output root is where it lies now."""
    world.spec()
    (world.root / "else").mkdir()
    run, _ = world.run_to_end()
    here, there = str(world.root), str(world.root / "archive")
    os.rename(world.output, there)
    moved = Path(there, run.name)
    found = values(world, moved / "spec.yaml")
    assert (found["workdir"], found["output"]) == (here, there)
    found = values(world, "v0", "--output-root", there)
    assert (found["workdir"], found["output"]) == (here, there)
    again = world.prl(moved, "--wait")
    assert (again.code, Path(again.out.strip()).parent) == (0, Path(there))
    assert values(world, moved, "--set", "workdir=/tmp")["workdir"] == "/tmp"
    assert values(world, moved, "--output-root", "elsewhere")["output"] == f"{here}/elsewhere"


def test_a_spec_that_was_copied_out_of_its_run_is_any_other_file(world: World) -> None:
    run, _ = world.run_to_end()
    shutil.copy(run / "spec.yaml", world.root / "spec.yaml")
    assert values(world, "spec.yaml")["output"] == "output"


@pytest.mark.parametrize("spec", ["v7", "7", "latest"])
def test_no_such_run(world: World, spec: str) -> None:
    done = world.prl("check", spec, "--json")
    assert done.code == 2
    (problem,) = done.json["problems"]
    assert problem["message"].startswith(f"no such file, and no run {spec!r} under ")


def test_a_misspelt_file_is_no_run(world: World) -> None:
    world.run_to_end()
    done = world.prl("check", "jop")
    assert (done.code, "cannot be read: No such file" in done.err) == (2, True)
    assert "did you mean job.yaml?" in done.err


def test_a_file_comes_before_a_run(world: World) -> None:
    world.run_to_end()
    world.spec("v0", swift__beta=0.75)
    assert values(world, "v0")["swift.beta"] == 0.75


def test_a_damaged_plan_leaves_the_spec(world: World) -> None:
    run, _ = world.run_to_end()
    (run / "plan.json").write_text(json.dumps([]))
    assert world.prl("check", run).code == 0
