"""`prl_identify` of launch.lib.sh: which node this is, and why it must not train."""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from prl_submit.backends.platform.job_size import differences, size_of_nodes
from prl_submit.backends.platform.variables import see_platform
from prl_submit.launch.render import render_library
from tests.support.plans import planned
from tests.support.platform_variables import ROWS

TOLD = (
    "nodes node_rank nproc_per_node master_addr master_port platform_job platform refusal".split()
)


class Node:
    """A node with variables, on which launch.sh of a spec has been started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "launch.lib.sh").write_text(render_library(), encoding="utf-8")

    def run(self, environ: Mapping[str, str], lines: str, **values: str) -> tuple[str, str]:
        """What lines of bash print on stdout and stderr after the library; they must succeed."""
        own = {
            "run_dir": ".",
            "workdir": ".",
            "token": "t",
            "on_platform": "1",
            "nodes": "0",
            "nproc_per_node": "0",
            "needs_gpus": "1",
            "visible": "",
            **values,
        }
        names = own.pop("names", "'' '' '' '' '' ''")
        assign = " ".join(f"prl_{name}={shlex.quote(value)}" for name, value in own.items())
        script = (
            f"{assign} prl_platform_names=({names}) prl_swift_args=()\n. ./launch.lib.sh\n{lines}\n"
        )
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout, done.stderr

    def place(self, environ: Mapping[str, str], **values: str) -> dict[str, str]:
        """What prl_identify sets, by name without prl_."""
        words = " ".join(f'"$prl_{name}"' for name in TOLD)
        out, err = self.run(environ, f"prl_identify; printf '%s\\0' {words}", **values)
        found = dict(zip(TOLD, out.split("\0"), strict=False))
        assert err == (f"prl-submit: {found['refusal']}\n" if found["refusal"] else "")
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_all_is_taken_from_the_platform(node: Node) -> None:
    found = node.place(ROWS["Volcengine"])
    assert found == {
        "nodes": "2",
        "node_rank": "1",
        "nproc_per_node": "8",
        "master_addr": "10.128.97.74",
        "master_port": "2222",
        "platform_job": "t-20210924211641-nznsh",
        "platform": "Volcengine",
        "refusal": "",
    }


def test_the_specs_numbers_that_agree(node: Node) -> None:
    assert node.place(ROWS["ModelArts"], nodes="2", nproc_per_node="8")["refusal"] == ""


def test_other_nodes_than_the_specs_are_refused_with_both_numbers(node: Node) -> None:
    found = node.place(ROWS["PAI-DLC"], nodes="3", nproc_per_node="8")
    assert "resources.nodes in the spec is 3" in found["refusal"]
    assert "2 (WORLD_SIZE=2)" in found["refusal"]


def test_other_gpus_than_the_specs_are_refused_with_both_numbers(node: Node) -> None:
    found = node.place(ROWS["PAI-DLC"], nodes="2", nproc_per_node="4")
    assert "resources.nproc_per_node in the spec is 4" in found["refusal"]
    assert "8 (NPROC_PER_NODE=8)" in found["refusal"]


def test_chosen_gpus_may_be_fewer_than_the_platforms(node: Node) -> None:
    chosen = {"nproc_per_node": "2", "visible": "0,1"}
    assert node.place(ROWS["PAI-DLC"], **chosen)["refusal"] == ""
    assert node.place(ROWS["PAI-DLC"], **chosen)["nproc_per_node"] == "2"
    assert node.place(ROWS["PAI-DLC"], visible="0,1,5")["nproc_per_node"] == "3"
    few = {**ROWS["PAI-DLC"], "NPROC_PER_NODE": "1"}
    assert "1 (NPROC_PER_NODE=1)" in node.place(few, **chosen)["refusal"]


def test_a_number_of_gpus_is_nothing_to_a_job_on_the_cpu(node: Node) -> None:
    assert node.place(ROWS["Volcengine"], needs_gpus="0", nproc_per_node="2")["refusal"] == ""
    assert node.place(ROWS["Volcengine"], needs_gpus="0")["nproc_per_node"] == "1"
    assert node.place(ROWS["NNODES"], needs_gpus="0", nproc_per_node="2")["refusal"] != ""


def test_the_first_fault_is_the_refusal_and_numbers_are_still_numbers(node: Node) -> None:
    found = node.place({"NNODES": "2", "MASTER_ADDR": "localhost"}, nodes="3")
    assert "NODE_RANK is not set; MASTER_ADDR=localhost is each node itself" in found["refusal"]
    assert (found["nodes"], found["node_rank"]) == ("2", "0")
    found = node.place({"NNODES": "abc"}, nodes="3", nproc_per_node="2")
    assert "NNODES=abc is not a number of nodes" in found["refusal"]
    assert (found["nodes"], found["node_rank"], found["nproc_per_node"]) == ("3", "0", "2")


def test_without_variables_the_job_has_one_node_or_is_refused(node: Node) -> None:
    found = node.place({}, nproc_per_node="4")
    assert (found["nodes"], found["node_rank"], found["refusal"]) == ("1", "0", "")
    assert node.place({}, nodes="1", nproc_per_node="4")["refusal"] == ""
    refusal = node.place({}, nodes="2", nproc_per_node="4")["refusal"]
    assert "resources.nodes in the spec is 2" in refusal
    assert "NNODES, NODE_RANK, MASTER_ADDR" in refusal


def test_a_variable_that_the_spec_names_must_be_set(node: Node) -> None:
    refusal = node.place({}, names="MY_N '' '' '' '' ''", nproc_per_node="8")["refusal"]
    assert refusal == "platform.nodes in the spec names MY_N, which is not set on this node"
    refusal = node.place(ROWS["PAI-DLC"], names="MY_N '' '' '' '' ''", nproc_per_node="8")[
        "refusal"
    ]
    assert "the number of nodes is not known: MY_N is not set" in refusal
    found = node.place({**ROWS["PAI-DLC"], "MY_N": "3"}, names="MY_N '' '' '' '' ''")
    assert (found["nodes"], found["node_rank"], found["refusal"]) == ("3", "1", "")


def test_processes_that_nobody_states_are_the_gpus_of_this_node(node: Node) -> None:
    two = {name: value for name, value in ROWS["PAI-DLC"].items() if name != "NPROC_PER_NODE"}
    lines = "prl_visible_gpus() { echo 4; }; prl_identify; echo $prl_nproc_per_node"
    assert node.run(two, lines) == ("4\n", "")
    lines = "prl_visible_gpus() { echo 0; }; prl_identify; echo $prl_nproc_per_node"
    assert "no GPU is visible" in node.run(two, lines)[1]
    assert node.place(two, needs_gpus="0")["nproc_per_node"] == "1"


@pytest.mark.parametrize("row", ROWS)
def test_torchrun_sees_nothing_that_misleads_it(node: Node, row: str) -> None:
    """Also the ranks, which torchrun gives variables of the same names, and ms-swift, which reads NNODES."""
    outer = {**ROWS["NNODES"], **ROWS["PAI-DLC"], **ROWS["Kubeflow"], **ROWS[row]}
    lines = "prl_identify; prl_forget_outer_training; env"
    out, err = node.run(outer, lines)
    assert err == ""
    left = {line.partition("=")[0] for line in out.splitlines()}
    wrong = set("WORLD_SIZE RANK NNODES NODE_RANK NPROC_PER_NODE MASTER_ADDR MASTER_PORT".split())
    assert not left & wrong
    assert not [name for name in left if name.startswith("PET_")]


def test_hostile_values_do_not_run(node: Node) -> None:
    for value in ("a[$(touch pwned)]", "$(touch pwned)", "1\n2", "9" * 500, "2;touch pwned"):
        for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "NPROC_PER_NODE"):
            assert node.place({**ROWS["PAI-DLC"], name: value})["refusal"]
        assert "$(touch" not in node.place(ROWS["PAI-DLC"], names=f"{shlex.quote(value)}")["nodes"]
    assert not (node.folder / "pwned").exists()


class Case(NamedTuple):
    """What a spec states, 0 for nothing, and the variables of a node."""

    nodes: int
    processes: int
    visible: str
    accelerator: str
    environ: dict[str, str]

    @property
    def spec(self) -> str:
        """The text of the spec."""
        lines = ["name: x", "backend: platform", "resources:", f"  accelerator: {self.accelerator}"]
        lines += [f"  nodes: {self.nodes}"] if self.nodes else []
        lines += [f"  nproc_per_node: {self.processes}"] if self.processes else []
        lines += [f"local: {{cuda_visible_devices: '{self.visible}'}}"] if self.visible else []
        return "\n".join(lines)

    @property
    def bash(self) -> str:
        """A line of bash that prints the numbers, and the beginning of the refusal."""
        assign = {
            "prl_nodes": self.nodes,
            "prl_nproc_per_node": self.processes,
            "prl_visible": shlex.quote(self.visible),
            "prl_needs_gpus": int(self.accelerator == "gpu"),
            **{name: shlex.quote(value) for name, value in self.environ.items()},
        }
        words = " ".join(f"{name}={value}" for name, value in assign.items())
        return f'({words}; prl_identify 2>/dev/null; echo "$prl_nodes $prl_nproc_per_node ${{prl_refusal%%:*}}")'


def of_python(case: Case) -> str:
    """What Python says of a case: the numbers, and the beginning of the first refusal."""
    made = planned(case.spec)
    seen = see_platform(case.environ, made.plan.platform)
    assert seen is not None
    refusals = list(differences(made.plan, seen))
    size = {key: number for key, (number, _) in size_of_nodes(made.job.spec, case.environ).items()}
    counted = 4 if case.accelerator == "gpu" else 1  # what prl_visible_gpus says below
    processes = case.processes or size.get("resources.nproc_per_node", counted)
    return f"{seen.nodes} {processes} {refusals[0].partition(':')[0] if refusals else ''}"


def test_python_takes_and_refuses_the_same_numbers(node: Node) -> None:
    chance = random.Random(14)

    def some() -> Case:
        row = dict(chance.choice(list(ROWS.values())))
        if chance.random() < 0.3:
            row = {name: "auto" if value == "8" else value for name, value in row.items()}
        visible = chance.choice(["", "", "0,1", "0,1,2,3,4,5,6,7", "3"])
        accelerator = chance.choice(["gpu", "gpu", "cpu"])
        return Case(
            chance.choice([0, 2, 3]), chance.choice([0, 1, 2, 8]), visible, accelerator, row
        )

    cases = [some() for _ in range(150)]
    lines = "\n".join(["prl_visible_gpus() { echo 4; }", *(case.bash for case in cases)])
    out, err = node.run({}, lines)
    assert err == ""
    for case, said in zip(cases, out.splitlines(), strict=True):
        assert said == of_python(case), case
