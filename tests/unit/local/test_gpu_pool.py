"""The GPUs of this machine: those that there are, and those that jobs use."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.local.gpu_pool import by_all_names, gpus_in_use, gpus_of, pool_of, uuids_of
from prl_submit.backends.local.processes import command_line
from prl_submit.planning.plan import Plan
from prl_submit.runs.plan_file import PlanFile, encode_plan
from prl_submit.system.shell import run
from tests.support.plans import planned

MIG = """\
GPU 0: NVIDIA H100 (UUID: GPU-a)
  MIG 3g.40gb     Device  0: (UUID: MIG-1)
  MIG 3g.40gb     Device  1: (UUID: MIG-2)
GPU 1: NVIDIA H100 (UUID: GPU-b)
"""


def machine(folder: Path, listing: str, visible: str | None = None) -> dict[str, str]:
    """An environment whose nvidia-smi, a real program, prints this."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/bash\ncat <<'END'\n{listing}END\n")
    (folder / "nvidia-smi").chmod(0o755)
    given = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return {"PATH": f"{folder}:/usr/bin:/bin", **given}


def plan(more: str = "") -> Plan:
    return planned(f"name: x\n{more}").plan


FOUR = "".join(f"GPU {number}: NVIDIA H100 (UUID: GPU-{number})\n" for number in range(4))


@pytest.mark.parametrize(
    ("listing", "visible", "chosen", "pool"),
    [
        (FOUR, None, "", "0 1 2 3"),
        (FOUR, "2, 0", "", "2 0"),
        (FOUR, "", "", ""),
        (FOUR, "1,1,7,2", "", "1"),
        (FOUR, "0,-1,2", "", "0"),
        (FOUR, "0", "local: {cuda_visible_devices: '1,3'}", "1 3"),
        (FOUR, "GPU-2,GPU-0", "", "GPU-2 GPU-0"),
        (FOUR, "01,GPU-2", "", "1 GPU-2"),
        (MIG, "GPU-", "", "GPU-"),
        (MIG.replace("GPU-b", "GPU-b123"), "GPU-b1,0", "", "GPU-b123 0"),
        (MIG, "MIG-2,MIG-1", "", "MIG-2 MIG-1"),
        (MIG, "-1", "", ""),
        (MIG, None, "", "MIG-1 MIG-2 1"),
    ],
)
def test_the_pool(
    tmp_path: Path, listing: str, visible: str | None, chosen: str, pool: str
) -> None:
    environ = machine(tmp_path / "bin", listing, visible)
    assert pool_of(plan(chosen), environ, run) == pool.split()


def test_one_gpu_has_two_names(tmp_path: Path) -> None:
    """A job that names GPU 1 by its number keeps it from one that names it by its UUID, and the other way round."""
    uuids = uuids_of(machine(tmp_path / "bin", MIG.replace("GPU-b", "GPU-b123")), run)
    assert uuids == {"GPU-a": "0", "GPU-b123": "1"}
    assert by_all_names({"1"}, uuids) == {"1", "GPU-b123"}
    assert by_all_names({"GPU-b1"}, uuids) == {"1", "GPU-b123"}
    assert by_all_names({"MIG-2", "7"}, uuids) == {"MIG-2", "7"}
    assert by_all_names({"GPU-b123"}, uuids_of({"PATH": ""}, run)) == {"GPU-b123"}


@contextlib.contextmanager
def process(environ: Mapping[str, str], *argv: str) -> Iterator[int]:
    """The pid of a real process with these variables, which lives until the block ends."""
    words = list(argv) or ["sleep", "60"]
    program = "/bin/bash" if argv else "/bin/sleep"
    started = subprocess.Popen(words, executable=program, env=dict(environ))
    try:
        deadline = time.monotonic() + 30
        while command_line(started.pid) != words:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield started.pid
    finally:
        started.kill()
        started.wait()


def test_jobs_use_the_gpus_that_they_see() -> None:
    """Other tests and jobs of this machine use GPUs too: these names are those of no other process."""
    mark = {"PRL_SUBMIT_TOKEN": "t.0.1.2"}
    number = os.getpid() * 1000
    one, two, other = (f"GPU-{number + place}" for place in range(3))
    names = {one, two, other, str(number), str(number + 1)}
    with (
        process({**mark, "CUDA_VISIBLE_DEVICES": f"{one},{two}"}),
        process({**mark, "LOCAL_RANK": str(number)}),
        process({**mark, "CUDA_VISIBLE_DEVICES": "", "LOCAL_RANK": str(number + 1)}),
        process({"CUDA_VISIBLE_DEVICES": other}),
    ):
        assert gpus_in_use() & names == {one, two, str(number)}
    assert gpus_in_use() & names == set()


@pytest.mark.parametrize(
    ("spec", "visible", "shares", "used"),
    [
        ("resources: {nproc_per_node: 97}", None, False, {str(number) for number in range(97)}),
        ("resources: {nproc_per_node: 2}", "90,91", False, {"90", "91"}),
        ("local: {cuda_visible_devices: '95,96'}", "90", False, {"95", "96"}),
        ("local: {cuda_visible_devices: '95,96'}", "95", True, {"95"}),
        ("resources: {accelerator: cpu}", "90", False, set()),
    ],
)
def test_a_job_that_has_just_begun(
    tmp_path: Path, spec: str, visible: str | None, shares: bool, used: set[str]
) -> None:
    """Its launch.sh has not set its variables yet, so its plan tells."""
    made = msgspec.structs.replace(plan(spec), shares_gpus=shares)
    file = PlanFile(values=[], swift_version=None, argument_table="", git=None, plan=made)
    (tmp_path / "plan.json").write_bytes(encode_plan(file))
    (tmp_path / "launch.sh").write_text("while :; do read -rt 60 <> <(:) || :; done\n")
    given = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    environ = {"PRL_SUBMIT_TOKEN": "t.launch.1.2", "PATH": os.environ["PATH"], **given}
    with process(environ, "bash", str(tmp_path / "launch.sh")) as pid:
        assert set(gpus_of(pid)) == used
