"""Data files that `datasets` cannot read, and unusual files that it can read.

Each was given to datasets 4.8.4 `load_dataset`: the first list was refused, the second was read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from prl_submit.inputs import damage
from prl_submit.inputs.damage import find_damage

GOOD = b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.jsonl", GOOD + b'{"a": 2,}\n' + GOOD, 2, "is not JSON: Expecting property name enclosed in double quotes"),
        ("a.jsonl", GOOD + b"{'a': 2}\n", 2, "is not JSON: Expecting property name enclosed in double quotes"),
        ("a.jsonl", GOOD + b"\n" + GOOD + b"hello\n", 4, "is not JSON: Expecting value"),
        ("a.jsonl", GOOD + b'{"a": "xy', 2, "is not JSON: Unterminated string starting at"),
        ("a.jsonl", GOOD + b'{"a": [1, 2\n', 2, "is not JSON: the row has no end"),
        ("a.jsonl", b'{"a": 1},\n{"a": 2},\n', 1, "is not JSON: Expecting value"),
        ("a.jsonl", b'{"a": "x\ty"}\n' + GOOD, 1, "is not JSON: Invalid control character at"),
        ("a.jsonl", b'{"a": True}\n', 1, "is not JSON: Expecting value"),
        ("a.jsonl", GOOD + b"\0\0\0\n", 2, "is not JSON: Expecting value"),
        ("a.jsonl", b'{\n"a": 1\n}\n{\n"a": 2,\n}\n', 6, "is not JSON: Expecting property name enclosed in double quotes"),
        ("a.jsonl", GOOD + b"[1, 2]\n", 2, "the row is an array, not a JSON object"),
        ("a.jsonl", GOOD + b"5\n", 2, "the row is a number, not a JSON object"),
        ("a.jsonl", GOOD + b'"x"\n', 2, "the row is a text, not a JSON object"),
        ("a.jsonl", b"5\n6\n", 1, "is not JSON: it begins with '5'"),
        ("a.jsonl", b"\n\n<<<<<<< HEAD\n" + GOOD, 3, "is not JSON: it begins with '<<<<<<< HEAD'"),
        ("a.json", b'[{"a": 1},\n {"a": 2}', 2, "is not JSON: the array has no end"),
        ("a.jsonl", b'{"a": "caf\xe9"}\n', 1, "is not UTF-8 text"),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), None, "is UTF-16; ms-swift reads UTF-8"),
        ("a.csv", b"a,b\n1,caf\xe9\n", 2, "is not UTF-8 text"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", 3, "has 3 fields; the rows before have 2"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid x\n", None, "is a Git LFS pointer, not the data"),
        ("a.parquet", b"hello", None, "is not a complete Parquet file"),
        ("a.parquet", b"PAR1 and then it was cut", None, "is not a complete Parquet file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(
    tmp_path: Path, name: str, text: bytes, line: int | None, said: str
) -> None:
    (tmp_path / name).write_bytes(text)
    found = find_damage(str(tmp_path / name))
    assert found is not None
    assert (found.line, found.message) == (line, said)
    assert found.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", b""),
        ("a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}'),
        ("a.jsonl", b'{"a": NaN}\n{"a": -Infinity}\n'),
        ("a.jsonl", b'{"a": 1}\n{"a": "x"}\n{"b": [{}]}\n'),
        ("a.jsonl", GOOD + b"null\n"),
        ("a.jsonl", b'{"a": 1}{"a": 2}\n' + GOOD),
        ("a.jsonl", b'{\n"a": 1\n}\n{\n"a": 2}\n'),
        ("a.jsonl", b'{"a": 123456789012345678901234567890}\n'),
        ("a.json", b'[{"a": 1},\n {"a": 2,}]'),
        ("a.json", b"[1, 2]"),
        ("a.csv", b"a,b\n1,2\n1\n"),
        ("a.csv", b'a,b\n1,"x,y\nz"\n'),
        ("a.csv", b"a,b\n1,2,3\n1,2,3\n"),
        ("a.parquet", b"PAR1 data PAR1"),
        ("a.txt", b"\xff\xfe"),
    ],
)
def test_what_can_be_read(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    assert find_damage(str(tmp_path / name)) is None


def test_a_large_file_is_read_at_its_beginning_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "MAX_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    rows = b"".join(json.dumps({"a": "é" * 50, "n": n}).encode() + b"\n" for n in range(200))
    path.write_bytes(rows)
    assert find_damage(str(path)) is None
    path.write_bytes(rows + b'{"a": "broken o')
    found = find_damage(str(path))
    assert found is not None
    assert found.message.endswith("the last row has no end")
    path.write_bytes(b'{"a": 1}\nx\n' + rows)
    found = find_damage(str(path))
    assert found is not None
    assert found.line == 2
    path.write_bytes(b'{"a":\n1}\n' * 500)
    assert find_damage(str(path)) is None


def test_reading_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    assert find_damage(str(tmp_path / "a.jsonl")) is None
