"""A job belongs to a run if it has the run's token and names the run's directory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.kubernetes.labels import DIRECTORY_ANNOTATION
from prl_submit.backends.kubernetes.objects import PyTorchJob
from prl_submit.backends.kubernetes.ownership import belongs, require_own
from prl_submit.errors import PrlSubmitError
from tests.unit.kubernetes.objects import TOKEN, job


def job_of(directory: Path | str | None) -> PyTorchJob:
    found = job("Running")
    notes = None if directory is None else {DIRECTORY_ANNOTATION: str(directory)}
    metadata = msgspec.structs.replace(found.metadata, annotations=notes)
    return msgspec.structs.replace(found, metadata=metadata)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "v1-20260101-000000"
    path.mkdir()
    return path


def test_its_own(run: Path, tmp_path: Path) -> None:
    """A job belongs to its run directory, also through a link and after a move."""
    assert belongs(job_of(run), TOKEN, run)
    (tmp_path / "link").symlink_to(tmp_path)
    assert belongs(job_of(run), TOKEN, tmp_path / "link" / run.name)
    moved = run.rename(tmp_path / "v2-20260101-000000")
    assert belongs(job_of(run), TOKEN, moved)


def test_another_directorys(run: Path, tmp_path: Path) -> None:
    """A job of another directory, or of none, does not belong to the run."""
    other = tmp_path / "v2-20260101-000000"
    other.mkdir()
    for directory in (other, None, "", other / "run.json" / "x\0y"):
        assert not belongs(job_of(directory), TOKEN, run)
    assert not belongs(job_of(run), "another", run)
    with pytest.raises(
        PrlSubmitError, match=f"belongs to {other}, so it is not this run's; nothing"
    ):
        require_own(job_of(other), TOKEN, run, "nothing was cancelled")
    with pytest.raises(PrlSubmitError, match="names no run directory"):
        require_own(job_of(None), TOKEN, run, "nothing was cancelled")
    require_own(job_of(run), TOKEN, run, "nothing was cancelled")
