"""Scripts of platforms to specs: which backend, what is left out, and what launch.sh will see on a node.

Each script in tests/importing/platform begins with three lines: `#@` has the variables that its
platform sets on node 1 of 2, `#=` the `resources:` and `#+` the `platform:` of its spec.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from prl_submit.backends.platform.variables import see_platform
from prl_submit.importing import Imported, import_script
from prl_submit.importing.bash.scope import Place
from prl_submit.importing.known_variables import rows_by_role
from prl_submit.importing.translate import Wishes
from prl_submit.spec.sections import Platform
from prl_submit.swift.table import load_table

PLACE = Place(script="x.sh", cwd="/w", home="/home/me", real="/w/x.sh")
TABLE = load_table()
TRAIN = "swift rlhf --rlhf_type grpo"
SCRIPTS = sorted((Path(__file__).parents[2] / "importing" / "platform").glob("*.sh"))


def imported(text: str, **assumed: str) -> Imported:
    return import_script(text.encode(), PLACE, TABLE, Wishes(assumed=assumed))


def spec(text: str, **assumed: str) -> dict[str, Any]:
    """The spec as data, every scalar as text."""
    found = imported(text, **assumed)
    assert found.text is not None, found.problems
    tree: dict[str, Any] = yaml.load(found.text, yaml.BaseLoader)
    return tree


def said(text: str, severity: str, **assumed: str) -> list[str]:
    found = imported(text, **assumed)
    return [f"{p.line}: {p.message}" for p in found.problems if p.severity == severity]


def marked(path: Path, mark: str) -> str:
    """What stands behind a mark in a script's first lines."""
    match = re.search(rf"^#{re.escape(mark)} (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, (path, mark)
    return match[1]


def variables(path: Path) -> dict[str, str]:
    """What the platform sets on node 1."""
    pairs = [word.split("=", 1) for word in shlex.split(marked(path, "@"))]
    return {name: value.replace("\\n", "\n") for name, value in pairs}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_platforms_script_is_a_job_of_a_platform(path: Path) -> None:
    found = spec(path.read_text(encoding="utf-8"))
    assert found["backend"] == "platform"
    wanted = [yaml.load(marked(path, mark), yaml.BaseLoader) for mark in "=+"]
    assert [found.get("resources", {}), found.get("platform", {})] == wanted


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_launch_sees_what_the_script_gives_the_launcher(path: Path) -> None:
    """The place of node 1, by the names that the spec has."""
    found = spec(path.read_text(encoding="utf-8"))
    environ = variables(path)
    seen = see_platform(environ, Platform(**found.get("platform", {})))
    assert seen is not None
    assert (seen.nodes, seen.node_rank, seen.faults) == (2, 1, ())
    assert seen.master_addr in (
        "node0",
        "10.0.0.4",
        "job-worker-0",
        "dlc1-master-0",
        "job-node-0-0.job",
    )
    if "nproc_per_node" not in found.get("resources", {}) and seen.nproc_per_node is not None:
        assert seen.nproc_per_node == 8


def test_there_are_scripts_of_many_platforms() -> None:
    """Each row of the table that has public documentation, and every form of the master's address."""
    assert len(SCRIPTS) >= 20
    used = {name for path in SCRIPTS for name in variables(path)}
    known = [row["nodes"] for row in rows_by_role() if row["nodes"] & used]
    assert len(known) >= 7


def test_the_spec_says_what_is_left_out() -> None:
    text = f"NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=$GPUS {TRAIN}"
    found = imported(text).text
    assert found is not None
    comment = "# resources.nodes and resources.nproc_per_node: left out, because the platform says how many\n"
    assert f"{comment}backend: platform\n" in found
    notes = said(text, "note")
    assert "1: nodes is left out: the platform says it on each node, in WORLD_SIZE" in notes
    assert "1: nproc_per_node is left out: the platform says it on each node, in GPUS" in notes


def test_a_default_for_gpus_that_no_platform_sets_is_the_users() -> None:
    text = f"NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=${{MY_GPUS:-4}} {TRAIN}"
    assert spec(text)["resources"] == {"nproc_per_node": "4"}
    assert "platform" not in spec(text)
    note = "1: the default of MY_GPUS is written down; MY_GPUS no longer changes it"
    assert note in said(text, "note")


@pytest.mark.parametrize(
    "text",
    [
        f"#!/bin/bash\n#SBATCH -N 2\n#SBATCH --ntasks-per-node=1\nexport NNODES=$SLURM_NNODES NODE_RANK=$SLURM_NODEID NPROC_PER_NODE=4\nsrun {TRAIN}",
        f"#!/bin/bash\n#SBATCH -N 2\nexport NNODES=2 NODE_RANK=${{RANK:-0}} NPROC_PER_NODE=4\nsrun {TRAIN}",
    ],
)
def test_a_slurm_script_stays_one(text: str) -> None:
    found = spec(text)
    assert found["backend"] == "slurm"
    assert found["resources"]["nodes"] == "2"


@pytest.mark.parametrize(
    "text",
    [
        f"NPROC_PER_NODE=${{NPROC_PER_NODE:-8}} {TRAIN}",
        f"NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.4 NPROC_PER_NODE=8 {TRAIN}",
        f"NNODES=${{MY_NODES:-2}} NPROC_PER_NODE=8 {TRAIN}",
        f"export MASTER_ADDR=${{MASTER_ADDR:-127.0.0.1}} MASTER_PORT=${{MASTER_PORT:-29500}}\nNPROC_PER_NODE=8 {TRAIN}",
        "torchrun --nproc_per_node=8 --master_port=${MASTER_PORT:-29500} -m swift.cli.rlhf --rlhf_type grpo",
        f'if [ -n "$WORLD_SIZE" ]; then echo several; fi\nNPROC_PER_NODE=8 {TRAIN}',
    ],
)
def test_other_scripts_are_no_jobs_of_a_platform(text: str) -> None:
    """The number of nodes is written, or says nothing of a platform; so do ports and addresses alone."""
    assert "backend" not in spec(text)


def test_an_assumed_number_is_stated() -> None:
    text = (
        "export NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8\n"
        f"{TRAIN} --gradient_accumulation_steps $((64 / (NNODES * 8)))"
    )
    assert imported(text).text is None
    found = spec(text, WORLD_SIZE="2")
    assert found["backend"] == "platform"
    assert found["resources"] == {"nodes": "2", "nproc_per_node": "8"}
    assert found["swift"]["gradient_accumulation_steps"] == "4"


def test_kept_lines_get_what_launch_has_read() -> None:
    """launch.sh unsets RANK, since torchrun would take it for a process; the script's line needs it."""
    text = (
        "NODE_RANK=$RANK\n"
        'if [ "$NODE_RANK" = 0 ]; then pip install x; fi\n'
        "echo $MASTER_ADDR >> hosts.txt\n"
        f"NNODES=$WORLD_SIZE NODE_RANK=$NODE_RANK NPROC_PER_NODE=8 {TRAIN}"
    )
    assert spec(text)["environment"]["setup"] == [
        "MASTER_ADDR=${prl_master_addr:-}",
        "NODE_RANK=$prl_node_rank",
        'if [ "$NODE_RANK" = 0 ]; then pip install x; fi',
        "echo $MASTER_ADDR >> hosts.txt",
    ]


def test_a_number_of_processes_is_not_taken_for_one_of_nodes() -> None:
    """The script computes WORLD_SIZE anew, so launch.sh's number of nodes must not stand there."""
    text = (
        "NNODES=$WORLD_SIZE\nGPUS=8\nWORLD_SIZE=$((NNODES * GPUS))\n"
        "echo $WORLD_SIZE >> sizes.txt\n"
        f"NNODES=$NNODES NODE_RANK=$RANK NPROC_PER_NODE=$GPUS {TRAIN}"
    )
    setup = spec(text)["environment"]["setup"]
    assert "WORLD_SIZE=$((NNODES * GPUS))" in setup
    assert not any(line.startswith("WORLD_SIZE=$prl") for line in setup)
    assert "NNODES=$prl_nodes" in setup


def test_checks_of_the_platforms_variables_are_left_out() -> None:
    text = (
        'if [ -z "$MASTER_ADDR" ] || [ -z "$RANK" ]; then echo "no platform"; exit 1; fi\n'
        ': "${MASTER_PORT:?}"\n'
        f"NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8 {TRAIN}"
    )
    assert "environment" not in spec(text)
    notes = said(text, "note")
    assert any(note.startswith("1: `if [ -z") and note.endswith("is left out") for note in notes)


def test_a_check_of_more_is_kept() -> None:
    text = (
        'if [ -z "$RANK" ] || [ ! -d /data ]; then exit 1; fi\n'
        'if [ "$RANK" = 0 ] && [ -z "$WANDB_KEY_FILE" ]; then exit 1; fi\n'
        f"NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8 {TRAIN}"
    )
    setup = spec(text)["environment"]["setup"]
    assert setup[0] == "RANK=$prl_node_rank"
    assert len(setup) == 3


def test_the_way_without_a_platform_may_differ() -> None:
    """A platform always sets its variables; a machine without one is no job of a platform."""
    text = (
        'if [ -n "$MLP_WORKER_NUM" ]; then NNODES=$MLP_WORKER_NUM NODE_RANK=$MLP_ROLE_INDEX DS=zero3\n'
        "else NNODES=1 NODE_RANK=0 DS=zero2; fi\n"
        f"export NNODES NODE_RANK NPROC_PER_NODE=8\n{TRAIN} --deepspeed $DS"
    )
    assert spec(text)["swift"]["deepspeed"] == "zero3"
    words = "the way of a machine without the platform's variables is left out"
    assert any(note.endswith(words) for note in said(text, "note"))


def test_what_something_else_decides_is_no_platforms_way() -> None:
    text = (
        "if [ -f several ]; then NNODES=$WORLD_SIZE NODE_RANK=$RANK DS=zero3; else NNODES=1 NODE_RANK=0 DS=zero2; fi\n"
        f"export NNODES NODE_RANK NPROC_PER_NODE=8\n{TRAIN} --deepspeed $DS"
    )
    assert imported(text).text is None


@pytest.mark.parametrize(
    "line",
    [
        f"NPROC_PER_NODE=$(echo $A) {TRAIN}",
        f"B=($A); NPROC_PER_NODE=${{B[0]}} {TRAIN}",
        f'NPROC_PER_NODE="$A" {TRAIN}',
        f"if [ $A ]; then NPROC_PER_NODE=4 {TRAIN}; fi",
    ],
)
def test_a_text_with_a_part_that_is_not_known_is_no_other_value(line: str) -> None:
    """Only a command gets its words: elsewhere each word counts, and the unknown one may be none or several."""
    assert imported(f'A="8 $WORLD_SIZE"; {line}').text is None
