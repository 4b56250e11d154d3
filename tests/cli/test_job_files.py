"""The job files of this repository are right for every ms-swift that users run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import World

PROJECT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (PROJECT / "jobs").glob("*.yaml"))
#: No torchrun, so that no ms-swift is found and the stated one counts.
HERE = {"PATH": "/usr/bin:/bin", "PRL_PREFLIGHT": "off"}  # nor are this machine's GPUs counted
NO_ENVIRONMENT = ["--set", "environment.conda=null", "--set", "environment.venv=null"]


@pytest.mark.parametrize("version", ["3.3.0", "3.3.0.dev0", "3.8.3", "4.0.0", "4.6.0"])
def test_every_job_is_right_for(version: str, world: World) -> None:
    """Names and values that all of them have, and not a warning but for the placeholder of the image."""
    shutil.copytree(PROJECT / "jobs", world.root / "jobs")
    stated = ["--set", f"environment.swift_version={version}"]
    for name in NAMES:
        image = ["--set", "kubernetes.image=registry.example/mine:1"] if "k8s" in name else []
        done = world.prl("check", f"jobs/{name}", *stated, *image, *NO_ENVIRONMENT, **HERE)
        assert done.code == 0, (name, done.err)
        # Where the data is here the steps are known; of 3.8 roughly, because its trl is not.
        assert re.fullmatch(r"(note: (about )?\d+ steps( in each combination)?\n)?", done.err), (
            name,
            done.err,
        )
        assert f"jobs/{name}: ok" in done.out


@pytest.mark.parametrize("page", ["docs/checks.md", "README.md"])
def test_the_documented_check_prints_what_the_page_shows(page: str, world: World) -> None:
    """Warnings about the machine that checks are left out on the page."""
    shutil.copytree(PROJECT / "jobs", world.root / "jobs")
    text = (PROJECT / page).read_text(encoding="utf-8")
    block = text[text.index("$ prl-submit check jobs/mr_4gpu.yaml") :].partition("```")[0]
    command, *shown = block.splitlines()
    done = world.prl(*command.split()[2:], *NO_ENVIRONMENT, **HERE)
    assert done.code == 2
    assert done.err.splitlines() == shown
