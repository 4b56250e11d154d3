"""Files that root writes for others belong to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prl_submit.runs.layout import LOGS, NOT_GIVEN
from prl_submit.system.owners import could_read, give_run, owner_of_new_files

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


# ------------------------------------------------------------------ owners
def test_what_a_user_could_read(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("x")
    own.chmod(0o600)
    assert could_read(own.stat().st_uid, str(own)) == (
        all(
            path.stat().st_uid == own.stat().st_uid or path.stat().st_mode & 1
            for path in own.parents
        )
    )
    assert not could_read(NOBODY, str(own))
    assert could_read(NOBODY, "/etc/passwd")
    assert not could_read(NOBODY, "/etc/shadow")
    assert not could_read(NOBODY, str(tmp_path / "nowhere"))


@as_root
def test_which_files_pods_get(tmp_path: Path) -> None:
    """The records of prl-submit keep their owner, and so do files behind a symbolic or a second hard link."""
    run, precious = tmp_path / "run", tmp_path / "precious"
    (run / "logs").mkdir(parents=True)
    precious.write_text("x")
    for name in ("run.json", "plan.json", "exit.json", "logging.jsonl", "logs/node0.log"):
        (run / name).write_text("x")
    (run / "logs" / "link").symlink_to(precious)
    (run / "logs" / "name").hardlink_to(precious)
    give_run(run, NOBODY, NOBODY, kept=NOT_GIVEN, folders=(LOGS,))
    given = {path.name for path in [run, *run.rglob("*")] if path.lstat().st_uid == NOBODY}
    assert given == {"run", "logs", "exit.json", "logging.jsonl", "node0.log"}
    assert precious.stat().st_uid == 0


@as_root
def test_logs_that_is_a_link_is_not_given(tmp_path: Path) -> None:
    run, etc = tmp_path / "run", tmp_path / "etc"
    run.mkdir()
    etc.mkdir()
    (etc / "shadow").write_text("x")
    (run / "logs").symlink_to(etc)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        give_run(run, NOBODY, NOBODY, kept=NOT_GIVEN, folders=(LOGS,))
    assert (etc.stat().st_uid, (etc / "shadow").stat().st_uid) == (0, 0)


def test_the_owner_of_what_we_write(tmp_path: Path) -> None:
    """Nothing is left in the folder; where we may not write, it is our own uid."""
    assert owner_of_new_files(tmp_path) == os.geteuid()
    assert os.listdir(tmp_path) == []
    assert owner_of_new_files(tmp_path / "missing") == os.geteuid()
