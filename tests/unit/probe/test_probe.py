"""What a probe remembers and what follows from it; the node is not looked at here."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import pytest

from prl_submit.backends.slurm.partitions import NodeKind, Partition
from prl_submit.backends.slurm.slurm_commands import SlurmCommands
from prl_submit.errors import BackendUnreachableError, PrlSubmitError, Problem
from prl_submit.probe import check_probed, load_facts, on_node, state_folder
from prl_submit.probe.facts_table import HEADER, notes_of, rows_of
from prl_submit.probe.node_facts import (
    Damaged,
    Facts,
    Gpu,
    NodeFacts,
    PathFact,
    cluster_name,
    facts_path,
    read_facts,
    save_facts,
)
from prl_submit.probe.slurm_probe import (
    ask_name,
    ask_partitions,
    choose,
    job_environ,
    job_parameters,
)
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell
from tests.support.plans import planned

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=timezone.utc)
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, "550.54.15", "GPU-1")


def facts(**over: Any) -> Facts:
    """A partition of 4-GPU nodes, probed now."""
    fields: dict[str, Any] = {
        "backend": "slurm",
        "cluster": "prl",
        "partition": "gpu",
        "probed_at": NOW.isoformat(timespec="seconds"),
        "nodes": [NodeFacts(node="node1", gpus=[H100])],
        "kinds": [NodeKind(nodes=4, cpus=64, memory_mib=512_000, gpus={"h100": 4})],
    }
    return Facts(**fields | over)


def local_facts(gpus: int | None) -> Facts:
    """This machine's."""
    seen = None if gpus is None else [H100] * gpus
    return facts(
        backend="local",
        cluster="box",
        partition="-",
        nodes=[NodeFacts(node="box", gpus=seen)],
        kinds=[],
    )


# --- where it is kept


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/prl-submit/probe"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/s"}, "/s/prl-submit/probe"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "s"}, "/home/me/.local/state/prl-submit/probe"),
    ],
)
def test_the_folder(environ: dict[str, str], folder: str) -> None:
    """Facts lie in XDG_STATE_HOME, else below the home directory."""
    assert state_folder(environ) == folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user who has a slurm.conf."""
    conf = tmp_path / "slurm.conf"
    conf.write_text("# ClusterName=old\nSlurmctldPort=1\nclustername = PRL # ours\n")
    return {"HOME": str(tmp_path), "SLURM_CONF": str(conf)}


def test_never_probed(environ: dict[str, str]) -> None:
    """A partition that was never probed has no facts."""
    assert load_facts("slurm", None, environ) is None
    save_facts(state_folder(environ), facts())
    assert load_facts("slurm", "low", environ) is None
    assert load_facts("kubernetes", "gpu", environ) is None
    assert load_facts("local", None, environ) is None


def test_remembered_by_cluster_and_partition(environ: dict[str, str]) -> None:
    path = save_facts(state_folder(environ), facts())
    assert path.name == "prl--gpu.json"
    assert load_facts("slurm", "gpu", environ) == facts()
    assert load_facts("slurm", None, environ | {"SBATCH_PARTITION": "gpu"}) == facts()
    assert load_facts("slurm", "gpu,low", environ) is None
    assert not list(path.parent.glob(".*")), "nothing half-written beside it"


def test_this_machine(environ: dict[str, str]) -> None:
    """The facts of this machine are found by its name."""
    here = msgspec.structs.replace(local_facts(2), cluster=os.uname().nodename)
    save_facts(state_folder(environ), here)
    assert load_facts("local", None, environ) == here


def test_no_partition_means_the_default_one(environ: dict[str, str]) -> None:
    folder = state_folder(environ)
    save_facts(folder, facts())
    assert load_facts("slurm", None, environ) is None
    save_facts(folder, facts(partition="low", default=True))
    other = facts(cluster="prl2", default=True, probed_at="2027-01-01T00:00:00+00:00")
    save_facts(folder, other)
    assert load_facts("slurm", None, environ) == facts(partition="low", default=True)


def test_a_newer_default_wins(environ: dict[str, str]) -> None:
    """The site made another partition the default one."""
    later = (NOW + timedelta(days=1)).isoformat()
    save_facts(state_folder(environ), facts(partition="z", default=True))
    save_facts(state_folder(environ), facts(partition="a", default=True, probed_at=later))
    found = load_facts("slurm", None, environ)
    assert isinstance(found, Facts)
    assert found.partition == "a"


def test_without_slurm_conf_the_only_cluster_is_meant(environ: dict[str, str]) -> None:
    environ["SLURM_CONF"] = "/nowhere/slurm.conf"
    save_facts(state_folder(environ), facts())
    save_facts(state_folder(environ), local_facts(2))
    assert load_facts("slurm", "gpu", environ) == facts()
    save_facts(state_folder(environ), facts(cluster="other"))
    assert load_facts("slurm", "gpu", environ) is None


def test_the_clusters_name(environ: dict[str, str]) -> None:
    assert cluster_name(environ) == "prl"
    assert cluster_name({"SLURM_CONF": "/nowhere"}) is None


def test_a_name_is_no_path(tmp_path: Path) -> None:
    """A cluster or partition named like a path cannot leave the folder of the facts."""
    path = facts_path(str(tmp_path), "../x", "a/b c")
    assert path.parent == tmp_path
    assert path.name == "..%2Fx--a%2Fb%20c.json"


def test_other_specs_paths_are_kept(tmp_path: Path) -> None:
    old, new = NOW.isoformat(), (NOW + timedelta(days=1)).isoformat()
    save_facts(
        str(tmp_path),
        facts(paths=[PathFact("/a", False, old, "n"), PathFact("/b", True, old, "n")]),
    )
    path = save_facts(str(tmp_path), facts(paths=[PathFact("/a", True, new, "n")]))
    found = read_facts(path)
    assert isinstance(found, Facts)
    assert found.paths == [PathFact("/a", True, new, "n"), PathFact("/b", True, old, "n")]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"backend": 1}'])
def test_a_damaged_file_warns_and_is_written_anew(environ: dict[str, str], content: bytes) -> None:
    path = save_facts(state_folder(environ), facts())
    path.write_bytes(content)
    found = load_facts("slurm", "gpu", environ)
    assert isinstance(found, Damaged)
    (problem,) = check_probed(planned("name: x\nbackend: slurm"), found, NOW.timestamp())
    assert (problem.severity, problem.key) == ("warning", "backend")
    assert str(path) in problem.message
    assert problem.hint is not None
    assert "prl-submit probe job.yaml --backend slurm" in problem.hint
    save_facts(state_folder(environ), facts())
    assert load_facts("slurm", "gpu", environ) == facts()


# --- the rules


def problems(text: str, found: Facts | None = None, *, days: float = 0) -> list[Problem]:
    """What the facts say of a spec, `days` after the probe."""
    now = (NOW + timedelta(days=days)).timestamp()
    return check_probed(planned(f"name: x\nbackend: slurm\n{text}"), found or facts(), now)


@pytest.mark.parametrize(
    "text",
    [
        "resources: {nproc_per_node: 4}",
        "resources: {nproc_per_node: 4, gpu_type: h100}",
        "resources: {nproc_per_node: 4, gpu_type: H100}",
        "resources: {nproc_per_node: 64, accelerator: cpu}",
        "resources: {memory: 500G}",
        "name: x",
    ],
)
def test_what_is_there_is_no_problem(text: str) -> None:
    """A job that asks for what its nodes have gets no problem."""
    assert problems(text.replace("name: x", "workdir: .")) == []


def test_too_few_gpus() -> None:
    (problem,) = problems("resources:\n  nproc_per_node: 8\nslurm: {partition: gpu}")
    assert (problem.line, problem.key, problem.severity) == (4, "resources.nproc_per_node", "error")
    assert problem.message == (
        "8 GPUs per node are asked for; the nodes of partition gpu have 4 x h100"
        " (probed 2026-11-22 21:00)"
    )
    assert problem.hint == (
        "nproc_per_node up to 4; if that has changed: `prl-submit probe job.yaml --backend slurm --partition gpu`"
    )


def test_a_single_gpu() -> None:
    found = problems("resources: {nproc_per_node: 1}", local_facts(0))
    assert found[0].message.startswith("1 GPU per node is asked for; box has none (probed")


def test_the_hint_names_a_partition_that_the_spec_does_not() -> None:
    (problem,) = problems("resources: {nproc_per_node: 8}")
    assert problem.hint is not None
    assert problem.hint.endswith("probe job.yaml --backend slurm --partition gpu`")


def test_the_largest_node_counts() -> None:
    """A job fits if one kind of node in the partition has enough."""
    kinds = [NodeKind(1, 8, 64_000, {}), NodeKind(2, 64, 512_000, {"a100": 4, "h100": 4})]
    mixed = facts(kinds=kinds)
    assert problems("resources: {nproc_per_node: 8}", mixed) == []
    (problem,) = problems("resources: {nproc_per_node: 8, gpu_type: a100}", mixed)
    assert "8 a100 GPUs per node are asked for" in problem.message
    assert "have none or 4 x a100 + 4 x h100" in problem.message


def test_another_gpu_type_is_a_warning() -> None:
    (problem,) = problems("resources: {nproc_per_node: 8, gpu_type: b200}")
    assert (problem.key, problem.severity) == ("resources.gpu_type", "warning")
    assert problem.message.startswith("the nodes of partition gpu have no b200: 4 x h100 (")


@pytest.mark.parametrize(("wanted", "known"), [("h100", True), ("a100", False)])
def test_a_type_that_slurm_does_not_name_is_what_nvidia_smi_says(wanted: str, known: bool) -> None:
    untyped = facts(kinds=[NodeKind(4, 64, 512_000, {"": 4})])
    found = problems(f"resources: {{nproc_per_node: 4, gpu_type: {wanted}}}", untyped)
    assert [problem.key for problem in found] == ([] if known else ["resources.gpu_type"])


def test_several_kinds_without_a_type_may_be_anything() -> None:
    """GPUs without a type on several kinds of node may be of the wanted type."""
    untyped = facts(kinds=[NodeKind(4, 64, 9, {"": 4}), NodeKind(4, 64, 9, {"": 8})])
    assert problems("resources: {nproc_per_node: 8, gpu_type: a100}", untyped) == []


@pytest.mark.parametrize(("gpus", "wrong"), [(4, False), (2, True), (0, True), (None, False)])
def test_this_machines_gpus(gpus: int | None, wrong: bool) -> None:
    found = problems("resources: {nproc_per_node: 4}", local_facts(gpus))
    assert bool(found) == wrong
    if wrong:
        has = f"{gpus} x NVIDIA H100 80GB HBM3" if gpus else "none"
        assert f"box has {has} (probed" in found[0].message


def test_memory() -> None:
    """More memory than any node has is an error."""
    (problem,) = problems("resources: {memory: 501G}")
    assert (problem.key, problem.severity) == ("resources.memory", "error")
    assert "501G per node are asked for; the nodes of partition gpu have 512000 MiB at most" in (
        problem.message
    )
    assert problems("resources: {memory: 9T, accelerator: cpu}", local_facts(0)) == []


def missing(path: str = "/cwd/m", days: float = 0) -> Facts:
    """Facts whose probe did not find a path; `days` before NOW."""
    at = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
    return facts(paths=[PathFact(path, False, at, "node3")])


def test_a_path_that_is_not_on_the_nodes() -> None:
    (problem,) = problems("swift:\n  model: ./m", missing())
    assert (problem.line, problem.key, problem.severity) == (4, "swift.model", "error")
    assert "model /cwd/m is not on the nodes: node3 did not have it (probed 2026-11-22 21:00)" in (
        problem.message
    )


def test_only_that_very_path_counts() -> None:
    """A missing path says nothing of other paths."""
    assert problems("swift: {model: ./m2}", missing()) == []
    there = facts(paths=[PathFact("/cwd/m", True, NOW.isoformat(), "node3")])
    assert problems("swift: {model: ./m}", there) == []


@pytest.mark.parametrize(
    "environment",
    ["{setup: [make /cwd/m]}", "{setup: [make m]}", "{container: {image: x}}"],
)
def test_a_path_that_may_be_made_is_left_to_the_node(environment: str) -> None:
    """A path that a setup line names is not reported, because that line may make it."""
    text = f"environment: {environment}\nswift: {{model: ./m}}"
    assert problems(text, missing()) == []


def test_this_machines_paths_are_looked_at_not_remembered() -> None:
    """For a local job the remembered paths do not count."""
    here = msgspec.structs.replace(local_facts(8), paths=missing().paths)
    assert problems("swift: {model: ./m}", here) == []


@pytest.mark.parametrize(("days", "severity"), [(29.9, "error"), (30.1, "warning")])
def test_old_facts_only_warn(days: float, severity: str) -> None:
    text = "resources: {nproc_per_node: 8, memory: 600G}\nswift: {model: ./m}"
    found = problems(text, missing(), days=days)
    assert [problem.severity for problem in found] == [severity] * 3


def test_a_path_has_an_age_of_its_own() -> None:
    """It was looked for long ago; the last probe was of a spec that does not name it."""
    (problem,) = problems("swift: {model: ./m}", missing(days=40))
    assert problem.severity == "warning"


# --- the table


def test_the_table() -> None:
    """A probed node is one row, with its numbers in short form."""
    seen = NodeFacts(
        node="node1",
        gpus=[H100],
        memory_mib=515_000,
        cpus=64,
        shm_mib=257_000,
        disk_free_mib=3_000_000,
        versions={"ms-swift": "4.6.0", "torch": "2.6.0", "vllm": None},
        notes=["cgroup: x"],
    )
    at = NOW.isoformat()
    paths = [PathFact("/a", True, at, "node1"), PathFact("/b", False, at, "node1")]
    old = PathFact("/c", False, at, "node2")
    kinds = [NodeKind(4, 64, 512_000, {"h100": 4}), NodeKind(2, 16, 64_000, {})]
    found = facts(nodes=[seen], kinds=kinds, paths=[*paths, old])
    first, *others = rows_of(found)
    assert dict(zip(HEADER, first, strict=True)) == {
        "PARTITION": "gpu",
        "NODE": "node1",
        "GPUS": "0-4 x NVIDIA H100 80GB HBM3",
        "GPU-MEM": "80G",
        "DRIVER": "550.54.15",
        "CPUS": "64",
        "MEMORY": "503G",
        "/DEV/SHM": "251G",
        "FREE": "2.9T",
        "MS-SWIFT": "4.6.0",
        "TORCH": "2.6.0",
        "VLLM": "-",
        "PATHS": "1/2",
    }
    assert [row[:6] for row in others] == [
        ["gpu", "(4 of 6, by Slurm)", "4 x h100", "-", "-", "64"],
        ["gpu", "(2 of 6, by Slurm)", "none", "-", "-", "16"],
    ]
    assert notes_of(found, None)[0] == "node1: /b is not there (?)"
    assert notes_of(found, None)[-1] == "node1: cgroup: x"


def test_a_row_of_nothing() -> None:
    """A node of which nothing could be found out is a row of dashes."""
    row = rows_of(facts(nodes=[NodeFacts(node="n")], kinds=[]))[0]
    assert row == ["gpu", "n", "?", *["-"] * 10]


# --- Slurm's answers, and the job


def slurm(**said: Any) -> SlurmCommands:
    """Slurm whose programs answer so."""
    return SlurmCommands(FakeShell(**said), {})


def test_the_cluster_is_asked() -> None:
    config = "Configuration data\nClusterName             = PRL\nX = 1\n"
    assert ask_name(slurm(scontrol=Answer(0, config, ""))) == "prl"
    text = "gpu|gpu*|infinite|2|64|512000|gpu:h100:8(S:0-1)\n"
    (found,) = ask_partitions(slurm(sinfo=Answer(0, text, ""))).values()
    assert found == Partition("gpu", True, None, [NodeKind(2, 64, 512_000, {"h100": 8})])


def test_a_cluster_that_does_not_answer() -> None:
    missing = Answer(127, "", "sinfo: not installed")
    with pytest.raises(BackendUnreachableError, match="sinfo: not installed"):
        ask_partitions(slurm(sinfo=missing, scontrol=missing))
    with pytest.raises(BackendUnreachableError, match="no partitions"):
        ask_partitions(slurm(sinfo=Answer(0, "", "")))
    with pytest.raises(BackendUnreachableError, match="no ClusterName"):
        ask_name(slurm(scontrol=Answer(0, "", "")))


GPU = Partition("gpu", True, 7200, [NodeKind(2, 64, 512_000, {"h100": 8, "a100": 4})])
CPU = Partition("cpu", False, 60, [NodeKind(2, 64, 512_000, {})])


def test_the_choice_of_partitions() -> None:
    known = {"gpu": GPU, "cpu": CPU}
    assert choose(known, []) == [GPU]
    assert choose(known, ["cpu", "gpu", "cpu"]) == [CPU, GPU]
    with pytest.raises(PrlSubmitError, match="no partition 'gpus'") as caught:
        choose(known, ["gpus"])
    assert (caught.value.exit_code, caught.value.hint) == (2, "did you mean 'gpu'?")
    with pytest.raises(PrlSubmitError, match="no default partition") as caught:
        choose({"cpu": CPU}, [])
    assert caught.value.hint == "--partition; there are: cpu"


@pytest.mark.parametrize(
    ("partition", "resources", "gres"),
    [
        (GPU, None, "gpu:1"),
        (GPU, "{gpu_type: a100, nproc_per_node: 8}", "gpu:a100:1"),
        (GPU, "{gpu_type: b200}", "gpu:1"),
        (GPU, "{accelerator: cpu}", None),
        (CPU, None, None),
    ],
)
def test_one_gpu_is_enough(partition: Partition, resources: str | None, gres: str | None) -> None:
    """The probe job asks for one GPU if the partition has any."""
    plan = planned(f"name: x\nresources: {resources}").plan if resources else None
    assert job_parameters(partition, plan, "n").get("gres") == gres


def test_the_job_stays_within_the_partitions_limit() -> None:
    assert job_parameters(GPU, None, "n")["time"] == 5
    assert job_parameters(CPU, None, "n")["time"] == 1


def test_the_job_takes_the_specs_section() -> None:
    section = "{account: a, qos: q, constraint: c, reservation: r, exclude: n1, nodelist: n2}"
    plan = planned(f"name: x\nbackend: slurm\nslurm: {section}").plan
    found = job_parameters(GPU, plan, "n")
    wanted = {"account": "a", "qos": "q", "constraint": "c", "exclude": "n1", "nodelist": "n2"}
    assert {key: found[key] for key in wanted} == wanted
    assert found["additional_parameters"] == {"reservation": "r"}


def test_a_persons_variables_do_not_change_the_job() -> None:
    """Of the user's SBATCH_ variables only those without which Slurm may refuse the job stay."""
    outer = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "9", "SLURM_CONF": "/s"}
    mine = {
        "PATH": "/bin",
        "SBATCH_ACCOUNT": "a",
        "SBATCH_TIMELIMIT": "1",
        "SBATCH_ARRAY_INX": "0-9",
    }
    kept = {"PATH": "/bin", "SBATCH_ACCOUNT": "a"}
    assert job_environ(mine) == kept
    assert job_environ(mine | outer) == kept | {"SLURM_CONF": "/s"}
    assert job_environ({"SLURM_TIMELIMIT": "1", "SRUN_OUTPUT": "x", "BASH_ENV": "y"}) == {}


# --- the node's function, in pieces


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        (
            "NVIDIA H100 80GB HBM3, 81559, 550.54.15, GPU-1\n",
            {
                "name": "NVIDIA H100 80GB HBM3",
                "memory_mib": 81559,
                "driver": "550.54.15",
                "uuid": "GPU-1",
            },
        ),
        (
            "NVIDIA GB10, [N/A], 580.95, GPU-2",
            {"name": "NVIDIA GB10", "memory_mib": None, "driver": "580.95", "uuid": "GPU-2"},
        ),
        ("odd, name, 1, 2, 3", {"name": "odd, name", "memory_mib": 1, "driver": "2", "uuid": "3"}),
        ("x", {"name": "x", "memory_mib": None, "driver": None, "uuid": None}),
    ],
)
def test_nvidia_smis_lines(line: str, gpu: dict[str, Any]) -> None:
    assert on_node.parse_gpu(line) == gpu


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a/b\n", {"a/memory.max": 2**30, "a/b/memory.max": "max"}, 1024),
        ("0::/a/b\n", {"memory.max": 2**31, "a/b/memory.max": 2**30}, 1024),
        ("0::/gone\n", {"memory.max": 2**30}, 1024),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/\n", {}, None),
        ("9:memory:/a\n8:cpu:/b\n", {"memory/a/memory.limit_in_bytes": 2**30}, 1024),
        ("9:memory:/a\n", {"memory/a/memory.limit_in_bytes": 2**63 - 4096}, None),
    ],
)
def test_the_lowest_limit_of_the_cgroups(
    tmp_path: Path, own: str, files: dict[str, int | str], limit: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(f"{content}\n")
    (tmp_path / "own").write_text(own)
    assert on_node.memory_limit_mib(str(tmp_path / "root"), str(tmp_path / "own")) == limit


ALONE = """\
import pickle, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("prl_submit", "msgspec", "click"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
function, request = pickle.load(sys.stdin.buffer)
print(sorted(function(request)))
"""


def test_the_function_needs_no_prl_submit_on_the_node() -> None:
    """By value, and with the standard library alone."""
    cloudpickle.register_pickle_by_value(on_node)
    try:
        request: dict[str, Any] = {
            "output_root": "/",
            "paths": [],
            "notes": [],
            "script": None,
            "script_s": 1,
        }
        sent = cloudpickle.dumps((on_node.look, request | {"in_job": False}))
    finally:
        cloudpickle.unregister_pickle_by_value(on_node)
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=sent, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().strip() == str(sorted([*NodeFacts.__struct_fields__, "paths"]))
