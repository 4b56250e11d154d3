"""probe on a real Slurm: submitit submits the job, squeue lists it, scancel ends it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.errors import Problem
from prl_submit.prepare import plan_spec
from prl_submit.probe import check_probed, load_facts
from tests.conftest import Done, eventually

if TYPE_CHECKING:
    from tests.slurm.conftest import SlurmWorld

STATE = Path(".local", "state", "prl-submit", "probe")
ROWS = '{"messages": []}\n' * 9  # an empty data file is refused


def probes_of(done: Done) -> list[dict[str, Any]]:
    """The partitions in `--json`; the probe must have seen all of them."""
    assert done.code == 0, done.err
    assert done.json["failed"] == []
    probes: list[dict[str, Any]] = done.json["probes"]
    return probes


def queued(world: SlurmWorld) -> list[str]:
    """Probe jobs that wait or run."""
    return [
        line
        for line in world.cluster.run("squeue", "-h", "-o", "%j %T").stdout.splitlines()
        if line.startswith("prl-probe-")
    ]


def left_behind(world: SlurmWorld) -> list[str]:
    """What a probe left: files, and jobs other than one that is still ending."""
    eventually(lambda: queued(world) == [], timeout=5)
    return [str(path) for path in world.root.rglob(".probe-*")]


def fill(world: SlurmWorld) -> None:
    """Take every GPU."""
    for name in world.cluster.nodes:
        world.cluster.run(
            "sbatch", "-w", name, "--gres=gpu:4", "-o", "/dev/null", "--wrap", "sleep 300"
        )


def test_the_default_partition(any_slurm: SlurmWorld) -> None:
    """With accounting and without; without it, submitit's own waiting would hang."""
    slurm = any_slurm
    (probe,) = probes_of(slurm.prl("probe", "--backend", "slurm", "--json"))
    assert (probe["cluster"], probe["partition"], probe["default"]) == ("prl", "gpu", True)
    assert probe["kinds"] == [{"nodes": 4, "cpus": 16, "memory_mib": 8000, "gpus": {"": 4}}]
    (node,) = probe["nodes"]
    assert node["node"] in slurm.cluster.nodes
    assert node["hostname"] == os.uname().nodename
    assert node["memory_limit_mib"] is None, "the probe job's own limit says nothing"
    assert (slurm.root / STATE / "prl--gpu.json").exists()
    assert left_behind(slurm) == []
    assert not slurm.output.exists()


def test_several_partitions_in_one_table(slurm: SlurmWorld) -> None:
    """The partition `short` allows one minute, less than a probe asks for."""
    words = ["--partition", "short", "--partition", "low", "--output-root", "a b/out"]
    done = slurm.prl("probe", *words, PRL_BACKEND="slurm")
    assert done.code == 0, done.err
    rows = [line.split()[:3] for line in done.out.splitlines()]
    assert [row[0] for row in rows] == ["PARTITION", "short", "low"]
    assert [row[2] for row in rows] == ["GPUS", "4", "4"]
    assert not (slurm.root / "a b").exists()
    assert left_behind(slurm) == []


def test_the_specs_partition_environment_and_paths(slurm: SlurmWorld) -> None:
    (slurm.root / "here.jsonl").write_text(ROWS)
    spec = slurm.spec(
        slurm={"partition": "low", "nodelist": slurm.cluster.nodes[2]},
        resources={"accelerator": "gpu", "nproc_per_node": 4},
        environment={"venv": "venv", "setup": ["env >said"], "secrets": ["HF_TOKEN"]},
        swift__dataset=["here.jsonl", "gone.jsonl"],
    )
    environ = {"HF_TOKEN": "x y", "SBATCH_PARTITION": "short", "SBATCH_TIMELIMIT": "0:01"}
    (probe,) = probes_of(slurm.prl("probe", spec, "--json", **environ))
    assert probe["partition"] == "low"
    assert [node["node"] for node in probe["nodes"]] == [slurm.cluster.nodes[2]]
    assert list(probe["nodes"][0]["versions"]) == ["python", "ms-swift", "torch", "vllm"]
    seen = {Path(item["path"]).name: item["exists"] for item in probe["paths"]}
    assert seen == {"here.jsonl": True, "gone.jsonl": False}
    said = (slurm.root / "said").read_text().splitlines()
    assert "HF_TOKEN=x y" in said
    # One GPU of four: a probe must not wait for a whole node.
    assert [line for line in said if line.startswith("CUDA_VISIBLE_DEVICES=")] == [
        "CUDA_VISIBLE_DEVICES=0"
    ]


def test_later_checks_know(slurm: SlurmWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """check uses what the probe has found."""
    spec = slurm.spec(resources={"nproc_per_node": 8}, swift__model="./model")
    assert [problem.key for problem in checked(slurm, spec, monkeypatch)] == []
    done = slurm.prl("probe", spec)
    assert done.code == 0, done.err
    assert f"{slurm.root}/model is not there (model, swift.model)" in done.err
    found = checked(slurm, spec, monkeypatch)
    assert [(problem.key, problem.severity) for problem in found] == [
        ("resources.nproc_per_node", "error"),
        ("swift.model", "error"),
    ]
    (slurm.root / "model").mkdir()
    (slurm.root / "model/config.json").write_text("{}")
    again = slurm.prl(
        "probe", "--backend", "slurm"
    )  # paths that were missing are looked for again, also without SPEC
    assert again.code == 0, again.err
    left = checked(slurm, spec, monkeypatch)
    assert [problem.key for problem in left] == ["resources.nproc_per_node"]


def checked(world: SlurmWorld, spec: Path, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """The problems that `check` finds with what the probe stored, without asking Slurm."""
    import time

    monkeypatch.chdir(world.root)
    planned = plan_spec(str(spec), backend=None, sets=(), profile=None, output_root=None)
    environ = {name: world.environ[name] for name in ("HOME", "SLURM_CONF")}
    facts = load_facts(planned.plan.backend, planned.plan.slurm.partition, environ)
    return check_probed(planned, facts, time.time())


def test_a_full_cluster(slurm: SlurmWorld) -> None:
    fill(slurm)
    done = slurm.prl("probe", "--backend", "slurm", "--timeout", "3s")
    assert (done.code, done.out) == (1, "")
    assert "error: partition gpu: no answer within 3 s: job " in done.err
    assert "is PENDING: waiting for 1 GPU (Resources); it was cancelled" in done.err
    assert "--timeout 1h waits longer" in done.err
    assert left_behind(slurm) == []


def test_one_partition_seen_and_one_not(slurm: SlurmWorld) -> None:
    slurm.cluster.run("scontrol", "update", "PartitionName=low", "State=DOWN")
    try:
        words = ["--partition", "low", "--partition", "gpu", "--timeout", "4s"]
        done = slurm.prl("probe", "--backend", "slurm", *words, "--json")
    finally:
        slurm.cluster.run("scontrol", "update", "PartitionName=low", "State=UP")
    assert done.code == 1, done.err
    assert [probe["partition"] for probe in done.json["probes"]] == ["gpu"]
    (failed,) = done.json["failed"]
    assert failed["message"].startswith("partition low: no answer within 4 s: job ")
    assert (slurm.root / STATE / "prl--gpu.json").exists()
    assert left_behind(slurm) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_probe_that_waits(slurm: SlurmWorld, number: signal.Signals) -> None:
    fill(slurm)
    process = slurm.start("probe", "--backend", "slurm")
    eventually(lambda: any("PENDING" in line for line in queued(slurm)))
    process.send_signal(number)
    done = slurm.finish(process)
    assert done.code == 130, done.err
    assert left_behind(slurm) == []


def test_an_interrupted_probe_that_runs(slurm: SlurmWorld) -> None:
    spec = slurm.spec(environment__setup=["touch begun; sleep 321"])
    process = slurm.start("probe", spec)
    eventually((slurm.root / "begun").exists)
    process.send_signal(signal.SIGINT)
    done = slurm.finish(process)
    assert done.code == 130, done.err
    assert left_behind(slurm) == []
    eventually(lambda: slurm.alive("sleep 321") == [])


def test_somebody_else_cancels_it(slurm: SlurmWorld) -> None:
    process = slurm.start("probe", slurm.spec(environment__setup=["touch begun; sleep 321"]))
    eventually((slurm.root / "begun").exists)
    slurm.cluster.run("scancel", "--me")
    done = slurm.finish(process)
    assert done.code == 1
    assert "error: partition gpu: no answer: job " in done.err
    assert "is CANCELLED" in done.err
    assert left_behind(slurm) == []


def test_a_partition_that_is_not_there(slurm: SlurmWorld) -> None:
    done = slurm.prl("probe", "--backend", "slurm", "--partition", "gpuu")
    assert done.code == 2
    assert "the cluster has no partition 'gpuu'\nhint: did you mean 'gpu'?" in done.err


def test_what_sbatch_refuses(slurm: SlurmWorld) -> None:
    spec = slurm.spec(slurm={"constraint": "nosuch"})
    done = slurm.prl("probe", spec)
    assert (done.code, done.out) == (1, "")
    assert "error: partition gpu: sbatch refuses the probe: " in done.err
    assert "Invalid feature specification" in done.err
    assert left_behind(slurm) == []


def test_no_slurm_here(slurm: SlurmWorld) -> None:
    empty = slurm.root / "empty"
    empty.mkdir()
    done = slurm.prl("probe", "--backend", "slurm", PATH=str(empty))
    assert done.code == 4
    assert "scontrol: not installed" in done.err


def test_a_controller_that_is_down(slurm: SlurmWorld) -> None:
    slurm.cluster.stop_controller()
    done = slurm.prl("probe", "--backend", "slurm")
    assert done.code == 4
    assert "Slurm does not answer" in done.err
    assert not slurm.output.exists()
