"""Whether a run directory still lies where its job was started, was moved, or is a copy."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.belonging import BROUGHT, COPY, HOME, MOVED, belonging, refuse_copies
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.record import Directory
from tests.support.records import make_run

#: Files of a run on Kubernetes, written by version 0.1.0.
OLD = Path(__file__).parents[2] / "support/old_runs/records" / "kubernetes"


def make(path: Path, born: Path | None = None, *, token: str = "t", inode: int = 0) -> Run:
    """A run directory whose record says that it was started in `born`."""
    path.mkdir(parents=True)
    directory = Directory(str(born or path), inode or path.stat().st_ino)
    return make_run(path, token=token, directory=directory)


def test_at_home_and_moved(tmp_path: Path) -> None:
    run = make(tmp_path / "v1")
    assert belonging(run).kind == HOME
    (tmp_path / "v1").rename(tmp_path / "v2")
    moved = msgspec.structs.replace(run, path=tmp_path / "v2")
    assert (belonging(moved).kind, belonging(moved).origin) == (MOVED, str(tmp_path / "v1"))
    (tmp_path / "v1").symlink_to("v2")  # whoever moves leaves a link
    assert belonging(moved).kind == HOME


@pytest.mark.parametrize("token", ["t", "of-a-later-attempt"])
def test_a_copy_beside_its_original(tmp_path: Path, token: str) -> None:
    origin = make(tmp_path / "v1", token=token)
    inode = origin.path.stat().st_ino
    copy = make(tmp_path / "v2", origin.path, inode=inode)
    assert belonging(copy).kind == COPY
    assert not belonging(copy).has_job
    (origin.path / "run.json").write_text("{")  # nobody can say that it is another run
    assert belonging(copy).kind == COPY
    (origin.path / "run.json").unlink()
    assert belonging(copy).kind == BROUGHT


def test_another_run_at_the_old_place(tmp_path: Path) -> None:
    other = make(tmp_path / "v1", token="another")
    moved = make(tmp_path / "v2", other.path)
    assert belonging(moved).kind == MOVED


def test_a_copy_put_where_the_original_was(tmp_path: Path) -> None:
    """The original keeps its inode and its job; the copy is at home, and its job is not there."""
    origin = make(tmp_path / "v1")
    origin.path.rename(tmp_path / "kept")
    make(tmp_path / "v1", inode=origin.path.parent.stat().st_ino)
    kept = read_run(tmp_path / "kept")
    assert kept
    assert belonging(kept).kind == MOVED


def test_a_record_of_an_older_version(tmp_path: Path) -> None:
    """plan.json says where it was."""
    run = make(tmp_path / "v2")
    assert run.record
    old = msgspec.structs.replace(run, record=msgspec.structs.replace(run.record, directory=None))
    assert belonging(old).kind == HOME  # no plan.json either
    written = json.loads((OLD / "plan.json").read_text())
    written["plan"] |= {"run_dir": "/pods/v1", "output_root": str(tmp_path)}
    (run.path / "plan.json").write_text(json.dumps(written))
    assert belonging(old).kind == BROUGHT
    make(tmp_path / "v1")
    assert belonging(old).kind == COPY


def test_a_copy_without_its_original_is_not_cancelled(tmp_path: Path) -> None:
    copy = make(tmp_path / "v1", tmp_path / "gone", inode=1)
    with pytest.raises(PrlSubmitError, match=r"cannot prove .*, so nothing was cancelled"):
        refuse_copies(copy, "cancel")
    refuse_copies(copy, "resume")
