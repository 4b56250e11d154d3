"""How much disk a run takes, and deleting it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from prl_submit.runs.deleting import delete_folder, delete_leftovers, leftovers
from prl_submit.runs.disk_use import Gone, Seen, disk_use, freed_by, in_words, size_of


def fill(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of every kind of file."""
    run = tmp_path / "v1-20261122-210000"
    for name in ("checkpoint-1/a", "checkpoint-2/deep/b", "checkpoint-x/no", "completions.jsonl"):
        fill(run / name, 20_000)
    for name in (
        "logs/node0.log",
        "logging.jsonl",
        "runs/events",
        "made_of/workdir.diff",
        "plan.json",
    ):
        fill(run / name, 5_000)
    return run


def by_du(path: Path) -> int:
    """What coreutils says."""
    done = subprocess.run(
        ["du", "-s", "-B1", str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0])


def test_as_du_counts(run: Path) -> None:
    use = disk_use(run, set())
    own = os.lstat(run).st_blocks * 512
    assert use.total + own == by_du(run) == size_of(run, set())
    assert use.count == 2
    assert use.checkpoints == by_du(run / "checkpoint-1") + by_du(run / "checkpoint-2")
    assert use.completions == by_du(run / "completions.jsonl")
    assert use.logs == sum(by_du(run / name) for name in ("logs", "logging.jsonl", "runs"))
    assert use.made_of == by_du(run / "made_of")
    assert use.rest == by_du(run / "checkpoint-x") + by_du(run / "plan.json")


def test_hard_links_count_once_and_links_not_at_all(run: Path, tmp_path: Path) -> None:
    before = disk_use(run, set()).total
    os.link(run / "plan.json", run / "again.json")
    fill(tmp_path / "big", 500_000)
    (run / "checkpoint-9").symlink_to(tmp_path)
    own = os.lstat(run / "checkpoint-9").st_blocks * 512
    use = disk_use(run, set())
    assert (use.count, use.total) == (2, before + own)
    seen: Seen = set()
    other = tmp_path / "v2-20261122-210000"
    other.mkdir()
    os.link(run / "plan.json", other / "plan.json")
    disk_use(run, seen)
    assert disk_use(other, seen).total == 0


def test_what_deleting_frees(run: Path, tmp_path: Path) -> None:
    """A file that has another name elsewhere stays on the disk."""
    whole = freed_by(run / "checkpoint-1")
    assert whole == by_du(run / "checkpoint-1")
    os.link(run / "checkpoint-1" / "a", run / "checkpoint-1" / "same")
    assert freed_by(run / "checkpoint-1") == whole
    os.link(run / "checkpoint-1" / "a", tmp_path / "kept")
    assert freed_by(run / "checkpoint-1") == whole - by_du(tmp_path / "kept")


def test_what_deleting_folders_with_the_same_files_would_free(run: Path) -> None:
    """A dry run says as much as the deletion frees, whose last folder takes the file with it."""
    os.link(run / "checkpoint-1" / "a", run / "checkpoint-2" / "a")
    before = by_du(run)
    gone: Gone = {}
    would = [freed_by(run / name, gone) for name in ("checkpoint-1", "checkpoint-2")]
    for name in ("checkpoint-1", "checkpoint-2"):
        delete_folder(run, name)
    assert sum(would) == before - by_du(run)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "-"), (512, "512 B"), (4096, "4.0 KiB"), (300 << 20, "300 MiB"), (15 << 40, "15.0 TiB")],
)
def test_words(size: int, words: str) -> None:
    assert in_words(size) == words


def test_delete(run: Path, tmp_path: Path) -> None:
    """The content of links is not touched, and a link is no folder."""
    kept = fill(tmp_path / "elsewhere" / "kept", 10)
    (run / "checkpoint-1" / "link").symlink_to(kept.parent)
    delete_folder(run, "checkpoint-1")
    assert not (run / "checkpoint-1").exists()
    assert kept.exists()
    (run / "checkpoint-1").symlink_to(kept.parent)
    with pytest.raises(OSError, match="is no folder"):
        delete_folder(run, "checkpoint-1")
    assert kept.exists()
    assert leftovers(run) == []


def test_a_kill_half_way_leaves_no_checkpoint(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left has another name, and the next prune removes it."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_folder(run, "checkpoint-2")
    assert not (run / "checkpoint-2").exists()
    (left,) = leftovers(run)
    assert left.startswith(".pruned-checkpoint-2-")
    assert (run / left / "deep" / "b").exists()
    delete_leftovers(run)
    assert leftovers(run) == []
