"""labels.json: what the user says about a run, and what is taken from a file that somebody else wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.errors import NoSuchRunError, PrlSubmitError
from prl_submit.runs.directory import find_run
from prl_submit.runs.labels import (
    Labels,
    change_labels,
    name_fault,
    read_labels,
    tag_fault,
    with_tags,
    write_labels,
)
from tests.support.records import make_run

ROOT = Path(__file__).resolve().parents[3]


def make(root: Path, number: int, given: str | None = None, **fields: Any) -> Path:
    """A run directory with the name that the user has `given`, if any."""
    path = make_run(root / f"v{number}-20261122-210000", **fields).path
    if given:
        write_labels(path, Labels(name=given))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = make(tmp_path, 1)
    assert read_labels(run) == Labels()
    labels = Labels("baseline", "학습률을 반으로", ["keep", "论文"])
    write_labels(run, labels)
    assert read_labels(run) == labels
    assert "论文" in (run / "labels.json").read_text(encoding="utf-8")


def test_a_note_is_one_short_line(tmp_path: Path) -> None:
    run = make(tmp_path, 1)
    write_labels(run, Labels(note="a\n\x1b[2Jb \u202e c"))
    assert read_labels(run).note == "a b c"
    write_labels(run, Labels(note="x" * 1000))
    note = read_labels(run).note
    assert note is not None
    assert (len(note), note[-1]) == (500, "…")
    write_labels(run, Labels(note=" \n"))
    assert read_labels(run).note is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"tags": "keep"}',
        b'{"name": 5}',
        b'{"name": "v3"}',
        b'{"name": "latest"}',
        b'{"name": "\\u001b[2J"}',
        b'{"name": "A b"}',
        b'{"tags": ["a,b", "", "-x", "a b", "\\u001b[2J"]}',
        b'{"note": "\\u001b]0;title\\u0007"}',
    ],
)
def test_a_file_of_somebody_else_gives_nothing_odd(tmp_path: Path, content: bytes) -> None:
    run = make(tmp_path, 1)
    (run / "labels.json").write_bytes(content)
    assert read_labels(run) == Labels()


def test_no_file_is_read_or_written_through_a_link(tmp_path: Path) -> None:
    run = make(tmp_path, 1)
    other = tmp_path / "other.json"
    other.write_text('{"name": "mine"}')
    (run / "labels.json").symlink_to(other)
    assert read_labels(run) == Labels()
    write_labels(run, Labels(name="new"))  # the link is replaced, and the file it led to stays
    assert json.loads(other.read_text()) == {"name": "mine"}
    assert read_labels(run).name == "new"
    (run / "logs" / ".labels.lock").unlink()
    (run / "logs" / ".labels.lock").symlink_to(tmp_path / "made")
    with pytest.raises(PrlSubmitError, match="symbolic link"):
        write_labels(run, Labels(name="newer"))
    assert not (tmp_path / "made").exists()


def test_a_run_where_we_cannot_write(tmp_path: Path) -> None:
    run = make(tmp_path, 1)
    (run / "logs").touch()
    with pytest.raises(PrlSubmitError, match=r"labels.json: cannot be written: Not a directory"):
        write_labels(run, Labels(name="new"))
    assert read_labels(run) == Labels()


def test_changes_at_a_time_lose_nothing(tmp_path: Path) -> None:
    run = make(tmp_path, 1)
    script = (
        "import sys; from pathlib import Path; from prl_submit.runs import labels\n"
        "for i in range(20): labels.change_labels(Path(sys.argv[1]), lambda old: "
        "labels.with_tags(old, [f'{sys.argv[2]}{i}'], remove=False))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(run), mark], cwd=ROOT) for mark in "ab"
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert set(read_labels(run).tags) == {f"{mark}{i}" for mark in "ab" for i in range(20)}


def test_tags_are_added_once_and_removed() -> None:
    labels = with_tags(Labels(tags=["a", "b"]), ["b", "c"], remove=False)
    assert labels.tags == ["a", "b", "c"]
    assert with_tags(labels, ["a", "c"], remove=True).tags == ["b"]
    with pytest.raises(PrlSubmitError, match="50 tags, and these are 51"):
        with_tags(Labels(), [f"t{i}" for i in range(51)], remove=False)


@pytest.mark.parametrize(
    "tag", ["keep", "论文", "lr=1e-5", "a/b", "@bob", "x" * 41, "a,b", "-x", ""]
)
def test_tags(tag: str) -> None:
    assert (tag_fault(tag) is None) == (tag in ("keep", "论文", "lr=1e-5", "a/b"))


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("baseline", True),
        ("lr-1e-5", True),
        ("x" * 40, True),
        ("v3-best", True),
        *(
            (name, False)
            for name in ("v3", "3", "latest", "v3-20261122-210000", "A", "a b", "-a", "", "x" * 41)
        ),
    ],
)
def test_names(name: str, is_good: bool) -> None:
    assert (name_fault(name) is None) == is_good


def test_find_run_by_the_name_given(tmp_path: Path) -> None:
    first = make(tmp_path, 1, "baseline", name="mr")
    assert find_run("baseline", tmp_path).path == first
    assert (
        find_run("mr", tmp_path).path == first
    )  # nobody is shown as mr, so the job's name finds it
    second = make(tmp_path, 2, name="mr")
    assert find_run("mr", tmp_path).path == second
    make(tmp_path, 3, name="mr")
    with pytest.raises(PrlSubmitError, match=r"'mr' names 2 runs: v2-.*, v3-"):
        find_run("mr", tmp_path)
    make(tmp_path, 4, "mr", name="other")
    with pytest.raises(PrlSubmitError, match="'mr' names 3 runs"):
        find_run("mr", tmp_path)
    with pytest.raises(NoSuchRunError):
        find_run("base", tmp_path)


def test_change_returns_what_was_written(tmp_path: Path) -> None:
    run = make(tmp_path, 1, "baseline")
    changed = change_labels(run, lambda old: msgspec.structs.replace(old, note="a\nb"))
    assert changed == Labels("baseline", "a b") == read_labels(run)
