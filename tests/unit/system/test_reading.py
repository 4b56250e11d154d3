"""Only regular files of a plain size are read, and no nesting is too deep."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prl_submit.runs.exits import ExitRecord
from prl_submit.system.reading import decode_json, read_record


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
