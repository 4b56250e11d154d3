"""GPUs and conda of this machine, against what a local job needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prl_submit.backends.local.this_machine import lacking
from prl_submit.system.shell import Answer, run
from tests.support.plans import planned


@pytest.fixture
def smi(tmp_path: Path) -> Callable[[int], dict[str, str]]:
    """`smi(4)`: an environment whose nvidia-smi lists 4 GPUs; a real program, no machine has one."""

    def make(count: int) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        lines = "".join(f"echo 'GPU {n}: NVIDIA H100 (UUID: GPU-{n})'\n" for n in range(count))
        (folder / "nvidia-smi").write_text(f"#!/bin/bash\n{lines}")
        (folder / "nvidia-smi").chmod(0o755)
        return {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(tmp_path / "home")}

    return make


@pytest.mark.parametrize(
    ("spec", "visible", "said"),
    [
        ("resources: {nproc_per_node: 4}", None, None),
        ("resources: {nproc_per_node: 8, accelerator: cpu}", None, None),
        ("resources: {nproc_per_node: 5}", None, "5 GPUs are needed, one per process; this machine has 4 GPUs"),
        ("resources: {nproc_per_node: 2}", "3", "2 GPUs are needed, one per process; this machine has 4 GPUs, and CUDA_VISIBLE_DEVICES shows 1"),
        ("resources: {nproc_per_node: 1}", "", "1 GPU is needed, one per process; this machine has 4 GPUs, and CUDA_VISIBLE_DEVICES shows 0"),
        ("resources: {nproc_per_node: 2}", "2, 3", None),
        ("resources: {nproc_per_node: 2}\nlocal: {cuda_visible_devices: '2,3'}", "0", None),
        ("resources: {nproc_per_node: 2}\nlocal: {cuda_visible_devices: '3,4'}", None, "names GPU 4; this machine has 4 GPUs"),
        ("resources: {nproc_per_node: 2}\nlocal: {cuda_visible_devices: 'GPU-1,GPU-2'}", None, None),
    ],
)  # fmt: skip
def test_gpus(
    smi: Callable[[int], dict[str, str]],
    spec: str,
    visible: str | None,
    said: str | None,
) -> None:
    """Too few GPUs, or hidden ones, are a problem before the start."""
    environ = smi(4) | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    found = list(lacking(planned(f"name: x\n{spec}").plan, environ, run))
    assert [lack.message for lack in found] == ([said] if said else [])
    assert (
        list(lacking(planned(f"name: x\n{spec}").plan, {**environ, "PRL_PREFLIGHT": "off"})) == []
    )


def test_without_asking_nvidia_smi_nothing_is_claimed(smi: Callable[[int], dict[str, str]]) -> None:
    """Where it is installed and there are no device files, as in WSL, only it knows."""
    if any(name.startswith("nvidia") for name in os.listdir("/dev")):
        pytest.skip("this machine has device files")
    plan = planned("name: x\nresources: {nproc_per_node: 9}").plan
    assert list(lacking(plan, smi(4))) == []


def test_a_slow_nvidia_smi_is_no_answer(smi: Callable[[int], dict[str, str]]) -> None:
    plan = planned("name: x\nresources: {nproc_per_node: 9}").plan
    said = list(lacking(plan, smi(4), lambda *_, **__: Answer(124, "", "")))
    assert all("9 GPUs are needed" in lack.message for lack in said)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("conda: there", None),
        ("conda: base", None),
        ("conda: gone", "there is no conda environment gone here: {home}/miniconda3/envs/gone is no folder"),
        ("conda: listed", None),
        ("conda: own", None),
        ("conda: gone, modules: [conda]", None),
        ("conda: gone, setup: ['bash make_conda.sh']", None),
        ("conda: {name: gone, root: ~/elsewhere}", "there is no conda environment gone here: {home}/elsewhere/envs/gone is no folder"),
        ("venv: gone", "virtual environment gone is not here"),
    ],
)  # fmt: skip
def test_conda(tmp_path: Path, environment: str, said: str | None) -> None:
    """A conda environment is found where launch.sh looks for it."""
    (tmp_path / "miniconda3/envs/there").mkdir(parents=True)
    (tmp_path / "miniconda3/etc/profile.d").mkdir(parents=True)
    (tmp_path / "miniconda3/etc/profile.d/conda.sh").touch()
    (tmp_path / ".conda/envs/own").mkdir(parents=True)
    (tmp_path / ".conda/environments.txt").write_text("/scratch/envs/listed\n")
    spec = f"name: x\nenvironment: {{{environment}}}\nresources: {{accelerator: cpu}}"
    found = list(lacking(planned(spec).plan, {"HOME": str(tmp_path)}))
    wanted = [said.format(home=tmp_path)] if said else []
    assert [lack.message for lack in found] == wanted
    assert all(lack.hint for lack in found)


def test_no_conda_at_all(tmp_path: Path) -> None:
    plan = planned("name: x\nenvironment: {conda: e}\nresources: {accelerator: cpu}").plan
    if any(os.path.isdir(f"/opt/{name}") for name in ("conda", "miniconda3", "miniforge3")):
        pytest.skip("this machine has conda")
    (lack,) = lacking(plan, {"HOME": str(tmp_path)})
    assert (lack.key, lack.message) == ("environment.conda", "conda is not on this machine")
