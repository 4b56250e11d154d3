"""Run directories of an earlier prl-submit: listed, shown, and resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import World
from tests.support.old_records import old_runs, resumed


def status(world: World, run: Path) -> Any:
    """One run as `status --json` has it."""
    (found,) = world.prl("status", run, "--json").json["runs"]
    return found


@pytest.mark.parametrize("backend", ["local", "slurm", "kubernetes"])
def test_they_are_listed_and_shown(world: World, backend: str) -> None:
    succeeded, failed = old_runs(world, backend, NAMESPACE="ml", SERVER="https://127.0.0.1:1")
    assert world.states() == {succeeded.name: "SUCCEEDED", failed.name: "FAILED"}
    found = status(world, failed)
    record = json.loads((failed / "run.json").read_text())
    assert (found["backend"], found["job_id"]) == (backend, record["job_id"])
    assert (found["exit_code"], found["reason"]) == (3, "torchrun exited with 3")
    assert world.prl("status", record["job_id"]).code == 0  # it is found by its job's id


def test_a_process_of_an_earlier_boot(world: World) -> None:
    _, failed = old_runs(world, "local")
    (failed / "exit.json").unlink()
    run_json = json.loads((failed / "run.json").read_text())
    run_json["process"]["host"] = os.uname().nodename
    (failed / "run.json").write_text(json.dumps(run_json))
    found = status(world, failed)
    assert (found["state"], found["reason"]) == ("LOST", "the machine was restarted while it ran")


def test_one_is_resumed(world: World) -> None:
    _, failed = old_runs(world, "local")
    after = resumed(world, failed)
    assert isinstance(after["process"], dict)
    assert after["server"] is None
