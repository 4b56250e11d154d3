"""Every mistake of the catalogue is told by `prl-submit check`, in the words promised."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from prl_submit.errors import format_problem
from prl_submit.planning.plan import Planned
from prl_submit.prepare import errors_of, plan_spec
from tests.support.faults import FAULTS, SILENT, SPEC, Fault, write_files

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example jobs, with the files that faults name beside them."""
    root = tmp_path_factory.mktemp("faults")
    shutil.copytree(PROJECT / "jobs", root / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    write_files(root)
    return root


def check(sets: tuple[str, ...]) -> Planned:
    """As the command does it, without printing."""
    return plan_spec(SPEC, backend=None, sets=sets, profile=None, output_root=None)


def test_the_job_without_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert errors_of(check(())) == []


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    monkeypatch.chdir(folder)
    planned = check(fault.sets)
    told = [format_problem(problem) for problem in planned.problems]
    hits = [text for text in told if re.search(fault.ours, text)]
    assert len(hits) == 1, told
    assert hits[0].startswith("error: ") or fault.theirs is SILENT
    assert "\nhint: " in hits[0] or ": expected " in hits[0] or "JSON" in hits[0]
    # Nothing else is wrong: one mistake makes one error, not a list of them.
    others = [text for text in told if text.startswith("error: ") and text not in hits]
    assert others == []


def test_the_catalogue() -> None:
    """Long enough, and no name twice."""
    assert len(FAULTS) >= 100
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
