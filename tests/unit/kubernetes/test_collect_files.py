"""Copying files from a volume: parsing `find`'s list, choosing files, recognising files that are here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.collect_files import (
    PodReader,
    RemoteFile,
    chosen,
    fetch,
    is_here,
    parse_listing,
)
from prl_submit.errors import PrlSubmitError


def test_a_listing() -> None:
    """The pod's listing is read: sizes, times, names with any character."""
    out = (
        b"12 1763845200.1234567890 logs/node0.log\0"
        b"0 1763845201.0 a file\nwith lines\0"
        b"5000000000 17.5 checkpoint-2/model.safetensors\0"
    )
    assert parse_listing(out) == [
        RemoteFile("a file\nwith lines", 0, 1763845201.0),
        RemoteFile("checkpoint-2/model.safetensors", 5_000_000_000, 17.5),
        RemoteFile("logs/node0.log", 12, 1763845200.123456789),
    ]
    assert parse_listing(b"") == []


def test_file_names_that_are_not_utf8() -> None:
    [file] = parse_listing("1 1.0 数据-".encode() + b"\xff\0")
    assert os.fsencode(file.path) == "数据-".encode() + b"\xff"


def test_a_listing_that_was_cut_has_no_half_names() -> None:
    assert [file.path for file in parse_listing(b"1 1.0 a\0001 1.0 abc")] == ["a"]


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "/"])
def test_paths_that_leave_the_folder(path: str) -> None:
    with pytest.raises(PrlSubmitError, match="outside of the run directory"):
        parse_listing(f"1 1.0 good\0001 1.0 {path}\0".encode())


@pytest.mark.parametrize("path", ["a..b", "..a", "a/..b/c", "..."])
def test_paths_that_only_look_as_if_they_left_the_folder(path: str) -> None:
    assert [file.path for file in parse_listing(f"1 1.0 {path}\0".encode())] == [path]


FILES = [
    ".node0.lock",
    "args.json",
    "cancel.json",
    "checkpoint-10/model.safetensors",
    "checkpoint-10/rng/0.pth",
    "checkpoint-100/model.safetensors",
    "exit.json",
    "logging.jsonl",
    "logs/.here",
    "logs/.starts0.0123",
    "logs/node0.log",
    "logs/node1.exit.json",
    "made_of/code.json",
    "made_of/files/versions.json",
    "made_of/versions.json",
    "made_of/versions.node12.json",
    "old/logs/node0.log",
    "old/run.json",
    "run.json",
    "spec.yaml",
]


def which(*only: str, with_logs: bool = True) -> list[str]:
    """The paths that are chosen."""
    files = [RemoteFile(path, 1, 1.0) for path in FILES]
    return [file.path for file in chosen(files, only, with_logs=with_logs)]


def test_all_files_but_prl_submits_own() -> None:
    assert which() == [
        "args.json",
        "checkpoint-10/model.safetensors",
        "checkpoint-10/rng/0.pth",
        "checkpoint-100/model.safetensors",
        "exit.json",
        "logging.jsonl",
        "logs/node0.log",
        "logs/node1.exit.json",
        "made_of/versions.json",
        "made_of/versions.node12.json",
        "old/logs/node0.log",
        "old/run.json",
    ]


def test_logs_are_left_out_while_the_job_runs() -> None:
    assert set(which()) - set(which(with_logs=False)) == {"logs/node0.log"}


@pytest.mark.parametrize(
    ("only", "paths"),
    [
        (["exit.json"], ["exit.json"]),
        (["*.jsonl"], ["logging.jsonl"]),
        (["checkpoint-10"], ["checkpoint-10/model.safetensors", "checkpoint-10/rng/0.pth"]),
        (["checkpoint-10/"], ["checkpoint-10/model.safetensors", "checkpoint-10/rng/0.pth"]),
        (["checkpoint-1??"], ["checkpoint-100/model.safetensors"]),
        (["checkpoint-10/rng"], ["checkpoint-10/rng/0.pth"]),
        (["checkpoint-*/model.*"], ["checkpoint-10/model.safetensors", "checkpoint-100/model.safetensors"]),
        (["args.json", "exit.json"], ["args.json", "exit.json"]),
        (["ARGS.json"], []),
        (["model.safetensors"], []),
        (["run.json"], []),  # prl-submit's own file is never copied
    ],
)  # fmt: skip
def test_patterns(only: list[str], paths: list[str]) -> None:
    """--only chooses files by names and patterns."""
    assert which(*only) == paths


def test_what_is_here(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    path.parent.mkdir()
    path.write_bytes(b"four")
    os.utime(path, (1, 1763845200.1234567))
    file = RemoteFile("a/b", 4, 1763845200.1234567)
    assert is_here(file, tmp_path)
    assert not is_here(RemoteFile("a/b", 5, file.changed), tmp_path)
    assert not is_here(RemoteFile("a/b", 4, file.changed + 1), tmp_path)
    assert not is_here(RemoteFile("a/c", 4, file.changed), tmp_path)
    assert not is_here(RemoteFile("a/b/c", 4, file.changed), tmp_path)


def test_a_name_that_no_request_can_contain(tmp_path: Path) -> None:
    (file,) = parse_listing(b"3 1.5 \xff.bin\0")
    pod = PodReader(cast(Api, None), "a")
    with pytest.raises(PrlSubmitError, match="its name is not UTF-8"):
        fetch(pod, "/out", file, tmp_path, print)
