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
    write_in_each,
    write_inside,
    write_new_files,
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


def test_a_file_is_written_in_each_of_many_folders(tmp_path: Path) -> None:
    """More of them than are open at a time."""
    folders = [tmp_path / str(number) for number in range(150)]
    for folder in folders:
        folder.mkdir()
        (folder / "run.json").write_bytes(b"old")
    write_in_each("run.json", [(folder, folder.name.encode()) for folder in folders])
    assert [os.listdir(folder) for folder in folders] == [["run.json"]] * 150
    assert all((folder / "run.json").read_text() == folder.name for folder in folders)


@pytest.mark.parametrize("fault", ["the disk is full", "a folder is gone"])
def test_each_folder_has_the_old_or_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    folders = [tmp_path / str(number) for number in range(100)]
    for folder in folders if fault == "the disk is full" else folders[:80]:
        folder.mkdir()
        (folder / "run.json").write_bytes(b"old")
    flushed: list[int] = []

    def fsync(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) > 80 and fault == "the disk is full":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"No space|No such file"):
        write_in_each("run.json", [(folder, b"new") for folder in folders])
    assert len(os.listdir("/proc/self/fd")) == before
    found = [(path.name, path.read_bytes()) for path in tmp_path.glob("*/*")]
    assert set(found) == {("run.json", b"old"), ("run.json", b"new")}


def test_new_files_replace_nothing(tmp_path: Path) -> None:
    write_new_files(tmp_path, {"a": (b"1", 0o644), "b": (b"2" * 100_000, 0o755)})
    assert (tmp_path / "b").read_bytes() == b"2" * 100_000
    assert (tmp_path / "b").stat().st_mode & 0o100
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            write_new_files(tmp_path, {name: (b"3", 0o644)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert not (tmp_path / "elsewhere").exists()
