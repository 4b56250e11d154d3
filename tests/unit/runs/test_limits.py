"""What a plan allows a job: of run.json, or of plan.json for the runs of older versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from prl_submit.backends.kubernetes.states import queue_of
from prl_submit.runs.limits import limits_of, limits_of_plan
from prl_submit.runs.record import KubernetesJob, Limits, decode_record
from tests.support.plans import planned
from tests.support.records import record

#: Files of runs, written by version 0.1.0.
OLD = Path(__file__).parents[2] / "support/old_runs/records"
SPEC = "name: x\nbackend: slurm\nresources: {nodes: 3}\nrestarts: {max: 2, grace: 5m}"


def test_those_of_a_plan() -> None:
    assert limits_of_plan(planned(SPEC).plan) == Limits(nodes=3, grace=300, max_restarts=2)


def test_the_defaults_are_those_of_a_job_spec() -> None:
    assert limits_of_plan(planned("name: x").plan) == Limits()


def test_run_json_is_enough(tmp_path: Path) -> None:
    limits = Limits(nodes=2, grace=1, max_restarts=7)
    cluster = KubernetesJob("c", "n", "s", queue="train")
    known = record(backend="kubernetes", limits=limits, place=cluster)
    assert limits_of(tmp_path, known) == limits
    assert queue_of(tmp_path, known) == "train"


@pytest.mark.parametrize(
    ("backend", "limits", "queue"),
    [
        ("local", Limits(nodes=1, grace=45, max_restarts=3), None),
        ("slurm", Limits(nodes=2, grace=45, max_restarts=3), None),
        ("kubernetes", Limits(nodes=2, grace=45, max_restarts=3), "train"),
    ],
)
def test_the_files_of_version_0_1_0(backend: str, limits: Limits, queue: str | None) -> None:
    old = decode_record((OLD / backend / "run.json").read_bytes())
    assert old.limits is None
    assert limits_of(OLD / backend, old) == limits
    if backend == "kubernetes":
        assert queue_of(OLD / backend, old) == queue


def test_an_old_record_without_its_plan(tmp_path: Path) -> None:
    assert limits_of(tmp_path, record()) == Limits()
    assert queue_of(tmp_path, record(backend="kubernetes")) is None
