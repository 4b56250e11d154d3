"""A command that a platform starts on several nodes does not start a training on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from prl_submit import backends
from prl_submit.errors import EXIT_WRONG_INPUT, PrlSubmitError
from prl_submit.spec.sections import Platform
from prl_submit.submission import World, submit
from prl_submit.system import shell
from tests.support.plans import planned
from tests.support.platform_variables import ROWS


def refusal(backend: str, environ: Mapping[str, str], **names: str) -> PrlSubmitError | None:
    section = msgspec.convert(names, Platform)
    return backends.load(backend).refusal_here(environ, section)


@pytest.mark.parametrize("row", ROWS)
def test_local_is_refused_on_several_nodes_of_every_platform(row: str) -> None:
    error = refusal("local", ROWS[row])
    assert error is not None
    assert error.exit_code == EXIT_WRONG_INPUT
    assert "2 nodes" in error.message
    assert "--backend platform" in (error.hint or "")


def test_it_names_the_variables_with_their_values_and_how_to_go_on() -> None:
    error = refusal("local", ROWS["PAI-DLC"])
    assert error is not None
    assert "(WORLD_SIZE=2, RANK=1)" in error.message
    assert "env -u WORLD_SIZE -u RANK prl-submit" in (error.hint or "")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**ROWS["PAI-DLC"], "WORLD_SIZE": "1", "RANK": "0"},
        {**ROWS["PAI-DLC"], "LOCAL_RANK": "0"},
        {**ROWS["Kubeflow"], "TORCHELASTIC_RUN_ID": "x"},
        {"NNODES": "many"},
        {"RANK": "1", "MASTER_ADDR": "localhost"},
    ],
)
def test_not_where_there_is_one_node_nor_inside_torchrun(environ: dict[str, str]) -> None:
    assert refusal("local", environ) is None


def test_nodes_without_a_place_and_an_elastic_number_are_several_nodes() -> None:
    assert refusal("local", {"NNODES": "2"}) is not None
    elastic = refusal("local", {"PET_NNODES": "1:4", "PET_NODE_RANK": "0"})
    assert elastic is not None
    assert "several nodes (PET_NNODES=1:4, PET_NODE_RANK=0)" in elastic.message


def test_the_specs_own_names_count() -> None:
    assert refusal("local", {"MY_N": "2", "MY_R": "1"}) is None
    assert refusal("local", {"MY_N": "2", "MY_R": "1"}, nodes="MY_N", node_rank="MY_R") is not None


def test_not_in_an_allocation_of_slurm_where_slurm_is(tmp_path: Path) -> None:
    """A user's script may export WORLD_SIZE there."""
    inside = {**ROWS["PAI-DLC"], "SLURM_JOB_ID": "7", "PATH": str(tmp_path)}
    assert refusal("local", inside) is not None
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    assert refusal("local", inside) is None


def test_slurm_is_refused_only_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal("slurm", ROWS["Volcengine"])
    assert error is not None
    assert "sbatch is not on this node" in error.message
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert refusal("slurm", ROWS["Volcengine"]) is None


@pytest.mark.parametrize("backend", ["kubernetes", "platform"])
def test_other_backends_start_one_job_for_all_nodes_or_none(backend: str) -> None:
    assert refusal(backend, ROWS["Volcengine"]) is None


def test_nothing_is_made_before_the_refusal(tmp_path: Path) -> None:
    made = planned(f"name: x\noutput: {tmp_path}/output\n")
    with pytest.raises(PrlSubmitError, match="2 nodes"):
        submit(made, World(ROWS["Volcengine"], shell.run))
    assert list(tmp_path.iterdir()) == []
