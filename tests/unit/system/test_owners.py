"""Whose files they are, what is given away, and through which doors they are read and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from prl_submit.runs.belonging import BROUGHT, COPY, HOME, MOVED, belonging
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.record import Directory, Record, write_record
from prl_submit.system.files import open_inside, remove_inside, write_atomic, write_inside
from prl_submit.system.owners import could_read, give_run
from prl_submit.system.reading import decode_json, read_record

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


# ------------------------------------------------------------------ where a run belongs
def make(path: Path, born: Path | None = None, *, token: str = "t", inode: int = 0) -> Run:
    """A run directory whose record says that it was started in `born`."""
    path.mkdir(parents=True)
    directory = Directory(str(born or path), inode or path.stat().st_ino)
    write_record(
        path,
        Record(
            name="mr",
            backend="local",
            job_id="1",
            submitted_at="2026-11-22T21:00:00+01:00",
            token=token,
            directory=directory,
        ),
    )
    run = read_run(path)
    assert run
    return run


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
    plan = {"plan": {"run_dir": "/pods/v1", "output_root": str(tmp_path), "backend": "kubernetes"}}
    (run.path / "plan.json").write_bytes(msgspec.json.encode(plan))
    assert belonging(old).kind == BROUGHT
    make(tmp_path / "v1")
    assert belonging(old).kind == COPY


# ------------------------------------------------------------------ the door for writing
def test_a_file_is_replaced_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a", "logs/a"):
        write_inside(tmp_path, name, b"1")
        write_inside(tmp_path, name, b"2", 0o755)
        assert (tmp_path / name).read_bytes() == b"2"
    remove_inside(tmp_path, "a")
    remove_inside(tmp_path, "a")
    remove_inside(tmp_path, "nowhere/a")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "logs"]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a").write_bytes(b"precious")
    (run / "a").symlink_to(elsewhere / "a")
    (run / "logs").symlink_to(elsewhere)
    for act in (
        lambda: open_inside(run, "a", os.O_WRONLY | os.O_CREAT),
        lambda: open_inside(run, "logs/a", os.O_WRONLY | os.O_CREAT),
        lambda: write_inside(run, "logs/a", b""),
        lambda: remove_inside(run, "logs/a"),
    ):
        with pytest.raises(OSError, match="is a symbolic link"):
            act()
    write_inside(run, "a", b"new")  # the link itself is replaced
    assert not (run / "a").is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["a"]
    assert (elsewhere / "a").read_bytes() == b"precious"


def test_a_pipe_is_not_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match=r"regular|No such device"):
        open_inside(tmp_path, "lock", os.O_WRONLY | os.O_CREAT)


def test_a_cache_may_be_a_link(tmp_path: Path) -> None:
    """`~/.cache` often is, to a larger disk; it is no run directory."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to("disk")
    write_atomic(tmp_path / "cache" / "a", b"1")
    assert (tmp_path / "disk" / "a").read_bytes() == b"1"


# ------------------------------------------------------------------ the door for reading
def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link(path: Path) -> None:
    path.symlink_to(__file__)


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


@pytest.mark.parametrize("make", [a_pipe, a_device, a_link, too_large, Path.mkdir])
def test_what_is_no_record_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "run.json")
    with pytest.raises(OSError, match=r"no regular file|link|more than 1 MiB|directory"):
        read_record(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"unknown": ' + "[" * 100_000])
def test_nesting_without_end(text: str) -> None:
    for kind in (ExitRecord, object):
        with pytest.raises(ValueError):  # noqa: PT011 - msgspec's words for the second
            decode_json(text, kind)


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
def test_what_pods_get(tmp_path: Path) -> None:
    """Neither our records nor what a link or a second name leads to."""
    run, precious = tmp_path / "run", tmp_path / "precious"
    (run / "logs").mkdir(parents=True)
    precious.write_text("x")
    for name in ("run.json", "plan.json", "exit.json", "logging.jsonl", "logs/node0.log"):
        (run / name).write_text("x")
    (run / "logs" / "link").symlink_to(precious)
    (run / "logs" / "name").hardlink_to(precious)
    give_run(run, NOBODY, NOBODY)
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
        give_run(run, NOBODY, NOBODY)
    assert (etc.stat().st_uid, (etc / "shadow").stat().st_uid) == (0, 0)
