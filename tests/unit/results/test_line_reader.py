"""Reading a file that grows, is replaced, is cut short, or has lines without end."""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.results.line_reader import NewLines


def test_reads_what_is_new_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = NewLines(path, 100)
    assert list(lines.read()) == []
    path.write_bytes(b"one\ntwo\nthr")
    assert list(lines.read()) == [b"one", b"two"]
    assert list(lines.read()) == []
    with path.open("ab") as file:
        file.write(b"ee\n\nfour\n")
    assert list(lines.read()) == [b"three", b"", b"four"]
    assert lines.replaced == 0


def test_a_reader_that_stops_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    lines = NewLines(path, 100)
    assert next(lines.read()) == b"one"
    assert list(lines.read()) == [b"two", b"three"]


def test_a_file_that_was_replaced_or_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    lines = NewLines(path, 100)
    assert len(list(lines.read())) == 2
    (tmp_path / "new").write_bytes(b"one\ntwo\nthree\n")
    os.replace(tmp_path / "new", path)
    assert list(lines.read()) == [b"one", b"two", b"three"]
    assert lines.replaced == 1
    path.write_bytes(b"x\n")
    assert list(lines.read()) == [b"x"]
    assert lines.replaced == 2


def test_lines_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\n" + b"x" * 11 + b"\nb\n" + b"y" * 3_000_000)
    lines = NewLines(path, 10)
    assert list(lines.read()) == [b"a", b"b"]
    with path.open("ab") as file:
        file.write(b"y" * 5 + b"\nc\n")  # the end of the line that was too long already
    assert list(lines.read()) == [b"c"]


def test_the_end_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first line\nsecond line\nthird\n")
    assert list(NewLines(path, 100, tail=10).read()) == [b"third"]
    assert len(list(NewLines(path, 100, tail=1000).read())) == 3


def test_no_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").write_bytes(b"one\n")
    (tmp_path / "link").symlink_to("real")
    for name in ("pipe", "link", ".", "missing"):
        assert list(NewLines(tmp_path / name, 100).read()) == []
