"""What slurmdbd knows, and what happens while it does not answer."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.conftest import SlurmWorld
from tools.clusters.slurm_configuration import QOS

Eventually = Callable[..., None]


def test_who_cancelled_is_shown_when_slurmdbd_answers_again(
    slurm_accounting: SlurmWorld, eventually: Eventually
) -> None:
    """While accounting does not answer, the final state is not stored."""
    world = slurm_accounting
    run = world.submit("step 1 5; sleep 300")
    eventually(lambda: world.statuses()["fake"]["step"] == 1, timeout=30)
    world.cluster.stop_database()
    world.cluster.run("scancel", json.loads((run / "run.json").read_text())["job_id"])
    eventually(lambda: world.statuses()["fake"]["state"] == "CANCELLED", timeout=30)
    assert not (run / "verdict.json").exists()
    world.cluster.start_database()
    told = f"cancelled by {getpass.getuser()}"
    eventually(lambda: world.statuses()["fake"]["reason"] == told, timeout=60)
    assert (run / "verdict.json").exists()


def test_a_hung_slurmdbd_delays_status_only_shortly(slurm_accounting: SlurmWorld) -> None:
    """squeue and exit.json tell the end; sacct would hang for 45 s and more."""
    run = slurm_accounting.submit("exit 3")
    slurm_accounting.cluster.pause_database()
    began = time.monotonic()
    done = slurm_accounting.prl("wait", run)
    assert time.monotonic() - began < 30
    assert (done.code, "FAILED: torchrun exited with 3" in done.err) == (1, True)


@pytest.fixture
def lifted(slurm_accounting: SlurmWorld) -> Iterator[SlurmWorld]:
    """The user's default QoS lifts the time limits of partitions."""
    user = getpass.getuser()

    def manage(*words: str) -> None:
        slurm_accounting.cluster.run("sacctmgr", "-i", *words)

    manage("add", "qos", "lifted", "flags=PartitionTimeLimit")
    manage("modify", "user", user, "set", "qos+=lifted", "defaultqos=lifted")
    try:
        yield slurm_accounting
    finally:
        manage("modify", "user", user, "set", f"qos=normal,{QOS}", "defaultqos=normal")
        manage("delete", "qos", "lifted")


def test_a_default_qos_that_lifts_the_limit(lifted: SlurmWorld) -> None:
    """The partition `short` allows a minute, but Slurm runs the job, so prl-submit must not refuse it."""
    over = {"slurm__partition": "short", "resources__time_limit": "5m"}
    done = lifted.prl(lifted.spec(**over), "--wait", FAKE="step 1 1")
    assert done.code == 0, done.err


def test_without_such_a_qos_the_limit_counts(slurm_accounting: SlurmWorld) -> None:
    over = {"slurm__partition": "short", "resources__time_limit": "5m"}
    done = slurm_accounting.prl(slurm_accounting.spec(**over))
    assert (done.code, "it would wait forever" in done.err) == (1, True)
    assert not list(Path(slurm_accounting.output).glob("v*"))
