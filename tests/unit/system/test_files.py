"""Files are written whole, and never through a link or a pipe that somebody else put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prl_submit.system.files import (
    open_inside,
    remove_inside,
    tail_bytes,
    write_atomic,
    write_inside,
)


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
    """Writing in a run directory follows no link out of it."""
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


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"old", 0o755)
    assert path.stat().st_mode & 0o100

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_the_tail_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    assert tail_bytes(tmp_path / "f", 2) == b"ef"
    assert tail_bytes(tmp_path / "f", 99) == b"abcdef"
    assert tail_bytes(tmp_path / "gone", 2) == b""
