"""launch.sh of the example jobs, whole. `UPDATE_GOLDEN=1 pytest tests/render` writes it anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from prl_submit import __version__
from prl_submit.layers import load_layers
from prl_submit.plan import Context, Plan, make_plan
from prl_submit.render import render_launch
from prl_submit.swift.table import load_table

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
JOBS = ("mr_4gpu", "mr_cpu", "mr_2x8gpu")


def plan_of(job: str) -> Plan:
    """A job of ours, as if in /home/me/prl."""
    table = load_table()
    layered = load_layers(
        f"jobs/{job}.yaml",
        read=lambda path: (ROOT / path).read_bytes(),
        profile=None,
        environ={},
        sets=(),
        table=table,
    )
    planned = make_plan(
        layered, table, f"jobs/{job}.yaml", Context(cwd="/home/me/prl", home="/home/me")
    )
    assert planned.problems == []
    return planned.plan


@pytest.mark.parametrize("job", JOBS)
def test_launch_script(job: str) -> None:
    """Byte for byte, the version's number aside."""
    text = render_launch(plan_of(job), token="0123456789abcdef")
    assert text.count(f"prl-submit {__version__} ") == 1
    text = text.replace(f"prl-submit {__version__} ", "prl-submit VERSION ")
    golden = GOLDEN / f"{job}.launch.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(text.encode("utf-8"))
    assert text == golden.read_bytes().decode("utf-8"), "see this file's first line"


@pytest.mark.parametrize("job", JOBS)
def test_launch_script_is_bash(job: str) -> None:
    script = render_launch(plan_of(job), token="t")
    done = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_rendering_is_repeatable() -> None:
    assert render_launch(plan_of("mr_cpu"), token="t") == render_launch(
        plan_of("mr_cpu"), token="t"
    )
