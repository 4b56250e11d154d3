"""launch.sh and job.sbatch of the example jobs, whole, and launch.lib.sh once. `UPDATE_GOLDEN=1 pytest tests/render` writes it anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from prl_submit import __version__
from prl_submit.backends.artefact import first_file, first_of, job_files
from prl_submit.backends.slurm.batch_script import render_script
from prl_submit.launch.render import render_launch, render_library
from prl_submit.planning.plan import Context, Plan
from tests.support.plans import planned

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
JOBS = ("mr_4gpu", "mr_cpu", "mr_2x8gpu", "mr_platform_2x8gpu")


#: What a batch script is made for, and the settings that show it.
SCRIPTS = {
    "mr_4gpu": ("mr_4gpu", ["slurm.partition=gpu", "resources.memory=256G"]),
    "mr_2x8gpu": ("mr_2x8gpu", ["restarts.max=3", "slurm.account=proj", "slurm.qos=long"]),
    "pyxis": (
        "mr_2x8gpu",
        ["environment.container={image: 'nvcr.io/a#b', mounts: ['/data:/data:ro']}"],
    ),
    "apptainer": (
        "mr_4gpu",
        [
            "environment.container={image: /img/swift 4.sif, mounts: ['/数据:/data'], runtime: apptainer}"
        ],
    ),
    "extra": (
        "mr_cpu",
        ['slurm.extra={exclusive: true, gres: "tmpfs:100G", comment: it is my 50%}'],
    ),
}


def plan_of_job(job: str, sets: tuple[str, ...] = (), backend: str | None = None) -> Plan:
    """The plan of a file in jobs/, as if the repository were /home/me/prl."""
    made = planned(
        None,
        name=f"jobs/{job}.yaml",
        read=lambda path: (ROOT / path).read_bytes(),
        sets=sets,
        context=Context(cwd="/home/me/prl", home="/home/me"),
        backend=backend,
    )
    assert made.problems == []
    return made.plan


@pytest.mark.parametrize("job", JOBS)
def test_launch_script(job: str) -> None:
    """launch.sh of each example job is the golden file."""
    same_as_golden(render_launch(plan_of_job(job), token="0123456789abcdef"), f"{job}.launch.sh")


def test_library() -> None:
    """It is the same for every job, so there is one."""
    golden(render_library(), "launch.lib.sh")


@pytest.mark.parametrize("job", JOBS)
def test_render_prints_the_first_file(job: str) -> None:
    """`render` makes only the file that it prints. That file is the same as with all others."""
    plan = plan_of_job(job)
    assert first_file(plan) == first_of(job_files(plan))


@pytest.mark.parametrize("name", SCRIPTS)
def test_batch_script(name: str) -> None:
    """The batch script of each example is the golden file."""
    same_as_golden(script_of(name), f"{name}.job.sbatch")


def script_of(name: str) -> str:
    job, sets = SCRIPTS[name]
    return render_script(plan_of_job(job, tuple(sets), "slurm"), "0123456789abcdef", None)


def same_as_golden(text: str, file: str) -> None:
    """Byte for byte, the version's number aside."""
    assert text.count(f"prl-submit {__version__} ") == 1
    golden(text.replace(f"prl-submit {__version__} ", "prl-submit VERSION "), file)


def golden(text: str, file: str) -> None:
    """Byte for byte."""
    path = GOLDEN / file
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    assert text == path.read_bytes().decode("utf-8"), "see this file's first line"


@pytest.mark.parametrize("job", JOBS)
def test_launch_script_is_bash(job: str) -> None:
    script = render_launch(plan_of_job(job), token="t") + render_library()
    done = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_person_can_read_the_launch_script() -> None:
    """In the order of the questions: what is it, with what, where, and then torchrun."""
    lines = render_launch(plan_of_job("mr_4gpu"), token="t").splitlines()
    assert len(lines) <= 88
    wanted = [
        "# mr-4gpu",
        "prl_run_dir=",
        "prl_swift_args=(",
        "prl_begin",
        "  conda activate prl_clean",
    ]
    wanted += ["export WANDB_MODE=", "prl_preflight", "prl_run torchrun "]
    places = [next(i for i, line in enumerate(lines) if line.startswith(word)) for word in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize("name", SCRIPTS)
def test_batch_script_is_bash(name: str) -> None:
    script = script_of(name).encode()
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_rendering_is_repeatable() -> None:
    assert render_launch(plan_of_job("mr_cpu"), token="t") == render_launch(
        plan_of_job("mr_cpu"), token="t"
    )
