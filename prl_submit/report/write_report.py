"""Writing a report where the user wants it, and over nothing but an older report."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from prl_submit.errors import PrlSubmitError
from prl_submit.report.page import BEGIN
from prl_submit.system.files import write_atomic
from prl_submit.system.reading import open_regular


def refuse_other_file(path: Path) -> None:
    """Raise PrlSubmitError if something is at `path` that a report must not replace, or if its folder is missing."""
    if not os.path.isdir(path.parent):
        raise PrlSubmitError(f"{path.parent} is no folder", "make it first, or choose another -o")
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode) and (found.st_size == 0 or _is_report(path)):
        return
    raise PrlSubmitError(
        f"{path} exists and is no report of prl-submit, so it was not replaced",
        "choose another name with -o, or remove that file; `-o -` prints the report",
    )


def _is_report(path: Path) -> bool:
    with open_regular(path, follow=False) as file:
        return file.read(len(BEGIN)) == BEGIN


def write_report(path: Path, content: bytes) -> None:
    """Write the report in one go: a reader sees the old one or the new one."""
    refuse_other_file(path)
    write_atomic(path, content, durable=False)
