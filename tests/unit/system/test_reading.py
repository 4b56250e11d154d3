"""Only regular files up to a limit are read, and deeply nested JSON is an error and not a crash."""

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
def test_links_pipes_and_large_files_are_not_read(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "run.json")
    with pytest.raises(OSError, match=r"not a regular file|link|more than 1 MiB|directory"):
        read_record(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"unknown": ' + "[" * 100_000])
def test_very_deep_nesting_is_an_error(text: str) -> None:
    for kind in (ExitRecord, object):
        with pytest.raises(ValueError):  # noqa: PT011 - the second message is msgspec's
            decode_json(text, kind)
