"""A run of an earlier prl-submit is resumed on Slurm."""

from __future__ import annotations

from tests.slurm.conftest import SlurmWorld
from tests.support.old_records import old_runs, resumed


def test_an_old_run_is_resumed(slurm: SlurmWorld) -> None:
    _, failed = old_runs(slurm, "slurm")
    after = resumed(slurm, failed)
    assert str(after["job_id"]).isdecimal()
    assert (after["process"], after["server"]) == (None, None)
